"""Contracts and certificates for electricity, as a home declares them in `contracts.toml`.

    [[contract]]
    name = "wind park, 2026"
    instrument = "ppa"               # or certificate, supplier
    region = "FR"                    # the market it is from
    from = 2026-01-01
    until = 2027-01-01               # the first day on which it is over
    mwh = 120                        # leave out where it covers all that is used
    intensity_g_per_kwh = 0          # a number, or [low, mid, high]
    evidence = "registry and number"
    emission_rate_conveyed = true    # the GHG Protocol's Scope 2 Quality Criteria, each to be said
    only_claim = true
    retired_for_us = true
    vintage = 2026                   # the year in which the electricity was made
    residual_mix_disclosed = true

A contract that misses a criterion is listed with the reason and not used: the residual mix or the grid holds.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, cast

from joulebook.accounting.errors import InputError
from joulebook.accounting.site import Range

INSTRUMENTS = ("ppa", "certificate", "supplier")
# Criterion of the Scope 2 Guidance -> (its key, what it asks)
CRITERIA = {
    "emission_rate_conveyed": "conveys the direct emission rate of the electricity (criterion 1)",
    "only_claim": "is the only instrument that carries this claim (2)",
    "retired_for_us": "was tracked and retired, redeemed or cancelled for us (3)",
    "residual_mix_disclosed": "is in a market with a residual mix, or whose absence is disclosed (8)",
}
FARTHEST_YEARS = 1  # of the vintage from the time it is used for (criterion 4)


@dataclass(frozen=True)
class Contract:
    """One instrument, from `start` until `end` (UTC days, half-open). `mwh` None: all that is used."""

    name: str
    instrument: str
    region: str
    start: date
    end: date
    mwh: float | None
    intensity_g_per_kwh: Range
    evidence: str
    vintage: int
    meets: frozenset[str]  # of the criteria

    def fails(self, place: str) -> str | None:
        """The first quality criterion that it does not meet at a place; None when it meets them all."""
        unmet = next((what for key, what in CRITERIA.items() if key not in self.meets), None)
        if unmet:
            return f"it is not said that it {unmet}"
        if not self.start.year - FARTHEST_YEARS <= self.vintage <= self.end.year:
            return f"its vintage {self.vintage} is not close to the time that it is used for (4)"
        if _country(self.region) != _country(place):
            return f"its market {self.region} is not that of {place} (5)"
        return None


def _country(place: str) -> str:
    return place.upper().partition("-")[0]


def contracts_path(home: Path) -> Path:
    return home / "contracts.toml"


def load_contracts(home: Path) -> tuple[Contract, ...]:
    """The contracts of a home. Raises InputError naming the contract and the key that is wrong."""
    path = contracts_path(home)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ()
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error
    entries = table.get("contract", [])
    if set(table) - {"contract"} or not isinstance(entries, list):
        raise InputError(f"{path}: holds [[contract]] entries and nothing else")
    return tuple(_contract(path, n, entry) for n, entry in enumerate(cast("list[object]", entries), 1))


def _contract(path: Path, number: int, entry: object) -> Contract:
    where = f"{path}, contract {number}"
    if not isinstance(entry, dict):
        raise InputError(f"{where}: is no table")
    cells = cast("dict[str, Any]", entry)
    texts = ("name", "instrument", "region", "evidence")
    known = {*texts, *CRITERIA, "from", "until", "mwh", "intensity_g_per_kwh", "vintage"}
    for key in sorted((set(cells) - known) | (known - {"mwh"} - set(cells))):
        raise InputError(f"{where}: {key!r} is {'unknown' if key in cells else 'missing'}")
    for key in texts:
        _check(where, key, cells[key], isinstance(cells[key], str) and bool(cells[key].strip()), "a text")
    _check(
        where, "instrument", cells["instrument"], cells["instrument"] in INSTRUMENTS, f"one of {', '.join(INSTRUMENTS)}"
    )
    for key in ("from", "until"):
        is_day = isinstance(cells[key], date) and not isinstance(cells[key], datetime)
        _check(where, key, cells[key], is_day, "a day such as 2026-01-01")
    _check(where, "until", cells["until"], cells["from"] < cells["until"], "after its from")
    for key in CRITERIA:
        _check(where, key, cells[key], isinstance(cells[key], bool), "true or false")
    _check(where, "vintage", cells["vintage"], type(cells["vintage"]) is int, "a year")
    mwh = cells.get("mwh")
    _check(where, "mwh", mwh, mwh is None or _is_amount(mwh), "a number from 0 up")
    return Contract(
        cells["name"], cells["instrument"], cells["region"].strip().upper(), cells["from"], cells["until"],
        None if mwh is None else float(mwh), _range(where, cells["intensity_g_per_kwh"]), cells["evidence"],
        cells["vintage"], frozenset(key for key in CRITERIA if cells[key]),
    )  # fmt: skip


def _check(where: str, key: str, value: object, is_right: bool, wanted: str) -> None:
    if not is_right:
        raise InputError(f"{where}: {key} must be {wanted}, not {value!r}")


def _is_amount(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf")


def _range(where: str, value: object) -> Range:
    parts: list[object] = list(cast("list[object]", value)) if isinstance(value, list) else [value] * 3
    ends = [float(cast("float", part)) for part in parts if _is_amount(part)]
    is_right = len(parts) == len(ends) == 3 and ends == sorted(ends)
    what = "a number or [low, mid, high]"
    _check(where, "intensity_g_per_kwh", value, is_right, what)  # pyright: ignore[reportUnknownArgumentType]
    return ends[0], ends[1], ends[2]
