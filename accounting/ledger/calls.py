"""What calls mean: which model of the price list, what they used in parts that add up, and which count.

    call (facts) ─> call_usage, call_bucket ─> (costs.py) call_cost, call_line

A response that was observed twice (by our transport and by OpenTelemetry, or in an import) counts once: the
observation nearest to the wire does. So does what one source told twice.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa

from joulebook.accounting import usage
from joulebook.accounting.ledger import costs
from joulebook.accounting.prices.listed import named
from joulebook.accounting.prices.pricing import NOT_BILLED

# Who observed a call, from the nearest to the wire to the farthest. A source that is not named comes last.
SOURCES = ("http", "bedrock", "server", "otel", "litellm", "helicone", "langfuse")
PIECE_ROWS = 20_000  # worked out at a time: it is done in Python, whose objects are large


class Meaning(NamedTuple):
    """A row of `call_usage`, and its buckets."""

    row: dict[str, Any]
    buckets: dict[str, float]


def refresh(con: duckdb.DuckDBPyConnection, home: Path) -> None:
    """Work out what the calls mean and cost that are in the ledger and not yet worked out, by the prices of a home.

    Part of the ingest's transaction. Raises InputError where the prices.toml of the home cannot be used.
    """
    before = int(con.execute("select coalesce(max(call_no), 0) from call_usage").fetchall()[0][0])
    new = con.sql(_NEW, params=[before]).to_arrow_table()
    if not new.num_rows:
        return
    for piece in new.to_batches(PIECE_ROWS):
        meanings = [_meaning(row) for row in piece.to_pylist()]
        _insert(con, "call_usage", [meaning.row for meaning in meanings], _USAGE)
        _insert(con, "call_bucket", list(_bucket_rows(meanings)), _BUCKET)
    con.execute(_COUNT, [before])
    costs.refresh(con, home, before)


def _insert(con: duckdb.DuckDBPyConnection, table: str, rows: list[dict[str, Any]], schema: pa.Schema) -> None:
    con.register("derived", pa.Table.from_pylist(rows, schema))
    con.execute(f"insert into {table} select * from derived")
    con.unregister("derived")


def _bucket_rows(meanings: list[Meaning]) -> Iterator[dict[str, Any]]:
    for meaning in meanings:
        for unit, amount in meaning.buckets.items():
            yield {"call_no": meaning.row["call_no"], "unit": unit, "amount": amount}


def _meaning(call: dict[str, Any]) -> Meaning:
    context = tuple(sorted((key, value) for key, value in call["context"] or ()))
    models = tuple(name for name in (call["response_model"], call["request_model"]) if name)
    known = named(call["provider"], call["host"], call["path"], models, context)
    buckets, method, reason = _used(call, known.provider)
    tokens = ("family", "tokens")
    into, out = (tokens, ("direction", "input")), (tokens, ("direction", "output"))
    row = {
        "call_no": call["call_no"],
        "provider": known.provider,
        "model": known.model,
        "price_context": known.price_context,
        "counted": True,
        "input_tokens": usage.total(buckets, *into),
        "output_tokens": usage.total(buckets, *out),
        "cache_read_tokens": usage.total(buckets, *into, ("token_type", "cache_read")),
        "cache_write_tokens": usage.total(buckets, *into, ("token_type", "cache_write")),
        "reasoning_tokens": usage.total(buckets, *out, ("token_type", "reasoning")),
        "method": method,
        "reason": reason,
    }
    return Meaning(row, buckets)


def _used(call: dict[str, Any], provider_id: str | None) -> tuple[dict[str, float], str, str | None]:
    """The buckets of a call, how they are known, and why not where they are not."""
    try:
        if call["units"]:
            amounts = {name: float(amount) for name, amount in call["units"]}
            return usage.disjoint(amounts), call["method"] or "declared", None
        if call["usage_json"]:
            amounts = usage.reported(json.loads(call["usage_json"]), provider_id, call["path"])
            if call["received_chars"]:
                return usage.disjoint(_with_output(amounts, call["received_chars"])), "modelled", _LEFT
            return usage.disjoint(amounts), call["method"] or "measured", None
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        return {}, "unknown", f"the usage cannot be read: {error}"
    return _guessed(call)


def _with_output(amounts: dict[str, float], chars: int) -> dict[str, float]:
    """With an output that its text has at least: the usage was told before that was written, and the stream left."""
    return amounts | {"output_tokens": max(amounts.get("output_tokens", 0.0), chars / usage.CHARS_PER_TOKEN)}


def _guessed(call: dict[str, Any]) -> tuple[dict[str, float], str, str | None]:
    """Without a usage: from the length of the texts, where the call was answered at all."""
    if (call["status"] or 0) >= NOT_BILLED:
        return {}, "unknown", f"answered with status {call['status']}, which is not billed"
    if not call["received_chars"]:
        why = ", ".join(filter(None, (call["outcome"], call["error"]))) or "the source has none"
        return {}, "unknown", f"no usage was reported ({why})"
    sizes = {"input_tokens": call["sent_chars"] or 0, "output_tokens": call["received_chars"]}
    amounts = {unit: chars / usage.CHARS_PER_TOKEN for unit, chars in sizes.items() if chars}
    return amounts, "modelled", "no usage was reported: tokens from the length of the texts, four characters each"


_LEFT = "the stream was left before its end: output from the length of the text, four characters a token"
_NEW = """
select call_no, provider, host, path, request_model, response_model, context, units, usage_json, method, status,
       outcome, error, sent_chars, received_chars
from call where call_no > ? order by call_no
"""
_USAGE = pa.schema(
    [("call_no", pa.int64()), ("provider", pa.string()), ("model", pa.string()), ("price_context", pa.string()),
     ("counted", pa.bool_()), *((name, pa.float64()) for name in (
         "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")),
     ("method", pa.string()), ("reason", pa.string())]
)  # fmt: skip
_BUCKET = pa.schema([("call_no", pa.int64()), ("unit", pa.string()), ("amount", pa.float64())])

_RANKS = " ".join(f"when '{source}' then {rank}" for rank, source in enumerate(SOURCES))
# Of the observations of one response the nearest counts, of those of one source under one id the first: a call counts
# that comes first wherever it was seen again.
_COUNT = f"""
with observed as (
    select c.call_no, c.source, c.source_id, c.response_id, coalesce(u.provider, c.provider, '') as provider,
           case c.source {_RANKS} else {len(SOURCES)} end as rank
    from call c join call_usage u on u.call_no = c.call_no
), key as (
    select call_no, rank, 'response' as kind, provider as giver, response_id as id
    from observed where response_id is not null
    union all
    select call_no, rank, 'source', source, source_id from observed where source_id is not null
), touched as (
    select kind, giver, id from key group by all having count(*) > 1 and max(call_no) > ?
), ranked as (
    select call_no, row_number() over (partition by kind, giver, id order by rank, call_no) as place
    from key join touched using (kind, giver, id)
), decided as (
    select call_no, max(place) = 1 as counted from ranked group by call_no
)
update call_usage set counted = d.counted from decided d
where d.call_no = call_usage.call_no and call_usage.counted <> d.counted
"""
