"""What calls of model APIs used and cost: one table by what is asked for, or a page of several.

    api_usage      by model, provider, project, day, host or source
    api_page       the same as a page: by day and model, what failed, what has no price, how long it took
    api_section    the part of an overview, a report or a run that has to do with calls; nothing where there are none

API cost is never added to the cost of electricity: the one is a provider's price, the other one's own power.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from joulebook.accounting.errors import InputError
from joulebook.accounting.estimates import exactly, unknown
from joulebook.accounting.ledger import Ledger
from joulebook.reports.format import amount, day, scale_for
from joulebook.reports.view import Column, Figure, Series, Tile, View
from joulebook.reports.views.api_footprint import used_elsewhere
from joulebook.reports.views.api_sums import (
    SUM_COLUMNS,
    Asked,
    cost_of,
    cost_parts,
    in_period,
    in_run,
    row_of,
    share,
    sums,
    used,
)
from joulebook.reports.views.call import newest_calls
from joulebook.reports.views.common import (
    Period,
    at_once,
    calendar,
    capital,
    evidence,
    in_words,
    midnight,
    of_project,
    percent,
    plural,
)
from joulebook.reports.views.latency import latency

GROUPS = {
    "model": ("model", "provider"),
    "provider": ("provider",),
    "project": ("project",),
    "day": ("day",),
    "host": ("host",),
    "source": ("source",),
    "model-project-day": ("day", "project", "model", "provider"),
}
LABELS = {"model": "Model", "provider": "Provider", "project": "Project", "day": "Day", "host": "Host",
          "source": "Observed by"}  # fmt: skip
MOST_BARS = 8
NO_NAME = "(no name)"
BASIS = "prices at ingest"
_SOMETIMES = ("retries", "wasted_attempts", "cache_read_tokens", "reasoning_tokens")  # only where there is some


def api_usage(
    ledger: Ledger, period: Period, project: str | None = None, by: str = "model", limit: int | None = None
) -> View:
    """What the calls of a period used and cost, by one of `GROUPS`; all rows, or the first `limit` of them.

    Raises InputError for another `by`.
    """
    if by not in GROUPS:
        raise InputError(f"cannot sum calls by {by!r}: choose one of {', '.join(GROUPS)}")
    table = used(ledger, in_period(period, project))
    view = replace(_by(ledger, table, by), subtitle=f"{capital(period.label)} · {BASIS}")
    if not view.rows:
        return replace(view, empty=nothing_called(period, project))
    (whole,) = sums(ledger, table)
    kept = view.rows[:limit]
    return replace(
        view,
        sentence=_sentence(whole) + _cut(view.rows, kept),
        tiles=_tiles(whole),
        rows=kept,
        figure=_days(view.rows, period) if by == "day" else _bars(view.rows, by),
        notes=_notes(whole),
    )


@at_once
def api_page(ledger: Ledger, period: Period, project: str | None = None) -> View:
    """A period's calls as a page."""
    asked = in_period(period, project)
    table = used(ledger, asked)
    title = View("api", "API usage", subtitle=f"{capital(period.label)} · {BASIS}")
    if not table.num_rows:
        return replace(title, empty=nothing_called(period, project))
    (whole,) = sums(ledger, table)
    by_day, by_model = _by(ledger, table, "day"), _by(ledger, table, "model")
    parts = (
        replace(by_day, figure=_days(by_day.rows, period), width="two-thirds"),
        View("api_models", "By model", figure=_bars(by_model.rows, "model"), width="third"),
        by_model,
        used_elsewhere(ledger, period, project),
        _by(ledger, table, "project"),
        _failures(ledger, asked),
        _unpriced(ledger, asked),
        *latency(ledger, period, project).parts,
        _in_full(_by(ledger, table, "model-project-day")),
        newest_calls(ledger, asked),
    )
    return replace(
        title,
        sentence=_sentence(whole),
        tiles=_tiles(whole),
        parts=tuple(part for part in parts if part.rows or part.figure),
        notes=_notes(whole),
    )


