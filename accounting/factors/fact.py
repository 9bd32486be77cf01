"""One fact, and what the words of carbon accounting mean of it.

A kind of factor that says how much greenhouse gas a kWh has is, of each of three things, one:

    average or marginal      of all plants that run, or of those that would run more or less
    location, residual …     `location`: of the grid that one stands on; `residual`: of what is left of it when all
                             contracts are taken out; `contract`: of what one has bought
    direct or life-cycle     at the stack alone (scope 2), or with fuel chain and plants (and scope 3, category 3)

Kinds that differ in one of these are never taken for each other. A fourth, annual, monthly or hourly, is how long a
row or a spell of a series holds.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import NamedTuple


class Dimensions(NamedTuple):
    """What a carbon intensity is of."""

    of_plants: str  # average or marginal
    instrument: str  # location, residual or contract
    boundary: str  # direct or life-cycle


DIMENSIONS = {
    "carbon_intensity": Dimensions("average", "location", "life-cycle"),
    "carbon_intensity_direct": Dimensions("average", "location", "direct"),
    "carbon_intensity_marginal": Dimensions("marginal", "location", "direct"),
    "residual_mix": Dimensions("average", "residual", "direct"),
    "contract": Dimensions("average", "contract", "direct"),
}

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
    def resolution(self) -> str:
        """How long it holds: annual, unless it is a month or less."""
        holds = (self.valid_to or date.max) - self.valid_from
        return "monthly" if holds <= timedelta(days=31) else "annual"

    @property
    def valid(self) -> str:
        return f"{self.valid_from} – {self.valid_to or 'now'}"
