"""One call of a model API, attempt by attempt: what it used, what each part of that cost, who else observed it.

Also the list of the newest calls, from which one is chosen.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from joulebook.accounting.errors import InputError, NotFound
from joulebook.accounting.estimates import Estimate, exactly, unknown
from joulebook.accounting.ledger import Ledger
from joulebook.accounting.records import weakest
from joulebook.reports.format import amount, duration, mid_of
from joulebook.reports.view import Column, Tile, View
from joulebook.reports.views.api_footprint import used_by_call
from joulebook.reports.views.api_sums import Asked, cost_method, in_period
from joulebook.reports.views.common import Period, at_once, aware, capital, listed, of_project, plural

MOST_CALLS = 200  # on a page
_UUID = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
LIST_COLUMNS = (
    Column("started_at", "Began, UTC", "time"),
    Column("model", "Model"),
    Column("project", "Project"),
    Column("outcome", "Ended as", "state"),
    Column("attempts_n", "Attempts", "number"),
    Column("duration_s", "Duration", "duration", "s"),
    Column("tokens", "Tokens", "number"),
    Column("cost_usd", "API cost", "estimate", "USD"),
    Column("call_id", "Call", "run"),
)


def find_call(ledger: Ledger, text: str) -> str:
    """The id of the call that a user means: its id, the beginning or end of it, its response's id, or `last`.

    Raises NotFound when there is none, InputError when there are several.
    """
    if not text:
        raise InputError("no call named: give its id, the beginning or end of it, or last")
    if re.fullmatch(_UUID, text):
        found = ledger.rows("select distinct call_id::varchar as id from call where call_id = ?::uuid", (text,))
    else:
        found = ledger.rows(_LAST_SQL) if text == "last" else ledger.rows(_FIND_SQL, (text, text, text))
    if not found:
        raise NotFound(f"no call {text!r} in {ledger.path}: joulebook calls --by call lists them")
    if len(found) > 1:
        raise InputError(f"{text!r} fits several calls ({', '.join(row['id'] for row in found)}): give more of the id")
    return str(found[0]["id"])


def calls(ledger: Ledger, period: Period, project: str | None = None, limit: int | None = None) -> View:
    """The calls of a period, newest first; all of them, or the newest `limit`."""
    asked = in_period(period, project)
    view = newest_calls(ledger, asked, limit)
    empty = f"No call of a model API{of_project(project)} is on record for {period.label}."
    return View(view.key, "API calls", view.sentence, f"{capital(period.label)} · prices at ingest",
                columns=view.columns, rows=view.rows, empty=empty)  # fmt: skip


def newest_calls(ledger: Ledger, asked: Asked, limit: int | None = MOST_CALLS) -> View:
    """The newest calls, one row each with all its attempts."""
    most = "" if limit is None else f"limit {int(limit) + 1}"
    sql = _NEWEST_SQL.replace("$asked", asked.condition).replace("$most", most)
    found = ledger.rows(sql, asked.params)
    rows = tuple(map(_listed_row, found[:limit]))
    cut = f"The newest {plural(len(rows), 'call')}; there are more." if len(rows) < len(found) else ""
    return View("newest_calls", "Newest calls", sentence=cut, columns=LIST_COLUMNS, rows=rows)


@at_once
def call(ledger: Ledger, call_id: str) -> View:
    """Everything about one call. Raises NotFound when it is not in the ledger."""
    call_id = find_call(ledger, call_id)
    attempts = ledger.rows(_ATTEMPTS_SQL, (call_id,))
    row = _row(ledger, attempts)
    parts = (
        _attempts(attempts),
        _buckets(ledger, call_id),
        _price_lines(ledger, call_id),
        used_by_call(ledger, row),
        _observations(ledger, attempts),
        _about(row),
    )
    return View(
        key="call",
        title=row["model"] or "A call without a model",
        subtitle=f"{row['project']} · {row['started_at']:%d %b %Y %H:%M:%S} UTC · prices at ingest",
        sentence=_sentence(row),
        tiles=_tiles(row),
        rows=(row,),
        parts=tuple(part for part in parts if part.rows),
        notes=_notes(attempts),
    )


# The call as a whole ----------------------------------------------------------------------------------------------


def _row(ledger: Ledger, attempts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The call in the stable keys that joulebook calls CALL --json has. What it is, its last attempt says."""
    last = attempts[-1]
    named = {key: next((one[key] for one in reversed(attempts) if one[key] is not None), None) for key in _TOLD}
    ended_s = [one["at_s"] + one["duration_s"] for one in attempts if one["duration_s"] is not None]
    return {
        "call_id": last["call_id"],
        **named,
        "project": last["of_project"],
        "tags": json.loads(last["tags"] or "{}"),
        **_around(ledger, named["span_id"]),
        "started_at": aware(attempts[0]["started_at_utc"]),
        "duration_s": max(ended_s, default=None),
        "outcome": last["outcome"],
        "status": last["status"],
        "error": last["error"],
        "attempts_n": len(attempts),
        "first_token_s": last["first_token_s"],
        **{key: _sum(attempts, key) for key in _TOKENS},
        "tokens": _tokens(attempts),
        "usage_method": weakest([one["usage_method"] for one in attempts if _tokens([one])]),
        "cost_usd": _cost(attempts),
        "unpriced_reason": _why_unpriced(attempts),
        "counted": all(one["counted"] for one in attempts),
    }


