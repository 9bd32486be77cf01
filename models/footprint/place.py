"""The grid that a call is assessed on. A region is never taken for another; the world only when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from joulebook.accounting.errors import InputError
from joulebook.accounting.factors import WORLD, FactorSet, Match, locate, unknown_region
from joulebook.accounting.in_force import factors_in_force
from joulebook.accounting.site import Range, Site
from joulebook.models.footprint.mixes import country_code, primary_missing

GRID = ("carbon_intensity", "water_intensity", "electricity_adpe", "electricity_primary_energy")
SITE = ("pue", "wue")  # of one's own server; an engine has those of the provider


@dataclass(frozen=True)
class Place:
    """A region, why it is this one, the factors that hold there, and why others are missing."""

    region: str
    why: str
    matches: Mapping[str, Match]
    missing: Mapping[str, str]

    def range_of(self, kind: str) -> Range:
        factor = self.matches[kind].factor
        return factor.low, factor.value, factor.high

    def grid(self, end: int) -> dict[str, float]:
        """The factors of the grid at one end of their ranges: 0 low, 1 mid, 2 high."""
        return {kind: self.range_of(kind)[end] for kind in self.matches if kind not in SITE}

    @property
    def factor_ids(self) -> tuple[str, ...]:
        """The factors of the grid."""
        return tuple(match.factor.factor_id for kind, match in self.matches.items() if kind not in SITE)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is not of the region itself, in words."""
        grid = [match for kind, match in self.matches.items() if kind not in SITE and self.region != WORLD]
        world = [
            f"{each.factor.kind} is the world's, not that of {self.region}" for each in grid if each.match == "world"
        ]
        carbon = self.matches["carbon_intensity"]
        wider = f"carbon_intensity is that of {carbon.factor.region}, in which {self.region} is taken to be"
        return (*world, *((wider,) if carbon.match == "parent" else ()))


def place_at(region: str, why: str, factors: FactorSet, day: date, site: Site | None = None) -> Place:
    """The place that a region means on a day, a cloud's region too.

    Raises InputError where nobody knows it, with the regions called nearly the same.
    """
    located = locate(region)
    code = located.place
    if not factors.knows_place("carbon_intensity", code):
        named = [country for country in [country_code(region)] if country in factors.regions("carbon_intensity")]
        raise InputError(unknown_region(region, factors, also=tuple(named)))
    if located.cloud:
        why = f"{why}: the grid of {located.cloud.provider}:{located.cloud.region} ({located.cloud.location})"
    found = {kind: factors.find(kind, code, day) for kind in GRID}
    missing = {
        kind: primary_missing(code) if kind == "electricity_primary_energy" else f"no source has {kind} of {code}"
        for kind, match in found.items()
        if match is None
    }
    in_force = factors_in_force(site or Site(), factors, day).matches
    grid = {kind: match for kind, match in found.items() if match}
    return Place(code, why, {**grid, **{kind: in_force[kind] for kind in SITE}}, missing)
