"""Sealed journals: finished days as zstd Parquet, from which the ledger can be made anew and which Spark can read.

    parquet/fact=<event>/day=<YYYY-MM-DD>/part-<segment>_0.parquet     the events, sorted by run and time
    parquet/_segments/<segment>.json                                   what the segment holds: its point of commit

A segment counts from the moment its manifest stands. Only then are its journals removed; whatever a crash leaves
before that is ignored and written again. A journal with quarantined lines stays as it is, so nothing is lost.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from joulebook.accounting.home import journal_dir
from joulebook.accounting.ledger import parse
from joulebook.accounting.ledger.parse import MOST_CHUNKS, Chunk, make_empty
from joulebook.accounting.records import uuid7

SEGMENT_BYTES = 64 << 20


@dataclass(frozen=True)
class Segment:
    """One manifest: which journals (id → file name and bytes), in which files."""

    segment_id: str
    journals: dict[str, dict[str, Any]]
    files: tuple[str, ...]


def parquet_dir(home: Path) -> Path:
    return home / "parquet"


def segments(home: Path) -> list[Segment]:
    found: list[Segment] = []
    for path in sorted((parquet_dir(home) / "_segments").glob("*.json")):
        manifest = json.loads(path.read_text(encoding="utf-8"))
        found.append(Segment(path.stem, manifest["journals"], tuple(manifest["files"])))
    return found


def sealed_journals(home: Path) -> set[str]:
    return {journal_id for segment in segments(home) for journal_id in segment.journals}


def load(con: duckdb.DuckDBPyConnection, home: Path, segment: Segment, journal_ids: Sequence[str]) -> None:
    """Fill the temporary view `event` with the events of some journals of a segment, as the parser gives them."""
    make_empty(con)
    files = [str(parquet_dir(home) / name) for name in segment.files]
    con.execute(
        """insert into sealed_event by name
           select * from read_parquet(?, union_by_name = true, hive_partitioning = false)
           where owner in (select unnest(?))""",
        [files, list(journal_ids)],
    )


def seal(home: Path, con: duckdb.DuckDBPyConnection, *, force: bool = False) -> int:
    """Turn finished journals of past days (or, with `force`, all finished ones) into segments; how many journals."""
    _sweep(home)
    sealed = 0
    for group in _groups(_finished(home, con, force)):
        _write_segment(home, con, group)
        sealed += len(group)
    remove_sealed(home)
    return sealed


def _sweep(home: Path) -> None:
    """Remove what a crash left of segments that never came to stand, so that nobody reads it beside the journals."""
    standing = {segment.segment_id for segment in segments(home)}
    for draft in parquet_dir(home).glob("_draft-*"):
        shutil.rmtree(draft, ignore_errors=True)
    for part in parquet_dir(home).glob("fact=*/day=*/part-*.parquet"):
        if part.name.removeprefix("part-")[:36] not in standing:
            part.unlink()


def remove_sealed(home: Path) -> None:
    """Remove journals whose segment stands, e.g. after a crash between the two."""
    for segment in segments(home):
        for journal in segment.journals.values():
            (journal_dir(home) / journal["path"]).unlink(missing_ok=True)


def _finished(home: Path, con: duckdb.DuckDBPyConnection, force: bool) -> list[tuple[str, Path, int]]:
    today = datetime.now(UTC).date()
    rows = con.execute("""
        select journal_id, path, end_byte, last_event_at_utc from journal
        where ended and quarantined = 0 and last_event_at_utc is not null order by opened_at_utc nulls last
    """).fetchall()
    found = [(str(journal_id), journal_dir(home) / path, int(end), last) for journal_id, path, end, last in rows]
    present = [entry for entry in found if entry[1].exists() and entry[1].stat().st_size == entry[2]]
    return [(journal_id, path, end) for journal_id, path, end, last in present if force or last.date() < today]


def _groups(journals: list[tuple[str, Path, int]]) -> Iterator[list[tuple[str, Path, int]]]:
    group: list[tuple[str, Path, int]] = []
    for journal in journals:
        group.append(journal)
        if sum(end for _, _, end in group) >= SEGMENT_BYTES or len(group) >= MOST_CHUNKS:
            yield group
            group = []
    if group:
        yield group


def _write_segment(home: Path, con: duckdb.DuckDBPyConnection, group: list[tuple[str, Path, int]]) -> None:
    segment_id = uuid7()
    parse.load(con, [Chunk(journal_id, path.name, 0, path.read_bytes()) for journal_id, path, _ in group])
    draft = parquet_dir(home) / f"_draft-{segment_id}"
    draft.mkdir(parents=True)
    _write_parquet(con, draft, segment_id)
    files = [_settled(part, draft, parquet_dir(home)) for part in sorted(draft.rglob("*.parquet"))]
    shutil.rmtree(draft)
    journals = {journal_id: {"path": path.name, "bytes": end} for journal_id, path, end in group}
    _write_manifest(home, segment_id, {"journals": journals, "files": files})


def _write_parquet(con: duckdb.DuckDBPyConnection, folder: Path, segment_id: str) -> None:
    con.execute("set threads = 1")  # one file per fact and day
    try:
        con.execute(
            "copy (select * exclude (line_at), event as fact,"
            " strftime(make_timestamp(at_ns // 1000), '%Y-%m-%d') as day from event order by owner, run_id, seq)"
            f" to '{_quoted(folder)}' (format parquet, compression zstd, partition_by (fact, day), overwrite_or_ignore,"
            f" filename_pattern 'part-{segment_id}_{{i}}')"
        )
    finally:
        con.execute("reset threads")


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


def _settled(part: Path, draft: Path, root: Path) -> str:
    name = part.relative_to(draft)
    with part.open("rb") as file:
        os.fsync(file.fileno())
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    part.replace(root / name)
    return name.as_posix()


def _write_manifest(home: Path, segment_id: str, manifest: dict[str, Any]) -> None:
    path = parquet_dir(home) / "_segments" / f"{segment_id}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".tmp")
    with draft.open("w", encoding="utf-8") as file:
        json.dump(manifest, file)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