_TOLD = ("provider", "model", "request_model", "response_model", "response_id", "operation", "is_stream", "host",
         "path", "account", "source", "run_id", "span_id", "version_id")  # fmt: skip
_TOKENS = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")


def _around(ledger: Ledger, span_id: str | None) -> dict[str, Any]:
    """The run and the span that the call was made in."""
    found = ledger.rows(
        """select r.name as run, s.name as span from span s left join span r on r.span_id = s.run_id
           where s.span_id = ?::uuid""", (span_id,)) if span_id else []  # fmt: skip
    return found[0] if found else {"run": None, "span": None}


def _tokens(attempts: Sequence[Mapping[str, Any]]) -> float | None:
    """Input and output together, as far as they are known."""
    known = [one[key] for one in attempts for key in ("input_tokens", "output_tokens") if one[key] is not None]
    return sum(known) if known else None


def _sum(attempts: Sequence[Mapping[str, Any]], key: str) -> float | None:
    known = [one[key] for one in attempts if one[key] is not None]
    return sum(known) if known else None


def _cost(attempts: Sequence[Mapping[str, Any]]) -> Estimate:
    """The cost of some attempts, as far as they have a price; unknown where nothing has that is billed."""
    priced = [one for one in attempts if one["cost_usd"] is not None]
    billed = [one for one in priced if one["cost_usd"]]
    why_not = _why_unpriced(attempts)
    if not priced or (why_not and not billed):
        return unknown("USD", why_not or "nothing of it is billed")
    billed = billed or priced
    return exactly(sum(one["cost_usd"] for one in priced), "USD", weakest([cost_method(one) for one in billed]))


def _why_unpriced(attempts: Sequence[Mapping[str, Any]]) -> str | None:
    """Why some attempt has no price; None where all have one, or are not billed."""
    reasons = [one["cost_reason"] or one["usage_reason"] or "no reason is on record"
               for one in attempts if one["basis"] == "unpriced"]  # fmt: skip
    return "; ".join(dict.fromkeys(reasons)) or None


def _sentence(row: Mapping[str, Any]) -> str:
    took = f" after {duration(row['duration_s'])}" if row["duration_s"] is not None else ""
    tried = "" if row["attempts_n"] == 1 else f" at attempt {row['attempts_n']}"
    told = [f"Ended as {row['outcome'] or 'told by its source'}{tried}{took}"]
    tokens = _tokens([row])
    told.append("no usage is known" if tokens is None else f"used {amount(tokens, 'token')}")
    told.append(f"cost {mid_of(row['cost_usd'])}" if row["cost_usd"].known else "what it cost is unknown")
    rest = f" Not all of it has a price: {row['unpriced_reason']}." if row["unpriced_reason"] else ""
    return f"{listed(told)}.{rest}"


def _tiles(row: Mapping[str, Any]) -> tuple[Tile, ...]:
    tokens, nothing = _tokens([row]), unknown("token", "no usage is on record")
    whole = nothing if tokens is None else exactly(tokens, "token", row["usage_method"])
    times = {"Duration": ("duration_s", "no time is on record"), "First token": ("first_token_s", "no stream")}
    return (
        Tile("API cost", row["cost_usd"]),
        Tile("Tokens", whole),
        *(
            Tile(label, unknown("s", why) if row[key] is None else exactly(row[key], "s", "measured"))
            for label, (key, why) in times.items()
        ),
    )


