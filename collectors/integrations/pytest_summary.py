"""What the summary of pytest says of each test: its line in the table, and a sentence where it has a budget.

Only the plugin loads this, at the end of a session: it takes the `ledger` extra.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from joulebook.accounting.estimates import Estimate
from joulebook.collectors.integrations.energy import SpanEnergy, in_words, joules, span_energies, spread_of, summed

UNKNOWN = "–"


class Row(NamedTuple):
    """A test: its report, its budget, what it used, and why that is not told as a number where it is not."""

    report: Any
    budget_j: float | None
    energy: Estimate | None
    took_s: float | None
    note: str


def ask(home: Path, reports: Sequence[Any]) -> tuple[list[Row], str]:
    """The tests, the largest energy first, and in words what their sessions used. Raises as `span_energies`."""
    runs = {report.joulebook[0] for report in reports} - {None}
    spans = {report.joulebook[1] for report in reports} - {None}
    used = span_energies(home, [*runs, *spans])
    rows = [_row(report, used) for report in reports]
    rows.sort(key=lambda row: 1.0 if row.note or not row.energy else -(row.energy.mid or 0.0))
    return rows, in_words(summed([used[run].energy for run in runs if run in used]))


def _row(report: Any, used: Mapping[str, SpanEnergy]) -> Row:
    _, span_id, budget_j = report.joulebook
    found = used.get(span_id)
    if found is None:
        return Row(report, budget_j, None, None, "not recorded")
    return Row(report, budget_j, found.energy, found.duration_s, why_untold(found))


def why_untold(found: SpanEnergy) -> str:
    """Why the energy is not told as a number; empty where it is."""
    energy, duration_s, update_s = found
    if energy.mid is None:
        return energy.reason or "unknown"
    if duration_s is not None and duration_s < update_s:
        return f"shorter than the {update_s:g} s in which its slowest sensor renews its value"
    return "" if energy.mid > 0 else "no counter moved meanwhile"


def broken(row: Row) -> str:
    """How a test broke its budget: even the low end is above it. Empty where it did not."""
    if row.energy is None or not _is_above(row.energy.low, row.budget_j):
        return ""
    return f"used {in_words(row.energy)}, above its budget of {joules(row.budget_j or 0)}"


def warning(row: Row) -> str:
    """What else is to be said of a budget: it may be broken, or could not be checked."""
    if row.budget_j is None or broken(row):
        return ""
    if row.energy is None or not row.energy.high:
        return f"its budget could not be checked: {row.note}"
    if not _is_above(row.energy.high, row.budget_j):
        return ""
    return f"used {in_words(row.energy)}, perhaps above its budget of {joules(row.budget_j)}"


def _is_above(energy_j: float | None, budget_j: float | None) -> bool:
    return energy_j is not None and budget_j is not None and energy_j > budget_j


def table(rows: Sequence[Row]) -> list[str]:
    cells = [("IT energy", "range", "method", "took", "test"), *map(_cells, rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(4)]
    return ["  ".join([*(cell.rjust(widths[at]) for at, cell in enumerate(row[:4])), row[4]]) for row in cells]


def _cells(row: Row) -> tuple[str, ...]:
    if row.note or row.energy is None:
        return UNKNOWN, "", "", _took(row.took_s), f"{row.report.nodeid} ({row.note})"
    return joules(row.energy.mid or 0), spread_of(row.energy), row.energy.method, _took(row.took_s), row.report.nodeid


def _took(duration_s: float | None) -> str:
    if duration_s is None:
        return UNKNOWN
    return f"{duration_s:.3g} s" if duration_s >= 1 else f"{duration_s * 1000:.3g} ms"
