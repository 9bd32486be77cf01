"""From journals to the ledger, exactly once.

    list journals -> read what lies past each watermark -> parse -> one transaction: rows + roll-ups + watermarks

Run it twice and nothing changes; kill it anywhere and nothing is lost or doubled, because a watermark moves in the
same transaction as the rows before it. When nothing is new, a note of the last visit says so without opening the
database at all.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from joulebook.accounting.errors import LedgerBusy, LedgerError
from joulebook.accounting.ledger import calls, costs, nodes, rollup, segments
from joulebook.accounting.ledger.database import PATIENCE_S, Ledger
from joulebook.accounting.ledger.journals import JournalFile, is_alive, journal_paths, new_bytes, open_journal
from joulebook.accounting.ledger.parse import MOST_CHUNKS, BadLine, Chunk, load, shown
from joulebook.accounting.prices import contract

BATCH_BYTES = 128 << 20
Progress = Callable[[int, int], None]  # bytes done, bytes to do


def _silent(_done: int, _total: int) -> None:
    pass


@dataclass(frozen=True)
class Ingested:
    """What one ingest did. `events_read` counts lines, good and bad."""

    events_read: int = 0
    events_added: int = 0
    quarantined: int = 0
    journals: int = 0
    seconds: float = 0.0


@dataclass
class Tally:
    """What has been folded in so far."""

    added: int = 0
    refused: int = 0
    journals: set[str] = field(default_factory=set[str])


@dataclass
class Watermark:
    """How far one journal has been read."""

    file: JournalFile
    end_byte: int
    ended: bool
    process_id: str


def ingest(home: Path, progress: Progress = _silent, *, seal_all: bool = False) -> Ingested:
    """Bring the ledger of a home up to date. One process does it at a time; the others wait for it.

    The first ingest of a day seals the finished journals of the days before to Parquet; `seal_all`, today's too.

    Raises LedgerBusy when another process holds the ledger for too long, LedgerError when it cannot be written.
    """
    start = time.perf_counter()
    if not seal_all and nothing_new(home):
        return Ingested(seconds=time.perf_counter() - start)
    with alone(home):
        done = _ingest(Ledger(home), progress, seal_all=seal_all)
    return replace(done, seconds=time.perf_counter() - start)


def rebuild(home: Path, progress: Progress = _silent) -> Ingested:
    """Make the ledger anew from the sealed segments and the journals, and put it in place of the old one.

    The old ledger stays untouched until the new one is whole. What calls cost at ingest, and the history of prices,
    come from it where it can be read. Raises as `ingest`.
    """
    start = time.perf_counter()
    with alone(home):
        draft = Ledger(home, "ledger.rebuild.duckdb")
        _remove(draft.path)
        with draft.writing() as con:
            is_known = costs.take_history(con, Ledger(home).path)
            done = _fold_new(con, home, progress)
            costs.take_costs(con, is_known=is_known)
        draft.path.replace(Ledger(home).path)
        Ledger(home).wal_path.unlink(missing_ok=True)
    return replace(done, seconds=time.perf_counter() - start)


def _remove(path: Path) -> None:
    for file in (path, path.with_name(path.name + ".wal")):
        file.unlink(missing_ok=True)


def _ingest(ledger: Ledger, progress: Progress, *, seal_all: bool) -> Ingested:
    before = _visit(ledger.home)  # what comes after this is new to the next ingest
    sealed_today = _note(ledger.home).get("sealed_on") == _today()
    with ledger.writing() as con:
        done = _fold_new(con, ledger.home, progress)
        costs.adopt(con, ledger.home)
        if seal_all or not sealed_today:
            segments.seal(ledger.home, con, force=seal_all)
    left = {path.name for path in journal_paths(ledger.home)}
    _write_note(ledger, {name: state for name, state in before.items() if name in left})
    return done


def _fold_new(con: duckdb.DuckDBPyConnection, home: Path, progress: Progress) -> Ingested:
    """Everything that the ledger does not hold yet: segments first, then journals."""
    tally = Tally()
    _fold_segments(con, home, tally)
    marks = _watermarks(con, home)
    total = sum(mark.file.size - mark.end_byte for mark in marks)
    for loaded in _loaded(con, marks):
        _commit(loaded, home, tally)
        progress(total - sum(mark.file.size - mark.end_byte for mark in marks), total)
    return Ingested(tally.added + tally.refused, tally.added, tally.refused, len(tally.journals))


def _fold_segments(con: duckdb.DuckDBPyConnection, home: Path, tally: Tally) -> None:
    known = {str(row[0]) for row in con.execute("select journal_id from journal").fetchall()}
    for segment in segments.segments(home):
        missing = {key: journal for key, journal in segment.journals.items() if key not in known}
        if missing:
            segments.load(con, home, segment, list(missing))
            moved = [
                Move(key, journal["process_id"], journal["path"], journal["bytes"], True)
                for key, journal in missing.items()
            ]
            tally.added += _fold(con, home, moved, [])
            tally.journals.update(missing)


@contextmanager
def alone(home: Path) -> Generator[None]:
    """Hold the home's ingest lock; the kernel frees it when the holder dies. Raises LedgerBusy, LedgerError."""
    deadline = time.monotonic() + PATIENCE_S
    try:
        home.mkdir(parents=True, exist_ok=True)
        file = (home / "ingest.lock").open("w")
    except OSError as error:
        raise LedgerError(
            f"{home}: the ledger cannot be written here ({error.strerror}); --no-ingest reads it as it is"
        ) from error
    with file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise LedgerBusy(
                        f"{home}: another ingest has been at work for {PATIENCE_S:g} s; try again"
                    ) from None
                time.sleep(0.02)
        yield


