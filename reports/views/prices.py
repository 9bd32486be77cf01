"""What a call costs, line by line; and what calls cost by the prices as of a day, beside what they cost at ingest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from joulebook.accounting.errors import InputError
from joulebook.accounting.estimates import Estimate, exactly, unknown
from joulebook.accounting.ledger import Ledger
from joulebook.accounting.prices import versions
from joulebook.accounting.prices.pricing import Chosen, price_calls
from joulebook.reports.format import moment, money
from joulebook.reports.view import Column, Tile, View
from joulebook.reports.views.common import Period, capital, naive, of_project, plural

METHOD = {"list": "declared", "contract": "declared", "fallback": "default"}  # of a cost, by what it is priced by
LINES = (
    Column("unit", "Unit"),
    Column("amount", "Amount", "number"),
    Column("usd_per_unit", "Price of one", "number", "USD"),
    Column("cost_usd", "Cost", "number", "USD"),
    Column("tier_start", "Above, input tokens", "number"),
    Column("basis", "By"),
    Column("source", "Source"),
)
UNPRICED = (Column("unit", "Unit"), Column("amount", "Amount", "number"), Column("reason", "Why it has no price"))
SUMS = (
    Column("calls", "Calls", "number"),
    Column("cost_at_ingest_usd", "At ingest", "number", "USD"),
    Column("cost_as_of_usd", "As of then", "number", "USD"),
    Column("difference_usd", "Difference", "number", "USD"),
    Column("unpriced_at_ingest", "Unpriced at ingest", "number"),
    Column("unpriced_as_of", "Unpriced as of then", "number"),
)
# What can be asked for, and how `api_call a` tells it.
GROUPS = {"model": "a.model", "provider": "a.provider", "project": "a.of_project", "host": "a.host",
          "source": "a.source", "day": "a.started_at_utc::date"}  # fmt: skip


def price(quoted: Mapping[str, Any]) -> View:
    """A quote: what a call costs, and of what."""
    who = " ".join(filter(None, (quoted["provider"], quoted["model"])))
    return View(
        key="price",
        title="What a call costs",
        subtitle=f"{who or 'unknown model'} · {moment(quoted['at'])} UTC · prices {quoted['price_version']}",
        sentence=_sentence(quoted),
        columns=LINES,
        rows=tuple(quoted["lines"]),
        tiles=(Tile("Cost", _cost(quoted)),),
        parts=_unpriced(quoted["unpriced"]),
        notes=tuple(quoted["notes"]),
    )


def _sentence(quoted: Mapping[str, Any]) -> str:
    return f"Nobody knows what this costs: {quoted['reason']}." if quoted["reason"] else ""


def _cost(quoted: Mapping[str, Any]) -> Estimate:
    if quoted["cost_usd"] is None:
        return unknown("USD", quoted["reason"])
    return exactly(quoted["cost_usd"], "USD", METHOD[quoted["basis"]])


def _unpriced(rows: Sequence[Mapping[str, Any]]) -> tuple[View, ...]:
    return (View("unpriced", "Without a price", columns=UNPRICED, rows=tuple(rows)),) if rows else ()


def reprice(ledger: Ledger, period: Period, as_of: date, by: str = "model", project: str | None = None) -> View:
    """What the calls of a period cost at ingest, and by the prices as of a day (UTC). Changes nothing.

    The prices are those of the version that was known at its end, and a later call is priced as on that day. Raises
    InputError for another `by`.
    """
    if by not in GROUPS:
        raise InputError(f"cannot sum calls by {by!r}: choose one of {', '.join(GROUPS)}")
    rows, version = _repriced(ledger, period, as_of, by, project)
    return View(
        key="reprice",
        title=f"Prices as of {as_of.day} {as_of:%b %Y}",
        subtitle=capital(period.label),
        sentence=_difference(rows),
        columns=(Column(by, capital(by)), *SUMS),
        rows=tuple(rows),
        notes=() if version is None else _what_as_of_means(version),
        empty=f"No call{of_project(project)} is on record for {period.label}.",
    )


def _repriced(
    ledger: Ledger, period: Period, as_of: date, by: str, project: str | None
) -> tuple[list[dict[str, Any]], versions.Version | None]:
    params = [naive(period.start), naive(period.end), *(() if project is None else (project,))]
    asked = _CHOSEN + ("" if project is None else " and a.of_project = ?")
    with ledger.reading() as con:
        version = versions.known_on(con, as_of)
        if version is None:
            return [], None
        price_calls(con, version, Chosen(f"c.call_no in (select call_no from api_call a where {asked})", params), as_of)
        sums = _SUMS.format(by=by, group=GROUPS[by])
        return con.sql(sums, params=[version.version_id]).to_arrow_table().to_pylist(), version


def _difference(rows: Sequence[Mapping[str, Any]]) -> str:
    """The sums over all groups: those of both columns are over the calls that have a price in it."""
    if not rows:
        return ""
    before, after = (
        sum(row[key] for row in rows if row[key] is not None) for key in ("cost_at_ingest_usd", "cost_as_of_usd")
    )
    calls = sum(row["calls"] for row in rows)
    return f"{plural(calls, 'call')}: {money(before)} at ingest, {money(after)} by the prices as of then."


def _what_as_of_means(version: versions.Version) -> tuple[str, ...]:
    return (
        f"Prices {version.version_id}: {', '.join(version.lists)}.",
        "Calls of a later day are priced as on that day. What they cost at ingest stays as it is.",
        "The difference is over calls that have a price both times.",
    )


_CHOSEN = "a.counted and a.started_at_utc >= ? and a.started_at_utc < ?"
# An attempt that is not billed costs nothing, and tells nothing of what those beside it cost.
_SUM = "coalesce(sum({0}) filter (a.basis <> 'not billed'), case when bool_and(a.basis = 'not billed') then 0.0 end)"
_SUMS = f"""
select {{group}} as {{by}}, count(distinct a.call_id) as calls,
       {_SUM.format("a.cost_usd")} as cost_at_ingest_usd, {_SUM.format("p.cost_usd")} as cost_as_of_usd,
       {_SUM.format("p.cost_usd - a.cost_usd")} as difference_usd,
       count(distinct a.call_id) filter (a.cost_usd is null) as unpriced_at_ingest,
       count(distinct a.call_id) filter (p.cost_usd is null) as unpriced_as_of,
       list_sort(list(distinct a.version_id)) as price_versions_at_ingest, ? as price_version_as_of
from priced_call p join api_call a on a.call_no = p.call_no
group by all order by cost_as_of_usd desc nulls last, {{by}}
"""
