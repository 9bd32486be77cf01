"""Where the energy of a GPU goes: being awake, moving bytes, and computing.

    energy = GPUs × awake power × time + bytes × J/byte + FLOP × J/FLOP, and no more than GPUs × TDP × time

The three are kept as shares of the TDP: being awake; reading at the full bandwidth; computing at the full rate of a
dtype, which is above 1 because no chip may draw what its full rate would need. As shares they carry over to hardware
that nobody measured. The host around a GPU is apart: `it_energy_j`.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np

from joulebook.accounting.errors import FactorError
from joulebook.models.roofline.precision import HALF
from joulebook.models.roofline.step import Amount, Machine, Work

COLUMNS = ("hardware", "awake_share", "reading_share", "computing_share", "rows", "mean_error", "half_width", "basis",
           "source", "url", "licence", "retrieved")  # fmt: skip
ANY = "*"
# W of the host (CPUs, memory, fans, network) for each GPU of a server of eight. Mid: EcoLogits 0.11.3, 1.2 kW a server.
# High: the 10.2 kW of a DGX H100 less its GPUs would be 575 W at full load; half of that. Low: two thirds of the mid.
HOST_W = (100.0, 150.0, 290.0)


@dataclass(frozen=True)
class Split:
    """The shares of one device, and how far they are from what was measured. `half_width`: of ln(energy), 90 %."""

    hardware: str
    awake_share: float
    reading_share: float
    computing_share: float
    half_width: float
    measured: bool
    source: str


def energy_j(work: Work, seconds: Amount, machine: Machine, split: Split) -> Amount:
    """GPU energy of a step on all GPUs. Unit: J = W × s + bytes × J/byte + FLOP × J/FLOP."""
    hardware, tdp_w = machine.hardware, tdp_w_of(machine)
    j_per_byte = split.reading_share * tdp_w / hardware.bandwidth_bytes_per_s
    j_per_flop = split.computing_share * tdp_w / hardware.peak(machine.precision.dtypes)
    j_per_half_flop = split.computing_share * tdp_w / hardware.peak(HALF)
    dynamic = work.bytes * j_per_byte + work.weight_flop * j_per_flop + work.half_flop * j_per_half_flop
    awake = machine.gpus * split.awake_share * tdp_w * seconds
    return np.minimum(awake + machine.tensor_parallel * dynamic, machine.gpus * tdp_w * seconds)


def tdp_w_of(machine: Machine) -> float:
    """The TDP of one device. Raises FactorError where its maker does not tell."""
    if machine.hardware.tdp_w is None:
        raise FactorError(f"the maker of {machine.hardware.name} does not tell its power: energy is not known")
    return machine.hardware.tdp_w


def split_for(hardware: str) -> Split:
    """The shares measured on a device, else those pooled over all that were."""
    return splits().get(hardware) or splits()[ANY]


@cache
def splits() -> Mapping[str, Split]:
    table = resources.files("joulebook.data") / "tables" / "power_split.csv"
    rows = csv.DictReader(table.read_text(encoding="utf-8").splitlines())
    return {row["hardware"]: _split(row) for row in rows}


def _split(row: Mapping[str, str]) -> Split:
    numbers = (float(row[name]) for name in ("awake_share", "reading_share", "computing_share", "half_width"))
    return Split(row["hardware"], *numbers, measured=row["hardware"] != ANY, source=row["source"])
