"""The runs of a period, one row each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from joulebook.accounting.assess import SUMS_SQL
from joulebook.accounting.ledger import Ledger
from joulebook.reports.view import Column, View
from joulebook.reports.views.common import (
    IMPACT_COLUMNS,
    Period,
    assess_period,
    at_once,
    aware,
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

COLUMNS = (
    Column("name", "Name"),
    Column("project", "Project"),
    Column("state", "State", "state"),
    Column("started_at", "Started, UTC", "time"),
    Column("duration_s", "Duration", "duration", "s"),
    *IMPACT_COLUMNS,
    TIER,
    Column("host", "Host"),
    Column("run_id", "Run", "run"),
)

RUNS_SQL = f"""
    select w.span_id as run_id, w.name, w.project, w.host, w.tags, w.started_at_utc, w.ended_at_utc, w.seen_until_utc,
           coalesce((w.end_mono_ns - w.start_mono_ns) / 1e9,
                    epoch_us(w.seen_until_utc - w.started_at_utc) / 1e6) as duration_s,
           w.ok, w.state, w.error, w.exit_code, w.lost_events, w.command, w.cpu_model, w.cpus, s.*
    from work w
    left join (select run_id as sum_run_id, max(method_rank) as method_rank, list(distinct piece) as pieces, {SUMS_SQL},
                      max(method_rank) filter (where device_energy_j_mid is not null) as device_method_rank,
                      sum(cpu_time_s) as cpu_time_s, sum(memory_gb_s) as memory_gb_s
               from assessed group by run_id) s on s.sum_run_id = w.span_id
    where w.parent_id is null
"""


@at_once
def runs(ledger: Ledger, period: Period, project: str | None = None, limit: int | None = None) -> View:
    """The runs that began in a period, newest first; all of them, or the newest `limit`."""
    assess = assess_period(ledger, period)
    condition, params = project_filter(project)
    found = assess.rows(
        f"""{RUNS_SQL} and w.started_at_utc >= ? and w.started_at_utc < ? {condition}
            order by w.started_at_utc desc, w.span_id""",
        (naive(period.start), naive(period.end), *params),
    )
    kept = found[:limit]
    gaps = gaps_of(ledger, kept)
    good = qualities(assess, "a.run_id")
    rows = tuple(run_row(row, gaps[row["run_id"]]) | quality_cells(good.get(row["run_id"])) for row in kept)
    return View(
        key="runs",
        title="Runs",
        subtitle=f"{capital(period.label)} · location-based",
        sentence=_sentence(found, kept),
        columns=COLUMNS,
        rows=rows,
        notes=(*standing_notes(assess, kept), TIER_NOTE) if rows else (),
        factors=factor_uses(assess, kept),
        empty=f"No run{of_project(project)} is on record for {period.label}. Record one: joulebook run -- your command",
    )


def _sentence(found: Sequence[Any], kept: Sequence[Any]) -> str:
    if not found:
        return ""
    return f"{plural(len(found), 'run')}" + ("." if len(kept) == len(found) else f", the newest {len(kept)} shown.")


def run_row(row: Mapping[str, Any], gaps: list[dict[str, Any]]) -> dict[str, Any]:
    """One run as a table row, in the stable keys that joulebook runs --json has."""
    return {
        "run_id": row["run_id"],
        "name": row["name"],
        "project": row["project"],
        "host": row["host"],
        "started_at": aware(row["started_at_utc"]),
        "ended_at": aware(row["ended_at_utc"]),
        "duration_s": row["duration_s"],
        "ok": row["ok"],
        "state": row["state"],
        "error": row["error"],
        **impact_cells(row),
        "gaps": gaps,
    }


def gaps_of(ledger: Ledger, rows: Sequence[Mapping[str, Any]]) -> defaultdict[str, list[dict[str, Any]]]:
    """What is missing of each run, and why: what was noted, and what can be told from how it ended."""
    noted: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for gap in ledger.rows(_GAPS_SQL):
        noted[gap["run_id"]].append(
            {
                "reason": gap["reason"],
                "sensor": gap["sensor"],
                "from": aware(gap["from_utc"]),
                "to": aware(gap["to_utc"]),
                "amount": gap["amount"],
            }
        )
    for row in rows:
        if row["state"] == "lost":
            noted[row["run_id"]].append(
                {
                    "reason": "ended without a word",
                    "sensor": None,
                    "from": aware(row["seen_until_utc"]),
                    "to": None,
                    "amount": None,
                }
            )
    return noted


# A gap of a process belongs to the runs that were open in it at the time.
_GAPS_SQL = """
    select w.span_id as run_id, g.reason, g.sensor, g.from_utc, g.to_utc, g.amount
    from gap g join work w on w.process_id = g.process_id and w.parent_id is null
    where (g.run_id is not null and g.run_id = w.run_id)
       or (g.run_id is null and g.noted_at_utc >= w.started_at_utc and g.noted_at_utc <= w.seen_until_utc)
    order by g.noted_at_utc, g.seq
"""
