"""Explore: one measure of a period, split by what caused it, in days, weeks or months; and what is behind a part of it.

    Cut (measure, split, grain) ─> amounts of each step and part ─> stacked bars, the parts with their ranges
        (at, of)                ─> the runs behind one bar, or the calls, the largest first

What runs used is assessed by the hour in which it was used, so a run that goes over midnight is on both days.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

from joulebook.accounting.assess import SUMS_SQL, Assessor, estimate_of
from joulebook.accounting.estimates import Estimate, exactly, unknown
from joulebook.accounting.ledger import Ledger
from joulebook.reports.format import amount, day, mid_of
from joulebook.reports.view import Column, Figure, Series, View
from joulebook.reports.views.api_sums import cost_of, in_period, sums, used
from joulebook.reports.views.api_usage import nothing_called
from joulebook.reports.views.common import (
    Period,
    assess_period,
    at_once,
    capital,
    factor_uses,
    in_words,
    naive,
    percent,
    project_filter,
    standing_notes,
    sum_of,
)
from joulebook.reports.views.explore_behind import Parts, call_key, calls_behind, runs_behind
from joulebook.reports.views.explore_cut import (
    GRAINS,
    OTHERS,
    RUN_MEASURES,
    RUN_SPLITS,
    SPLITS,
    Cut,
    check,
    step_of,
    steps_of,
)
from joulebook.reports.views.summary import nothing_found

MOST_PARTS = 5  # each with its own hue; the others stand together


class Bar(NamedTuple):
    """The amount of one part in one step, and how many runs or calls there were."""

    at: datetime
    part: str
    amount: Estimate
    counted: int


@at_once
def explore(ledger: Ledger, period: Period, project: str | None = None, cut: Cut | None = None) -> View:
    """One measure of a period, cut as asked. Raises InputError for a cut that there is not."""
    cut = cut or Cut()
    check(cut)
    return _of_runs(ledger, period, project, cut) if cut.is_of_runs else _of_calls(ledger, period, project, cut)


def _of_runs(ledger: Ledger, period: Period, project: str | None, cut: Cut) -> View:
    assess = assess_period(ledger, period)
    found = _energy_rows(assess, period, project, cut)
    if not found:
        return _titled(period, "location-based", empty=nothing_found(period, project))
    category = RUN_MEASURES[cut.measure][1]
    bars = [Bar(_utc(row["step"]), row["part"], estimate_of(row, category), row["runs"]) for row in found]
    behind = runs_behind(assess, period, project, cut, _meant(cut, bars))
    view = _view(_titled(period, "location-based"), cut, bars, behind)
    return replace(view, notes=standing_notes(assess, found), factors=factor_uses(assess, found))


def _of_calls(ledger: Ledger, period: Period, project: str | None, cut: Cut) -> View:
    asked = in_period(period, project)
    table = used(ledger, asked)
    if not table.num_rows:
        return _titled(period, "prices at ingest", empty=nothing_called(period, project))
    cells = f"select *, date_trunc('{cut.grain}', day) as step, {call_key(cut)} as part from used"
    steps = ledger.query(cells, (), {"used": table})
    found = sums(ledger, steps, ("step", "part"))
    bars = sorted(Bar(_utc(row["step"]), row["part"], _amount_of_calls(row, cut), row["calls"]) for row in found)
    behind = calls_behind(ledger, asked, cut, _meant(cut, bars))
    return _view(_titled(period, "prices at ingest"), cut, bars, behind)


def _titled(period: Period, basis: str, empty: str = "") -> View:
    return View("explore", "Explore", subtitle=f"{capital(period.label)} · {basis}", empty=empty)


def _utc(when: Any) -> datetime:
    return datetime(when.year, when.month, when.day, tzinfo=UTC)


# Amounts ----------------------------------------------------------------------------------------------------------


def _energy_rows(assess: Assessor, period: Period, project: str | None, cut: Cut) -> list[dict[str, Any]]:
    condition, params = project_filter(project)
    return assess.rows(
        f"""select date_trunc('{cut.grain}', a.at_utc) as step, {RUN_SPLITS[cut.split]} as part,
                   count(distinct a.run_id) as runs, max(method_rank) as method_rank, list(distinct piece) as pieces,
                   sum(cpu_time_s) as cpu_time_s, sum(memory_gb_s) as memory_gb_s, {SUMS_SQL}
            from assessed a join work w on w.span_id = a.run_id
            where a.at_utc >= ? and a.at_utc < ? {condition}
            group by 1, 2 order by 1, 2""",
        (naive(period.start), naive(period.end), *params),
    )


def _amount_of_calls(row: Mapping[str, Any], cut: Cut) -> Estimate:
    if cut.measure == "api-cost":
        return cost_of(row)
    if cut.measure == "calls":
        return exactly(row["calls"], "call", "measured")
    if row["tokens"] is None:
        return unknown("token", "no usage is on record")
    return exactly(row["tokens"], "token", "modelled" if row["estimated_tokens"] else "measured")


def _by_part(bars: Iterable[Bar]) -> dict[str, list[Bar]]:
    """The bars of each part, the largest part first."""
    parts: dict[str, list[Bar]] = {}
    for bar in bars:
        parts.setdefault(bar.part, []).append(bar)
    return dict(sorted(parts.items(), key=lambda item: (-_size(item[1]), item[0])))


def _size(bars: Iterable[Bar]) -> float:
    return sum(bar.amount.mid or 0.0 for bar in bars)


def _meant(cut: Cut, bars: Sequence[Bar]) -> Parts | None:
    """The parts of the chosen bar; that of `OTHERS` is all but the largest."""
    if cut.of is None:
        return None
    return Parts(tuple(_drawn(_by_part(bars))), meant=False) if cut.of == OTHERS else Parts((cut.of,))


def _drawn(parts: Mapping[str, Sequence[Bar]]) -> list[str]:
    """The parts that have a hue of their own."""
    return list(parts)[:MOST_PARTS] if len(parts) > MOST_PARTS + 1 else list(parts)


# The View ---------------------------------------------------------------------------------------------------------


def _view(view: View, cut: Cut, bars: Sequence[Bar], behind: View) -> View:
    parts = _by_part(bars)
    whole = sum_of([bar.amount for bar in bars])
    rows = tuple({"at": bar.at, "part": bar.part, "amount": bar.amount, "count": bar.counted} for bar in bars)
    columns = (
        Column("at", f"{GRAINS[cut.grain]} from", "time"),
        *((Column("part", SPLITS[cut.split]),) if cut.split != "none" else ()),
        cut.column,
        Column("count", "Runs" if cut.is_of_runs else "Calls", "number"),
    )
    return replace(
        view,
        sentence=_sentence(cut, whole, parts),
        columns=columns,
        rows=rows,
        figure=_figure(cut, bars, parts),
        parts=(*((_totals(cut, whole, parts),) if len(parts) > 1 else ()), behind),
    )


def _sentence(cut: Cut, whole: Estimate, parts: Mapping[str, Sequence[Bar]]) -> str:
    told = f"{cut.label}: {in_words(whole)}."
    if cut.split == "none" or len(parts) < 2 or not whole.mid:
        return told
    first, size = next((name, _size(bars)) for name, bars in parts.items())
    return f"{told} {percent(size / whole.mid)} of it is {first}, the largest of {len(parts)}."


def _figure(cut: Cut, bars: Sequence[Bar], parts: Mapping[str, Sequence[Bar]]) -> Figure:
    steps = steps_of(cut.grain, [bar.at for bar in bars])
    kept = _drawn(parts)
    rest = [bar for name in parts if name not in kept for bar in parts[name]]
    series = [_series(name, parts[name], steps) for name in kept]
    series += [_series(OTHERS, rest, steps)] if rest else []
    highest = max(steps, key=lambda step: _size(bar for bar in bars if bar.at == step))
    most = amount(_size(bar for bar in bars if bar.at == highest), cut.column.unit or "")
    alt = f"{cut.label} per {cut.grain}, highest from {day(highest)} on with {most}."
    now = step_of(cut.grain, datetime.now(UTC))
    title = f"{cut.label} per {cut.grain}" + ("" if cut.split == "none" else f" by {SPLITS[cut.split].lower()}")
    return Figure("days", title, cut.column.unit or "", tuple(series), alt, now if steps[-1] >= now else None)


def _series(name: str, bars: Sequence[Bar], steps: Sequence[datetime]) -> Series:
    amounts = {step: sum_of([bar.amount for bar in bars if bar.at == step]) for step in {bar.at for bar in bars}}
    cells = [amounts.get(step) for step in steps]
    mid, low, high = (tuple(getattr(cell, end) if cell else None for cell in cells) for end in ("mid", "low", "high"))
    return Series(name, tuple(steps), mid, low, high)


def _totals(cut: Cut, whole: Estimate, parts: Mapping[str, Sequence[Bar]]) -> View:
    rows = tuple(
        {
            "part": name,
            "amount": sum_of([bar.amount for bar in bars]),
            "share": _size(bars) / whole.mid if whole.mid else None,
        }
        for name, bars in parts.items()
    )
    cells = [row["amount"] for row in rows]
    mid, low, high = (tuple(getattr(cell, end) for cell in cells) for end in ("mid", "low", "high"))
    series = Series(cut.label, tuple(parts), mid, low, high)
    told = "; ".join(f"{row['part']} {mid_of(row['amount'])}" for row in rows[:8])
    title = f"By {SPLITS[cut.split].lower()}"
    figure = Figure("bars", title, cut.column.unit or "", (series,), f"{cut.label} {title.lower()}: {told}.")
    columns = (Column("part", SPLITS[cut.split]), cut.column, Column("share", "Share", "number", "%"))
    return View("explore_parts", title, columns=columns, rows=rows, figure=figure)
