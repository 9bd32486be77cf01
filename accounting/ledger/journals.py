"""Journal files as the ingest sees them: who wrote them, what is new in them, whether the writer still lives."""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from joulebook.accounting.home import journal_dir
from joulebook.accounting.ledger.parse import FORMAT_VERSIONS, READS, why_malformed


@dataclass(frozen=True)
class JournalFile:
    """A journal on disk. `problem` says why none of it can be read, if so."""

    path: Path
    journal_id: str
    size: int
    problem: str | None = None
    previous_id: str | None = None  # the journal that its process wrote before it


def journal_paths(home: Path) -> list[Path]:
    return sorted(journal_dir(home).glob("*.jsonl"))


def open_journal(path: Path) -> JournalFile | None:
    """What a journal file says of itself in its first line; None while that line is not written yet."""
    with path.open("rb") as file:
        first = file.readline(1 << 20)
        size = os.fstat(file.fileno()).st_size
    if not first.endswith(b"\n") and is_alive(path):
        return None
    header = _header(first)
    if isinstance(header, str):
        return JournalFile(path, _id_in_name(path), size, header)
    return JournalFile(path, header["journal_id"], size, previous_id=header.get("previous_id"))


def _header(line: bytes) -> dict[str, Any] | str:
    """The header, or what is wrong with it."""
    wrong = why_malformed(line)
    if wrong:
        return f"the file does not begin with a journal header ({wrong})"
    header: dict[str, Any] = json.loads(line)
    if header.get("event") != "journal" or not _is_uuid(header.get("journal_id")):
        return "the file does not begin with a journal header"
    if header.get("version") not in FORMAT_VERSIONS:
        found = header.get("version")
        return f"unknown format version {found}; this joulebook reads {READS}: upgrade and rebuild"
    return header


def _is_uuid(text: object) -> bool:
    parts = str(text).split("-")
    return [len(part) for part in parts] == [8, 4, 4, 4, 12] and all(
        c in "0123456789abcdefABCDEF" for c in "".join(parts)
    )


def _id_in_name(path: Path) -> str:
    """A file without a header is still known by something: the id in its name, else none of its own."""
    tail = path.stem[-36:]
    return tail if _is_uuid(tail) else "00000000-0000-7000-8000-000000000000"


def is_alive(path: Path) -> bool:
    """Whether a process still holds this journal: its owner keeps a lock on it, which the kernel drops with it."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def new_bytes(journal: JournalFile, start: int, limit: int) -> bytes:
    """The complete lines after a watermark: at most `limit` bytes, or one line if that is longer."""
    with journal.path.open("rb") as file:
        file.seek(start)
        data = file.read(min(limit, journal.size - start))
        end = data.rfind(b"\n") + 1
        if end == 0 and len(data) == limit:
            return data + file.readline()
    return data[:end]
