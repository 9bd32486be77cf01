"""Where this machine stands: one small TOML file, written by `joulebook init`, never guessed from the network.

    region = "FR"                    # a country or state of `joulebook factors`, a cloud's region, or WORLD
    provider = "aws"                 # whose PUE and WUE; leave out for your own room
    cpu_class = "amd-epyc-3rd-gen"   # whose power curve, where no sensor can be read
    pue = 1.25                       # a number, or [low, mid, high]; stands above the provider's
    wue_l_per_kwh = 0.2
    price_usd_per_kwh = [0.10, 0.12, 0.14]
    cpu_power_w = [2.0, 3.0, 5.0]    # W at the plug per busy logical CPU; stands above the generic curve
    peak_flop_per_s = 989e12         # of all accelerators of a run; stands above the catalogue, for MFU and HFU
    idle_energy = "reservation"      # who bears what an idle machine draws: reservation, equal or none
    hardware = "8 H100, 1 server-8-gpu, 2048 dram"   # what the machine is made of, for its manufacture
    hardware_lifetime_years = 5      # how long it is in use
    premises = "own"                 # or cloud: whose electricity it is (scope 2, or scope 3); else by the provider
    carbon_price_usd_per_t = 120     # your internal price; else the social cost of carbon

Everything is optional. What is not said is taken for the world, with the world's wide range, and marked so.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, cast

from joulebook.accounting.errors import SiteError

Range = tuple[float, float, float]  # low, mid, high


@dataclass(frozen=True)
class Site:
    """A place with its declared values; None means: take it from the factor tables."""

    region: str = "WORLD"
    provider: str | None = None
    cpu_class: str | None = None
    pue: Range | None = None
    wue_l_per_kwh: Range | None = None
    price_usd_per_kwh: Range | None = None
    carbon_intensity_g_per_kwh: Range | None = None
    cpu_power_w: Range | None = None
    it_overhead: Range | None = None
    dram_power_w_per_gb: Range | None = None
    peak_flop_per_s: Range | None = None
    idle_energy: str = "reservation"
    hardware: str | None = None
    hardware_lifetime_years: Range | None = None
    premises: str | None = None
    carbon_price_usd_per_t: Range | None = None


RANGES = tuple(field.name for field in fields(Site) if "Range" in str(field.type))
# Idle energy of a node goes to its runs by what they reserved, in equal parts, or to nobody.
IDLE_POLICIES = ("reservation", "equal", "none")
PREMISES = ("own", "cloud")
LEAST = {
    "pue": 1.0,
    "it_overhead": 1.0,
    "hardware_lifetime_years": 0.1,
}  # what a value cannot be below; 0 where nothing is said


def site_path(home: Path) -> Path:
    return home / "site.toml"


def load_site(home: Path) -> Site:
    """The site of this home; the world when `joulebook init` has not been run.

    Raises SiteError when the file cannot be understood.
    """
    path = site_path(home)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return Site()
    except OSError as error:
        raise SiteError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        return parse_site(tomllib.loads(data.decode()))
    except (ValueError, OverflowError) as error:  # no UTF-8, no TOML, no site, or a number beyond all floats
        raise SiteError(f"{path}: {error}; mend it or run `joulebook init --force`") from error


def parse_site(table: Mapping[str, Any]) -> Site:
    """A Site from a table of plain values. Raises SiteError naming the key that is wrong."""
    known = {field.name for field in fields(Site)}
    for key in table:
        if key not in known:
            raise SiteError(f"unknown key {key!r}: a site knows {', '.join(sorted(known))}")
    values = {key: _range(key, value) if key in RANGES else _text(key, value) for key, value in table.items()}
    return Site(**cast("dict[str, Any]", values))


def _text(key: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise SiteError(f"{key} must be a text such as {'FR' if key == 'region' else 'aws'!r}, not {value!r}")
    choices = {"idle_energy": IDLE_POLICIES, "premises": PREMISES}.get(key)
    if choices and value not in choices:
        raise SiteError(f"{key} must be one of {', '.join(choices)}, not {value!r}")
    return value.strip()


def _range(key: str, value: object) -> Range:
    parts: list[object] = list(cast("list[object]", value)) if isinstance(value, list) else [value] * 3
    numbers = [float(part) for part in parts if isinstance(part, (int, float)) and not isinstance(part, bool)]
    least = LEAST.get(key, 0.0)
    if len(parts) != 3 or len(numbers) != 3 or not least <= numbers[0] <= numbers[1] <= numbers[2] < float("inf"):
        raise SiteError(f"{key} must be a number or [low, mid, high] from {least:g} up, not {value!r}")
    return numbers[0], numbers[1], numbers[2]


def write_site(home: Path, site: Site) -> Path:
    """Write the site file whole or not at all, and return its path."""
    lines = ["# Where this machine stands. See `joulebook init --help`; values: a number or [low, mid, high]."]
    for field in fields(Site):
        value = getattr(site, field.name)
        if value is not None and (value != field.default or field.name == "region"):
            lines.append(f"{field.name} = {_toml(value)}")
    path = site_path(home)
    home.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}.tmp")
    draft.write_text("\n".join(lines) + "\n", encoding="utf-8")
    draft.replace(path)
    return path


def _toml(value: str | Range) -> str:
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08X}" for c in escaped) + '"'
    return repr(value[1]) if value[0] == value[2] else f"[{', '.join(map(repr, value))}]"