def _notes(attempts: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """What is estimated or not known of it, and why; that it is no call of its own."""
    reasons = [(one["attempt"], one[key]) for one in attempts for key in ("usage_reason", "cost_reason") if one[key]]
    notes = [f"Attempt {attempt}: {reason}." for attempt, reason in reasons]
    if not all(one["counted"] for one in attempts):
        notes.append("Another observation of the same response counts; this one is in no sum.")
    return tuple(dict.fromkeys(notes))


# Its parts --------------------------------------------------------------------------------------------------------


def _attempts(attempts: Sequence[Mapping[str, Any]]) -> View:
    same = ("attempt", "outcome", "status", "error", "duration_s", "first_token_s", "gap_p50_s", "gap_p95_s",
            "gap_max_s", "chunks", "source", "counted", "input_tokens", "output_tokens", "usage_method", "basis",
            "cost_reason", "usage_reason", "version_id")  # fmt: skip
    rows = tuple(
        {key: one[key] for key in same}
        | {"started_at": aware(one["started_at_utc"]), "at_s": one["at_s"], "cost_usd": _cost([one])}
        for one in attempts
    )
    columns = (
        Column("attempt", "Attempt", "number"), Column("outcome", "Ended as", "state"), Column("status", "Status"),
        Column("error", "Error"), Column("at_s", "Began after", "duration", "s"),
        Column("duration_s", "Duration", "duration", "s"), Column("first_token_s", "First token", "duration", "s"),
        Column("input_tokens", "Input", "number"), Column("output_tokens", "Output", "number"),
        Column("cost_usd", "API cost", "estimate", "USD"), Column("basis", "Price", "state"),
    )  # fmt: skip
    return View("attempts", "Attempts", columns=columns, rows=rows)


def _buckets(ledger: Ledger, call_id: str) -> View:
    columns = (Column("unit", "Part"), Column("amount", "Amount", "number"), Column("method", "Method", "state"))
    notes = ("The parts do not overlap: together they are what the provider counted.",)
    rows = tuple(ledger.rows(_BUCKETS_SQL, (call_id,)))
    return View("usage", "Usage", columns=_of_attempts(rows, columns), rows=rows, notes=notes, width="half")


def _price_lines(ledger: Ledger, call_id: str) -> View:
    columns = (
        Column("unit", "Part"), Column("amount", "Amount", "number"),
        Column("usd_per_unit", "Price of one", "number", "USD"), Column("cost_usd", "Cost", "estimate", "USD"),
        Column("basis", "Price", "state"),
    )  # fmt: skip
    found = ledger.rows(_LINES_SQL, (call_id,))
    rows = tuple(row | {"cost_usd": exactly(row["cost_usd"], "USD", cost_method(row))} for row in found)
    return View("price_lines", "What it cost", columns=_of_attempts(rows, columns), rows=rows, width="half")


def _of_attempts(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column]) -> tuple[Column, ...]:
    """The columns, and before them which attempt it is where more than one used something."""
    is_one = len({row["attempt"] for row in rows}) < 2
    return (*(() if is_one else (Column("attempt", "Attempt", "number"),)), *columns)


def _observations(ledger: Ledger, attempts: Sequence[Mapping[str, Any]]) -> View:
    """Who else told of the same responses, and which of them counts."""
    columns = (
        Column("source", "Observed by"), Column("is_counted", "In sums", "state"), Column("source_id", "Its id"),
        Column("response_id", "Response"), Column("call_id", "Call", "id"),
    )  # fmt: skip
    keys = ("provider", "response_id", "source", "source_id")
    known = [[one[key] for one in attempts if one[key] is not None] for key in keys]
    found = ledger.rows(_OBSERVATIONS_SQL, known)
    rows = tuple(row | {"is_counted": "counts" if row["counted"] else "duplicate"} for row in found)
    return View("observations", "Observations of this call", columns=columns, rows=rows if len(rows) > 1 else ())


def _about(row: Mapping[str, Any]) -> View:
    pairs = {
        "Call": row["call_id"],
        "Response": row["response_id"],
        "Provider": row["provider"],
        "Model asked for": row["request_model"],
        "Model that answered": row["response_model"],
        "Operation": row["operation"],
        "Address": f"{row['host']}{row['path'] or ''}" if row["host"] else None,
        "Answer": None if row["is_stream"] is None else "stream" if row["is_stream"] else "whole",
        "Run": " · ".join(filter(None, (row["run"], row["run_id"]))) or None,
        "Span": row["span"] if row["span"] != row["run"] else None,
        "Account": row["account"],
        "Observed by": row["source"],
        "Prices": row["version_id"],
        **{f"Tag {key}": value for key, value in row["tags"].items()},
    }
    rows = tuple({"what": what, "value": str(value)} for what, value in pairs.items() if value is not None)
    return View("about", "About this call", columns=(Column("what", ""), Column("value", "")), rows=rows)


