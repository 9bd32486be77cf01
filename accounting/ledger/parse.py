"""Journal bytes to rows, good lines apart from bad ones.

The fast path lets DuckDB read a whole batch at once, and asks whether anything in it is odd. If so, the batch is read
again line by line to find out which lines, where and why: those are quarantined, and the good ones take the fast path.

    chunks -> load(con, chunks) -> the temporary view `event` (good events, each with its `owner`) + the bad lines

What a well-formed line is stands in `KINDS` and `FIELDS` (its shape) and in `_meaning` (its sense), and nowhere else.
Values are kept as they were read and turned into their types where they are used: most lines use few of the fields.
"""

from __future__ import annotations

import io
import json
import math
import os
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import duckdb

from joulebook.accounting.records import METHODS

FORMAT_VERSIONS = (1, 2, 3)
READS = ", ".join(map(str, FORMAT_VERSIONS))
FUTURE_TOLERANCE_NS = 3_600 * 10**9
LONGEST_LINE = 16_000_000
MOST_CHUNKS = 200  # in one batch: each is an open file

# kind of event -> the fields that it must have, and those that it may have. A field of another kind is passed over.
_ABOUT = ("span_id", "run_id")
KINDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "journal": (("journal_id", "version"),
                ("host", "pid", "boot_id", "joulebook", "python", "cpus", "cpu_model", "previous_id")),
    "sensor": (("sensor", "unit", "method", "boundary"),
               ("device", "scope", "source", "model", "wraps_at", "update_s", "window_s", "accuracy", "max_w",
                "share_by", "reserved", "reserved_as", "counted")),
    "span_start": ((*_ABOUT, "name"), ("parent_id", "project", "tags", "command", "open", "counters")),
    "span_end": ((*_ABOUT, "ok"), ("error", "lost_events", "exit_code", "open", "counters")),
    "reading": ((), ("counters", "open")),
    "usage": ((*_ABOUT, "kind", "amount", "unit", "method"), ("coverage", "source")),
    "quality": ((*_ABOUT, "kind", "amount"), ()),
    "note": ((*_ABOUT, "text"), ()),
    "gap": (("reason",), ("run_id", "sensor", "amount", "from_ns", "to_ns")),
    "call": (("call_id", "source"),
             (*_ABOUT, "attempt", "source_id", "provider", "host", "path", "operation", "request_model",
              "response_model", "response_id", "is_stream", "status", "outcome", "error", "started_ns", "duration_s",
              "first_token_s",
              "chunks", "gap_p50_s", "gap_p95_s", "gap_max_s", "usage_json", "units", "method", "context", "sent_chars",
              "received_chars", "cost", "currency", "project", "tags", "account")),
    "bill": (("source", "source_id", "from_ns", "to_ns"),
             ("provider", "model", "operation", "line_item", "requests", "units", "context", "cost", "currency",
              "project", "account")),
}  # fmt: skip
COMMON = ("seq", "at_ns", "mono_ns")
UNITS = ("J", "mJ", "uJ", "W", "mW", "uW", "s", "GB")
SHARE_BY = ("cpu", "busy", "reservation")

