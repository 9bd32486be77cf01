"""A projection: the walk at the central value of every driver, and at draws of those that have a range.

    scenario, spread of the base ──▶ what is uncertain ──draws──▶ walk ──▶ P5, P50, P95 of each year
                                     central values ───────────▶ walk ──▶ index, 1 in the base year

Draws are Sobol's points with a seed (`accounting.uncertainty`). Growth of agents and of other generative use go
together, and so do the electricity's carbon and primary energy. A number of draws that is no power of two is raised to
the next, which Sobol's points need. `stress` tells where an outcome lies among those of the `intermediate` scenario.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from joulebook.accounting.errors import InputError, NotFound
from joulebook.accounting.estimates import Estimate, unknown
from joulebook.accounting.site import Range
from joulebook.accounting.uncertainty import DRAWS, draws, quantiles, sampled, spread
from joulebook.models.projection.base import Base
from joulebook.models.projection.engines import CATEGORIES
from joulebook.models.projection.ramps import LAST_YEAR, REFERENCE_YEAR, TARGET_YEAR, Number
from joulebook.models.projection.scenarios import PRESETS, STRESS, Scenario, preset
from joulebook.models.projection.walk import Amounts, walk

if TYPE_CHECKING:
    from joulebook.accounting.uncertainty import Input

UNITS = {"energy": "Wh", "gwp": "g", "water": "L", "primary_energy": "J", "adpe": "kgSb"}
MOST_DRAWS = 2**20
AT_A_TIME = 2**14  # draws: what a core has close at hand
Drawn = dict[str, Any]  # a category's draws, or one number


@dataclass(frozen=True)
class Year:
    """A year. `amounts`: P5, P50, P95; `central`: at the central drivers, which `index` goes by; `charged` and
    `bought`: manufacture, central, over the life of the hardware and when it is bought.

    By category; None where a category is not known.
    """

    year: int
    amounts: Mapping[str, Estimate]
    central: Mapping[str, float | None]
    index: Mapping[str, float | None]
    index_range: Mapping[str, Range | None]
    charged: Mapping[str, float]
    bought: Mapping[str, float]


@dataclass(frozen=True)
class Stress:
    """Where the energy of `scenario` in 2030 lies among the outcomes of `among`."""

    scenario: str
    among: str
    index: float
    percentile: float
    reference: Range


@dataclass(frozen=True)
class Projection:
    """A base year carried along a scenario. `uncertain`: what was drawn."""

    base: Base
    scenario: Scenario
    years: tuple[Year, ...]
    draws: int
    seed: int
    uncertain: tuple[str, ...]
    stress: Stress


@dataclass(frozen=True)
class Sampling:
    """How many draws, from which seed."""

    draws: int = DRAWS
    seed: int = 0


def project(base: Base, scenario: Scenario, until: int = TARGET_YEAR, sampling: Sampling | None = None) -> Projection:
    """A base year carried along a scenario. Raises NotFound where its engine knows nothing of the portfolio."""
    years, asked = years_of(base, until), sampling or Sampling()
    if not base.known:
        raise NotFound(f"{base.engine.name} says nothing of {base.portfolio.name}: {base.why_unknown}")
    inputs = uncertain(base, scenario)
    count = _power_of_two(asked.draws)
    central = list(walk(base, scenario, years, scenario.central))
    drawn = outcomes(base, scenario, years, sample(inputs, scenario, count, asked.seed))
    told = tuple(_told(base, central, drawn))
    return Projection(base, scenario, told, count, asked.seed, tuple(inputs), stress(base, scenario, asked.seed))


def years_of(base: Base, until: int) -> range:
    first = base.portfolio.base_year
    if not REFERENCE_YEAR <= first < TARGET_YEAR:
        raise InputError(f"these scenarios begin from {REFERENCE_YEAR} to {TARGET_YEAR - 1}, not in {first}")
    if not first < until <= LAST_YEAR:
        raise InputError(f"the last year must be after the base year {first} and not after {LAST_YEAR}, not {until}")
    return range(first, until + 1)


def _power_of_two(asked: int) -> int:
    if not 2 <= asked <= MOST_DRAWS:
        raise InputError(f"the number of draws must be from 2 to {MOST_DRAWS:,}, not {asked:,}")
    return 1 << (asked - 1).bit_length()


# What is uncertain ------------------------------------------------------------------------------------------------


def uncertain(base: Base, scenario: Scenario) -> dict[str, Input]:
    """The drivers with a range, and how far off the base year may be."""
    found: dict[str, Input] = {name: driver.dist for name, driver in scenario.drivers.items() if not driver.fixed}
    return found | {name: spread(values) for name, values in base.spread.items() if values[0] < values[2]}


def sample(inputs: Mapping[str, Input], scenario: Scenario, count: int, seed: int) -> dict[str, Number]:
    """A value of every driver for each draw; one value of those that are fixed."""
    together = {
        ("agents_growth", "genai_growth"): scenario.drivers["growth_correlation"].value,
        ("grid_carbon", "grid_primary_energy"): 1.0,
    }
    held = {pair: rho for pair, rho in together.items() if rho and set(pair) <= set(inputs)}
    return {**scenario.central, **draws(inputs, count, seed, held or None)}


def outcomes(base: Base, scenario: Scenario, years: Sequence[int], values: Mapping[str, Number]) -> list[Drawn]:
    """The walk at all draws: as many at a time as stay in the cache. Of each year each category; None: not known."""
    import numpy as np

    drawn = {name for name, value in values.items() if hasattr(value, "shape")}
    count = max((len(values[name]) for name in drawn), default=1)
    pieces: list[list[Drawn]] = []
    for start in range(0, count, AT_A_TIME):
        piece = {name: value[start : start + AT_A_TIME] if name in drawn else value for name, value in values.items()}
        pieces.append([_by_category(year) for year in walk(base, scenario, years, piece)])
    return [
        {name: _joined(np, [each[name] for each in same_year]) for name in same_year[0]}
        for same_year in zip(*pieces, strict=True)
    ]


def _joined(np: Any, parts: Sequence[Number]) -> Number:
    """The draws of a year, one after the other; what no draw changes is one number."""
    return np.concatenate(parts) if hasattr(parts[0], "shape") else parts[0]


def stress(base: Base, scenario: Scenario, seed: int) -> Stress:
    """Where the energy of this scenario lies among those of the intermediate one; for that itself, the high one's."""
    judged = preset(STRESS, scenario.inputs) if scenario.name == PRESETS[0] else scenario
    reference = preset(PRESETS[0], scenario.inputs)
    inputs: dict[str, Input] = {name: each.dist for name, each in reference.drivers.items() if not each.fixed}
    among = energy_index(base, reference, sample(inputs, reference, DRAWS, seed))
    index = float(energy_index(base, judged, judged.central))
    return Stress(judged.name, reference.name, index, float((among <= index).mean()), quantiles(among))


