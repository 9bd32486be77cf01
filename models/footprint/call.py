"""A call as its usage says, and the formula that every engine which models calls comes down to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic

from joulebook.accounting.adpe import operational_adpe_kgsb
from joulebook.accounting.carbon import operational_carbon_g
from joulebook.accounting.energy import Carrier, facility_energy_j
from joulebook.accounting.errors import InputError
from joulebook.accounting.primary_energy import primary_energy_j
from joulebook.accounting.site import Range
from joulebook.accounting.water import water_l

MOST_TOKENS = 10**12  # far above any call
WITH_MANUFACTURE = ("gwp_g", "adpe_kgsb", "primary_energy_j")  # no engine models its water


@dataclass(frozen=True)
class Call:
    """A request to a model. Parts stand inside their whole: `input_tokens` includes `cached_tokens`.

    How the answer came (streamed or whole) and how long it took are not here: equal usage has equal impact.
    """

    provider: str | None
    model: str
    input_tokens: float
    output_tokens: float
    cached_tokens: float = 0

    def __post_init__(self) -> None:
        tokens = (self.input_tokens, self.output_tokens, self.cached_tokens)
        if min(tokens) < 0 or max(tokens) > MOST_TOKENS:
            raise InputError(f"a call has from 0 to {MOST_TOKENS:,} tokens of a kind, not {max(tokens, key=abs):,}")
        if self.cached_tokens > self.input_tokens:
            raise InputError(
                f"{self.cached_tokens} cached tokens are more than the {self.input_tokens} input tokens, "
                "which include them"
            )
        if not self.input_tokens + self.output_tokens:
            raise InputError("a call without tokens has no footprint that anybody models: give its tokens")

    @property
    def usage(self) -> Usage[float]:
        return Usage(self.input_tokens, self.cached_tokens, self.output_tokens)


@dataclass(frozen=True)
class Usage(Generic[Carrier]):
    """Tokens of one call, of a million (arrays), or of the rows of a query (columns)."""

    input_tokens: Carrier
    cached_tokens: Carrier
    output_tokens: Carrier


@dataclass(frozen=True)
class Rate(Generic[Carrier]):
    """How much of something a call uses, whatever its length, and each of its tokens."""

    per_call: Carrier
    per_input_token: Carrier
    per_cached_token: Carrier
    per_output_token: Carrier


Ends = tuple[Rate[float], Rate[float], Rate[float]]  # low, mid, high


@dataclass(frozen=True)
class Rates:
    """What an engine says that calls to one model use at one provider.

    `embodied`: by the names in `WITH_MANUFACTURE`; what is not there is not modelled.
    """

    it_energy_j: Ends
    pue: Range
    wue_l_per_kwh: Range | None  # None: the engine does not model water on site
    embodied: Mapping[str, Ends]
    sources: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Absent:
    """Why an engine says nothing of a call, and the models it knows that are called nearly the same."""

    reason: str
    near: tuple[str, ...] = ()


def used(usage: Usage[Carrier], rate: Rate[Carrier]) -> Carrier:
    """What calls use, the same on floats, arrays and SQL columns.

    Unit: amount = per call + uncached input tokens × rate + cached tokens × rate + output tokens × rate.
    """
    fresh = (usage.input_tokens - usage.cached_tokens) * rate.per_input_token
    cached = usage.cached_tokens * rate.per_cached_token
    return fresh + cached + usage.output_tokens * rate.per_output_token + rate.per_call


def operational(it_energy_j: Carrier, factors: Mapping[str, Carrier]) -> dict[str, Carrier]:
    """The impacts of the IT energy of calls, by category, as far as there is a factor for each."""
    pue = factors["pue"]
    amounts = {"energy_j": facility_energy_j(it_energy_j, pue=pue)}
    if "carbon_intensity" in factors:
        amounts["gwp_g"] = operational_carbon_g(it_energy_j, pue=pue, intensity_g_per_kwh=factors["carbon_intensity"])
    if "water_intensity" in factors and "wue" in factors:
        offsite = factors["water_intensity"]
        amounts["water_l"] = water_l(it_energy_j, wue_l_per_kwh=factors["wue"], pue=pue, offsite_l_per_kwh=offsite)
    if "electricity_adpe" in factors:
        amounts["adpe_kgsb"] = operational_adpe_kgsb(
            it_energy_j, pue=pue, adpe_kgsb_per_kwh=factors["electricity_adpe"]
        )
    if "electricity_primary_energy" in factors:
        primary = factors["electricity_primary_energy"]
        amounts["primary_energy_j"] = primary_energy_j(it_energy_j, pue=pue, primary_j_per_kwh=primary)
    return amounts
