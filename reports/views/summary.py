"""Totals by project, day, name or host."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from joulebook.accounting.assess import SUMS_SQL, Assessor
from joulebook.accounting.errors import InputError
from joulebook.accounting.ledger import Ledger
from joulebook.reports.view import Column, View
from joulebook.reports.views.common import (
    IMPACT_COLUMNS,
    Period,
    assess_period,
    at_once,
    capital,
    factor_uses,
    impact_cells,
    naive,
    of_project,
    plural,
    project_filter,
    standing_notes,
)
from joulebook.reports.views.quality import TIER, TIER_NOTE, qualities, quality_cells

ALL = "'all'"
GROUPS = {
    "project": "coalesce(w.project, '(no project)')",
    "name": "w.name",
    "host": "w.host",
    "day": "strftime(a.at_utc, '%Y-%m-%d')",
}


def totals(assess: Assessor, period: Period, by: str | None, project: str | None = None) -> list[dict[str, Any]]:
    """Rows of `key`, `runs` and every category's low, mid and high, largest carbon first (days: in order)."""
    condition, params = inside(period, project)
    key = GROUPS[by] if by else ALL
    return assess.rows(
        f"""select {key} as key, count(distinct a.run_id) as runs, max(method_rank) as method_rank,
                   list(distinct piece) as pieces, {SUMS_SQL},
                   sum(cpu_time_s) as cpu_time_s, sum(memory_gb_s) as memory_gb_s
            from assessed a join work w on w.span_id = a.run_id
            where {condition}
            group by 1 order by {"1" if by == "day" else "carbon_g_mid desc nulls last, 1"}""",
        params,
    )


def inside(period: Period, project: str | None) -> tuple[str, tuple[Any, ...]]:
    """A condition on `assessed` a and `work` w, and its parameters."""
    condition, params = project_filter(project)
    return f"a.at_utc >= ? and a.at_utc < ? {condition}", (naive(period.start), naive(period.end), *params)


@at_once
def summary(ledger: Ledger, period: Period, by: str = "project", project: str | None = None) -> View:
    """What a period cost, by project, day, name or host. Raises InputError for another `by`."""
    if by not in GROUPS:
        raise InputError(f"cannot sum by {by!r}: choose one of {', '.join(GROUPS)}")
    assess = assess_period(ledger, period)
    found = totals(assess, period, by, project)
    good = qualities(assess, GROUPS[by], *inside(period, project))
    rows = tuple(
        {by: row["key"], "runs": row["runs"], **impact_cells(row), **quality_cells(good.get(row["key"]))}
        for row in found
    )
    return View(
        key=f"by_{by}",
        title=f"By {by}",
        subtitle=f"{capital(period.label)} · location-based",
        sentence=f"{plural(len(rows), by)} with recorded energy." if rows else "",
        columns=(Column(by, by.capitalize()), Column("runs", "Runs", "number"), *IMPACT_COLUMNS, TIER),
        rows=rows,
        notes=(*standing_notes(assess, found), TIER_NOTE) if rows else (),
        factors=factor_uses(assess, found),
        empty=nothing_found(period, project),
    )


def nothing_found(period: Period, project: str | None) -> str:
    looked = f"No energy of any run{of_project(project)} is on record for {period.label}."
    return f"{looked} Record one: joulebook run -- your command"


def as_day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
