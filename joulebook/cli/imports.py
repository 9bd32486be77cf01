"""joulebook import: other tools' records and providers' exports into a journal of their own, and from it the ledger.

    has every file a row that can be used? ─> what lies in journals is ingested ─> rows, a batch at a time ─>
    those that the ledger does not know ─> a journal ─> ingested too

Nothing is written for a file of another kind. Killed later on, the journal has what was read so far, and the next
import adds the rest. A row that cannot be used is named, counted and kept as a gap of sensor `import FORMAT`.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from joulebook.accounting.errors import InputError, LedgerBusy, LedgerError
from joulebook.accounting.home import journal_dir
from joulebook.accounting.journal import Journal
from joulebook.accounting.records import uuid7
from joulebook.cli.commands import bar, home_of, print_json
from joulebook.collectors.importers import Importer, importer
from joulebook.collectors.importers.entries import Entry
from joulebook.collectors.importers.rows import BadRow

if TYPE_CHECKING:
    from joulebook.accounting.ledger import Ledger

BATCH = 10_000
MOST_SHOWN = 20
MOST_NOTED = 1_000  # bad rows of one import that the ledger keeps one by one; of the others it keeps the number
GIVE_UP = 1_000  # bad rows before the first good one: then it is a file of another kind
APART_NS = 10**9
# Which names the ledger knows already, by the kind of event that an entry ends with.
_KNOWN = {
    "call": "select source_id from call where source = $source and source_id in (select unnest($ids))",
    "bill": "select source_id from bill where source = $source and source_id in (select unnest($ids))",
    "span_end": """select tags ->> 'source_id' from span join span_end using (span_id)
                   where tags ->> 'source' = $source and tags ->> 'source_id' in (select unnest($ids))""",
}


@dataclass
class Tally:
    """What an import did so far."""

    rows_read: int = 0
    added: int = 0
    already_known: int = 0
    passed_over: int = 0
    quarantined: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    times_ns: list[int] = field(default_factory=list[int])  # the first and the last of what was added


def import_(args: argparse.Namespace) -> int:
    """Import files; 1 when some of their rows could not be used."""
    from joulebook.accounting.ledger import ingest, open_ledger

    start = time.perf_counter()
    home, read = home_of(args), importer(args.format)
    files = sorted({Path(name) for name in args.files}, key=_age)
    for path in files:
        _check(path, read)
    with _alone(home):
        ingest(home)
        into = _Into(args.format, args.project, open_ledger(home), _journal(home))
        _write_all(into, files, read)
        with bar("reading journals") as progress:
            ingest(home, progress)
    answer = _answer(into.tally, len(files), time.perf_counter() - start)
    if args.json:
        print_json(answer)
    else:
        _tell(answer)
    return 1 if into.tally.quarantined else 0


def _age(path: Path) -> tuple[float, str]:
    """The oldest first: of two statements of one bucket the newer one is to be the last."""
    try:
        return path.stat().st_mtime, str(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); nothing was imported") from error


def _check(path: Path, read: Importer) -> None:
    """Raises InputError unless some row of a file can be used, or none of them says anything."""
    bad: list[BadRow] = []
    for one in read(path):
        if isinstance(one, Entry):
            return
        bad += [one] if isinstance(one, BadRow) else []
        if len(bad) >= GIVE_UP:
            break
    if bad:
        first = f"the first, on line {bad[0].line}: {bad[0].reason}"
        raise InputError(f"{path}: none of its rows can be used ({first}); nothing was imported. Is it another format?")


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Two imports at once would not know of each other's rows. Raises LedgerBusy."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "import.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LedgerBusy(f"{home}: another import is at work; try again when it is done") from None
        yield


def _journal(home: Path) -> Journal:
    """Its clock is that of no machine: no run in it shares a node with another."""
    return Journal(journal_dir(home), about={"host": "imported", "boot_id": uuid7(), "cpus": None, "cpu_model": None})


# Rows into the journal --------------------------------------------------------------------------------------------


@dataclass
class _Into:
    """Where an import goes, and what is known there."""

    format: str
    project: str | None
    ledger: Ledger
    journal: Journal
    tally: Tally = field(default_factory=Tally)
    seen: set[bytes] = field(default_factory=set[bytes])  # names of this import, shortened
    sensors: set[str] = field(default_factory=set[str])
    mono_ns: int = 0


def _write_all(into: _Into, files: list[Path], read: Importer) -> None:
    noted = {row["reason"] for row in into.ledger.rows("select reason from gap where sensor = ?", [_sensor(into)])}
    try:
        with _counting(into.format) as progress:
            for path in files:
                found = read(path)
                while batch := list(islice(found, BATCH)):
                    _write_batch(into, path, batch)
                    progress(into.tally.rows_read)
                    if into.journal.lost:
                        raise LedgerError("the journal could not be written to its end; import again for the rest")
        _note_bad(into, noted)
    finally:
        into.journal.close()


def _write_batch(into: _Into, path: Path, batch: list[Entry | BadRow | None]) -> None:
    entries = [one for one in batch if isinstance(one, Entry)]
    known = _known(into.ledger, entries)
    for entry in entries:
        name = hashlib.blake2b(f"{entry.source} {entry.source_id}".encode("utf-8", "replace"), digest_size=16).digest()
        if name in into.seen or (entry.source, entry.source_id) in known:
            into.tally.already_known += 1
        else:
            into.seen.add(name)
            _write(into, entry)
    into.tally.rows_read += len(batch)
    into.tally.passed_over += sum(one is None for one in batch)
    into.tally.quarantined += [
        {"file": str(one.path or path), "line": one.line, "reason": one.reason}
        for one in batch if isinstance(one, BadRow)
    ]  # fmt: skip


def _known(ledger: Ledger, entries: list[Entry]) -> set[tuple[str, str]]:
    """Which of them the ledger has."""
    ids: dict[tuple[str, str], list[str]] = {}
    for entry in entries:
        ids.setdefault((entry.events[-1][0], entry.source), []).append(entry.source_id)
    with ledger.reading() as con:
        return {
            (source, str(row[0]))
            for (kind, source), some in ids.items()
            for row in con.execute(_KNOWN[kind], {"source": source, "ids": some}).fetchall()
        }


def _write(into: _Into, entry: Entry) -> None:
    begun_ns = into.mono_ns
    for kind, told in entry.events:
        if kind == "sensor":
            _declare(into, told)
            continue
        fields = dict(told)
        if into.project and kind in ("call", "bill", "span_start"):
            fields.setdefault("project", into.project)
        if "mono_ns" in told:  # each entry on a stretch of the clock of its own, so that none lies in another's
            fields["mono_ns"] += begun_ns
            into.mono_ns = max(into.mono_ns, fields["mono_ns"] + APART_NS)
        into.journal.write(kind, fields)
    into.tally.added += 1
    times = [*into.tally.times_ns, entry.at_ns]
    into.tally.times_ns = [min(times), max(times)]


def _declare(into: _Into, sensor: dict[str, Any]) -> None:
    if sensor["sensor"] not in into.sensors:
        into.sensors.add(sensor["sensor"])
        into.journal.declare(sensor)


def _sensor(into: _Into) -> str:
    return f"import {into.format}"


def _note_bad(into: _Into, noted: set[str]) -> None:
    """Each row that could not be used as a gap, once; of those beyond the first thousand their number."""
    bad = into.tally.quarantined
    reasons = [f"{Path(row['file']).name}, line {row['line']}: {row['reason']}" for row in bad[:MOST_NOTED]]
    told = [(reason, 1) for reason in reasons]
    if len(bad) > MOST_NOTED:
        told.append((f"{Path(bad[0]['file']).name} and others: more rows that cannot be used", len(bad) - MOST_NOTED))
    for reason, rows in told:
        if reason not in noted:
            noted.add(reason)
            into.journal.write("gap", {"reason": reason, "sensor": _sensor(into), "amount": rows})


# What it did ------------------------------------------------------------------------------------------------------


@contextmanager
def _counting(name: str) -> Iterator[Callable[[int], None]]:
    """The number of rows read, on a terminal only."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn

    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}: {task.completed:,.0f} rows"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as shown:
        task = shown.add_task(f"importing {name}", total=None)
        yield lambda rows: shown.update(task, completed=rows)