WORD, TEXT, WHOLE, NUMBER, FLAG, TAGS, COUNTERS = "word", "text", "whole", "number", "flag", "tags", "counters"
FIELDS = {
    # texts out of a known set, or ids
    **dict.fromkeys(("event", "span_id", "run_id", "parent_id", "call_id", "method"), WORD),
    **dict.fromkeys(
        ("journal_id", "host", "boot_id", "joulebook", "python", "cpu_model", "previous_id", "sensor", "device", "unit",
         "boundary", "name", "project", "command", "error", "kind", "text", "reason", "scope", "source", "model",
         "share_by", "reserved_as", "source_id", "provider", "path", "operation", "request_model", "response_model",
         "response_id", "outcome", "usage_json", "cost", "currency", "account", "line_item"), TEXT),
    **dict.fromkeys(
        (*COMMON, "version", "pid", "cpus", "exit_code", "lost_events", "open", "from_ns", "to_ns", "attempt", "status",
         "started_ns", "chunks", "sent_chars", "received_chars", "requests"), WHOLE),
    **dict.fromkeys(
        ("amount", "coverage", "wraps_at", "update_s", "window_s", "accuracy", "max_w", "reserved", "duration_s",
         "first_token_s", "gap_p50_s", "gap_p95_s", "gap_max_s"), NUMBER),
    "ok": FLAG, "counted": FLAG, "is_stream": FLAG, "tags": TAGS, "units": TAGS, "context": TAGS, "counters": COUNTERS,
}  # fmt: skip
_TYPE = {WORD: "VARCHAR", TEXT: "VARCHAR", WHOLE: "BIGINT", NUMBER: "DOUBLE", FLAG: "BOOLEAN", TAGS: "VARCHAR[][]",
         COUNTERS: "STRUCT(sensor VARCHAR, value DOUBLE, shared DOUBLE, status VARCHAR)[]"}  # fmt: skip
# DuckDB would read "12" as the number 12 and 12 as the text "12". Read as JSON, a value still says what it is.
_READ_AS = dict.fromkeys((TEXT, WHOLE, NUMBER, FLAG), "JSON") | {
    WORD: "VARCHAR",
    TAGS: "VARCHAR[][]",
    COUNTERS: "STRUCT(sensor VARCHAR, value JSON, shared JSON, status VARCHAR)[]",
}
_WRONG_TYPE = {
    TEXT: """not starts_with({0}::varchar, '"')""",
    WHOLE: """starts_with({0}::varchar, '"') or contains({0}::varchar, '.') or {0}::varchar in ('true', 'false')""",
    NUMBER: """starts_with({0}::varchar, '"') or {0}::varchar in ('true', 'false')""",
    FLAG: "{0}::varchar not in ('true', 'false')",
    # a counter of the process has value and share, one of the node a value, or a status that says why it has none
    COUNTERS: """len(list_filter({0}, lambda c: c.sensor is null or (c.value is null and c.status is null)
        or starts_with(c.value::varchar, '"') or starts_with(c.shared::varchar, '"')
        or (c.value is not null and try_cast(c.value as double) is null)
        or (c.shared is not null and (c.value is null or coalesce(try_cast(c.shared as double), -1) < 0)))) > 0""",
}
# A JSON text without escapes is what stands between its quotes.
_AS_TEXT = "case when contains({0}::varchar, '\\') then {0} ->> '$' else ({0}::varchar)[2:-2] end"
_UNREADABLE = (duckdb.InvalidInputException, duckdb.ConversionException)


@dataclass(frozen=True)
class Chunk:
    """Complete lines of one journal, and where in its file they stand."""

    journal_id: str
    path: str
    start_byte: int
    data: bytes


@dataclass(frozen=True)
class BadLine:
    """A line that cannot be used: kept, counted and told, never dropped in silence."""

    journal_id: str | None
    path: str
    at_byte: int
    reason: str
    line: str
    line_count: int = 1


def load(con: duckdb.DuckDBPyConnection, chunks: Sequence[Chunk]) -> list[BadLine]:
    """Fill the temporary view `event` with the good events of some chunks. The bad lines are returned."""
    lines = sum(chunk.data.count(b"\n") for chunk in chunks)
    try:
        read(con, chunks)
        odd = _odd(con)
    except _UNREADABLE:
        return _line_by_line(con, chunks)
    found = con.execute("select count(*) from raw_event").fetchone()
    return [] if not odd and found == (lines,) else _line_by_line(con, chunks)


def make_empty(con: duckdb.DuckDBPyConnection) -> None:
    """An empty table `sealed_event` with the columns of `event`, and `event` as a view of it."""
    columns = ", ".join(f"{name} {_TYPE[kind]}" for name, kind in FIELDS.items())
    con.execute(f"create or replace temp table sealed_event (owner varchar, {columns})")
    con.execute("create or replace temp view event as select * from sealed_event")


