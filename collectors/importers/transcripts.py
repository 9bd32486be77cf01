"""Transcripts of coding agents: JSON lines, one file or a folder of them. What was said in them is never looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from joulebook.accounting.errors import InputError
from joulebook.collectors.importers.entries import Entry
from joulebook.collectors.importers.rows import BadRow, Row, rows

Found = Entry | BadRow | None
NEEDS = ("type",)


def of_all(path: Path, read: Callable[[Path, Iterator[Row | BadRow]], Iterator[Found]]) -> Iterator[Found]:
    """What `read` finds in a file, or in each of a folder's. Raises InputError for a folder without any."""
    if not path.is_dir():
        yield from read(path, rows(path, NEEDS))
        return
    files = sorted(path.rglob("*.jsonl"))
    if not files:
        raise InputError(f"{path}: has no transcripts (*.jsonl) in it")
    for file in files:
        if not file.stat().st_size:
            yield None
            continue
        try:
            for one in read(file, rows(file, NEEDS)):
                yield one._replace(path=file) if isinstance(one, BadRow) else one
        except InputError as error:  # one of many
            yield BadRow(0, str(error), file)


def folder_name(cwd: Any) -> str | None:
    """The last part of the folder in which an agent worked: its project."""
    return str(cwd).rstrip("/\\").replace("\\", "/").rpartition("/")[2] if isinstance(cwd, str) else None