def api_section(ledger: Ledger, asked: Asked, limit: int | None = None) -> tuple[View, ...]:
    """The part of another View that has to do with calls, by model; nothing where there are none."""
    table = used(ledger, asked)
    if not table.num_rows:
        return ()
    (whole,) = sums(ledger, table)
    by_model = _by(ledger, table, "model")
    rows = by_model.rows[:limit]
    sentence = _sentence(whole) + _cut(by_model.rows, rows)
    notes = (*_notes(whole), "API cost is what calls cost elsewhere: it is not in the cost of electricity.")
    section = replace(by_model, key="calls", title="API calls", sentence=sentence, tiles=_tiles(whole))
    return (replace(section, rows=rows, notes=notes),)


def calls_of_run(ledger: Ledger, run_id: str) -> tuple[View, ...]:
    """The calls of a run: their sums by model, and the newest of them."""
    asked = in_run(run_id)
    section = api_section(ledger, asked)
    return (*section, newest_calls(ledger, asked)) if section else ()


def nothing_called(period: Period, project: str | None) -> str:
    looked = f"No call of a model API{of_project(project)} is on record for {period.label}."
    return f"{looked} Record calls: openai.OpenAI(http_client=joulebook.http_client()), or joulebook import."


# Sums -------------------------------------------------------------------------------------------------------------


def _by(ledger: Ledger, table: pa.Table, by: str) -> View:
    """One row for each group, above them their sum."""
    keys = GROUPS[by]
    rows = tuple(row_of(found, keys) for found in sums(ledger, table, keys))
    whole = tuple(row_of(found) for found in sums(ledger, table)) if len(rows) > 1 else ()
    unused = [key for key in _SOMETIMES if not any(row[key] for row in rows)]
    columns = [column for column in SUM_COLUMNS if column.key not in unused]
    return View(
        key=f"calls_by_{by.replace('-', '_')}",
        title=f"API calls by {by.replace('-', ', ')}",
        columns=(*(Column(key, LABELS[key]) for key in keys), *columns),
        rows=rows,
        totals=tuple({keys[0]: "All", **row} for row in whole),
    )


def _in_full(view: View) -> View:
    """A long table of small groups: without a sum above it, each amount in full."""
    return replace(view, totals=(), columns=tuple(
        replace(column, unit=None) if column.unit == "token" else column for column in view.columns))  # fmt: skip


def _sentence(whole: Mapping[str, Any]) -> str:
    """`1,204 calls of 3 models used 2.10 Mtoken and cost $3.40 (declared); 3 % of the calls have no price.`"""
    tokens, cost = whole["tokens"], cost_of(whole)
    told = f"{plural(whole['calls'], 'call')} of {plural(whole['models'], 'model')}"
    told += f" used {amount(tokens, 'token')}" if tokens is not None else " with no usage on record"
    told += f" and cost {in_words(cost, evidence(cost_parts(whole)))}" if cost.known else "; what they cost is unknown"
    if cost.known and whole["unpriced_calls"]:
        told += f"; {percent(whole['unpriced_calls'] / whole['calls'])} of the calls have no price"
    wasted = cost_of(whole, "wasted")
    if whole["wasted_attempts"]:
        told += f". {plural(whole['wasted_attempts'], 'attempt')} failed or were left"
        told += f", at a cost of {amount(wasted.mid, 'USD')}" if wasted.known else ""
    return f"{told}."


def _cut(rows: Sequence[Any], kept: Sequence[Any]) -> str:
    return "" if len(kept) == len(rows) else f" Of {len(rows):,} rows, the first {len(kept):,} are shown."


