"""Scenarios: where each driver is in 2030 against 2024, with its range, its source, and what it rests on.

    data/tables/scenarios.csv ──▶ presets        a file of yours ──▶ a preset, changed

The rows of `common` hold in all scenarios that do not say otherwise. A driver without a range is fixed by its
scenario: the range of a result is then that of everything else. A file is TOML:

    base = "intermediate"              # the preset that holds where the file is silent
    genai_growth = [4.0, 6.0, 9.0]     # low, mid, high: its P5, P50, P95; or one number
    model_size = {value = 1.5, low = 1.2, high = 2.0, source = "our roadmap of October 2026"}
    usage_cap = 20                     # logistic growth towards this multiple of today's use
    [grid_carbon_in]                   # for one region: grams per kWh, 2030 over 2024
    FR = 0.9
"""

from __future__ import annotations

import csv
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from joulebook.accounting.errors import InputError
from joulebook.accounting.factors import load
from joulebook.accounting.site import Range
from joulebook.accounting.uncertainty import lognormal, triangular, uniform
from joulebook.models.projection.paper2501 import INPUTS
from joulebook.models.projection.vintages import SHORTEST_LIFE_Y

if TYPE_CHECKING:
    from joulebook.accounting.uncertainty import Dist

COMMON = "common"
LOPSIDED = "lopsided lognormal"
PRESETS = ("intermediate", "steady", "high", "limited", "breakthrough", "iea")
STRESS = "high"
# What may be written of a driver that no preset has a row for.
OPTIONAL = {"usage_cap": "multiple of the use in the base year"}
# The least and the most that a driver can be; all others are above 0.
BOUNDS = {"size_elasticity": (0.0, 3.0), "growth_correlation": (-1.0, 1.0), "settled_growth": (-0.5, 1.0),
          "carbon_price_usd_per_t": (0.0, 1e6), "hardware_life_y": (SHORTEST_LIFE_Y, 15.0), "pue": (1.0, 5.0),
          "pue_now": (1.0, 5.0), "usage_cap": (1.0, 1e9), "wue": (0.0, 1e3)}  # fmt: skip
LEAST, MOST = 1e-6, 1e6


@dataclass(frozen=True)
class Driver:
    """One driver in one scenario. `fixed`: the scenario says it, without a range."""

    name: str
    value: float
    low: float
    high: float
    unit: str
    distribution: str
    basis: str
    source: str
    url: str

    @property
    def range(self) -> Range:
        return self.low, self.value, self.high

    @property
    def fixed(self) -> bool:
        return self.low == self.high

    @property
    def dist(self) -> Dist:
        """A lognormal has its median at the value, and is as wide as from low to high (P5 to P95); a lopsided one has
        these three as its P5, P50 and P95.
        """
        if self.distribution == "triangular":
            return triangular(*self.range)
        if self.distribution == "uniform":
            return uniform(self.low, self.high)
        if self.distribution == LOPSIDED:
            return lognormal(*self.range)
        half = (self.high / self.low) ** 0.5
        return lognormal(self.value / half, self.value, self.value * half)


@dataclass(frozen=True)
class Scenario:
    """Drivers by name. `grids`: where the grid of a region goes, if not as that of all."""

    name: str
    inputs: str
    drivers: Mapping[str, Driver]
    grids: Mapping[str, float] = field(default_factory=dict[str, float])

    @property
    def central(self) -> dict[str, float]:
        return {name: driver.value for name, driver in self.drivers.items()}

    def with_values(self, **values: float) -> Scenario:
        """The same with other values, fixed, for some drivers."""
        changed = {name: replace(self.drivers[name], value=value, low=value, high=value)
                   for name, value in values.items()}  # fmt: skip
        return replace(self, drivers={**self.drivers, **changed})


@cache
def preset(name: str, inputs: str = INPUTS[0]) -> Scenario:
    """A scenario of the table, with its values as calibrated or as printed."""
    rows = [row for row in _rows() if row["scenario"] in (COMMON, name) and row["inputs"] in ("", inputs)]
    rows.sort(key=lambda row: row["scenario"] != COMMON)
    return Scenario(name, inputs, {row["driver"]: _driver(row) for row in rows})


@cache
def _rows() -> tuple[dict[str, str], ...]:
    text = (resources.files("joulebook.data") / "tables" / "scenarios.csv").read_text(encoding="utf-8")
    return tuple(csv.DictReader(text.splitlines()))


def checks() -> tuple[Driver, ...]:
    """What others say of growth by 2030, to hold a projection against."""
    return tuple(_driver(row) for row in _rows() if row["scenario"] == "check")


