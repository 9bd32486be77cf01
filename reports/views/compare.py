"""Compare: two periods, two runs or two models, amount by amount, with the range of the difference.

    Side (name, amounts by quantity, the factors behind them) × 2 ─> one row a quantity ─> what is sure, in words

Where the ranges of two numbers meet, they are not surely different, and it is said so. Where both sides rest on the
same factors, their ratio at the same ends of those is surer than the difference, and stands beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from joulebook.accounting.assess import CATEGORIES, estimate_of
from joulebook.accounting.estimates import Estimate, exactly, unknown
from joulebook.accounting.ledger import Ledger
from joulebook.reports.format import mid_of, number, span_of
from joulebook.reports.view import Column, FactorUse, Figure, Series, View
from joulebook.reports.views.api_sums import Asked, cost_of, in_period, in_run, sums, used
from joulebook.reports.views.common import (
    ALL_TIME,
    Period,
    assess_period,
    aware,
    capital,
    factor_uses,
    listed,
    naive,
    of_project,
    period_of,
    project_filter,
    standing_notes,
)
from joulebook.reports.views.difference import NOT_SURE, UNKNOWN, difference, likely, ratio, verdict
from joulebook.reports.views.run import find_run
from joulebook.reports.views.runs import RUNS_SQL
from joulebook.reports.views.summary import totals

# quantity -> its label; those of runs come from the assessment, those of calls from their sums
QUANTITIES = {
    "runs": "Runs",
    "duration_s": "Duration",
    "it_energy_j": "IT energy",
    "carbon_g": "Carbon, CO₂e",
    "water_l": "Water",
    "cost_usd": "Electricity cost",
    "calls": "API calls",
    "tokens": "API tokens",
    "api_cost_usd": "API cost",
    "energy_j_per_token": "IT energy per token",
    "energy_j_per_step": "IT energy per step",
    "cost_usd_per_1000_calls": "API cost per 1,000 calls",
    "input_tokens_per_call": "Input tokens per call",
    "output_tokens_per_call": "Output tokens per call",
    "duration_s_per_call": "Duration per call",
    "first_token_s_per_call": "Time to first token",
}
HEADLINES = ("carbon_g", "it_energy_j", "cost_usd_per_1000_calls", "duration_s_per_call", "api_cost_usd")
Z_95 = 1.959964  # 95 % of a normal distribution lie within so many standard errors
STANDING = (
    "The range of a difference goes from the least to the most that both ranges allow. Where they meet, the two are "
    "not surely different."
)
SHARED = (
    "Both sides rest on the same factors. Where those are wrong they are wrong on both, so the ratio at their low, mid "
    "and high is surer than the difference."
)


@dataclass(frozen=True)
class Side:
    """One of the two that are compared."""

    name: str
    amounts: Mapping[str, Estimate]
    factors: tuple[FactorUse, ...] = ()
    notes: tuple[str, ...] = field(default=())


def before(period: Period) -> Period:
    """The time of the same length before a period."""
    length = period.end - period.start
    return period_of(period.start - length, period.start)


def a_year_before(period: Period) -> Period:
    """The same days 52 weeks earlier, so that weekdays stand beside weekdays."""
    year = timedelta(weeks=52)
    return period_of(period.start - year, period.end - year)


def compare_periods(ledger: Ledger, period: Period, other: Period, project: str | None = None) -> View:
    """A period against another one. All time has none before it, and says so."""
    if period.start == ALL_TIME:
        return View("compare", "Compare", empty="All time has no time before it: choose a shorter period.")
    sides = (_of_period(ledger, other, project), _of_period(ledger, period, project))
    title = f"{capital(period.label)} against {other.label}"
    empty = f"Neither time has a run or a call{of_project(project)} on record."
    return _view(sides, title, "runs and calls, location-based, prices at ingest", empty)


def compare_runs(ledger: Ledger, first: str, second: str) -> View:
    """A run against another one. Raises NotFound where one of them is not in the ledger."""
    sides = (_of_run(ledger, first), _of_run(ledger, second))
    return _view(sides, "Two runs", "location-based, prices at ingest", "Nothing is known of either run.")


def compare_models(ledger: Ledger, period: Period, models: tuple[str, str], project: str | None = None) -> View:
    """What a call of one model took against a call of another, as means over the calls of a period."""
    asked = in_period(period, project)
    sides = (_of_model(ledger, asked, models[0]), _of_model(ledger, asked, models[1]))
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


# Sides ------------------------------------------------------------------------------------------------------------


def _of_period(ledger: Ledger, period: Period, project: str | None) -> Side:
    assess = assess_period(ledger, period)
    found = totals(assess, period, None, project)
    amounts = _impacts(found[0]) | {"runs": exactly(found[0]["runs"], "1", "measured")} if found else {}
    notes = standing_notes(assess, found) if found else ()
    return Side(period.label, amounts | _called(ledger, in_period(period, project)), factor_uses(assess, found), notes)


def _of_run(ledger: Ledger, run_id: str) -> Side:
    run_id = find_run(ledger, run_id)
    begun = ledger.rows("select started_at_utc, seen_until_utc from work where span_id = ?::uuid", (run_id,))[0]
    period = period_of(aware(begun["started_at_utc"]), aware(begun["seen_until_utc"] + timedelta(seconds=1)))
    assess = assess_period(ledger, period)
    facts = assess.rows(f"{RUNS_SQL} and w.span_id = ?::uuid", (run_id,))[0]
    amounts = _impacts(facts) | {"duration_s": exactly(facts["duration_s"], "s", "measured")}
    amounts |= _per_unit(ledger, run_id, amounts["it_energy_j"]) | _called(ledger, in_run(run_id))
    name = f"{facts['name']}, {facts['started_at_utc']:%d %b %H:%M}"
    return Side(name, amounts, factor_uses(assess, [facts]), standing_notes(assess, [facts]))


def _impacts(row: Mapping[str, Any]) -> dict[str, Estimate]:
    return {category: estimate_of(row, category) for category in CATEGORIES if category in QUANTITIES}


def _per_unit(ledger: Ledger, run_id: str, energy: Estimate) -> dict[str, Estimate]:
    """Energy per token and per step, as far as the job recorded them."""
    recorded = ledger.rows(
        "select unit, sum(amount) as amount from usage where run_id = ?::uuid and unit in ('token', 'step') group by 1",
        (run_id,),
    )
    return {
        f"energy_j_per_{row['unit']}": energy.scaled(1 / row["amount"], "J") for row in recorded if row["amount"] > 0
    }


def _called(ledger: Ledger, asked: Asked) -> dict[str, Estimate]:
    table = used(ledger, asked)
    if not table.num_rows:
        return {}
    (whole,) = sums(ledger, table)
    tokens = whole["tokens"]
    method = "modelled" if whole["estimated_tokens"] else "measured"
    return {
        "calls": exactly(whole["calls"], "call", "measured"),
        "tokens": unknown("token", "no usage is on record") if tokens is None else exactly(tokens, "token", method),
        "api_cost_usd": cost_of(whole),
    }


_MEANS = {
    "cost_usd_per_1000_calls": ("cost_usd * 1000", "USD", "declared"),
    "input_tokens_per_call": ("input_tokens", "token", "measured"),
    "output_tokens_per_call": ("output_tokens", "token", "measured"),
    "duration_s_per_call": ("duration_s", "s", "measured"),
    "first_token_s_per_call": ("first_token_s", "s", "measured"),
}
_MEANS_SQL = ", ".join(
    f"count({column}) as {name}_n, avg(({column})::double) as {name}, stddev_samp(({column})::double) as {name}_sd"
    for name, (column, _, _) in _MEANS.items()
)


def _of_model(ledger: Ledger, asked: Asked, model: str) -> Side:
    condition = f"{asked.condition} and c.model = ?"
    found = ledger.rows(
        f"select count(distinct call_id) as calls, {_MEANS_SQL} from api_call c "
        f"where {condition} and coalesce(c.outcome, 'ok') = 'ok'",
        (*asked.params, model),
    )[0]
    if not found["calls"]:
        return Side(model, {})
    means = {name: mean_of(found, name, unit, method) for name, (_, unit, method) in _MEANS.items()}
    return Side(model, {"calls": exactly(found["calls"], "call", "measured")} | means)


def mean_of(found: Mapping[str, Any], name: str, unit: str, method: str) -> Estimate:
    """A mean over calls with the 95 % interval that their number allows, never below zero; one call has no interval."""
    count, mean, spread = (found[f"{name}{end}"] for end in ("_n", "", "_sd"))
    if not count:
        return unknown(unit, "no call has it on record")
    if count < 2:
        return unknown(unit, "one call alone has no range")
    half = Z_95 * spread / count**0.5
    return Estimate(max(0.0, mean - half), mean, mean + half, unit, method)


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
    notes = (STANDING, *((SHARED,) if are_shared else ()), *dict.fromkeys((*first.notes, *second.notes)))
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
        "verdict": verdict(one, other),
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
    ends = [tuple(getattr(cell, end) for cell in cells) for end in ("mid", "low", "high")]
    alt = (
        f"{row['label']}: {'; '.join(f'{n} {mid_of(c)}' for n, c in zip(names, cells, strict=True))}; {row['verdict']}."
    )
    figure = Figure("bars", row["label"], cells[0].unit, (Series(row["label"], names, *ends),), alt)
    return View(f"compare_{row['quantity']}", row["label"], figure=figure, width=width)
