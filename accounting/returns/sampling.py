"""Draws of everything uncertain at once: what two amounts share is drawn once, so that they move together.

energy            of all runs: the house's rule, the errors of one site do not average out
    manufacture       of all hardware, in the same way; elsewhere: of all calls of model APIs, from engine to engine
KIND/PLACE        each factor of a place, through all its years: what was caused and what was avoided on one grid
CLAIM: PART       each claim's own units, benefit, rebound, share, persistence, …
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from joulebook.accounting.assess import impact_amounts
from joulebook.accounting.returns.recorded import Factors, Group
from joulebook.accounting.site import LEAST, Range
from joulebook.accounting.uncertainty import draws, spread, triangular, uniform
from joulebook.accounting.units import J_PER_KWH

Array = Any  # a NumPy array of draws; the formulas are typed for numbers and columns, and know no NumPy

ENERGY, MANUFACTURE, ELSEWHERE = OF_ALL = ("energy", "manufacture", "elsewhere")
CLAIM_PARTS = ("units", "benefit", "electricity", "marginal", "reference", "solution", "reference runs",
               "solution runs", "rebound", "share", "persistence")  # fmt: skip
# Beside the criteria: electricity at the meter on the ledger's own grid, and the carbon of it within gwp_g.
KWH, GRID_G = ON_GRID = ("kwh", "grid_g")
# criterion -> what the formulas of the ledger call it
_AMOUNTS = {"gwp_g": "carbon_g", "primary_energy_j": "primary_energy_j", "adpe_kgsb": "adpe_kgsb", "water_l": "water_l"}


def factor_names(told: Iterable[Factors]) -> list[str]:
    return sorted({name for each in told for name in each.names.values()})


def claim_names(claim_ids: Iterable[str]) -> list[str]:
    return [f"{claim_id}: {part}" for claim_id in claim_ids for part in CLAIM_PARTS]


@dataclass(frozen=True)
class Sample:
    """For each name its probability in each draw; a range becomes an array of values by its name."""

    probabilities: Mapping[str, Array]

    def of(self, name: str, values: Range, floor: float = 0.0) -> Array:
        """Low and high are P5 and P95."""
        return spread(values, floor)(self.probabilities[name])

    def within(self, name: str, values: Range | None) -> Array:
        """Low and high are bounds; of what nobody assessed it is anything from none to all, all alike."""
        dist = uniform(0.0, 1.0) if values is None else triangular(*values)
        return dist(self.probabilities[name])

    def factors(self, told: Factors) -> dict[str, Array]:
        """All factors of a stretch of time."""
        return {kind: self.of(told.names[kind], values, LEAST.get(kind, 0.0)) for kind, values in told.ranges.items()}

    def run_error(self, name: str, group: Group) -> Array:
        """What the mean over some runs is off by, from run to run, as a factor: Student's t. 1 for a single run."""
        from scipy import special

        degrees = float(max(1, group.runs - 1))
        return 1 + group.relative_error * special.stdtrit(degrees, self.probabilities[name])


def drawn(names: Sequence[str], n: int, seed: int) -> Sample:
    """The same names in the same order give the same draws: those of claims come last, so that they change no other.

    Raises InputError where `n` is no power of two, MissingExtra without NumPy and SciPy."""
    return Sample(draws({name: uniform(0.0, 1.0) for name in names}, n, seed))


def impacts(it_energy_j: Array, factors: Mapping[str, Array]) -> dict[str, Array]:
    """By criterion, and the electricity at the meter: the formulas of the ledger, on arrays."""
    formulas: Any = impact_amounts  # they are typed for floats and columns, and do no more than multiply and add
    amounts = formulas(it_energy_j, factors)
    found = {criterion: amounts[name] for criterion, name in _AMOUNTS.items() if name in amounts}
    return found | {KWH: amounts["facility_energy_j"] / J_PER_KWH, GRID_G: amounts["carbon_g"]}


def summed(parts: Iterable[Mapping[str, Array]]) -> dict[str, Array]:
    """The sum of some amounts, criterion by criterion; what a part does not have counts as nothing."""
    total: dict[str, Array] = {}
    for part in parts:
        for name, values in part.items():
            total[name] = total[name] + values if name in total else values
    return total


def summed_where_all_know(parts: Iterable[Mapping[str, Array]]) -> dict[str, Array]:
    """The same for what was caused: where one part does not know a criterion, nobody knows the sum."""
    told = list(parts)
    known = set[str].intersection(*(set(part) for part in told)) if told else set[str]()
    return {name: values for name, values in summed(told).items() if name in known}