# The fast path ----------------------------------------------------------------------------------------------------


def read(con: duckdb.DuckDBPyConnection, chunks: Sequence[Chunk]) -> None:
    """All lines of some chunks as rows of `raw_event` and of the view `event`, whatever they say.

    Raises one of `_UNREADABLE` when some line is no object.
    """
    full = [chunk for chunk in chunks if chunk.data] or [Chunk("", "", 0, b"\n")]
    columns = ", ".join(f"{name}: '{_READ_AS[kind]}'" for name, kind in FIELDS.items())
    with _as_files([chunk.data for chunk in full]) as paths:
        owners = ", ".join(f"('{path}', '{chunk.journal_id}')" for path, chunk in zip(paths, full, strict=True))
        con.execute(f"""
            create or replace temp table raw_event as
            select o.owner, raw.* exclude (filename)
            from read_json({paths}, format = 'newline_delimited', filename = true,
                           columns = {{{columns}, line_at: 'BIGINT'}}) raw
            join (values {owners}) o(file, owner) on o.file = raw.filename
        """)
    con.execute(f"create or replace temp view event as select owner, {_typed(FIELDS)}, line_at from raw_event")


def _typed(names: Iterable[str]) -> str:
    """Columns of `raw_event` as values of their types."""
    casts = {
        name: _AS_TEXT.format(name) if FIELDS[name] == TEXT else f"{name}::{_TYPE[FIELDS[name]]}" for name in names
    }
    return ", ".join(f"{cast} as {name}" for name, cast in casts.items())


@contextmanager
def _as_files(pieces: Sequence[bytes]) -> Generator[list[str]]:
    """Bytes in memory as paths that DuckDB can open."""
    files = [os.memfd_create("journal") for _ in pieces]
    try:
        for file, piece in zip(files, pieces, strict=True):
            with open(file, "wb", closefd=False) as out:
                out.write(piece)
        yield [f"/proc/self/fd/{file}" for file in files]
    finally:
        for file in files:
            os.close(file)


def _odd(con: duckdb.DuckDBPyConnection) -> list[tuple[int | None, str]]:
    """The rows of `raw_event` that cannot be used, and why; where they stand, if they were numbered."""
    found = {kind for (kind,) in con.execute("select distinct event from raw_event").fetchall()}
    sql = " union all ".join([*(test for kind, test in _ODD.items() if kind in found), _UNKNOWN])  # planning is dear
    return con.execute(sql.replace("$limit", str(time.time_ns() + FUTURE_TOLERANCE_NS))).fetchall()


def _odd_of(kind: str) -> str:
    """The odd rows of one kind: shapes first, then what they mean."""
    needs, may = KINDS[kind]
    fields = (*COMMON, *needs, *may)
    tests = [(f"{name} is null", f"no {name}") for name in (*COMMON, *needs)]
    tests += [
        (_WRONG_TYPE[FIELDS[name]].format(name), f"wrong type: {name}")
        for name in fields
        if FIELDS[name] in _WRONG_TYPE
    ]
    tests += _meaning(kind, fields)
    cases = " ".join(f"when {test} then '{reason}'" for test, reason in tests)
    return f"""select * from (select line_at, case {cases} end as reason from raw_event where event = '{kind}')
        where reason is not null"""