def _answer(tally: Tally, files: int, seconds: float) -> dict[str, Any]:
    first, last = (datetime.fromtimestamp(ns / 1e9, UTC) for ns in tally.times_ns) if tally.times_ns else (None, None)
    return {
        "files": files,
        "rows_read": tally.rows_read,
        "added": tally.added,
        "already_known": tally.already_known,
        "passed_over": tally.passed_over,
        "quarantined": tally.quarantined,
        "seconds": seconds,
        "first_at": first,
        "last_at": last,
    }


def _tell(answer: dict[str, Any]) -> None:
    from joulebook.reports.terminal import literal

    bad = answer["quarantined"]
    span = "" if answer["first_at"] is None else f", {answer['first_at']:%Y-%m-%d} to {answer['last_at']:%Y-%m-%d}"
    print(
        f"{answer['added']:,} of {answer['rows_read']:,} rows added in {answer['seconds']:.2f} s{span}; "
        f"{answer['already_known']:,} known already, {answer['passed_over']:,} passed over, {len(bad):,} quarantined."
    )
    for row in bad[:MOST_SHOWN]:
        print(literal(f"  {row['file']}, line {row['line']}: {row['reason']}"))
    if len(bad) > MOST_SHOWN:
        print(f"  … and {len(bad) - MOST_SHOWN:,} more: --json has them all.")
