"""A period at a glance: how much, which way, and who caused it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from joulebook.accounting.assess import Assessor
from joulebook.accounting.ledger import Ledger
from joulebook.reports.format import amount, day, mid_of, number, scale_for
from joulebook.reports.view import Figure, Series, View
from joulebook.reports.views.api_sums import in_period
from joulebook.reports.views.api_usage import api_section
from joulebook.reports.views.common import (
    ALL_TIME,
    LONGEST_CALENDAR_DAYS,
    Period,
    assess_period,
    at_once,
    calendar,
    capital,
    factor_uses,
    impact_cells,
    impact_tiles,
    in_words,
    midnight,
    naive,
    plural,
    project_filter,
    standing_notes,
    sum_of,
)
from joulebook.reports.views.quality import energy_rests_on, qualities, quality_notes
from joulebook.reports.views.summary import ALL, as_day, inside, nothing_found, summary, totals

MOST_BARS = 8


@at_once
def overview(ledger: Ledger, period: Period, project: str | None = None) -> View:
    """Energy, carbon, water and electricity cost of a period, by day and by project; what calls of model APIs cost."""
    assess = assess_period(ledger, period)
    found = totals(assess, period, None, project)
    counts = _counts(ledger, period, project)
    title = View("overview", "Overview", subtitle=f"{capital(period.label)} · location-based")
    calls = api_section(ledger, in_period(period, project), MOST_BARS)
    if not found:
        return replace(title, sentence=_unmeasured(counts), parts=calls, empty=nothing_found(period, project))
    total = found[0]
    good = qualities(assess, ALL, *inside(period, project))["all"]
    shares = energy_rests_on(good)
    caption = ", ".join(shares) if len(shares) > 1 else ""
    return replace(
        title,
        sentence=_sentence(total, shares, _against_before(assess, period, project, total), counts),
        tiles=impact_tiles(impact_cells(total), {"energy_j": caption}),
        parts=(by_day(ledger, period, project), by_project(ledger, period, project), *calls),
        notes=(*standing_notes(assess, found), *quality_notes(good)),
        factors=factor_uses(assess, found),
    )


def _counts(ledger: Ledger, period: Period, project: str | None) -> dict[str, Any]:
    condition, params = project_filter(project)
    return ledger.rows(
        f"""select count(*) as runs, count(*) filter (state = 'failed') as failed,
                   count(*) filter (state = 'lost') as lost, count(*) filter (state = 'running') as running
            from work where parent_id is null and started_at_utc >= ? and started_at_utc < ? {condition}""",
        (naive(period.start), naive(period.end), *params),
    )[0]


def _unmeasured(counts: dict[str, Any]) -> str:
    return f"{plural(counts['runs'], 'run')} on record, none with energy." if counts["runs"] else ""


def _sentence(total: dict[str, Any], shares: Sequence[str], against_before: str, counts: dict[str, Any]) -> str:
    cells = impact_cells(total)
    used = f"{plural(total['runs'], 'run')} used {in_words(cells['energy_j'], shares)}"
    parts = [f"{used} and caused {mid_of(cells['carbon_g'])} of CO₂e{against_before}."]
    trouble = [f"{counts[state]:,} {state}" for state in ("failed", "lost", "running") if counts[state]]
    if trouble:
        parts.append(f"Of the runs that began in this time, {', '.join(trouble)}.")
    return " ".join(parts)


def _against_before(assess: Assessor, period: Period, project: str | None, total: dict[str, Any]) -> str:
    """`, 12 % less than in the 30 days before`; nothing when there was nothing before."""
    length = period.end - period.start
    if period.start == ALL_TIME or length > timedelta(days=LONGEST_CALENDAR_DAYS):
        return ""
    before = Period(period.start - length, period.start, "")
    earlier = totals(assess_period(assess.ledger, before), before, None, project)
    if not earlier or not earlier[0]["carbon_g_mid"]:
        return ""
    change = total["carbon_g_mid"] / earlier[0]["carbon_g_mid"] - 1
    days, hours = round(length / timedelta(days=1)), round(length / timedelta(hours=1))
    when = f"in the {plural(days, 'day') if days > 1 else plural(hours, 'hour')} before"
    if abs(change) < 0.005:
        return f", as much as {when}"
    return f", {number(abs(change) * 100)} % {'more' if change > 0 else 'less'} than {when}"


def by_day(ledger: Ledger, period: Period, project: str | None = None) -> View:
    """Each day's impact; a day without runs is a gap, the day that is not over is marked."""
    view = summary(ledger, period, "day", project)
    if not view.rows:
        return replace(view, width="two-thirds")
    carbon = {as_day(row["day"]): row["carbon_g"] for row in view.rows}
    days = calendar(list(carbon), period)
    cells = [carbon.get(when) for when in days]
    series = Series(
        "Best estimate",
        tuple(days),
        tuple(cell.mid if cell else None for cell in cells),
        tuple(cell.low if cell else None for cell in cells),
        tuple(cell.high if cell else None for cell in cells),
    )
    highest = max(view.rows, key=lambda row: row["carbon_g"].mid or 0)
    alt = f"Carbon per day, highest on {day(as_day(highest['day']))} with {mid_of(highest['carbon_g'])}."
    today = midnight(datetime.now(UTC))
    figure = Figure("days", "Carbon per day", "g", (series,), alt, today if days[-1] >= today else None)
    return replace(view, title="Carbon per day", sentence="", figure=figure, notes=(), factors=(), width="two-thirds")


def by_project(ledger: Ledger, period: Period, project: str | None = None) -> View:
    """Who caused it, largest first; beyond eight the rest stand together."""
    view = summary(ledger, period, "project", project)
    rows = view.rows[:MOST_BARS]
    rest = view.rows[MOST_BARS:]
    names = [row["project"] for row in rows] + ([plural(len(rest), "other")] if rest else [])
    cells = [row["carbon_g"] for row in rows] + ([sum_of([row["carbon_g"] for row in rest])] if rest else [])
    mid, low, high = (tuple(getattr(cell, end) for cell in cells) for end in ("mid", "low", "high"))
    series = Series("Carbon", tuple(names), mid, low, high)
    scale = scale_for("g", max((cell.mid or 0 for cell in cells), default=None))
    alt = "; ".join(f"{name} {amount(cell.mid, 'g', scale)}" for name, cell in zip(names, cells, strict=True))
    figure = Figure("bars", "Carbon by project", "g", (series,), f"Carbon by project: {alt}.") if rows else None
    return replace(view, title="Carbon by project", sentence="", figure=figure, notes=(), factors=(), width="third")
