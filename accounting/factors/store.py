"""Factors: what turns usage into impact. Rows of `data/tables/*.csv`, each dated, regional and sourced.

A row holds from `valid_from` until `valid_to` (when it is true) and was `retrieved` on a day (when we knew it), so a
question can be asked again as it would have been answered on any earlier day. A row's id ends in a hash of its
content and the set's id is a hash of all rows: a number that names them can be checked.

    load() -> FactorSet -> select(kind, region, when) -> Match(factor, how well it fits)

`factor_set(home)` adds the hourly and monthly series that were imported into a home (`series`).
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import cache, cached_property
from importlib import resources
from pathlib import Path

from joulebook.accounting.errors import FactorError
from joulebook.accounting.factors.fact import COLUMNS, Factor
from joulebook.accounting.factors.series import Series, load_series

# How well a factor fits, best first. `declared` comes from the site file, not from a table.
MATCHES = ("declared", "exact", "older", "newer", "parent", "world")
WORLD = "WORLD"
_STATE = re.compile(r"[A-Za-z]{2}(-[A-Za-z0-9]{1,3})+")  # ISO 3166-2, and what is within
CATALOGUES = (
    "accelerators.csv",
    "cloud_regions.csv",
    "disclosed.csv",
    "hardware.csv",
    "hardware_embodied.csv",
    "model_cards.csv",
    "paper2501.csv",
    "power_split.csv",
    "prices_fallback.csv",
    "runtime_coefficients.csv",
    "runtime_profiles.csv",
    "scenarios.csv",
    "serving_stacks.csv",
)  # stand beside the factors, with columns of their own


@dataclass(frozen=True)
class Match:
    """A factor and how well it fits what was asked for."""

    factor: Factor
    match: str


@dataclass(frozen=True)
class FactorSet:
    """All rows and series that were known on a day."""

    rows: tuple[Factor, ...]
    series: tuple[Series, ...] = ()

    @cached_property
    def set_id(self) -> str:
        """A hash of the content of all rows and series, 12 hexadecimal digits."""
        ids = sorted([*(row.factor_id for row in self.rows), *(each.factor_id for each in self.series)])
        return hashlib.sha256("\n".join(ids).encode()).hexdigest()[:12]

    @cached_property
    def _by_place(self) -> dict[tuple[str, str], list[Factor]]:
        places: dict[tuple[str, str], list[Factor]] = {}
        for row in sorted(self.rows, key=lambda row: (row.retrieved, row.valid_from)):
            places.setdefault((row.kind, row.region.upper()), []).append(row)
        return places

    def as_of(self, day: date) -> FactorSet:
        """What was known on a day."""
        return FactorSet(
            tuple(row for row in self.rows if row.retrieved <= day),
            tuple(each for each in self.series if each.retrieved <= day),
        )

    def regions(self, kind: str) -> list[str]:
        return sorted({row.region for row in self.rows if row.kind == kind})

    def select(self, kind: str, region: str, when: date) -> Match:
        """The factor of a kind for a place on a day: the place itself, else its parent region, else the world.

        Raises FactorError when there is not even a value for the world.
        """
        found = self.find(kind, region, when)
        if found is None:
            raise FactorError(f"no factor of kind {kind!r} for {region!r} nor for the world: see `joulebook factors`")
        return found

    def find(self, kind: str, region: str, when: date) -> Match | None:
        """The same; None where not even the world has one."""
        for step, place in enumerate(_places(region)):
            rows = self._by_place.get((kind, place.upper()), [])
            if rows:
                row, age = _nearest(rows, when)
                return Match(row, "world" if place == WORLD else "parent" if step else age)
        return None

    def series_of(self, kind: str, region: str) -> list[Series]:
        """The series of a place itself, the one that stands above the others first: hourly, then the newest."""
        fitting = [each for each in self.series if (each.kind, each.region) == (kind, region.upper())]
        return sorted(fitting, key=lambda each: (each.resolution == "hourly", each.retrieved, each.factor_id))[::-1]

    def knows(self, kind: str, region: str) -> bool:
        """Whether a place itself (not its parent) has a factor of this kind."""
        return (kind, region.upper()) in self._by_place or bool(self.series_of(kind, region))

    def knows_place(self, kind: str, region: str) -> bool:
        """Whether a place or one of its parents short of the world has a factor of this kind; the world itself does."""
        places = list(_places(region))
        return places == [WORLD] or any(self.knows(kind, place) for place in places[:-1])

    def edges(self) -> list[date]:
        """Every day on which some factor begins or ends."""
        return sorted({day for row in self.rows for day in (row.valid_from, row.valid_to) if day})


def _places(region: str) -> Iterable[str]:
    """`US-CA` → US-CA, US, WORLD. What has not the form of a state (`us-east-9`) is in no country."""
    parts = region.split("-") if _STATE.fullmatch(region) else [region]
    chain = ["-".join(parts[:end]) for end in range(len(parts), 0, -1)]
    return [*(place for place in chain if place.upper() != WORLD), WORLD]


def _nearest(rows: list[Factor], when: date) -> tuple[Factor, str]:
    """The row in force, else the last one before, else the first one after. Rows come oldest knowledge first."""
    in_force = [row for row in rows if row.valid_from <= when and (row.valid_to is None or when < row.valid_to)]
    if in_force:
        return in_force[-1], "exact"
    before = [row for row in rows if row.valid_to is not None and row.valid_to <= when]
    if before:
        return max(before, key=lambda row: (row.valid_from, row.retrieved)), "older"
    return min(rows, key=lambda row: (row.valid_from, -row.retrieved.toordinal())), "newer"


def parse_table(kind: str, text: str) -> list[Factor]:
    """The rows of one table. Raises FactorError naming the table, the line and the cell that is wrong."""
    reader = csv.DictReader(io.StringIO(text))
    if tuple(reader.fieldnames or ()) != COLUMNS:
        raise FactorError(f"factor table {kind}: the header must be {','.join(COLUMNS)}")
    return [_row(kind, reader.line_num, cells) for cells in reader]


def _row(kind: str, line: int, cells: dict[str, str]) -> Factor:
    missing = [name for name in COLUMNS if name != "valid_to" and not cells[name]]
    if missing:
        raise FactorError(f"factor table {kind}, line {line}: {', '.join(missing)} missing; every fact has a source")
    try:
        value, low, high = float(cells["value"]), float(cells["low"]), float(cells["high"])
        valid_from, retrieved = date.fromisoformat(cells["valid_from"]), date.fromisoformat(cells["retrieved"])
        valid_to = date.fromisoformat(cells["valid_to"]) if cells["valid_to"] else None
    except ValueError as error:
        raise FactorError(f"factor table {kind}, line {line}: {error}") from error
    if not (0 <= low <= value <= high and math.isfinite(high)):
        raise FactorError(
            f"factor table {kind}, line {line}: low ≤ value ≤ high does not hold ({low}, {value}, {high})"
        )
    texts = {name: cells[name] for name in ("unit", "region", "basis", "source", "url", "licence")}
    return Factor(kind=kind, value=value, low=low, high=high, valid_from=valid_from, valid_to=valid_to,
                  retrieved=retrieved, **texts)  # fmt: skip


@cache
def load() -> FactorSet:
    """The factor tables that came with this version of joulebook. Raises FactorError when a row is broken."""
    rows: list[Factor] = []
    tables = resources.files("joulebook.data") / "tables"
    for table in sorted(tables.iterdir(), key=lambda entry: entry.name):
        if table.name.endswith(".csv") and table.name not in CATALOGUES:
            rows += parse_table(table.name.removesuffix(".csv"), table.read_text(encoding="utf-8"))
    return FactorSet(tuple(rows))


def factor_set(home: Path) -> FactorSet:
    """The factors that a home is read with: the tables, and the series that were imported into it."""
    series = load_series(home)
    return FactorSet(load().rows, series) if series else load()
