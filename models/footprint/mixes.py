"""What making a kWh takes in minerals and primary energy, by country: read through the package EcoLogits."""

from __future__ import annotations

from datetime import date
from typing import Any

from joulebook.accounting.factors import WORLD, Factor, Match
from joulebook.accounting.units import J_PER_KWH
from joulebook.models.footprint.packages import lacking

NAME, VERSION = "ecologits", "0.11.3"
SOURCE = f"{NAME}-{VERSION}"
URL = "https://ecologits.ai"

LEAST_PRIMARY_J = J_PER_KWH  # a kWh of electricity is 3.6 MJ itself: making it takes no less
# kind -> (field of the package's mix, unit, how many of that unit one of the field is, code of its world fallback)
MIX_KINDS = {
    "electricity_adpe": ("adpe", "kgSb/kWh", 1.0, "electricity-mix-adpe-world"),
    "electricity_primary_energy": ("pe", "J/kWh", 1e6, "electricity-mix-pe-world"),
}


def mix_of(region: str) -> Any | None:
    """The package's mix of the country of a region, or of the world; None when it has none or is not installed."""
    if lacking(NAME, VERSION):
        return None
    from ecologits.electricity_mix_repository import electricity_mixes

    zone = "WOR" if region == WORLD else _alpha_3(region.split("-", maxsplit=1)[0])
    return zone and electricity_mixes.find_electricity_mix(zone)


def grid_of(region: str) -> tuple[dict[str, Match], dict[str, str]]:
    """What making a kWh takes in minerals and primary energy, each as a factor; and why one is missing."""
    mix = mix_of(region)
    if mix is None:
        without = lacking(NAME, VERSION)
        return {}, dict.fromkeys(MIX_KINDS, without.reason if without else f"{SOURCE} has no mix for {region}")
    matches = {kind: Match(_factor(kind, mix), _fit(kind, mix, region)) for kind in MIX_KINDS}
    primary = matches["electricity_primary_energy"].factor.value
    if primary >= LEAST_PRIMARY_J:
        return matches, {}
    del matches["electricity_primary_energy"]
    reason = (
        f"{SOURCE} has {primary / 1e6:g} MJ per kWh for {mix.zone}, less than the 3.6 MJ that a kWh is itself: what is "
        "renewable does not count in it"
    )
    return matches, {"electricity_primary_energy": reason}


def _factor(kind: str, mix: Any) -> Factor:
    field, unit, scale, _ = MIX_KINDS[kind]
    value = getattr(mix, field) * scale
    return Factor(
        kind, value, value, value, unit, mix.zone, date(2025, 1, 1), None, "as the package has it, without a range",
        f"EcoLogits {VERSION}, electricity_mixes (ADEME Base Empreinte)", URL, "MPL-2.0", date(2026, 11, 25),
    )  # fmt: skip


def _fit(kind: str, mix: Any, region: str) -> str:
    if region == WORLD or MIX_KINDS[kind][3] in {warning.code for warning in mix.warnings}:
        return "world"
    return "parent" if "-" in region else "exact"


def country_code(name: str) -> str | None:
    """The ISO alpha-2 code of a country, by any of its names and codes; None when unknown."""
    country = _country(name)
    return country and country.alpha_2


def _alpha_3(name: str) -> str | None:
    country = _country(name)
    return country and country.alpha_3


def _country(name: str) -> Any | None:
    try:
        import pycountry
    except ModuleNotFoundError:
        return None
    try:
        return pycountry.countries.lookup(name)
    except LookupError:
        return None


def published_factors(region: str) -> dict[str, float] | None:
    """The package's own factors of a grid, under our names and in our units; None when it has none."""
    mix = mix_of(region)
    if mix is None:
        return None
    return {
        "carbon_intensity": mix.gwp * 1e3,
        "water_intensity": mix.wue,
        "electricity_adpe": mix.adpe,
        "electricity_primary_energy": mix.pe * 1e6,
    }