def _tiles(whole: Mapping[str, Any]) -> tuple[Tile, ...]:
    shares = evidence(cost_parts(whole))
    calls, unpriced = whole["calls"], whole["unpriced_calls"]
    attempts = (
        f"{plural(whole['attempts'], 'attempt')}, {whole['retries']:,} of them retries" if whole["retries"] else ""
    )
    return (
        Tile("Calls", exactly(calls, "call", "measured"), attempts,
             "Requests: one with all its attempts is one call."),
        Tile("Tokens", _tokens(whole), _in_and_out(whole), "What providers reported, cached and reasoning included."),
        Tile("API cost", cost_of(whole), ", ".join(shares) if len(shares) > 1 else "",
             "Tokens × the prices known when the call was ingested. Declared, because nobody has seen the bill."),
        Tile("Unpriced", _unpriced_share(whole), f"{unpriced:,} of {plural(calls, 'call')}" if unpriced else "",
             "Calls without a known price or usage: they are in no sum of money."),
    )  # fmt: skip


def _tokens(whole: Mapping[str, Any]) -> Any:
    if whole["tokens"] is None:
        return unknown("token", "no usage is on record")
    return exactly(whole["tokens"], "token", "modelled" if whole["estimated_tokens"] else "measured")


def _unpriced_share(whole: Mapping[str, Any]) -> Any:
    of_calls = share(whole["unpriced_calls"], whole["calls"])
    return unknown("%", "no call began in this time") if of_calls is None else exactly(of_calls, "%", "measured")


def _in_and_out(whole: Mapping[str, Any]) -> str:
    into, cached, out = (whole[f"{kind}_tokens"] for kind in ("input", "cache_read", "output"))
    of_it = f" ({percent(cached / into)} cached)" if cached and into else ""
    told = [f"{amount(into, 'token')} in{of_it}" if into else "", f"{amount(out, 'token')} out" if out else ""]
    return ", ".join(filter(None, told))


def _notes(whole: Mapping[str, Any]) -> tuple[str, ...]:
    notes: list[str] = []
    if whole["unpriced_calls"]:
        of_tokens = share(whole["unpriced_tokens"], whole["tokens"])
        tokens = f", {percent(of_tokens)} of the tokens," if of_tokens else ""
        why = f" ({whole['reason']}, for one)" if whole["reason"] else ""
        noun = plural(whole["unpriced_calls"], "call")
        notes.append(f"{noun}{tokens} without a price{why}: no sum of money has them in it.")
    if whole["estimated_tokens"]:
        notes.append(
            f"{capital(percent(whole['estimated_tokens'] / whole['tokens']))} of the tokens are estimated from the "
            "length of texts, four characters each, because no usage came; how far off that is, is not known."
        )
    return tuple(notes)


# Figures ----------------------------------------------------------------------------------------------------------


def _quantity(rows: Sequence[Mapping[str, Any]]) -> tuple[str, str, list[float | None]]:
    """What to draw: cost, or where nothing has a price, tokens."""
    costs = [row["cost_usd"].mid for row in rows]
    if any(cost is not None for cost in costs):
        return "API cost", "USD", costs
    return "Tokens", "token", [row["tokens"] for row in rows]


def _bars(rows: Sequence[Mapping[str, Any]], by: str) -> Figure | None:
    """The largest groups; those beyond stand together."""
    label, unit, values = _quantity(rows)
    known = [(_name(row, by, rows), value) for row, value in zip(rows, values, strict=True) if value is not None]
    if not known:
        return None
    shown, rest = known[:MOST_BARS], known[MOST_BARS:]
    if rest:
        shown.append((plural(len(rest), "other"), sum(value for _, value in rest)))
    names, mids = zip(*shown, strict=True)
    whole = sum(mids)
    told = "; ".join(f"{name} {amount(value, unit, scale_for(unit, max(mids)))}" for name, value in shown)
    most = f", {percent(mids[0] / whole)} of it by {names[0]}" if whole and len(shown) > 1 else ""
    title = f"{label} by {by.replace('-', ', ')}"
    return Figure("bars", title, unit, (Series(label, names, mids),), f"{title}{most}: {told}.")


