"""What making hardware takes: rows of `data/tables/hardware_embodied.csv`.

    the name that a driver gives, or a key of the table ─> making("NVIDIA H100 80GB HBM3") ─> Making, by category

Sources differ by a factor of four for one and the same card. So a row of distribution `lognormal` says what is taken
(value: the median, low and high: P5 and P95), and the `published` rows beside it are what it rests on, to be shown.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache, cached_property
from importlib import resources
from math import inf

from joulebook.accounting.errors import FactorError, InputError
from joulebook.accounting.site import Range

# category -> its unit
CATEGORIES = {"gwp_g": "g", "adpe_kgsb": "kgSb", "primary_energy_j": "J"}
MAY_BE_EMPTY = ("name_pattern",)
NUMBERS = ("value", "low", "high")


@dataclass(frozen=True)
class Figure:
    """One row: what making one `per` (device, server, GB) takes in one category."""

    hardware: str
    name_pattern: str  # fits the whole name that a driver gives, in any case; empty: named by its key only
    per: str
    category: str
    value: float
    low: float
    high: float
    unit: str
    distribution: str  # lognormal: what is taken; published: one figure of a source
    basis: str
    source: str
    url: str
    licence: str
    retrieved: str

    @cached_property
    def factor_id(self) -> str:
        content = "\x1f".join(str(getattr(self, field.name)) for field in fields(self))
        return f"hardware/{self.hardware}/{self.category}/{hashlib.sha256(content.encode()).hexdigest()[:8]}"

    @property
    def range(self) -> Range:
        return self.low, self.value, self.high


@dataclass(frozen=True)
class Making:
    """What making one piece of some hardware takes, by category; a category that is not there is not known."""

    hardware: str
    per: str
    figures: Mapping[str, Figure]

    def range_of(self, category: str) -> Range | None:
        figure = self.figures.get(category)
        return figure.range if figure else None


def parse_hardware(text: str) -> list[Figure]:
    """The rows of the table. Raises FactorError naming the line and what is wrong or missing."""
    reader = csv.DictReader(text.splitlines())
    names = [field.name for field in fields(Figure)]
    rows: list[Figure] = []
    for cells in reader:
        missing = [name for name in names if not cells.get(name) and name not in MAY_BE_EMPTY]
        if missing:
            raise FactorError(
                f"hardware_embodied, line {reader.line_num}: {', '.join(missing)} missing; every fact has a source"
            )
        try:
            value, low, high = (float(cells[name]) for name in NUMBERS)
        except ValueError as error:
            raise FactorError(f"hardware_embodied, line {reader.line_num}: {error}") from error
        if not 0 < low <= value <= high < inf:
            raise FactorError(f"hardware_embodied, line {reader.line_num}: low ≤ value ≤ high does not hold")
        texts = {name: cells[name] for name in names if name not in NUMBERS}
        rows.append(Figure(value=value, low=low, high=high, **texts))
    return rows


@cache
def load_hardware() -> tuple[Figure, ...]:
    """The table that came with this version of joulebook."""
    table = resources.files("joulebook.data") / "tables" / "hardware_embodied.csv"
    return tuple(parse_hardware(table.read_text(encoding="utf-8")))


@cache
def making(name: str) -> Making | None:
    """What making a device takes, by its key or by the name that its driver gives; None when nobody knows it."""
    taken = [figure for figure in load_hardware() if figure.distribution != "published"]
    wanted = name.strip()
    fitting = [figure for figure in taken if figure.hardware == wanted.lower()] or [
        figure for figure in taken if figure.name_pattern and re.fullmatch(figure.name_pattern, wanted, re.IGNORECASE)
    ]
    if not fitting:
        return None
    keys = {figure.hardware for figure in fitting}
    whole = [figure for figure in taken if figure.hardware in keys]
    return Making(fitting[0].hardware, fitting[0].per, {figure.category: figure for figure in whole})


def published(hardware: str, category: str = "gwp_g") -> list[Figure]:
    """The single figures behind what is taken for a piece of hardware, the lowest first."""
    found = making(hardware)
    members = MEMBERS.get(found.hardware, (found.hardware,)) if found else ()
    fitting = [
        figure
        for figure in load_hardware()
        if figure.distribution == "published" and figure.hardware in members and figure.category == category
    ]
    return sorted(fitting, key=lambda figure: figure.value)


MEMBERS = {"datacentre-gpu": ("a100", "h100")}  # a class, and the cards whose figures it rests on


@dataclass(frozen=True)
class Part:
    """So many pieces of some hardware."""

    name: str
    count: float
    making: Making


def parse_parts(text: str) -> tuple[Part, ...]:
    """`8 H100, 1 server-8-gpu, 2048 dram` as parts. Raises InputError for hardware that nobody knows."""
    parts: list[Part] = []
    for word in filter(None, (each.strip() for each in text.split(","))):
        match = re.fullmatch(r"(?:(\d+(?:\.\d+)?)\s*[x×]?\s+)?(.+)", word)
        name = match[2] if match else word
        found = making(name)
        if match is None or found is None:
            keys = sorted({figure.hardware for figure in load_hardware() if figure.distribution != "published"})
            raise InputError(
                f"hardware {word!r}: nothing is known of making it; write a count and a device's name or one of "
                f"{', '.join(keys)}"
            )
        parts.append(Part(name, float(match[1] or 1), found))
    return tuple(parts)
