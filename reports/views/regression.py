"""Whether newer runs of a name use more energy than those before them: both groups, and their ratio."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt
from typing import Any

from joulebook.accounting.budgets.regression import CONFIDENCE, Compared, Mean
from joulebook.reports.format import THIN, number
from joulebook.reports.view import Column, Tile, View
from joulebook.reports.views.common import capital, plural

COLUMNS = (
    Column("group", "Runs"),
    Column("runs", "Count", "number"),
    Column("energy", "IT energy, mean", "estimate"),
    Column("spread", "Run to run", "number", "%"),
    Column("first_at", "First, UTC", "time"),
    Column("last_at", "Last, UTC", "time"),
)
SAYS = {
    "regression": "uses more energy than before",
    "improvement": "uses less energy than before",
    "no regression": "uses no more energy than before",
    "cannot tell": "cannot be told apart from before",
}
RESTS_ON = {
    "welch": f"Interval: {CONFIDENCE:.0%} by Welch over the logarithms of the runs, with the range of the measurement.",
    "the spread of one group": f"Interval: {CONFIDENCE:.0%}. With one run in a group, the spread of the other stands "
    "for its own; the range of the measurement is in it.",
    "measurement": "One run on either side: nobody knows how far apart runs are, so their ranges alone decide. Record "
    "more runs of each to learn more.",
}


def regression(found: Compared) -> View:
    """What was compared, as a View."""
    return View(
        key="regression",
        title=f"Energy of {found.question.name}",
        subtitle=f"per {found.per} · threshold {number(found.question.threshold * 100)}{THIN}%",
        sentence=_sentence(found),
        tiles=(Tile("Candidate ÷ baseline", found.ratio, found.verdict),),
        columns=COLUMNS,
        rows=(_shown("baseline", found.baseline), _shown("candidate", found.candidate)),
        notes=tuple(remarks(found)),
    )


def _sentence(found: Compared) -> str:
    return f"{capital(found.verdict)}: {found.question.name} {SAYS[found.verdict]}{_told(found)}."


def _told(found: Compared) -> str:
    change = _change(found)
    return f" ({change})" if change else ""


def _change(found: Compared) -> str:
    """`+12 % (8 to 16 %) per step`."""
    if found.ratio.mid is None or found.ratio.low is None or found.ratio.high is None:
        return ""
    low, mid, high = (_signed((end - 1) * 100) for end in (found.ratio.low, found.ratio.mid, found.ratio.high))
    return f"{mid}{THIN}%, {low} to {high}{THIN}%, per {found.per}"


def _signed(percent: float) -> str:
    return f"{'−' if percent < 0 else '+'}{number(abs(percent))}"


def remarks(found: Compared) -> list[str]:
    """What must be known to read it right."""
    told = [RESTS_ON[found.basis]]
    if found.shares_factors:
        told.append("All ran on one machine with the same sensors: the factors that they share cancel in the ratio.")
    if found.left_out:
        told.append(f"{plural(found.left_out, 'run')} of this name left out: not finished, failed, or without energy.")
    return told


def _shown(name: str, group: Mean) -> dict[str, Any]:
    """The subtitle says per what: so its joules can be written as Wh."""
    return {**group_row(name, group), "energy": replace(group.energy, unit="J")}


def group_row(name: str, group: Mean) -> dict[str, Any]:
    """A group as a row, in the stable keys that joulebook check --regression --json has."""
    return {
        "group": name,
        "runs": len(group.runs),
        "energy": group.energy,
        "spread": None if group.variance is None else sqrt(group.variance),
        "first_at": group.runs[0].started_at,
        "last_at": group.runs[-1].started_at,
        "run_ids": [run.run_id for run in group.runs],
    }
