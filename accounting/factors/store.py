"""Factors: what turns usage into impact. Rows of `data/tables/*.csv`, each dated, regional and sourced.

A row holds from `valid_from` until `valid_to` (when it is true) and was `retrieved` on a day (when we knew it), so a
question can be asked again as it would have been answered on any earlier day. A row's id ends in a hash of its
content and the set's id is a hash of all rows: a number that names them can be checked.

    load() -> FactorSet -> select(kind, region, when) -> Match(factor, how well it fits)
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import cache, cached_property
from importlib import resources

from joulebook.accounting.errors import FactorError

# How well a factor fits, best first. `declared` comes from the site file, not from a table.
MATCHES = ("declared", "exact", "older", "newer", "parent", "world")
WORLD = "WORLD"
CATALOGUES = (
    "accelerators.csv",
    "disclosed.csv",
    "paper2501.csv",
    "prices_fallback.csv",
    "runtime_coefficients.csv",
    "runtime_profiles.csv",
    "scenarios.csv",
)  # stand beside the factors, with columns of their own

COLUMNS = ("value", "low", "high", "unit", "region", "valid_from", "valid_to",
           "basis", "source", "url", "licence", "retrieved")  # fmt: skip


@dataclass(frozen=True)
class Factor:
    """One fact: `low` ≤ `value` ≤ `high` in `unit`, true in [valid_from, valid_to)."""

    kind: str
    value: float
    low: float
    high: float
    unit: str
    region: str
    valid_from: date
    valid_to: date | None
    basis: str
    source: str
    url: str
    licence: str
    retrieved: date

    @cached_property
    def factor_id(self) -> str:
        """Kind, region, first day, and a hash of everything the row says."""
        content = "\x1f".join(str(part) for part in (self.kind, *(getattr(self, name) for name in COLUMNS)))
        digest = hashlib.sha256(content.encode()).hexdigest()[:8]
        return f"{self.kind}/{self.region}/{self.valid_from}/{digest}"

    @property
    def valid(self) -> str:
        return f"{self.valid_from} – {self.valid_to or 'now'}"


@dataclass(frozen=True)
class Match:
    """A factor and how well it fits what was asked for."""

    factor: Factor
    match: str


@dataclass(frozen=True)
class FactorSet:
    """All rows that were known on a day."""

    rows: tuple[Factor, ...]

    @cached_property
    def set_id(self) -> str:
        """A hash of the content of all rows, 12 hexadecimal digits."""
        return hashlib.sha256("\n".join(sorted(row.factor_id for row in self.rows)).encode()).hexdigest()[:12]

    @cached_property
    def _by_place(self) -> dict[tuple[str, str], list[Factor]]:
        places: dict[tuple[str, str], list[Factor]] = {}
        for row in sorted(self.rows, key=lambda row: (row.retrieved, row.valid_from)):
            places.setdefault((row.kind, row.region.upper()), []).append(row)
        return places

    def as_of(self, day: date) -> FactorSet:
        """The rows that were known on a day."""
        return FactorSet(tuple(row for row in self.rows if row.retrieved <= day))

    def regions(self, kind: str) -> list[str]:
        return sorted({row.region for row in self.rows if row.kind == kind})

    def select(self, kind: str, region: str, when: date) -> Match:
        """The factor of a kind for a place on a day: the place itself, else its parent region, else the world.

        Raises FactorError when there is not even a value for the world.
        """
        for step, place in enumerate(_places(region)):
            rows = self._by_place.get((kind, place.upper()), [])
            if rows:
                row, age = _nearest(rows, when)
                return Match(row, "world" if place == WORLD else "parent" if step else age)
        raise FactorError(f"no factor of kind {kind!r} for {region!r} nor for the world: see `joulebook factors`")

    def knows(self, kind: str, region: str) -> bool:
        """Whether a place itself (not its parent) has a factor of this kind."""
        return (kind, region.upper()) in self._by_place

    def knows_place(self, kind: str, region: str) -> bool:
        """Whether a place or one of its parents short of the world has a factor of this kind; the world itself does."""
        places = list(_places(region))
        return places == [WORLD] or any(self.knows(kind, place) for place in places[:-1])

    def edges(self) -> list[date]:
        """Every day on which some factor begins or ends."""
        return sorted({day for row in self.rows for day in (row.valid_from, row.valid_to) if day})


def _places(region: str) -> Iterable[str]:
    """`US-CA` → US-CA, US, WORLD."""
    parts = region.split("-")
    chain = ["-".join(parts[: len(parts) - i]) for i in range(len(parts))] if len(parts[0]) == 2 else [region]
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
    try:
        value, low, high = float(cells["value"]), float(cells["low"]), float(cells["high"])
        days = {name: date.fromisoformat(cells[name]) if cells[name] else None for name in ("valid_from", "valid_to")}
        retrieved = date.fromisoformat(cells["retrieved"])
    except (ValueError, TypeError, KeyError) as error:
        raise FactorError(f"factor table {kind}, line {line}: {error}") from error
    if not (0 <= low <= value <= high and math.isfinite(high)):
        raise FactorError(
            f"factor table {kind}, line {line}: low ≤ value ≤ high does not hold ({low}, {value}, {high})"
        )
    missing = [name for name in COLUMNS if name != "valid_to" and not cells[name]]
    if missing or days["valid_from"] is None:
        raise FactorError(f"factor table {kind}, line {line}: {', '.join(missing)} missing; every fact has a source")
    texts = {name: cells[name] for name in ("unit", "region", "basis", "source", "url", "licence")}
    return Factor(kind=kind, value=value, low=low, high=high, valid_from=days["valid_from"],
                  valid_to=days["valid_to"], retrieved=retrieved, **texts)  # fmt: skip


@cache
def load() -> FactorSet:
    """The factor tables that came with this version of joulebook. Raises FactorError when a row is broken."""
    rows: list[Factor] = []
    tables = resources.files("joulebook.data") / "tables"
    for table in sorted(tables.iterdir(), key=lambda entry: entry.name):
        if table.name.endswith(".csv") and table.name not in CATALOGUES:
            rows += parse_table(table.name.removesuffix(".csv"), table.read_text(encoding="utf-8"))
    return FactorSet(tuple(rows))
