"""Compare: two periods, two runs or two models, amount by amount, with the range of the difference.

    Side (name, amounts by quantity, the factors behind them) × 2 ─> one row a quantity ─> what is sure, in words

Where the ranges of two numbers meet, they are not surely different, and it is said so. Where both sides rest on the
same factors, their ratio at the same ends of those is surer than the difference, and stands beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from joulebook.accounting.estimates import Estimate, exactly, unknown
from joulebook.accounting.ledger import Ledger
from joulebook.reports.format import mid_of, number, span_of
from joulebook.reports.view import Column, Figure, Series, View
from joulebook.reports.views.api_sums import in_period
from joulebook.reports.views.common import (
    ALL_TIME,
    Period,
    at_once,
    aware,
    capital,
    listed,
    naive,
    of_project,
    period_of,
    project_filter,
)
from joulebook.reports.views.compare_sides import ELSEWHERE, QUANTITIES, Side, of_model, of_period, of_run
from joulebook.reports.views.difference import NOT_SURE, UNKNOWN, difference, likely, ratio, verdict

HEADLINES = ("carbon_g", "it_energy_j", "cost_usd_per_1000_calls", "duration_s_per_call", "api_cost_usd")
STANDING = (
    "The range of a difference goes from the least to the most that both ranges allow. Where they meet, the two are "
    "not surely different."
)
SHARED = (
    "Both sides rest on the same factors. Where those are wrong they are wrong on both, so the ratio at their low, mid "
    "and high is surer than the difference."
)
GUESSED = "Elsewhere: from the lowest to the highest engine; no provider tells it, so no difference of it is sure."


def before(period: Period) -> Period:
    """The time of the same length before a period."""
    length = period.end - period.start
    return period_of(period.start - length, period.start)


def a_year_before(period: Period) -> Period:
    """The same days 52 weeks earlier, so that weekdays stand beside weekdays."""
    year = timedelta(weeks=52)
    return period_of(period.start - year, period.end - year)


@at_once
def compare_periods(ledger: Ledger, period: Period, other: Period, project: str | None = None) -> View:
    """A period against another one. All time has none before it, and says so."""
    if period.start == ALL_TIME:
        return View("compare", "Compare", empty="All time has no time before it: choose a shorter period.")
    sides = (of_period(ledger, other, project), of_period(ledger, period, project))
    title = f"{capital(period.label)} against {other.label}"
    empty = f"Neither time has a run or a call{of_project(project)} on record."
    return _view(sides, title, "runs and calls, location-based, prices at ingest", empty)


@at_once
def compare_runs(ledger: Ledger, first: str, second: str) -> View:
    """A run against another one. Raises NotFound where one of them is not in the ledger."""
    sides = (of_run(ledger, first), of_run(ledger, second))
    return _view(sides, "Two runs", "location-based, prices at ingest", "Nothing is known of either run.")


@at_once
def compare_models(ledger: Ledger, period: Period, models: tuple[str, str], project: str | None = None) -> View:
    """What a call of one model took against a call of another, as means over the calls of a period."""
    asked = in_period(period, project)
    sides = (of_model(ledger, asked, models[0]), of_model(ledger, asked, models[1]))
    empty = f"Neither {models[0]} nor {models[1]} was called in {period.label}."
    return _view(sides, "Two models", f"{capital(period.label)} · means over answered calls", empty)


def newest_runs(ledger: Ledger, period: Period, project: str | None, limit: int) -> list[dict[str, Any]]:
    """The runs of a period that can be compared, the newest first: `run_id`, `name`, `started_at`."""
    condition, params = project_filter(project)
    found = ledger.rows(
        f"""select span_id::varchar as run_id, name, started_at_utc from work
            where parent_id is null and started_at_utc >= ? and started_at_utc < ? {condition}
            order by started_at_utc desc, span_id limit {int(limit)}""",
        (naive(period.start), naive(period.end), *params),
    )
    return [row | {"started_at": aware(row["started_at_utc"])} for row in found]


def called_models(ledger: Ledger, period: Period, project: str | None) -> list[str]:
    """The models that were called in a period, the most called first."""
    asked = in_period(period, project)
    found = ledger.rows(
        f"""select model from api_call c where {asked.condition} and model is not null
            group by 1 order by count(*) desc, 1""",
        asked.params,
    )
    return [row["model"] for row in found]


# The View ---------------------------------------------------------------------------------------------------------


def _view(sides: tuple[Side, Side], title: str, basis: str, empty: str) -> View:
    first, second = sides
    are_shared = bool(first.factors) and first.factors == second.factors
    rows = tuple(
        _row(quantity, first.amounts.get(quantity), second.amounts.get(quantity), are_shared)
        for quantity in QUANTITIES
        if quantity in first.amounts or quantity in second.amounts
    )
    view = View("compare", "Compare", subtitle=f"{title} · {basis}", empty=empty)
    if not rows:
        return view
    columns = (
        Column("label", ""),
        Column("before", first.name, "estimate"),
        Column("after", second.name, "estimate"),
        Column("difference", "Difference", "estimate"),
        *((Column("ratio", "Ratio, same factors", "estimate", "1"),) if are_shared else ()),
        Column("verdict", "So it is", "state"),
        Column("method", "Evidence", "state"),
    )
    is_elsewhere = any(row["quantity"] in ELSEWHERE for row in rows)
    said = [note for note, holds in ((STANDING, True), (SHARED, are_shared), (GUESSED, is_elsewhere)) if holds]
    notes = (*said, *dict.fromkeys((*first.notes, *second.notes)))
    factors = tuple(dict.fromkeys((*first.factors, *second.factors)))
    return View(
        "compare", "Compare", _sentence(rows), f"{title} · {basis}", columns=columns, rows=rows,
        parts=tuple(_bars(sides, rows)), notes=notes, factors=factors,
    )  # fmt: skip


def _row(quantity: str, first: Estimate | None, second: Estimate | None, are_shared: bool) -> dict[str, Any]:
    unit = (first or second or exactly(0, "1", "measured")).unit
    one = first or unknown(unit, "nothing is on record")
    other = second or unknown(unit, "nothing is on record")
    return {
        "quantity": quantity,
        "label": QUANTITIES[quantity],
        "before": one,
        "after": other,
        "difference": (apart := difference(one, other)),
        "ratio": ratio(one, other) if are_shared else None,
        "verdict": NOT_SURE if quantity in ELSEWHERE and apart.known else verdict(one, other),
        "method": apart.method,
    }


def _sentence(rows: Sequence[Mapping[str, Any]]) -> str:
    """The headline in words, and of how many quantities a difference is sure."""
    row = next((row for name in HEADLINES for row in rows if row["quantity"] == name), rows[0])
    told = f"{row['label']}: {_in_words(row)}."
    surely = [r["label"] for r in rows if r["verdict"] in ("more", "less") and r is not row]
    return f"{told} Surely different: {listed(surely)}." if surely else told


def _in_words(row: Mapping[str, Any]) -> str:
    apart: Estimate = row["difference"]
    if row["verdict"] == UNKNOWN:
        return f"cannot be told, {apart.reason}"
    if row["verdict"] == "equal":
        return "equal"
    if row["verdict"] != NOT_SURE:
        most = Estimate(*sorted(abs(v) for v in (apart.low, apart.mid, apart.high)), apart.unit, apart.method)  # type: ignore[type-var]
        span = span_of(most)
        return f"{mid_of(most)} {row['verdict']}" + (f" (between {span})" if span else "")
    leaning = likely(row["ratio"]) if row["ratio"] else ""
    by = f"; with the same factors on both sides {number(row['ratio'].mid)} times as much" if leaning else ""
    return f"{mid_of(row['before'])} and {mid_of(row['after'])}, not surely different{by}"


def _bars(sides: tuple[Side, Side], rows: Sequence[Mapping[str, Any]]) -> list[View]:
    """The headlines as bars with their ranges, beside each other."""
    shown = [row for name in HEADLINES for row in rows if row["quantity"] == name and _is_drawn(row)][:2]
    return [_bar_view(sides, row, "half" if len(shown) == 2 else "full") for row in shown]


def _is_drawn(row: Mapping[str, Any]) -> bool:
    return bool(row["before"].known and row["after"].known)


def _bar_view(sides: tuple[Side, Side], row: Mapping[str, Any], width: Any) -> View:
    cells = [row["before"], row["after"]]
    names = tuple(side.name for side in sides)
    mid, low, high = (tuple(getattr(cell, end) for cell in cells) for end in ("mid", "low", "high"))
    alt = (
        f"{row['label']}: {'; '.join(f'{n} {mid_of(c)}' for n, c in zip(names, cells, strict=True))}; {row['verdict']}."
    )
    figure = Figure("bars", row["label"], cells[0].unit, (Series(row["label"], names, mid, low, high),), alt)
    return View(f"compare_{row['quantity']}", row["label"], figure=figure, width=width)