def _meaning(kind: str, fields: Sequence[str]) -> list[tuple[str, str]]:
    """What the values of a kind must mean, as SQL tests that find those that do not."""
    tests = [(f"{name}::bigint < 0", f"{name} is negative") for name in COMMON]
    tests += [("at_ns::bigint > $limit", "the time lies in the future")]
    tests += [
        (f"{name} is not null and try_cast({name} as uuid) is null", f"no valid {name}")
        for name in ("span_id", "run_id", "parent_id", "call_id") if name in fields
    ]  # fmt: skip
    if "method" in fields:
        tests += [(f"method is not null and method not in ({_listed(METHODS)})", "unknown method")]
    if "amount" in fields:
        tests += [("not isfinite(amount::double)", "the amount is not finite")]
    tests += [
        (f"len(list_filter({name}, lambda t: len(t) <> 2)) > 0", f"{what} is not a pair")
        for name, what in (("tags", "a tag"), ("units", "a unit"), ("context", "a context")) if name in fields
    ]  # fmt: skip
    if "tags" in fields:
        tests += [("len(list_distinct(list_transform(tags, lambda t: t[1]))) < len(tags)", "a tag is there twice")]
    if "units" in fields:
        amount = "coalesce(try_cast(u[2] as double), -1)"
        tests += [(f"len(list_filter(units, lambda u: not ({amount} >= 0 and isfinite({amount})))) > 0",
                   "the amount of a unit is no number from 0 up")]  # fmt: skip
    if "cost" in fields:
        tests += [
            ("cost is not null and try_cast(cost ->> '$' as decimal(38, 12)) is null", "the cost is no decimal number")
        ]
    return tests + _MEANING.get(kind, [])


def _listed(words: Iterable[str]) -> str:
    return ", ".join(f"'{word}'" for word in words)


_MEANING = {
    "journal": [
        (f"version::bigint not in {FORMAT_VERSIONS}", f"unknown format version; this joulebook reads {READS}"),
        ("seq::bigint <> 0 or (journal_id ->> '$') <> owner", "a journal header in the middle of a journal"),
    ],
    "sensor": [
        ("scope is not null and (scope ->> '$') <> 'node'", "the scope is not node"),
        ("scope is null and (unit ->> '$') not in ('J', 's')", "a counter must count J or s"),
        (f"(unit ->> '$') not in ({_listed(UNITS)})", f"a sensor must tell {', '.join(UNITS)}"),
        (f"share_by is not null and (share_by ->> '$') not in ({_listed(SHARE_BY)})", "unknown share_by"),
        ("reserved is not null and not reserved::double between 0 and 1", "reserved is not between 0 and 1"),
        *[
            (f"{name} is not null and not ({name}::double >= 0 and isfinite({name}::double))", f"{name} is negative")
            for name in ("wraps_at", "update_s", "window_s", "accuracy", "max_w")
        ],
    ],
    "usage": [
        ("amount::double < 0", "the amount is negative"),
        ("coverage is not null and not coverage::double between 0 and 1", "the coverage is not between 0 and 1"),
    ],
    "call": [
        (f"{name} is not null and not ({name}::double >= 0 and isfinite({name}::double))", f"{name} is negative")
        for name in ("duration_s", "first_token_s", "gap_p50_s", "gap_p95_s", "gap_max_s", "attempt", "chunks",
                     "sent_chars", "received_chars", "started_ns")
    ],
    "bill": [("from_ns::bigint > to_ns::bigint or from_ns::bigint < 0", "the time of the bill ends before it begins")],
}  # fmt: skip


_ODD = {kind: _odd_of(kind) for kind in KINDS}
_UNKNOWN = f"""select line_at, case when event is null then 'no event kind' else 'unknown event kind' end as reason
    from raw_event where event is null or event not in ({_listed(KINDS)})"""


# Line by line -----------------------------------------------------------------------------------------------------


def _line_by_line(con: duckdb.DuckDBPyConnection, chunks: Sequence[Chunk]) -> list[BadLine]:
    good: list[Chunk] = []
    bad: list[BadLine] = []
    for line in _lines(chunks):
        reason = why_malformed(line.data)
        if reason:
            bad.append(_bad(line, reason))
        else:
            good.append(line)
    good, refused = _readable(con, good)
    bad += [_bad(line, "not an event of the known shape") for line in refused]
    read(con, _numbered(good))
    odd = _odd(con)
    con.execute("delete from raw_event where line_at in (select unnest(?))", [[at for at, _ in odd]])
    return bad + [_bad(good[at], reason) for at, reason in odd if at is not None]