def _listed_row(found: Mapping[str, Any]) -> dict[str, Any]:
    """One call of the list; what it is, its last attempt says."""
    last = found["last"]
    return {
        "call_id": found["call_id"],
        "started_at": aware(found["started_at_utc"]),
        **{key: last[key] for key in _OF_LAST},
        "attempts_n": found["attempts_n"],
        "duration_s": found["duration_s"],
        **{key: found[key] for key in _TOKENS},
        "tokens": _tokens([found]),
        "cost_usd": _cost(found["each"]),
        "unpriced_reason": _why_unpriced(found["each"]),
    }


_OF_LAST = ("provider", "model", "project", "source", "run_id", "outcome", "status", "error")
_LAST_SQL = "select call_id::varchar as id from call order by started_at_utc desc, call_no desc limit 1"
_FIND_SQL = """
    select distinct call_id::varchar as id from call
    where starts_with(call_id::varchar, lower(?)) or ends_with(call_id::varchar, lower(?)) or response_id = ?
    order by id limit 9
"""
_ATTEMPTS_SQL = """
    select c.* replace (call_id::varchar as call_id, run_id::varchar as run_id, span_id::varchar as span_id),
           epoch_us(started_at_utc - min(started_at_utc) over ()) / 1e6 as at_s
    from api_call c where call_id = ?::uuid order by attempt, call_no
"""
_BUCKETS_SQL = """
    select c.attempt, b.unit, b.amount, u.method from call c
    join call_usage u using (call_no) join call_bucket b using (call_no)
    where c.call_id = ?::uuid order by c.attempt, c.call_no, b.amount desc, b.unit
"""
_LINES_SQL = """
    select c.attempt, l.unit, l.amount, l.usd_per_unit, l.amount * l.usd_per_unit as cost_usd, l.list_usd_per_unit,
           l.tier_start, l.basis, l.source, u.method as usage_method
    from call c join call_usage u using (call_no) join call_line l using (call_no)
    where c.call_id = ?::uuid order by c.attempt, c.call_no, cost_usd desc, l.unit
"""
# The observations of the same responses, and those that the same source told under the same id.
_OBSERVATIONS_SQL = """
    with asked as (select ?::varchar[] as providers, ?::varchar[] as responses, ?::varchar[] as sources,
                          ?::varchar[] as source_ids),
    same as (
        select c.call_no from call c, asked
        where list_contains(responses, c.response_id)
           or list_contains(sources, c.source) and list_contains(source_ids, c.source_id)
    )
    select o.source, o.counted, o.source_id, o.response_id, o.call_id::varchar as call_id, o.started_at_utc, o.outcome
    from api_call o semi join same using (call_no), asked
    where len(providers) = 0 or o.provider is null or list_contains(providers, o.provider)
    order by o.counted desc, o.call_no
"""
_NEWEST_SQL = """
    with newest as (
        select call_id, max(started_at_utc) as at_utc
        from (select c.call_id, c.started_at_utc from api_call c where $asked) group by call_id
        order by at_utc desc, call_id $most
    )
    select c.call_id::varchar as call_id, min(c.started_at_utc) as started_at_utc, count(*) as attempts_n,
           epoch_us(max(c.started_at_utc + to_microseconds((coalesce(c.duration_s, 0) * 1e6)::bigint))
                    - min(c.started_at_utc)) / 1e6 as duration_s,
           sum(c.input_tokens) as input_tokens, sum(c.output_tokens) as output_tokens,
           sum(c.cache_read_tokens) as cache_read_tokens, sum(c.cache_write_tokens) as cache_write_tokens,
           sum(c.reasoning_tokens) as reasoning_tokens,
           max_by({provider: c.provider, model: c.model, project: c.of_project, source: c.source,
                   run_id: c.run_id::varchar, outcome: c.outcome, status: c.status, error: c.error},
                  coalesce(c.attempt, 1)) as last,
           list({cost_usd: c.cost_usd, basis: c.basis, cost_reason: c.cost_reason, usage_method: c.usage_method,
                 usage_reason: c.usage_reason}) as each
    from api_call c semi join newest using (call_id) where c.counted
    group by c.call_id order by max(c.started_at_utc) desc, c.call_id
"""
