"""The hardware that models run on: `accelerators.csv` (peaks, memory) and `hardware.csv` (bandwidth, links, price).

    the name of a driver, of the catalogue, or the usual short one ─> find("H100") ─> Accelerator

Memory is counted as drivers count it, in GiB, and links in one direction, all of a device together. The price is what
one seller asked on one day: give your own where it matters, since sellers are two to four times apart.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from joulebook.accounting import accelerators
from joulebook.accounting.errors import FactorError, InputError

GIB = 2**30
COLUMNS = ("name", "bandwidth_bytes_per_s", "link", "link_bytes_per_s", "gpus_per_node", "idle_w", "usd_per_gpu_hour",
           "price_day", "price_source", "price_url", "basis", "source", "url", "licence", "retrieved")  # fmt: skip
# What people call a family for short -> the usual one of it.
SHORT = {
    "A100": "A100 SXM4 80GB", "A100 80GB": "A100 SXM4 80GB", "A100 40GB": "A100 SXM4 40GB", "H100": "H100 SXM5",
    "H200": "H200 SXM5", "GH200": "GH200 96GB", "V100": "V100 SXM2 32GB", "MI250X": "MI250X, one die",
}  # fmt: skip


@dataclass(frozen=True)
class Price:
    """What a seller asked for an hour of one device, on a day."""

    usd_per_gpu_hour: float
    day: str
    source: str
    url: str


@dataclass(frozen=True)
class Accelerator:
    """One device. `peaks`: dense FLOP/s by dtype."""

    name: str
    vendor: str
    memory_bytes: float
    bandwidth_bytes_per_s: float
    link_bytes_per_s: float
    gpus_per_node: int
    tdp_w: float | None
    peaks: Mapping[str, float]
    idle_w: float | None = None
    price: Price | None = None

    def peak(self, dtypes: Sequence[str]) -> float:
        """The peak of the first of some dtypes that it has. Unit: FLOP/s."""
        return next(self.peaks[dtype] for dtype in (*dtypes, *self.peaks) if dtype in self.peaks)


@cache
def load() -> Mapping[str, Accelerator]:
    """All devices whose bandwidth is known, by name. Raises FactorError when a row is broken."""
    table = resources.files("joulebook.data") / "tables" / "hardware.csv"
    peaks: dict[str, dict[str, accelerators.Peak]] = {}
    for peak in accelerators.load():
        peaks.setdefault(peak.name, {})[peak.dtype] = peak
    rows = csv.DictReader(table.read_text(encoding="utf-8").splitlines())
    return {row["name"]: _accelerator(row, peaks) for row in rows}


def _accelerator(row: Mapping[str, str], peaks: Mapping[str, Mapping[str, accelerators.Peak]]) -> Accelerator:
    mine = peaks.get(row["name"])
    if mine is None:
        raise FactorError(f"hardware: {row['name']} is not in accelerators")
    one = next(iter(mine.values()))
    cost = row["usd_per_gpu_hour"]
    return Accelerator(
        row["name"], one.vendor, one.memory_gb * GIB, float(row["bandwidth_bytes_per_s"]),
        float(row["link_bytes_per_s"]), int(row["gpus_per_node"]), one.tdp_w,
        {dtype: peak.flop_per_s for dtype, peak in mine.items()},
        float(row["idle_w"]) if row["idle_w"] else None,
        Price(float(cost), row["price_day"], row["price_source"], row["price_url"]) if cost else None,
    )  # fmt: skip


def find(name: str) -> Accelerator:
    """A device by its name in the catalogue, its driver's, or its short one. Raises InputError with those there are."""
    found = known_as(name)
    if found is None:
        raise InputError(f"the hardware {name!r} is not known; there are: {'; '.join(load())}")
    return found


def known_as(name: str) -> Accelerator | None:
    """The device that a name means, or None."""
    known, wanted = load(), name.strip().casefold()
    short = {key.casefold(): value for key, value in SHORT.items()}
    exact = {key.casefold(): key for key in known}
    driver = next((peak.name for peak in accelerators.by_driver(name).values()), "")
    key = exact.get(short.get(wanted, wanted).casefold()) or exact.get(driver.casefold()) or _by_words(wanted, known)
    return known[key] if key else None


def _by_words(wanted: str, known: Mapping[str, Accelerator]) -> str | None:
    """The only device whose name has all words of another, e.g. `MI250X` or `RTX 6000`."""
    words = set(re.findall(r"\w+", wanted))
    fits = [name for name in known if words and words <= set(re.findall(r"\w+", name.casefold()))]
    return fits[0] if len(fits) == 1 else None