# What is new ------------------------------------------------------------------------------------------------------


def _watermarks(con: duckdb.DuckDBPyConnection, home: Path) -> list[Watermark]:
    rows = con.execute("select journal_id, end_byte, ended, path, process_id from journal").fetchall()
    known = {str(row[0]): (int(row[1]), bool(row[2]), str(row[3])) for row in rows}
    process_of = {str(row[0]): str(row[4]) for row in rows}
    sealed = segments.sealed_journals(home)
    marks: list[Watermark] = []
    for path in journal_paths(home):
        file = open_journal(path)
        if file is None or file.journal_id in sealed:
            continue
        file = _without_namesake(file, known)
        end_byte, ended, _ = known.get(file.journal_id, (0, False, ""))
        before = file.previous_id or file.journal_id
        process_id = process_of.setdefault(file.journal_id, process_of.get(before, before))
        marks.append(Watermark(file, end_byte, ended, process_id))
        known.setdefault(file.journal_id, (0, False, file.path.name))
    return [mark for mark in marks if not mark.ended or mark.end_byte < mark.file.size]


def _without_namesake(file: JournalFile, known: dict[str, tuple[int, bool, str]]) -> JournalFile:
    """Two files with one id cannot both be that journal: the second is another, unreadable one."""
    first = known.get(file.journal_id)
    if first is None or first[2] == file.path.name or not (file.path.parent / first[2]).exists():
        return file
    own_id = str(uuid.uuid5(uuid.NAMESPACE_URL, file.path.name))
    return replace(file, journal_id=own_id, problem=f"its journal id is that of {first[2]}")


@dataclass(frozen=True)
class Part:
    """New lines of one journal; `ended`: its writer is gone and nothing follows."""

    file: JournalFile
    chunk: Chunk
    ended: bool
    process_id: str

    @property
    def end_byte(self) -> int:
        return self.file.size if self.ended else self.chunk.start_byte + len(self.chunk.data)


def _batches(marks: list[Watermark]) -> Iterator[list[Part]]:
    """New lines of all journals, about `BATCH_BYTES` a batch."""
    batch: list[Part] = []
    room = BATCH_BYTES
    for mark in marks:
        whole = False
        while not whole:
            part, whole = _next_part(mark, room)
            batch.append(part)
            mark.end_byte = part.end_byte
            room -= len(part.chunk.data)
            if not whole or room <= 0 or len(batch) >= MOST_CHUNKS:
                yield batch
                batch, room = [], BATCH_BYTES
    if batch:
        yield batch