def energy_index(base: Base, scenario: Scenario, values: Mapping[str, Number], year: int = TARGET_YEAR) -> Any:
    """Energy of a year against the base year."""
    years = range(base.portfolio.base_year, year + 1)
    path = list(walk(base, scenario, years, values))
    return path[-1].energy / path[0].energy


# What comes out ---------------------------------------------------------------------------------------------------


def _told(base: Base, central: Sequence[Amounts], drawn: Sequence[Drawn]) -> Iterator[Year]:
    start = _by_category(central[0])
    for mid, outcome in zip(central, drawn, strict=True):
        known = _by_category(mid)
        amounts = {name: _estimate(base, name, value) for name, value in outcome.items()}
        yield Year(
            mid.year, amounts, known,
            {name: _over(value, start[name]) for name, value in known.items()},
            {name: _index_range(amounts[name], value, drawn[0][name]) for name, value in outcome.items()},
            dict(mid.charged), dict(mid.bought),
        )  # fmt: skip


def _by_category(year: Amounts) -> Drawn:
    impacts: Drawn = {name: year.impacts.get(name) for name in CATEGORIES}
    return {"energy": year.energy, **impacts}


def unit_of(base: Base, category: str) -> str:
    return base.engine.water_unit if category == "water" else UNITS[category]


def _estimate(base: Base, category: str, value: Number) -> Estimate:
    unit = unit_of(base, category)
    return unknown(unit, base.missing[category]) if value is None else sampled(value, unit, base.projected_method)


def _over(value: float | None, first: float | None) -> float | None:
    return None if value is None or not first else value / first


def _index_range(amount: Estimate, value: Number, first: Number) -> Range | None:
    """Draw by draw, over what the same draw has in the base year."""
    if value is None:
        return None
    if hasattr(first, "shape"):
        return quantiles(value / first)
    return amount.low / first, amount.mid / first, amount.high / first
