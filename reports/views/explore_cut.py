"""How a period can be cut: the measures, by what each can be split, and the steps of the calendar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from joulebook.accounting.assess import CATEGORIES
from joulebook.accounting.errors import InputError
from joulebook.accounting.records import METHODS
from joulebook.reports.format import day
from joulebook.reports.view import Column
from joulebook.reports.views.common import midnight
from joulebook.reports.views.summary import GROUPS

# measure -> its label and, of what runs used, its category of the assessment
RUN_MEASURES = {
    "carbon": ("Carbon, CO₂e", "carbon_g"),
    "energy": ("IT energy", "it_energy_j"),
    "facility-energy": ("Facility energy", "facility_energy_j"),
    "water": ("Water", "water_l"),
    "electricity": ("Electricity cost", "cost_usd"),
}
CALL_MEASURES = {"api-cost": ("API cost", "USD"), "tokens": ("Tokens", "token"), "calls": ("API calls", "call")}
MEASURES = {name: label for name, (label, _) in (RUN_MEASURES | CALL_MEASURES).items()}
_EVIDENCE_SQL = " ".join(f"when {rank} then '{method}'" for rank, method in enumerate(METHODS))
RUN_SPLITS = {
    "project": GROUPS["project"],
    "name": GROUPS["name"],
    "host": GROUPS["host"],
    "evidence": f"case a.method_rank {_EVIDENCE_SQL} end",
    "sensor": "a.sensor",
    "none": "'all'",
}
CALL_SPLITS = {name: name for name in ("model", "provider", "project", "host", "source")} | {"none": "'all'"}
SPLITS = {
    "project": "Project", "name": "Name", "host": "Host", "evidence": "Evidence", "sensor": "Sensor",
    "model": "Model", "provider": "Provider", "source": "Observed by", "none": "Nothing",
}  # fmt: skip
GRAINS = {"day": "Day", "week": "Week", "month": "Month"}
OTHERS = "(others)"  # the part that is all small ones together


@dataclass(frozen=True)
class Cut:
    """How a period is cut: what is measured, by what it is split, how long a step is; and the bar that was chosen."""

    measure: str = "carbon"
    split: str = "project"
    grain: str = "day"
    at: datetime | None = None  # the beginning of the chosen step
    of: str | None = None  # the chosen part

    @property
    def label(self) -> str:
        return MEASURES[self.measure]

    @property
    def is_of_runs(self) -> bool:
        return self.measure in RUN_MEASURES

    @property
    def column(self) -> Column:
        unit = CATEGORIES[RUN_MEASURES[self.measure][1]][0] if self.is_of_runs else CALL_MEASURES[self.measure][1]
        return Column("amount", self.label, "estimate", unit)

    @property
    def chosen(self) -> str:
        """`search, 20 Nov 2026`: which bar is meant; empty where it is all of them."""
        when = "" if self.at is None else day(self.at) if self.grain == "day" else f"{self.grain} from {day(self.at)}"
        return ", ".join(text for text in (self.of, when) if text)


def splits_of(measure: str) -> tuple[str, ...]:
    """By what a measure can be split."""
    return tuple(RUN_SPLITS if measure in RUN_MEASURES else CALL_SPLITS)


def check(cut: Cut) -> None:
    """Raise InputError for a cut that there is not."""
    if cut.measure not in MEASURES:
        raise InputError(f"there is no measure {cut.measure!r}: choose one of {', '.join(MEASURES)}")
    if cut.split not in splits_of(cut.measure):
        raise InputError(f"{cut.measure} is not split by {cut.split!r}: by {', '.join(splits_of(cut.measure))}")
    if cut.grain not in GRAINS:
        raise InputError(f"there is no step {cut.grain!r}: choose one of {', '.join(GRAINS)}")


def step_of(grain: str, when: datetime) -> datetime:
    """The beginning of the day, week (from Monday) or month of a moment."""
    first = midnight(when)
    if grain == "week":
        return first - timedelta(days=first.weekday())
    return first.replace(day=1) if grain == "month" else first


def step_after(grain: str, step: datetime) -> datetime:
    """The beginning of the next one."""
    return step_of(grain, step + timedelta(days={"day": 1, "week": 7, "month": 31}[grain]))


def steps_of(grain: str, found: Sequence[datetime]) -> list[datetime]:
    """All steps from the first to the last with data."""
    steps, last = [min(found)], max(found)
    while steps[-1] < last:
        steps.append(step_after(grain, steps[-1]))
    return steps