def _next_part(mark: Watermark, room: int) -> tuple[Part, bool]:
    """What is new in a journal, up to `room` bytes, and whether that is all."""
    alive = is_alive(mark.file.path)  # asked before reading: what a dead writer wrote is all there
    file = replace(mark.file, size=mark.file.path.stat().st_size)
    whole = file.size - mark.end_byte <= room or file.problem is not None
    data = b"" if file.problem else new_bytes(file, mark.end_byte, room)
    chunk = Chunk(file.journal_id, file.path.name, mark.end_byte, data)
    return Part(file, chunk, whole and not alive, mark.process_id), whole


Loaded = tuple[duckdb.DuckDBPyConnection, list[Part], list[BadLine]]


def _loaded(con: duckdb.DuckDBPyConnection, marks: list[Watermark]) -> Iterator[Loaded]:
    """Each batch in the `event` view of one of two connections: while one is folded in, the next one is parsed."""
    waiting: tuple[duckdb.DuckDBPyConnection, list[Part], Future[list[BadLine]]] | None = None
    with ThreadPoolExecutor(1) as parser:
        for batch, cursor in zip(_batches(marks), cycle((con, con.cursor())), strict=False):
            parsing = parser.submit(load, cursor, [part.chunk for part in batch])
            if waiting:
                yield waiting[0], waiting[1], waiting[2].result()
            waiting = cursor, batch, parsing
        if waiting:
            yield waiting[0], waiting[1], waiting[2].result()


# One transaction --------------------------------------------------------------------------------------------------


def _commit(loaded: Loaded, home: Path, tally: Tally) -> None:
    con, batch, bad = loaded
    bad += [line for part in batch if (line := _unfinished(part))]
    moved = {
        part.chunk.journal_id: Move(
            part.chunk.journal_id, part.process_id, part.chunk.path, part.end_byte, part.ended
        ) for part in batch
    }  # fmt: skip
    tally.added += _fold(con, home, list(moved.values()), bad)
    tally.refused += sum(line.line_count for line in bad)
    tally.journals |= {part.chunk.journal_id for part in batch if part.chunk.data or part.file.problem}


@dataclass(frozen=True)
class Move:
    """Where the watermark of a journal will stand."""

    journal_id: str
    process_id: str
    path: str
    end_byte: int
    ended: bool


def _fold(con: duckdb.DuckDBPyConnection, home: Path, moved: list[Move], bad: list[BadLine]) -> int:
    """One transaction: what stands in `event`, what was refused, and how far that brings each journal."""
    con.execute("begin")
    try:
        counts = dict(con.execute("select event, count(*) from event group by event").fetchall())
        _name_processes(con, moved)
        _insert_facts(con, counts)
        _insert_quarantine(con, bad)
        _move_watermarks(con, moved, bad)
        rollup.refresh(con)
        nodes.refresh(con)
        calls.refresh(con, home)
        con.execute("commit")
    except BaseException:
        con.execute("rollback")
        raise
    return sum(counts.values())


def _name_processes(con: duckdb.DuckDBPyConnection, moved: list[Move]) -> None:
    """The table `process_of`: to which process each journal of this batch belongs."""
    con.register("move", pa.Table.from_pylist([asdict(move) for move in moved]))
    con.execute("""create or replace temp table process_of as
        select journal_id as journal, process_id::uuid as process_id from move""")
    con.unregister("move")


def _unfinished(part: Part) -> BadLine | None:
    """What a dead writer left behind its last whole line, or a whole file that cannot be read."""
    end = part.chunk.start_byte + len(part.chunk.data)
    if not part.ended or end >= part.file.size:
        return None
    with part.file.path.open("rb") as file:
        file.seek(end)
        tail = file.read(part.file.size - end)
    reason = part.file.problem or "torn: the line does not end"
    count = tail.count(b"\n") + (not tail.endswith(b"\n"))
    return BadLine(part.chunk.journal_id, part.chunk.path, end, reason, shown(tail), count)


