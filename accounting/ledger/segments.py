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


@dataclass(frozen=True)
class Finished:
    """A journal that nobody writes any more and that is wholly in the ledger."""

    journal_id: str
    process_id: str
    path: Path
    end_byte: int


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


def _finished(home: Path, con: duckdb.DuckDBPyConnection, force: bool) -> list[Finished]:
    today = datetime.now(UTC).date()
    rows = con.execute("""
        select journal_id, path, end_byte, last_event_at_utc, process_id from journal
        where ended and quarantined = 0 and last_event_at_utc is not null order by opened_at_utc nulls last
    """).fetchall()
    old = [row for row in rows if force or row[3].date() < today]
    found = [Finished(str(row[0]), str(row[4]), journal_dir(home) / row[1], int(row[2])) for row in old]
    return [journal for journal in found if journal.path.exists() and journal.path.stat().st_size == journal.end_byte]


def _groups(journals: list[Finished]) -> Iterator[list[Finished]]:
    group: list[Finished] = []
    for journal in journals:
        group.append(journal)
        if sum(part.end_byte for part in group) >= SEGMENT_BYTES or len(group) >= MOST_CHUNKS:
            yield group
            group = []
    if group:
        yield group


def _write_segment(home: Path, con: duckdb.DuckDBPyConnection, group: list[Finished]) -> None:
    segment_id = uuid7()
    # every line of them is in the ledger: none needs another check
    parse.read(con, [Chunk(part.journal_id, part.path.name, 0, part.path.read_bytes()) for part in group])
    draft = parquet_dir(home) / f"_draft-{segment_id}"
    draft.mkdir(parents=True)
    _write_parquet(con, draft, segment_id)
    files = [_settled(part, draft, parquet_dir(home)) for part in sorted(draft.rglob("*.parquet"))]
    shutil.rmtree(draft)
    journals = {
        part.journal_id: {"process_id": part.process_id, "path": part.path.name, "bytes": part.end_byte}
        for part in group
    }
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
