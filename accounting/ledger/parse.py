"""Journal bytes to rows, good lines apart from bad ones.

The fast path reads a whole batch at once. When anything in it is odd, the batch is read again line by line to find
out which lines, where and why: those are quarantined, and the good ones take the fast path.

    chunks -> read(chunks) -> (one Arrow table of good events, bad lines with file, offset and reason)
"""

from __future__ import annotations

import io
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pa_json

from joulebook.accounting.records import METHODS

FORMAT_VERSION = 1
FUTURE_TOLERANCE_NS = 3_600 * 10**9

_COUNTER = pa.struct([("sensor", pa.string()), ("value", pa.float64()), ("shared", pa.float64())])
SCHEMA = pa.schema(
    [(name, pa.string()) for name in (
        "event", "journal_id", "host", "boot_id", "joulebook", "python", "cpu_model", "previous_id", "sensor", "device",
        "unit", "method", "boundary", "span_id", "run_id", "parent_id", "name", "project", "command", "error", "kind",
        "text", "reason")]
    + [(name, pa.int64()) for name in (
        "seq", "at_ns", "mono_ns", "version", "pid", "cpus", "exit_code", "lost_events", "open", "from_ns", "to_ns")]
    + [("amount", pa.float64()), ("ok", pa.bool_()),
       ("tags", pa.list_(pa.list_(pa.string()))), ("counters", pa.list_(_COUNTER))]
)  # fmt: skip


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


def read(con: duckdb.DuckDBPyConnection, chunks: list[Chunk]) -> tuple[pa.Table, list[BadLine]]:
    """The good events of some chunks, each with the `owner` (its journal's id), and the bad lines."""
    data = b"".join(chunk.data for chunk in chunks)
    counts = [chunk.data.count(b"\n") for chunk in chunks]
    table = _parsed(data)
    if table is not None and table.num_rows == sum(counts):
        table = _owned(table, chunks, counts)
        if not _odd_rows(con, table):
            return table, []
    return _line_by_line(con, chunks)


def _parsed(data: bytes) -> pa.Table | None:
    """All lines as one table, or None when some line is not an event of the known shape."""
    if not data:
        return SCHEMA.empty_table()
    if not (data.isascii() or _is_utf8(data)):  # what is not UTF-8 must not reach the database
        return None
    table = _with_schema(data, _fields_of_sample(data), unexpected="error")
    return table or _with_schema(data, SCHEMA, unexpected="ignore")


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _fields_of_sample(data: bytes) -> pa.Schema:
    """The fields that some lines of a batch use. A field that nobody uses costs as much to parse as one in use."""
    sample = data[:100_000] + data[-20_000:]
    return pa.schema([field for field in SCHEMA if f'"{field.name}":'.encode() in sample])


def _with_schema(data: bytes, schema: pa.Schema, *, unexpected: str) -> pa.Table | None:
    """The lines as a table of all fields, parsed with some of them."""
    try:
        table = pa_json.read_json(
            io.BytesIO(data),
            read_options=pa_json.ReadOptions(block_size=max(4 << 20, data.find(b"\n") * 8)),
            parse_options=pa_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior=unexpected),
        )
    except pa.ArrowException:
        return None
    named = {name: table[name] for name in table.column_names}
    return pa.table([named.get(field.name, pa.nulls(table.num_rows, field.type)) for field in SCHEMA], schema=SCHEMA)


def _owned(table: pa.Table, chunks: list[Chunk], counts: list[int]) -> pa.Table:
    ends: list[int] = []
    for count in counts:
        ends.append((ends[-1] if ends else 0) + count)
    runs = [(end, at) for at, (end, count) in enumerate(zip(ends, counts, strict=True)) if count]
    if not runs:
        return table.append_column("owner", pa.array([], pa.string()))
    codes = pa.RunEndEncodedArray.from_arrays([end for end, _ in runs], pa.array([at for _, at in runs], pa.int32()))
    owners = pa.array([chunk.journal_id for chunk in chunks], pa.string())
    return table.append_column("owner", pa.DictionaryArray.from_arrays(pc.run_end_decode(codes), owners))


_NEEDS = {
    "journal": (("journal_id",), ("version",)),
    "sensor": (("sensor", "unit", "method", "boundary"), ()),
    "span_start": (("name",), ()),
    "span_end": ((), ("ok",)),
    "reading": ((), ()),
    "usage": (("kind", "unit", "method"), ("amount",)),
    "quality": (("kind",), ("amount",)),
    "note": (("text",), ()),
    "gap": (("reason",), ()),
}
_UUIDS = ("span_id", "run_id")
_ODD_COUNTER = """c.sensor is null or c.value is null or c.shared is null
    or not isfinite(c.value) or not isfinite(c.shared) or c.shared < 0"""


