"""Which driver matters: one at a time, and with all at once.

    tornado   energy in 2030 with one driver at its low or high, or 10 % off, and all others as they are
    sobol     the part of the variance of the outcome that is a driver's own (S1), and with all it interacts in (ST)

A driver of growth is 10 % off in its yearly rate: 45 % a year becomes 49.5 %. Sobol's indices are those of independent
inputs, so the correlation of the drivers of growth is left out there. They come from `scipy.stats.sobol_indices`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from joulebook.models.projection.base import Base
from joulebook.models.projection.outcome import energy_index
from joulebook.models.projection.ramps import SPAN
from joulebook.models.projection.scenarios import Driver, Scenario
from joulebook.models.projection.walk import WAYS

if TYPE_CHECKING:
    from joulebook.accounting.uncertainty import Dist

STEP = 0.1
SOBOL_DRAWS = 16_384


class Swing(NamedTuple):
    """Energy in 2030 against the base year, with one driver changed; None where it has no range."""

    driver: str
    at_low: float | None
    at_high: float | None
    less: float  # 10 % less
    more: float


class Sobol(NamedTuple):
    """The part of a driver in the variance: of its own, and with its interactions."""

    driver: str
    first: float
    total: float


def tornado(base: Base, scenario: Scenario) -> list[Swing]:
    """Each driver of energy in turn, the widest first."""

    def index(name: str, value: float) -> float:
        return float(energy_index(base, scenario, {**scenario.central, name: value}))

    swings = [
        Swing(
            name,
            None if driver.fixed else index(name, driver.low),
            None if driver.fixed else index(name, driver.high),
            *(index(name, _changed(name, driver.value, 1 + step)) for step in (-STEP, STEP)),
        )
        for name, driver in _of_energy(base, scenario).items()
    ]
    return sorted(swings, key=lambda swing: -abs((swing.at_high or 0.0) - (swing.at_low or 0.0)))


def _of_energy(base: Base, scenario: Scenario) -> dict[str, Driver]:
    """The drivers that the energy of this portfolio goes with."""
    ways = {WAYS[kind] for kind, _ in base.cells}
    names = {name for way in ways for name in (way.growth, *way.more, *way.less)} | {"pue"}
    return {name: driver for name, driver in scenario.drivers.items() if name in names}


def _changed(name: str, value: float, by: float) -> float:
    """A driver so many times itself; one of growth, in its yearly rate."""
    if not name.endswith("_growth"):
        return value * by
    return (1 + (value ** (1 / SPAN) - 1) * by) ** SPAN


def sobol(base: Base, scenario: Scenario, draws: int = SOBOL_DRAWS, seed: int = 0) -> list[Sobol]:
    """Sobol's indices of the energy in 2030, the largest first; nothing where no driver of energy has a range."""
    dists = {name: driver.dist for name, driver in _of_energy(base, scenario).items() if not driver.fixed}

    def outcome(values: Mapping[str, Any]) -> Any:
        return energy_index(base, scenario, {**scenario.central, **values})

    return sorted(sobol_of(outcome, dists, draws, seed), key=lambda each: -each.total) if dists else []


@dataclass(frozen=True)
class _Input:
    """A distribution, as SciPy asks for it."""

    ppf: Callable[[Any], Any]


def sobol_of(
    function: Callable[[Mapping[str, Any]], Any], dists: Mapping[str, Dist], draws: int, seed: int
) -> list[Sobol]:
    """Sobol's indices of a function of independent inputs by name. `draws` is a power of two."""
    from scipy.stats import sobol_indices

    def by_name(points: Any) -> Any:
        return function(dict(zip(dists, points, strict=True)))

    inputs = [_Input(dist) for dist in dists.values()]
    found: Any = sobol_indices(func=by_name, n=draws, dists=inputs, rng=seed)
    told = zip(dists, found.first_order, found.total_order, strict=True)
    return [Sobol(name, float(first), float(total)) for name, first, total in told]
