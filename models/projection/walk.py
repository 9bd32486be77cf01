"""From year to year: what the requests of a portfolio take along a scenario.

    energy of a kind = base year's × use × size^elasticity × output × calls ÷ (hardware × quantisation × serving)
    impact of a year = Σ kinds and regions: grid part × energy × PUE × grid + site part × energy × WUE, + manufacture
    manufacture      = base year's × hardware of all vintages that are charged to the year

Everything after the base year is against the base year. One year is worked out after the other, for a number or for an
array of draws of each driver.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from typing import NamedTuple

from joulebook.models.projection.base import Base
from joulebook.models.projection.engines import CATEGORIES, Part
from joulebook.models.projection.ramps import Number, compound, linear, logistic
from joulebook.models.projection.scenarios import Scenario
from joulebook.models.projection.vintages import Made, manufacture


class Way(NamedTuple):
    """What the IT energy of a kind of use goes with: the driver of its use, those for more, and those for less."""

    growth: str
    more: tuple[str, ...] = ()
    less: tuple[str, ...] = ("hardware",)


_GAINS = ("hardware", "quantisation", "serving")
_ANSWERS = Way("genai_growth", ("model_size", "output_tokens"), _GAINS)
WAYS: Mapping[str, Way] = {
    "chat": _ANSWERS,
    "rag": _ANSWERS,
    "agents": Way("agents_growth", ("model_size", "output_tokens", "calls_per_workflow"), _GAINS),
    "job": Way("genai_growth", ("model_size",), _GAINS),
    "cv": Way("cv_growth"),
    "nlp": Way("nlp_growth"),
    "tabular": Way("tabular_growth"),
}
GRIDS = {"gwp": "grid_carbon", "water": "grid_water", "primary_energy": "grid_primary_energy", "adpe": "grid_adpe"}
Values = Mapping[str, Number]  # of drivers, and of how far off the base is, by name
Cells = Mapping[tuple[Way, str], Mapping[Part, float]]  # by way and region


class Amounts(NamedTuple):
    """One year: facility energy (Wh), each category in its unit, and manufacture: charged over the life, and bought."""

    year: int
    energy: Number
    impacts: Mapping[str, Number]
    charged: Mapping[str, Number]
    bought: Mapping[str, Number]


class Pace(NamedTuple):
    """How everything moves, year by year, against the base year."""

    it_energy: Mapping[Way, Sequence[Number]]
    pue: Sequence[Number]
    wue: Sequence[Number]
    grids: Mapping[tuple[str, str], Sequence[Number]]  # by category and region
    made: Sequence[Made]


def walk(base: Base, scenario: Scenario, years: Sequence[int], values: Values) -> Iterator[Amounts]:
    """Each year in turn. `values`: one for each driver, and for each spread of the base that is not 1."""
    cells = _by_way(base)
    pace = _pace(base, cells, scenario, years, values)
    making = {category: _making(base, values, category) for category in CATEGORIES if category not in base.missing}
    off = values.get("request_energy", 1.0)
    for n, year in enumerate(years):
        energy = off * pace.pue[n] * _sum(cells, pace, ("energy", "grid"), n)
        charged = {name: made * pace.made[n].charged for name, made in making.items()}
        impacts = {name: off * _running(cells, pace, values, name, n) + made for name, made in charged.items()}
        yield Amounts(
            year, energy, impacts, charged, {name: made * pace.made[n].bought for name, made in making.items()}
        )


def _by_way(base: Base) -> Cells:
    """Kinds of use that go the same way stand together."""
    sums: dict[tuple[Way, str], dict[Part, float]] = {}
    for (kind, region), parts in base.cells.items():
        cell = sums.setdefault((WAYS[kind], region), {})
        for part, value in parts.items():
            cell[part] = cell.get(part, 0.0) + value
    return sums


# How everything moves ---------------------------------------------------------------------------------------------


def _pace(base: Base, cells: Cells, scenario: Scenario, years: Sequence[int], values: Values) -> Pace:
    it_energy = it_energy_indices({way for way, _ in cells}, years, values)
    pue, wue = linear(values["pue"] / values["pue_now"], years), linear(values["wue"], years)
    grids = _grids(base, {region for _, region in cells}, scenario, years, values)
    return Pace(it_energy, pue, wue, grids, _hardware(base, cells, it_energy, years, values))


def it_energy_indices(ways: set[Way], years: Sequence[int], values: Values) -> dict[Way, list[Number]]:
    """IT energy of each way, year by year. Unit: 1 = use × size^elasticity × output × calls ÷ gains."""
    settling = values["settling_y"]  # sizes, lengths and gains come to rest after 2030
    paths = {
        name: compound(_effect(name, values), years, 0.0, settling) for way in ways for name in way.more + way.less
    }
    indices: dict[Way, list[Number]] = {}
    for way in ways:
        index = usage_index(way.growth, years, values)
        index = reduce(_times, (paths[name] for name in way.more), index)
        indices[way] = reduce(_over, (paths[name] for name in way.less), index)
    return indices


def _effect(driver: str, values: Values) -> Number:
    return values[driver] ** values["size_elasticity"] if driver == "model_size" else values[driver]


def usage_index(growth: str, years: Sequence[int], values: Values) -> list[Number]:
    """Requests, year by year: compound and settling, or towards a cap."""
    if "usage_cap" in values:
        return logistic(values[growth], years, values["usage_cap"])
    return compound(values[growth], years, values["settled_growth"], values["settling_y"])


def _times(path: Sequence[Number], other: Sequence[Number]) -> list[Number]:
    return [a * b for a, b in zip(path, other, strict=True)]


def _over(path: Sequence[Number], other: Sequence[Number]) -> list[Number]:
    return [a / b for a, b in zip(path, other, strict=True)]


def _grids(
    base: Base, regions: set[str], scenario: Scenario, years: Sequence[int], values: Values
) -> dict[tuple[str, str], list[Number]]:
    """Impact of a kWh, year by year. A region with a grid of its own has its own carbon, and what follows carbon."""
    paths = {driver: linear(values[driver], years, goes_on=True) for driver in GRIDS.values()}
    own = {region: linear(total, years, goes_on=True) for region, total in scenario.grids.items()}
    found: dict[tuple[str, str], list[Number]] = {}
    for category, driver in GRIDS.items():
        follows = category == "gwp" or base.engine.all_follow_carbon
        for region in regions:
            general = paths["grid_carbon" if follows else driver]
            found[category, region] = own.get(region, general) if follows else general
    return found


def _hardware(
    base: Base, cells: Cells, it_energy: Mapping[Way, Sequence[Number]], years: Sequence[int], values: Values
) -> list[Made]:
    """Manufacture, year by year: of the hardware that all IT energy needs, at its utilisation."""
    energy = {way: sum(parts["energy", "grid"] for (own, _), parts in cells.items() if own == way) for way in it_energy}
    whole = sum(energy.values()) or 1.0
    in_use = [sum(energy[way] / whole * it_energy[way][n] for way in energy) for n in range(len(years))]
    need = _over(in_use, linear(values["utilisation"], years))
    embodied = linear(values["vintage_embodied"], years)
    if base.engine.by_vintage:
        return manufacture(need, values["hardware_life_y"], embodied)
    return [Made(each, each) for each in _times(need, embodied)]


# What it comes to -------------------------------------------------------------------------------------------------


def _running(cells: Cells, pace: Pace, values: Values, category: str, n: int) -> Number:
    """What running takes: of the grid, and of the site."""
    site = _sum(cells, pace, (category, "site"), n) * pace.wue[n] * values.get(f"{category}_site", 1.0)
    grid = sum(
        pace.grids[category, region][n] * _sum(cells, pace, (category, "grid"), n, region)
        for region in {region for _, region in cells}
    )
    return grid * pace.pue[n] * values.get(f"{category}_grid", 1.0) + site


def _sum(cells: Cells, pace: Pace, part: Part, n: int, region: str | None = None) -> Number:
    return sum(
        parts[part] * pace.it_energy[way][n]
        for (way, own), parts in cells.items()
        if part in parts and region in (None, own)
    )


def _making(base: Base, values: Values, category: str) -> Number:
    """Manufacture charged to the base year, as far off as its engine and its sources are."""
    mid = sum(parts.get((category, "embodied"), 0.0) for parts in base.cells.values())
    return mid * values.get(f"{category}_embodied", 1.0) * values["gpu_embodied"]
