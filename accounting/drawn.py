"""The range of a total, from the ranges of what it is made of: drawn together, and moved one by one.

    inputs    each kind of factor is one, and so is what each kind of sensor may be wrong by
    drawn     all inputs at once, many times ─▶ P5, P50, P95
    swings    one input at its low and at its high, all others at their mid

In one draw a grid is equally far off for every run and every day, so that errors that runs share do not average out.
Inputs of different kinds are independent of each other; low and high of each are its P5 and P95. The low and high of a
total itself are wider: there everything is low, or high, at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import fsum
from typing import TYPE_CHECKING, Any, NamedTuple

from joulebook.accounting.assess import CATEGORIES, impact_amounts
from joulebook.accounting.in_force import ENDS, KINDS
from joulebook.accounting.lines import Lines, Source, impacts, it_energy_of, kinds_of, numpy
from joulebook.accounting.site import LEAST, Range
from joulebook.accounting.uncertainty import DRAWS, SEED, draws, spread, uniform

if TYPE_CHECKING:
    from joulebook.accounting.lines import Array

LOW, MID, HIGH = range(len(ENDS))


class Swing(NamedTuple):
    """A total with one input at its low and at its high, all others at their mid."""

    name: str
    low: Mapping[str, float]
    high: Mapping[str, float]


def inputs(lines: Lines, place: int = 0) -> list[str]:
    """The names of what has a range and is used: kinds of sensors, and kinds of factors (a new one comes last)."""
    ranged = [kind for kind in kinds_of(lines) if any(_is_wide(piece[place].range_of(kind)) for piece in lines.pieces)]
    low, _, high = lines.amounts[place]
    unsure = {source for number, source in enumerate(lines.sources) if (low < high)[lines.source == number].any()}
    return [*sorted({_reading_of(source) for source in unsure}), *ranged]


def _is_wide(values: Range) -> bool:
    return values[LOW] < values[HIGH]


def _reading_of(source: Source) -> str:
    return f"reading of {source.sensor}"


# All at once ------------------------------------------------------------------------------------------------------


def drawn(lines: Lines, place: int = 0, n: int = DRAWS, seed: int = SEED) -> dict[str, Array]:
    """`n` draws of the total of each category, under the basis at a place."""
    np = numpy()
    ranks = draws({name: uniform(0, 1) for name in inputs(lines, place)}, n, seed)
    totals = {category: np.zeros(n) for category in CATEGORIES}
    known: dict[tuple[str, Range], Any] = {}
    for piece, amounts in zip(lines.pieces, _amounts_in(lines, place), strict=bool(lines.sources)):
        if not any(map(any, amounts)):
            continue  # an hour in which nothing ran
        factors = {kind: _value(kind, piece[place].range_of(kind), ranks, known) for kind in KINDS}
        energy = np.zeros(n)
        for source, amount in zip(lines.sources, amounts, strict=True):
            energy += it_energy_of(source, _value(_reading_of(source), amount, ranks, {}), factors)
        for category, values in impact_amounts(energy, factors).items():
            totals[category] += values
    return totals


def _value(name: str, values: Range, ranks: Mapping[str, Array], known: dict[tuple[str, Range], Any]) -> Any:
    """The value of an input in each draw, or the one that it has where it has no range or does not matter."""
    if not _is_wide(values) or name not in ranks:
        return values[MID]
    if (name, values) not in known:
        known[name, values] = spread(values, LEAST.get(name, 0.0))(ranks[name])
    return known[name, values]


def _amounts_in(lines: Lines, place: int) -> list[list[Range]]:
    """What all runs together used in each piece of time, of each source."""
    pieces, sources = len(lines.pieces), len(lines.sources)
    cell = lines.piece * sources + lines.source
    ends = [numpy().bincount(cell, weights=end, minlength=pieces * sources) for end in lines.amounts[place]]
    ranges = list(zip(*(end.tolist() for end in ends), strict=True))
    return [ranges[first : first + sources] for first in range(0, pieces * sources, sources)] if sources else []


# One by one -------------------------------------------------------------------------------------------------------


def swings(lines: Lines, place: int = 0) -> list[Swing]:
    """What each input alone does to the totals, the widest in carbon first."""
    found = [Swing(name, _moved(lines, place, name, LOW), _moved(lines, place, name, HIGH))
             for name in inputs(lines, place)]  # fmt: skip
    return sorted(found, key=lambda swing: (swing.low["carbon_g"] - swing.high["carbon_g"], swing.name))


def _moved(lines: Lines, place: int, name: str, end: int) -> dict[str, float]:
    np = numpy()
    factors = {kind: lines.range_of(kind, place, end if kind == name else MID) for kind in KINDS}
    of_reading = np.array([_reading_of(source) == name for source in lines.sources])[lines.source]
    amounts = np.where(of_reading, lines.amounts[place][end], lines.amounts[place][MID])
    return {category: fsum(values) for category, values in impacts(lines, amounts, factors).items()}