# Tags as a JSON object.
_AS_OBJECT = """case when len(tags) > 0
             then to_json(map_from_entries(list_transform(tags, lambda t: struct_pack(k := t[1], v := t[2]))))
             else '{}' end"""
# Kind of event -> what goes into its table.
_FACTS = {
    "sensor": """select owner::uuid, seq, process_id, sensor, coalesce(device, 'cpu'), unit, method, boundary,
        scope, source, model, wraps_at, update_s, window_s, accuracy, max_w, share_by, reserved,
        reserved_as, counted
        from event join process_of on journal = owner where event = 'sensor'""",
    "span_start": f"""select owner::uuid, seq, process_id, span_id::uuid, run_id::uuid, parent_id::uuid, name, project,
        {_AS_OBJECT}, command, make_timestamp(at_ns // 1000), mono_ns
        from event join process_of on journal = owner where event = 'span_start'""",
    "span_end": """select owner::uuid, seq, span_id::uuid, run_id::uuid, make_timestamp(at_ns // 1000), mono_ns,
        ok, error, exit_code, lost_events from event where event = 'span_end'""",
    "usage": """select owner::uuid, seq, span_id::uuid, run_id::uuid, make_timestamp(at_ns // 1000), kind, amount, unit,
        method, coverage, source from event where event = 'usage'""",
    "quality": """select owner::uuid, seq, span_id::uuid, run_id::uuid, make_timestamp(at_ns // 1000), kind, amount
        from event where event = 'quality'""",
    "note": """select owner::uuid, seq, span_id::uuid, run_id::uuid, make_timestamp(at_ns // 1000), text
        from event where event = 'note'""",
    "call": f"""select owner::uuid, seq, process_id,
        (select coalesce(max(call_no), 0) from call) + row_number() over (order by owner, seq), call_id::uuid,
        coalesce(attempt, 1), span_id::uuid, run_id::uuid, source, source_id, provider, host, path, operation,
        request_model, response_model, response_id,
        coalesce(is_stream, nullif(first_token_s is not null, false)), status, outcome, error,
        make_timestamp(coalesce(started_ns, at_ns) // 1000), duration_s, first_token_s,
        chunks, gap_p50_s, gap_p95_s, gap_max_s, usage_json, units, method, context, sent_chars, received_chars,
        cost::decimal(38, 12), currency, project, {_AS_OBJECT}, account
        from event join process_of on journal = owner where event = 'call'""",
    "bill": """select owner::uuid, seq, source, source_id, provider, model, operation, line_item,
        make_timestamp(from_ns // 1000), make_timestamp(to_ns // 1000), requests,
        units, context, cost::decimal(38, 12), currency, project, account
        from event where event = 'bill'""",
    "gap": """select owner::uuid, seq, process_id, try_cast(run_id as uuid), sensor, reason,
        make_timestamp(from_ns // 1000), make_timestamp(to_ns // 1000), amount, make_timestamp(at_ns // 1000)
        from event join process_of on journal = owner where event = 'gap'""",
}


_COUNTED = {
    "reading": """select owner::uuid, seq, process_id, span_id::uuid, c.sensor, make_timestamp(at_ns // 1000), mono_ns,
        c.value, c.shared from counter join process_of on journal = owner where c.shared is not null""",
    "node_reading": """select owner::uuid, seq, process_id, span_id::uuid, c.sensor, make_timestamp(at_ns // 1000),
        mono_ns, c.value, c.status from counter join process_of on journal = owner where c.shared is null""",
}
_TABLE_OF = {"span_start": "span"}  # any other kind has a table of its own name


def _insert_facts(con: duckdb.DuckDBPyConnection, kinds: Collection[str]) -> None:
    """The facts of these kinds of events. DuckDB takes longer to plan a statement than to insert a few rows."""
    con.execute("""create or replace temp table counter as
        select owner, seq, span_id, at_ns, mono_ns, unnest(counters) as c from event where counters is not null""")
    for table, sql in _COUNTED.items():
        con.execute(f"insert into {table} {sql}")
    for kind in (kind for kind in _FACTS if kind in kinds):
        con.execute(f"insert into {_TABLE_OF.get(kind, kind)} {_FACTS[kind]}")