def _odd_sql() -> str:
    """Why a row cannot be used, as SQL. The one place that says what a good event is."""
    listed = ", ".join(f"'{kind}'" for kind in _NEEDS)
    methods = ", ".join(f"'{method}'" for method in METHODS)
    odd = [
        ("event is null", "no event kind"),
        (f"event not in ({listed})", "unknown event kind"),
        ("seq is null or seq < 0", "no sequence number"),
        ("at_ns is null or at_ns < 0", "no time"),
        ("mono_ns is null or mono_ns < 0", "no monotonic time"),
        ("at_ns > $limit", "the time lies in the future"),
        (f"event = 'journal' and version <> {FORMAT_VERSION}",
         f"unknown format version; this joulebook reads {FORMAT_VERSION}"),
        ("event = 'journal' and (seq <> 0 or journal_id is distinct from owner)",
         "a journal header in the middle of a journal"),
        ("amount is not null and not isfinite(amount)", "the amount is not finite"),
        ("amount < 0 and event = 'usage'", "the amount is negative"),
        (f"method not in ({methods})", "unknown method"),
        ("unit not in ('J', 's') and event = 'sensor'", "a counter must count J or s"),
        (f"len(list_filter(counters, lambda c: {_ODD_COUNTER})) > 0", "a counter is not a number"),
        ("len(list_filter(tags, lambda t: len(t) <> 2)) > 0", "a tag is not a pair"),
    ]  # fmt: skip
    for kind, (texts, numbers) in _NEEDS.items():
        odd += [(f"event = '{kind}' and {name} is null", f"no {name}") for name in (*texts, *numbers)]
    ids = "event in ('span_start', 'span_end', 'usage', 'quality', 'note')"
    odd += [(f"{ids} and try_cast({name} as uuid) is null", f"no valid {name}") for name in _UUIDS]
    odd += [("parent_id is not null and try_cast(parent_id as uuid) is null", "no valid parent_id")]
    cases = "\n".join(f"when {test} then '{reason}'" for test, reason in odd)
    numbered = f"select row_number() over () - 1 as at, case {cases} end as reason from parsed"
    return f"select * from ({numbered}) where reason is not null"


def _odd_rows(con: duckdb.DuckDBPyConnection, table: pa.Table) -> dict[int, str]:
    con.register("parsed", table)
    try:
        found = con.execute(_odd_sql(), {"limit": time.time_ns() + FUTURE_TOLERANCE_NS}).fetchall()
    finally:
        con.unregister("parsed")
    return {int(at): reason for at, reason in found}


def _line_by_line(con: duckdb.DuckDBPyConnection, chunks: list[Chunk]) -> tuple[pa.Table, list[BadLine]]:
    good: list[Chunk] = []
    bad: list[BadLine] = []
    for chunk in chunks:
        at = chunk.start_byte
        for line in io.BytesIO(chunk.data):  # splits at \n alone
            reason = why_malformed(line)
            if reason:
                bad.append(_bad(chunk, at, line, reason))
            else:
                good.append(Chunk(chunk.journal_id, chunk.path, at, line))
            at += len(line)
    table = _owned(_table_of(good, bad), good, [1] * len(good))
    odd = _odd_rows(con, table)
    bad += [_bad(good[at], good[at].start_byte, good[at].data, reason) for at, reason in odd.items()]
    keep = [at for at in range(len(good)) if at not in odd]
    return table.take(pa.array(keep, pa.int64())), bad


def _table_of(good: list[Chunk], bad: list[BadLine]) -> pa.Table:
    """One row per good line. A line that only Arrow refuses leaves `good` for `bad`."""
    table = _parsed(b"".join(line.data for line in good))
    if table is not None and table.num_rows == len(good):
        return table
    kept: list[tuple[Chunk, pa.Table]] = []
    for line in good:
        row = _parsed(line.data)
        if row is not None and row.num_rows == 1:
            kept.append((line, row))
        else:
            bad.append(_bad(line, line.start_byte, line.data, "not an event of the known shape"))
    good[:] = [line for line, _ in kept]
    return pa.concat_tables([SCHEMA.empty_table(), *(row for _, row in kept)])


def _bad(chunk: Chunk, at: int, line: bytes, reason: str) -> BadLine:
    return BadLine(chunk.journal_id, chunk.path, at, reason, shown(line))


def shown(data: bytes) -> str:
    """The beginning of some bytes, fit to be stored and shown."""
    return data[:2000].rstrip(b"\n").decode("utf-8", "backslashreplace").replace("\0", "\\0")


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and not any(0xD800 <= ord(c) <= 0xDFFF for c in value)


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
    return all(_is_text(value) if name == "sensor" else _is_number(value) for name, value in values.items())


_CHECKS: dict[Any, tuple[Callable[[object], bool], str]] = {
    pa.string(): (_is_text, "text"),
    pa.int64(): (_is_int, "a whole number"),
    pa.float64(): (_is_number, "a number"),
    pa.bool_(): (lambda value: isinstance(value, bool), "true or false"),
}
_SPECIAL = {"tags": (_is_tags, "a list of pairs"), "counters": (_is_counters, "a list of counters")}
_CHECK_OF = {field.name: _SPECIAL.get(field.name) or _CHECKS[field.type] for field in SCHEMA}


def why_malformed(line: bytes) -> str | None:
    """What is wrong with the shape of a line, or None. What its values mean is `_odd_sql`'s business."""
    if not line.endswith(b"\n"):
        return "torn: the line does not end"
    try:
        event: Any = json.loads(line)
    except (ValueError, RecursionError):
        return "torn: not a JSON object"
    if not isinstance(event, dict):
        return "not a JSON object"
    for name, value in cast("dict[str, object]", event).items():
        check = _CHECK_OF.get(name)
        if check and value is not None and not check[0](value):
            return f"wrong type: {name} is not {check[1]}"
    return None
