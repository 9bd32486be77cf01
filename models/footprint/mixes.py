"""The mixes of electricity that the package EcoLogits ships: beside its numbers, and to say what is missing."""

from __future__ import annotations

from typing import Any

from joulebook.accounting.factors import WORLD
from joulebook.accounting.units import J_PER_KWH
from joulebook.models.footprint.packages import lacking

NAME, VERSION = "ecologits", "0.11.3"
SOURCE = f"{NAME}-{VERSION}"

LEAST_PRIMARY_J = J_PER_KWH  # a kWh of electricity is 3.6 MJ itself: making it takes no less


def mix_of(region: str) -> Any | None:
    """The package's mix of the country of a region, or of the world; None when it has none or is not installed."""
    if lacking(NAME, VERSION):
        return None
    from ecologits.electricity_mix_repository import electricity_mixes

    zone = "WOR" if region == WORLD else _alpha_3(region.split("-", maxsplit=1)[0])
    return zone and electricity_mixes.find_electricity_mix(zone)


def primary_missing(region: str) -> str:
    """Why there is no primary energy of a place: none is published, or less than the electricity itself has."""
    mix = mix_of(region)
    if mix is None or mix.pe * 1e6 >= LEAST_PRIMARY_J:
        return f"no source has the primary energy of a kWh in {region}"
    return (
        f"{SOURCE} has {mix.pe:g} MJ per kWh for {mix.zone}, less than the 3.6 MJ that a kWh is itself, so "
        "it is not all of it"
    )


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
