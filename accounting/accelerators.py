"""What an accelerator could do at the most: the peaks of `data/tables/accelerators.csv`, one row per device and dtype.

    the name a driver gives ─> peak_flop_per_s("NVIDIA H100 80GB HBM3") ─> Peak, with its source, or None

A peak is dense (never with sparsity), of one device as its driver counts devices, at the maker's boost clock. A slice
of a device (MIG) and a variant that is not in the table (a laptop's, a country's) are unknown: a near name is no match.

Utilisation is told against bf16, what most models are trained in; fp16, else fp32, where a device has no bf16.
"""

from __future__ import annotations

import csv
import io
import math
import re
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib import resources

from joulebook.accounting.errors import FactorError

DTYPES = ("bf16", "fp16", "fp32", "tf32", "fp8", "fp4", "fp64")
USUAL_DTYPES = DTYPES[:3]  # the first of these that a device has
COLUMNS = ("name", "vendor", "name_pattern", "memory_gb", "tdp_w", "dtype", "peak_flop_per_s",
           "basis", "source", "url", "licence", "retrieved")  # fmt: skip


@dataclass(frozen=True)
class Peak:
    """The most that one device can do in one dtype. `name_pattern` fits the whole of the name its driver gives."""

    name: str
    vendor: str
    name_pattern: str
    memory_gb: float
    tdp_w: float | None  # None: its maker does not tell
    dtype: str
    flop_per_s: float
    basis: str
    source: str
    url: str
    licence: str
    retrieved: date


def peak_flop_per_s(device_name: str, dtype: str | None = None) -> Peak | None:
    """The peak of one device by the name that NVML, amdsmi, JAX or the like gives; None when nobody knows it.

    dtype: one of DTYPES; without, that of USUAL_DTYPES.
    """
    peaks = by_driver(device_name)
    wanted = USUAL_DTYPES if dtype is None else (dtype,)
    return next((peaks[name] for name in wanted if name in peaks), None)


def by_driver(device_name: str) -> dict[str, Peak]:
    """The peaks of one device by dtype, by the name that its driver gives; none when nobody knows it."""
    return {peak.dtype: peak for peak in load() if re.fullmatch(peak.name_pattern, device_name.strip(), re.IGNORECASE)}


def parse_catalogue(text: str) -> list[Peak]:
    """The rows of the table. Raises FactorError naming the line and the cell that is wrong."""
    reader = csv.DictReader(io.StringIO(text))
    if tuple(reader.fieldnames or ()) != COLUMNS:
        raise FactorError(f"accelerators: the header must be {','.join(COLUMNS)}")
    return [_peak(reader.line_num, cells) for cells in reader]


def _peak(line: int, cells: dict[str, str]) -> Peak:
    missing = [name for name in COLUMNS if name != "tdp_w" and not cells[name]]
    if missing or cells["dtype"] not in DTYPES:
        raise FactorError(f"accelerators, line {line}: {', '.join(missing) or 'dtype'} missing or unknown")
    try:
        tdp_w = float(cells["tdp_w"]) if cells["tdp_w"] else None
        numbers = [float(cells["memory_gb"]), float(cells["peak_flop_per_s"]), *([] if tdp_w is None else [tdp_w])]
        retrieved = date.fromisoformat(cells["retrieved"])
    except ValueError as error:
        raise FactorError(f"accelerators, line {line}: {error}") from error
    if not all(0 < number < math.inf for number in numbers):
        raise FactorError(f"accelerators, line {line}: a number is not finite and above 0")
    texts = {name: cells[name] for name in ("name", "vendor", "name_pattern", "dtype")}
    origin = {name: cells[name] for name in ("basis", "source", "url", "licence")}
    return Peak(memory_gb=numbers[0], flop_per_s=numbers[1], tdp_w=tdp_w, retrieved=retrieved, **texts, **origin)


@cache
def load() -> tuple[Peak, ...]:
    """The catalogue that came with this version of joulebook. Raises FactorError when a row is broken."""
    table = resources.files("joulebook.data") / "tables" / "accelerators.csv"
    return tuple(parse_catalogue(table.read_text(encoding="utf-8")))