def _lines(chunks: Sequence[Chunk]) -> Generator[Chunk]:
    for chunk in chunks:
        at = chunk.start_byte
        for line in io.BytesIO(chunk.data):  # splits at \n alone
            yield Chunk(chunk.journal_id, chunk.path, at, line)
            at += len(line)


def _numbered(lines: Sequence[Chunk]) -> list[Chunk]:
    """One chunk for each journal, in which every line says where it stands in `lines`."""
    parts: dict[str, list[bytes]] = {}
    for at, line in enumerate(lines):
        rest = line.data.lstrip()[1:].lstrip()
        comma = b"" if rest.startswith(b"}") else b","
        parts.setdefault(line.journal_id, []).append(b'{"line_at":%d%s%s' % (at, comma, rest))
    return [Chunk(journal_id, "", 0, b"".join(part)) for journal_id, part in parts.items()]


def _readable(con: duckdb.DuckDBPyConnection, lines: list[Chunk]) -> tuple[list[Chunk], list[Chunk]]:
    """The lines that DuckDB can read, and the few that only it refuses: found by halving."""
    try:
        read(con, _numbered(lines))
    except _UNREADABLE:
        if len(lines) == 1:
            return [], lines
        middle = len(lines) // 2
        left, right = _readable(con, lines[:middle]), _readable(con, lines[middle:])
        return left[0] + right[0], left[1] + right[1]
    return lines, []


def _bad(line: Chunk, reason: str) -> BadLine:
    return BadLine(line.journal_id, line.path, line.start_byte, reason, shown(line.data))


def shown(data: bytes) -> str:
    """The beginning of some bytes, fit to be stored and shown."""
    return data[:2000].rstrip(b"\n").decode("utf-8", "backslashreplace").replace("\0", "\\0")


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and not any(0xD800 <= ord(c) <= 0xDFFF for c in value)


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _all_in(value: object, check: Callable[[object], bool]) -> bool:
    return isinstance(value, list) and all(map(check, cast("list[object]", value)))


def _is_tags(value: object) -> bool:
    return _all_in(value, lambda pair: _all_in(pair, _is_text))


def _is_counters(value: object) -> bool:
    return _all_in(value, _is_counter)


def _is_counter(entry: object) -> bool:
    if not isinstance(entry, dict):
        return False
    values = cast("dict[str, object]", entry)
    return all(_is_text(value) if name in ("sensor", "status") else _is_number(value) for name, value in values.items())


_CHECKS: dict[str, tuple[Callable[[object], bool], str]] = {
    WORD: (_is_text, "text"),
    TEXT: (_is_text, "text"),
    WHOLE: (_is_whole, "a whole number"),
    NUMBER: (_is_number, "a number"),
    FLAG: (_is_flag, "true or false"),
    TAGS: (_is_tags, "a list of pairs"),
    COUNTERS: (_is_counters, "a list of counters"),
}


def why_malformed(line: bytes) -> str | None:
    """What is wrong with the shape of a line, or None. What its values mean is `_meaning`'s business."""
    if not line.endswith(b"\n"):
        return "torn: the line does not end"
    if len(line) > LONGEST_LINE:
        return f"longer than {LONGEST_LINE:,} bytes"
    try:
        event: Any = json.loads(line)
    except (ValueError, RecursionError):
        return "torn: not a JSON object"
    if not isinstance(event, dict):
        return "not a JSON object"
    for name, value in _fields_of(cast("dict[str, object]", event)).items():
        if value is not None and not _CHECKS[FIELDS[name]][0](value):
            return f"wrong type: {name} is not {_CHECKS[FIELDS[name]][1]}"
    return None


def _fields_of(event: dict[str, object]) -> dict[str, object]:
    """The fields of an event that its kind uses."""
    needs, may = KINDS.get(str(event.get("event")), ((), ()))
    return {name: event[name] for name in ("event", *COMMON, *needs, *may) if name in event}