def _driver(row: Mapping[str, str]) -> Driver:
    value, low, high = (float(row[name]) for name in ("value", "low", "high"))
    texts = (row[name] for name in ("unit", "distribution", "basis", "source", "url"))
    return Driver(row["driver"], value, low, high, *texts)


# A file -----------------------------------------------------------------------------------------------------------


def scenario_of(name: str, inputs: str = INPUTS[0]) -> Scenario:
    """A preset by its name, or a file by its path."""
    if name in PRESETS:
        return preset(name, inputs)
    path = Path(name)
    if not path.exists():
        raise InputError(f"{name!r} is neither a scenario ({', '.join(PRESETS)}) nor a file that is there")
    try:
        text = path.read_text("utf-8")
        table = tomllib.loads(text)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise InputError(f"{path}: is not TOML: {error}") from error
    return _changed(path, text, table, inputs)


def changed(scenario: Scenario, changes: Iterable[tuple[str, float]]) -> Scenario:
    """A scenario with other values, fixed, for some drivers. Raises InputError for what cannot be."""
    own = {name: _own("the changed scenario", scenario, name, value) for name, value in changes}
    return replace(scenario, drivers={**scenario.drivers, **own})


def _changed(path: Path, text: str, table: dict[str, Any], inputs: str) -> Scenario:
    base = table.pop("base", PRESETS[0])
    if base not in PRESETS:
        raise InputError(f"{_where(path, text, 'base')}: {base!r} is no scenario; write one of {', '.join(PRESETS)}")
    name, grids = str(table.pop("name", path.stem)), table.pop("grid_carbon_in", {})
    if not isinstance(grids, dict):
        raise InputError(f"{_where(path, text, 'grid_carbon_in')}: must be a table of regions, such as FR = 0.9")
    scenario = preset(base, inputs)
    own = {key: _own(_where(path, text, key), scenario, key, value) for key, value in table.items()}
    places = {region.upper(): _grid(_where(path, text, region), region, value)
              for region, value in cast("dict[str, Any]", grids).items()}  # fmt: skip
    return Scenario(name, inputs, {**scenario.drivers, **own}, places)


def _where(path: Path, text: str, key: str) -> str:
    lines = enumerate(text.split("\n"), 1)
    number = next((n for n, line in lines if re.match(rf"""\s*["']?{re.escape(key)}\b""", line)), 1)
    return f"{path}, line {number}, {key}"


def _own(where: str, scenario: Scenario, name: str, written: object) -> Driver:
    known = scenario.drivers.get(name)
    if known is None and name not in OPTIONAL:
        raise InputError(f"{where}: no such driver; there are {', '.join([*scenario.drivers, *OPTIONAL])}")
    low, value, high, source = _values(where, written)
    least, most = BOUNDS.get(name, (LEAST, MOST))
    if not least <= low <= value <= high <= most:
        raise InputError(f"{where}: {written!r} must be a number or low, mid, high, from {least:g} to {most:g}")
    shape = "triangular" if low <= 0 or (known and known.distribution == "triangular") else LOPSIDED
    unit = known.unit if known else "1"
    return Driver(name, value, low, high, unit, "fixed" if low == high else shape, source, where, "")


def _values(where: str, written: Any) -> tuple[float, float, float, str]:
    """One number, [low, mid, high], or a table with value, low, high, source."""
    source = "said by you"
    if isinstance(written, dict):
        table = cast("dict[str, Any]", written)
        unknown = [key for key in table if key not in ("low", "value", "high", "source")]
        if unknown:
            raise InputError(f"{where}: {unknown[0]!r} is no part of a driver; write value, low, high, source")
        source = str(table.get("source", source))
        written = [table.get("low", table.get("value")), table.get("value"), table.get("high", table.get("value"))]
    parts = cast("list[Any]", written) if isinstance(written, list) else [written] * 3
    if len(parts) != 3 or not all(isinstance(part, (int, float)) and not isinstance(part, bool) for part in parts):
        raise InputError(f"{where}: {written!r} is neither a number nor [low, mid, high]")
    low, value, high = (float(part) for part in parts)
    return low, value, high, source


def _grid(where: str, region: str, written: Any) -> float:
    if not load().knows_place("carbon_intensity", region.upper()):
        raise InputError(f"{where}: the region {region!r} is not known; write a country such as FR")
    if isinstance(written, bool) or not isinstance(written, (int, float)) or not 0 <= written <= MOST:
        raise InputError(f"{where}: {written!r} is not a number from 0 up")
    return float(written)