def _insert_quarantine(con: duckdb.DuckDBPyConnection, bad: list[BadLine]) -> None:
    if bad:
        con.register("refused", pa.Table.from_pylist([asdict(line) for line in bad]))
        con.execute("""insert into quarantine
            select journal_id::uuid, path, at_byte, line_count, reason, line, now() at time zone 'UTC' from refused""")
        con.unregister("refused")


def _move_watermarks(con: duckdb.DuckDBPyConnection, moved: list[Move], bad: list[BadLine]) -> None:
    refused = Counter[str | None]()
    for line in bad:
        refused[line.journal_id] += line.line_count
    con.register(
        "moved", pa.Table.from_pylist([asdict(move) | {"refused": refused[move.journal_id]} for move in moved])
    )
    con.execute(_NEW_JOURNALS)
    con.execute(_MOVED)
    con.unregister("moved")


_NEW_JOURNALS = """
insert into journal
select m.journal_id::uuid, m.process_id::uuid, m.path, e.host, e.pid, e.boot_id, e.joulebook, e.python, e.cpus,
       e.cpu_model, e.previous_id::uuid, make_timestamp(e.at_ns // 1000), 0, 0, 0, null, false
from moved m left join event e on e.owner = m.journal_id and e.event = 'journal'
where m.journal_id::uuid not in (select journal_id from journal)
"""
_MOVED = """
update journal set
    path = m.path, end_byte = m.end_byte, ended = m.ended,
    events = events + m.added, quarantined = quarantined + m.refused,
    last_event_at_utc = greatest(last_event_at_utc, m.last_at)
from (select m.*, coalesce(added, 0) as added, last_at from moved m
      left join (select owner, count(*) as added, max(make_timestamp(at_ns // 1000)) as last_at
                 from event group by owner) e on e.owner = m.journal_id) m
where journal.journal_id = m.journal_id::uuid
"""


# The note of the last visit ---------------------------------------------------------------------------------------


def _note_path(home: Path) -> Path:
    return home / "ingest.note.json"


def _visit(home: Path) -> dict[str, list[Any]]:
    """Size of each journal, and whether its writer lives: if nothing of this changes, nothing is new."""
    return {path.name: [path.stat().st_size, is_alive(path)] for path in journal_paths(home)}


def _prices_mark(home: Path) -> list[int]:
    """What tells that the user's own prices have changed."""
    try:
        return _mark(contract.path_of(home).stat())
    except FileNotFoundError:
        return []


def _mark(stat: os.stat_result) -> list[int]:
    return [stat.st_ino, stat.st_size, stat.st_mtime_ns]


def _today() -> str:
    return datetime.now(UTC).date().isoformat()


def _database_mark(ledger: Ledger) -> list[int]:
    return _mark(ledger.path.stat())


def _standing(ledger: Ledger, visit: dict[str, list[Any]]) -> dict[str, Any]:
    return {
        "journals": visit,
        "database": _database_mark(ledger),
        "prices": _prices_mark(ledger.home),
        "sealed_on": _today(),
    }


def _note(home: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(_note_path(home).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def nothing_new(home: Path) -> bool:
    """Whether the journals and the ledger are as today's last ingest left them. Costs a few milliseconds."""
    note = _note(home)
    try:
        now = _standing(Ledger(home), _visit(home))
    except OSError:
        return False
    return note == now


def _write_note(ledger: Ledger, visit: dict[str, list[Any]]) -> None:
    """Written after the commit. Losing it costs one look at the database, no more."""
    note = _standing(ledger, visit)
    draft = _note_path(ledger.home).with_suffix(f".{os.getpid()}.tmp")
    draft.write_text(json.dumps(note), encoding="utf-8")
    draft.replace(_note_path(ledger.home))
