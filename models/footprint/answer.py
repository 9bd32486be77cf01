"""What one engine says of a call: operation and manufacture apart, each amount with its range."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from joulebook.accounting.energy import Carrier
from joulebook.accounting.estimates import Estimate, added, between, unknown
from joulebook.models.footprint.call import (
    WITH_MANUFACTURE,
    Absent,
    Call,
    Rate,
    Rates,
    Usage,
    operational,
    used,
)
from joulebook.models.footprint.place import Place

WH_PER_J = 1 / 3600.0
# category -> its unit; energy and water are of operation alone
UNITS = {"energy_wh": "Wh", "gwp_g": "g", "water_l": "L", "adpe_kgsb": "kgSb", "primary_energy_j": "J"}
# category -> the kind of factor without which it is not known
_NEEDS = {"gwp_g": "carbon_intensity", "water_l": "water_intensity", "adpe_kgsb": "electricity_adpe",
          "primary_energy_j": "electricity_primary_energy"}  # fmt: skip
Amounts = Mapping[str, Estimate]


@dataclass(frozen=True)
class Correction:
    """Where ours differs from what a peer prints, and why."""

    category: str
    printed_by: str
    printed: Estimate
    ours: Estimate
    reason: str


@dataclass(frozen=True)
class Footprint:
    """What one engine says. `total` is operational and embodied together, unknown where one of them is.

    `reason`: why it says nothing; `near`: models it knows by nearly the same name. `counts_input`: whether tokens of
    the prompt count. `apart`: categories that must not be compared with the other engines', and why. `as_published`:
    what the peer prints of the same call, with factors of its own.
    """

    engine: str
    version: str
    total: Amounts
    operational: Amounts
    embodied: Amounts
    notes: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    factor_ids: tuple[str, ...] = ()
    near: tuple[str, ...] = ()
    reason: str | None = None
    counts_input: bool = False
    apart: Mapping[str, str] = field(default_factory=dict[str, str])
    as_published: Amounts = field(default_factory=dict[str, Estimate])
    corrections: tuple[Correction, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.engine}-{self.version}" if self.version else self.engine

    @property
    def known(self) -> bool:
        return any(amount.known for amount in (*self.total.values(), *self.operational.values()))

    def of(self, category: str) -> Estimate:
        """An amount by its name: `gwp_g` of both parts, `operational_gwp_g` or `embodied_gwp_g` of one."""
        for part, amounts in (("operational_", self.operational), ("embodied_", self.embodied)):
            if category.startswith(part):
                return amounts[category.removeprefix(part)]
        return self.total[category]


def absent(engine: str, version: str, why: Absent) -> Footprint:
    """An engine that says nothing of this call."""
    nothing = {category: unknown(unit, why.reason) for category, unit in UNITS.items()}
    embodied = {category: nothing[category] for category in WITH_MANUFACTURE}
    return Footprint(engine, version, nothing, nothing, embodied, near=why.near, reason=why.reason)


def modelled(engine: tuple[str, str], call: Call, place: Place, rates: Rates, method: str = "modelled") -> Footprint:
    """What the rates of an engine give for a call at a place."""
    ends = [amounts_at(call.usage, rates, place.grid(end), end) for end in range(3)]
    running, making = estimates(ends, place.missing, method), embodied_of(call, rates)
    return Footprint(
        *engine, total_of(running, making), running, making,
        notes=rates.notes, sources=rates.sources, factor_ids=place.factor_ids,
        counts_input=rates.it_energy_j[1].per_input_token > 0,
    )  # fmt: skip


def amounts_at(usage: Usage[Carrier], rates: Rates, grid: Mapping[str, float], end: int) -> dict[str, Carrier]:
    """The operational impacts of calls on a grid, at one end of all ranges at once: 0 low, 1 mid, 2 high."""
    factors: dict[str, Any] = {**grid, "pue": rates.pue[end]}
    if rates.wue_l_per_kwh:
        factors["wue"] = rates.wue_l_per_kwh[end]
    amounts = operational(used(usage, cast("Rate[Carrier]", rates.it_energy_j[end])), factors)
    return {"energy_wh": amounts.pop("energy_j") * WH_PER_J, **amounts}


def estimates(ends: Sequence[Mapping[str, float]], missing: Mapping[str, str], method: str) -> Amounts:
    """Low, mid and high amounts as estimates; what has no factor is unknown, with the reason."""
    return {
        category: between([amounts[category] for amounts in ends], unit, method)
        if category in ends[0]
        else unknown(unit, missing.get(_NEEDS[category], "this engine does not model it"))
        for category, unit in UNITS.items()
    }


def embodied_of(call: Call, rates: Rates) -> Amounts:
    return {
        category: between([used(call.usage, rate) for rate in rates.embodied[category]], UNITS[category], "modelled")
        if category in rates.embodied
        else unknown(UNITS[category], "this engine does not model manufacture in this category")
        for category in WITH_MANUFACTURE
    }


def total_of(running: Amounts, making: Amounts) -> Amounts:
    return {category: added(amount, making[category]) if category in making else amount
            for category, amount in running.items()}  # fmt: skip
