"""What was used under one basis: its range two ways, what the range comes from, and how good the data is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from joulebook.accounting.assess import CATEGORIES
from joulebook.accounting.assessment import Assessment
from joulebook.accounting.basis import Kept
from joulebook.accounting.estimates import Estimate, exactly
from joulebook.accounting.lines import Run, Scope
from joulebook.accounting.quality import Quality
from joulebook.reports.format import day, mid_of, span_of, words
from joulebook.reports.view import Column, Figure, Series, View
from joulebook.reports.views.common import (
    IMPACT_COLUMNS,
    SHOWN,
    capital,
    evidence,
    impact_tiles,
    in_words,
    listed,
    of_project,
    period_of,
    plural,
    use_of,
)
from joulebook.reports.views.quality import TIER, basis_in_words, tiers_in_words

LABELS = {
    "it_energy_j": "IT energy",
    "facility_energy_j": "Facility energy",
    "carbon_g": "Carbon, CO₂e",
    "water_l": "Water",
    "cost_usd": "Electricity",
    "primary_energy_j": "Primary energy",
    "adpe_kgsb": "Minerals",
}
MOST_RUNS = 50
RUNS = (
    Column("name", "Name"),
    Column("project", "Project"),
    Column("started_at", "Started, UTC", "time"),
    *IMPACT_COLUMNS,
    TIER,
    Column("run_id", "Run", "run"),
)
RANGES = (
    Column("label", ""),
    Column("amount", "All low, all high", "estimate"),
    Column("drawn", "P5 – P95 of the draws", "estimate"),
    TIER,
    Column("rests_on", "Rests on"),
)
SETS = (
    Column("basis_id", "Basis"),
    Column("since", "In force from, UTC", "time"),
    Column("region", "Region"),
    Column("rows", "Factors", "number"),
)


def assessment(told: Assessment) -> View:
    """Totals of a scope under a basis, their range two ways and what it comes from, and the runs."""
    totals = {category: told.assessed.total(category) for category in CATEGORIES}
    cells = {key: totals[category] for key, category in SHOWN.items()}
    rows = _runs(told)
    return View(
        "assessment", "Assessment", _sentence(told, totals), subtitle=f"{scope_in_words(told.scope)} · location-based",
        tiles=impact_tiles(cells) if rows else (), columns=RANGES, rows=_ranges(told, totals),
        parts=tuple(part for part in (_swings(told, totals), _run_by_run(rows)) if part.rows),
        notes=tuple(_notes(told, len(rows))), factors=tuple(use_of(match) for _, match in told.matches()),
        empty=f"No energy of any run{of_project(told.scope.project)} is on record here.",
    )  # fmt: skip


def _sentence(told: Assessment, totals: Mapping[str, Estimate]) -> str:
    if not told.sampled:
        return ""
    shares = evidence(rests_on(told.quality["it_energy_j"]))
    used = f"{plural(len(told.lines.runs), 'run')} used {in_words(totals['it_energy_j'], shares)}"
    drawn = told.sampled["carbon_g"]
    return f"{used} and caused {mid_of(totals['carbon_g'])} of CO₂e; nine in ten draws lie in {span_of(drawn)}."


def rests_on(quality: Quality | None) -> Mapping[str, float]:
    return quality.rests_on if quality else {}


def _runs(told: Assessment) -> tuple[dict[str, Any], ...]:
    """Every run, the largest carbon first."""
    columns = {key: told.assessed.runs(category) for key, category in SHOWN.items()}
    qualities = told.run_quality("carbon_g")
    rows = [
        run_cells(run) | {key: cells[place] for key, cells in columns.items()} | {"tier": quality and quality.tier}
        for place, (run, quality) in enumerate(zip(told.lines.runs, qualities, strict=True))
    ]
    return tuple(sorted(rows, key=lambda row: (-(row["carbon_g"].mid or 0), row["run_id"])))


def run_cells(run: Run) -> dict[str, Any]:
    return {"run_id": run.run_id, "name": run.name, "project": run.project, "started_at": run.started_at}


def _run_by_run(rows: tuple[dict[str, Any], ...]) -> View:
    title = f"Run by run, the {MOST_RUNS} largest of {len(rows):,}" if len(rows) > MOST_RUNS else "Run by run"
    return View("runs", title, columns=RUNS, rows=rows[:MOST_RUNS])


def _ranges(told: Assessment, totals: Mapping[str, Estimate]) -> tuple[dict[str, Any], ...]:
    return tuple(
        {"label": LABELS[category], "amount": totals[category], "drawn": told.sampled[category],
         "tier": quality and quality.tier, "rests_on": listed(evidence(rests_on(quality)))}
        for category, quality in told.quality.items() if told.sampled
    )  # fmt: skip


def _swings(told: Assessment, totals: Mapping[str, Estimate]) -> View:
    """What each input alone does to the carbon."""
    moving = [swing for swing in told.swings if swing.low["carbon_g"] != swing.high["carbon_g"]]
    names = tuple(words(swing.name) for swing in moving)
    ends = (Series("at its low", names, tuple(swing.low["carbon_g"] for swing in moving)),
            Series("at its high", names, tuple(swing.high["carbon_g"] for swing in moving)))  # fmt: skip
    rows = tuple(
        {"input": name, "low": exactly(swing.low["carbon_g"], "g", "modelled"),
         "high": exactly(swing.high["carbon_g"], "g", "modelled")}
        for name, swing in zip(names, moving, strict=True)
    )  # fmt: skip
    title, base = "What the range of carbon comes from", totals["carbon_g"].mid
    alt = f"Most of the range comes from {listed(names[:2])}." if names else ""
    figure = Figure("tornado", title, "g", ends, alt, base=base) if names else None
    columns = (Column("input", "With only this at its end"), Column("low", "At its low", "estimate", "g"),
               Column("high", "At its high", "estimate", "g"))  # fmt: skip
    return View("swings", title, alt, columns=columns, rows=rows, figure=figure)


def _notes(told: Assessment, runs: int) -> Iterable[str]:
    if runs > MOST_RUNS:
        yield "All runs: joulebook assess --json"
    if told.sampled:
        yield (
            f"{told.drawing.n:,} draws, seed {told.drawing.seed}: low and high of each input are its P5 and P95; what "
            "runs share (a grid, a kind of sensor) is drawn once for all of them, different inputs independently."
        )
    quality = told.quality["carbon_g"] if told.sampled else None
    if quality:
        yield tiers_in_words(quality)
    yield "Own machines only. Calls of model APIs are estimated by several engines, and their spread: joulebook scopes."
    yield basis_in_words(told.basis)


def scope_in_words(scope: Scope) -> str:
    """`All time`, `1 Nov 2026 – 30 Nov 2026`, `until 30 Nov 2026`; with its project. Never the day of today."""
    if scope.until:
        told = period_of(scope.since, scope.until).label
    else:
        told = f"since {day(scope.since)}" if scope.since else "all time"
    return capital(told) + (f" · project {scope.project}" if scope.project else "")


def kept_bases(kept: Iterable[Kept]) -> View:
    """The bases that were in force in a home, newest first."""
    rows = tuple(each._asdict() for each in kept)
    sentence = f"{plural(len(rows), 'factor set')} in force so far, newest first." if rows else ""
    empty = "Nothing was assessed in this home yet: joulebook assess"
    return View("kept", "Factor sets that were used", sentence, columns=SETS, rows=rows, empty=empty)
