"""The constants of software stacks: `data/tables/serving_stacks.csv`, fitted by `benchmarks/roofline.py --refit`.

    ("vllm", H100) ─> Fitted: the constants of that pair, else those pooled over the vendor's hardware, else over all

A row says how many measurements it was fitted to, its error on models that were left out, and `half_width`: the 90 %
interval of ln(seconds) around the estimate, from the same held-out errors.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from joulebook.accounting.errors import InputError
from joulebook.models.roofline.hardware import Accelerator
from joulebook.models.roofline.step import Constants

SHARES = ("compute_share", "bandwidth_share", "link_share")
SECONDS = ("layer_s", "message_s", "step_s", "sequence_s")
COLUMNS = ("stack", "hardware", *SHARES, *SECONDS, "hidden", "rows", "models", "mean_error", "half_width", "basis",
           "source", "url", "licence", "retrieved")  # fmt: skip
ANY = "*"
USUAL = "vllm"


@dataclass(frozen=True)
class Fitted:
    """Constants, the hardware they were fitted on (a vendor or `*`: pooled, `basis` says of what), and their error."""

    stack: str
    hardware: str
    constants: Constants
    mean_error: float
    half_width: float
    basis: str
    source: str

    @property
    def profile(self) -> str:
        return f"roofline/{self.stack}/{self.hardware}"


@cache
def load() -> Mapping[tuple[str, str], Fitted]:
    table = resources.files("joulebook.data") / "tables" / "serving_stacks.csv"
    rows = csv.DictReader(table.read_text(encoding="utf-8").splitlines())
    return {(row["stack"], row["hardware"]): _fitted(row) for row in rows}


def fitted_for(stack: str, device: Accelerator) -> Fitted:
    """The constants of a stack on a device. Raises InputError with the stacks that there are."""
    known = load()
    found = next((known[stack, name] for name in (device.name, device.vendor, ANY) if (stack, name) in known), None)
    if found is None:
        names = dict.fromkeys(name for name, _ in known)
        raise InputError(f"the software stack {stack!r} is not known; there are: {', '.join(names)}")
    return found


def _fitted(row: Mapping[str, str]) -> Fitted:
    constants = Constants(*(float(row[name]) for name in (*SHARES, *SECONDS)), hidden=row["hidden"] == "yes")
    errors = float(row["mean_error"]), float(row["half_width"])
    return Fitted(row["stack"], row["hardware"], constants, *errors, row["basis"], row["source"])
