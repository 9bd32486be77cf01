"""What a use case caused, draw by draw: the operation of its runs, making their hardware, and its calls elsewhere.

Where one part of a sum does not know a criterion, nobody knows the sum. Making the hardware is the exception: where it
is not known C is without it, and that is said; only of minerals it is the greater part, so that they are unknown then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from joulebook.accounting.factors.hardware import CATEGORIES
from joulebook.accounting.held import NOTHING_NAMED
from joulebook.accounting.records import weakest
from joulebook.accounting.returns.manufacture import MOSTLY_MADE, Made
from joulebook.accounting.returns.recorded import Slice, UseCase
from joulebook.accounting.returns.sampling import (
    ELSEWHERE,
    ENERGY,
    MANUFACTURE,
    ON_GRID,
    Array,
    Sample,
    impacts,
    summed,
    summed_where_all_know,
)
from joulebook.accounting.site import Range


class Calls(NamedTuple):
    """What calls of model APIs caused at their providers in a year; a criterion that is not there is not known."""

    year: int
    first_day: date  # of all calls of the use case, also in other years
    last_day: date
    calls: int
    amounts: Mapping[str, Range]
    unknown: Mapping[str, str]  # why
    untold: int = 0  # calls that tell no tokens, so that nothing of them is counted
    is_upfront: bool = False


@dataclass(frozen=True)
class Cause:
    """A use case with all that it caused, before anything is drawn."""

    case: UseCase
    manufacture: Sequence[Made] = ()
    elsewhere: Sequence[Calls] = ()

    @property
    def years(self) -> list[int]:
        return sorted({each.year for each in (*self.case.slices, *self.elsewhere)})

    @property
    def calls(self) -> int:
        return sum(each.calls for each in self.elsewhere)

    @property
    def untold(self) -> int:
        return sum(each.untold for each in self.elsewhere)

    @property
    def method(self) -> str:
        methods = [each.method for each in self.case.slices]
        return weakest([*methods, *(["modelled"] if self.elsewhere else [])])

    @property
    def unmade(self) -> dict[str, str]:
        """The criteria in which nobody knows what making the hardware took, and why."""
        if self.case.slices and not self.manufacture:
            return dict.fromkeys(CATEGORIES, NOTHING_NAMED)
        return {name: why for each in self.manufacture for name, why in each.unknown.items()}

    @property
    def unknown(self) -> dict[str, str]:
        """The criteria in which nobody knows what was caused, and why."""
        mostly = "most of it lies in making the hardware, which is not known"
        told = {MOSTLY_MADE: mostly} if MOSTLY_MADE in self.unmade else {}
        return told | {name: why for each in self.elsewhere for name, why in each.unknown.items()}


Part = Slice | Made | Calls


def caused(cause: Cause, sample: Sample, wanted: Callable[[Part], bool]) -> dict[str, Array]:
    """What some parts of a use case caused, by criterion."""
    operation = [
        impacts(sample.of(ENERGY, each.it_energy_j), sample.factors(each.factors))
        for each in cause.case.slices
        if wanted(each)
    ]
    elsewhere = [_drawn(sample, ELSEWHERE, each.amounts) for each in cause.elsewhere if wanted(each)]
    off_grid = [each | dict.fromkeys(ON_GRID, 0.0) for each in elsewhere]
    making = summed(_drawn(sample, MANUFACTURE, each.amounts) for each in cause.manufacture if wanted(each))
    total = summed_where_all_know([*operation, *off_grid])
    return {name: amounts + making.get(name, 0.0) for name, amounts in total.items() if name not in cause.unknown}


def _drawn(sample: Sample, name: str, amounts: Mapping[str, Range]) -> dict[str, Array]:
    return {criterion: sample.of(name, values) for criterion, values in amounts.items()}
