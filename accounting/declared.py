"""Lists that a home declares: hardware that was bought (`assets.csv`), and fuel that was burnt (`fuel.csv`).

    asset,hardware,count,purchased,lifetime_years         gpus of node 1,NVIDIA H100 80GB HBM3,8,2026-03-01,5
    day,fuel,amount,unit                                  2026-05-02,diesel,120,L

`lifetime_years` may be empty. A list is read whole or not at all; the first bad field is named with its line.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import NamedTuple, TypeVar

from joulebook.accounting.errors import InputError
from joulebook.accounting.factors import Factor, load
from joulebook.accounting.factors.hardware import Making, making

ASSETS, FUELS = "assets.csv", "fuel.csv"
Row = TypeVar("Row")


@dataclass(frozen=True)
class Asset:
    """So many pieces of hardware, bought on a day."""

    asset: str
    hardware: str
    count: float
    purchased: date
    lifetime_years: float | None
    making: Making


class Fuel(NamedTuple):
    """So much of a fuel burnt on a day, and its factor (greenhouse gas per unit)."""

    day: date
    amount: float
    factor: Factor


class _Line(NamedTuple):
    """One row: its cells, and where it stands."""

    where: str
    cells: dict[str, str]

    def text(self, key: str) -> str:
        value = (self.cells.get(key) or "").strip()
        if not value:
            raise self.wrong(key, "a value")
        return value

    def amount(self, key: str) -> float:
        try:
            value = float(self.text(key))
        except ValueError:
            value = math.nan
        if not 0 < value < math.inf:
            raise self.wrong(key, "a number above 0")
        return value

    def day(self, key: str) -> date:
        try:
            return date.fromisoformat(self.text(key))
        except ValueError:
            raise self.wrong(key, "a day such as 2026-03-01") from None

    def wrong(self, key: str, wanted: str) -> InputError:
        return InputError(f"{self.where}, {key}: {self.cells.get(key) or ''!r} is not {wanted}")


def load_assets(home: Path) -> list[Asset]:
    """The hardware that was bought. Raises InputError for a row that cannot be understood."""
    return list(_rows(home / ASSETS, ("asset", "hardware", "count", "purchased", "lifetime_years"), _asset))


def load_fuel(home: Path) -> list[Fuel]:
    """The fuel that was burnt. Raises InputError for a row that cannot be understood."""
    return list(_rows(home / FUELS, ("day", "fuel", "amount", "unit"), _fuel))


def _rows(path: Path, columns: tuple[str, ...], row: Callable[[_Line], Row]) -> Iterator[Row]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as text in UTF-8 ({error})") from error
    reader = csv.DictReader(text.splitlines())
    if tuple(reader.fieldnames or ()) != columns:
        raise InputError(f"{path}: the header must be {','.join(columns)}")
    for cells in reader:
        yield row(_Line(f"{path}, line {reader.line_num}", cells))


def _asset(line: _Line) -> Asset:
    name = line.text("hardware")
    found = making(name)
    if found is None:
        raise line.wrong("hardware", "hardware whose making is known (joulebook factors --hardware)")
    years = line.amount("lifetime_years") if line.cells.get("lifetime_years") else None
    return Asset(line.text("asset"), name, line.amount("count"), line.day("purchased"), years, found)


def _fuel(line: _Line) -> Fuel:
    known = {row.region: row for row in load().rows if row.kind == "fuel_intensity"}
    factor = known.get(line.text("fuel").lower())
    if factor is None:
        raise line.wrong("fuel", f"one of {', '.join(sorted(known))}")
    unit = factor.unit.partition("/")[2]
    if line.text("unit") != unit:
        raise line.wrong("unit", unit)
    return Fuel(line.day("day"), line.amount("amount"), factor)