def _name(row: Mapping[str, Any], by: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Of a group: its first key, where another one has the same all of them."""
    first, *others = GROUPS[by]
    told = [str(row[first] or NO_NAME)]
    if sum(other[first] == row[first] for other in rows) > 1:
        told += [str(row[key] or NO_NAME) for key in others]
    return " · ".join(told)


def _days(rows: Sequence[Mapping[str, Any]], period: Period) -> Figure | None:
    label, unit, values = _quantity(rows)
    by_day = {datetime(*row["day"].timetuple()[:3], tzinfo=UTC): value for row, value in zip(rows, values, strict=True)}
    known = {when: value for when, value in by_day.items() if value is not None}
    if not known:
        return None
    days = calendar(list(by_day), period)
    highest = max(known, key=lambda when: known[when])
    alt = f"{label} per day, highest on {day(highest)} with {amount(known[highest], unit)}."
    today = midnight(datetime.now(UTC))
    series = Series(label, tuple(days), tuple(by_day.get(when) for when in days))
    return Figure("days", f"{label} per day", unit, (series,), alt, today if days[-1] >= today else None)


# What is wrong ----------------------------------------------------------------------------------------------------

_TOKENS_SQL = "coalesce(c.input_tokens + c.output_tokens, c.input_tokens, c.output_tokens)"
_FAILURES_SQL = f"""
    select c.outcome, c.status, c.error, c.provider, count(*) as attempts, sum({_TOKENS_SQL}) as tokens,
           sum(c.cost_usd) as usd, bool_or(c.usage_method = 'modelled') as is_estimated,
           coalesce(min(c.cost_reason), min(c.usage_reason)) as reason
    from api_call c where $asked and c.outcome <> 'ok'
    group by 1, 2, 3, 4 order by attempts desc, 1, 2, 3, 4
"""


def _failures(ledger: Ledger, asked: Asked) -> View:
    """Attempts that gave nothing, or not all: how they ended, and what they took all the same."""
    found = ledger.rows(_FAILURES_SQL.replace("$asked", asked.condition), asked.params)
    rows = tuple(
        {
            **{key: row[key] for key in ("outcome", "status", "error", "provider", "attempts", "tokens")},
            "cost_usd": unknown("USD", row["reason"] or "no price is known")
            if row["usd"] is None
            else exactly(row["usd"], "USD", "modelled" if row["is_estimated"] else "declared"),
        }
        for row in found
    )
    columns = (
        Column("outcome", "Ended as", "state"), Column("status", "Status"), Column("error", "Error"),
        Column("provider", "Provider"), Column("attempts", "Attempts", "number"),
        Column("tokens", "Tokens", "number", "token"), Column("cost_usd", "API cost", "estimate", "USD"),
    )  # fmt: skip
    return View("failures", "Attempts that failed", columns=columns, rows=rows)


_UNPRICED_SQL = f"""
    select c.cost_reason as reason, c.provider, min(c.model) as model, count(distinct c.model) as models,
           count(*) as attempts, sum({_TOKENS_SQL}) as tokens
    from api_call c where $asked and c.basis = 'unpriced'
    group by 1, 2 order by tokens desc nulls last, attempts desc, 1, 2
"""


def _unpriced(ledger: Ledger, asked: Asked) -> View:
    """What has no price, and why."""
    columns = (
        Column("reason", "Why there is no price"), Column("provider", "Provider"), Column("model", "Model"),
        Column("attempts", "Attempts", "number"), Column("tokens", "Tokens", "number", "token"),
    )  # fmt: skip
    found = ledger.rows(_UNPRICED_SQL.replace("$asked", asked.condition), asked.params)
    rows = tuple(
        {key: row[key] for key in ("reason", "provider", "models", "attempts", "tokens")}
        | {"model": row["model"] if row["models"] < 2 else plural(row["models"], "model")}
        for row in found
    )
    return View("unpriced", "Without a price", columns=columns, rows=rows)
