"""The grid that a call is assessed on. A region is never taken for another; the world only when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from joulebook.accounting.assess import factors_in_force
from joulebook.accounting.errors import InputError
from joulebook.accounting.factors import WORLD, FactorSet, Match
from joulebook.accounting.site import Range, Site
from joulebook.models.footprint.mixes import country_code, grid_of
from joulebook.models.footprint.packages import near

GRID = ("carbon_intensity", "water_intensity")  # kinds of our own tables
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
        loose = [match for kind, match in self.matches.items() if kind not in SITE and match.match == "world"]
        return tuple(f"{match.factor.kind} is the world's, not that of {self.region}" for match in loose)


def place_at(region: str, why: str, factors: FactorSet, day: date, site: Site | None = None) -> Place:
    """The place that a region means on a day. Raises InputError, with the regions called nearly the same."""
    code = region.strip().upper()
    if not factors.knows_place("carbon_intensity", code):
        raise InputError(_unknown(region, factors))
    matches = {kind: factors.select(kind, code, day) for kind in GRID}
    in_force = factors_in_force(site or Site(), factors, day).matches
    mix, missing = grid_of(code)
    return Place(code, why, {**matches, **mix, **{kind: in_force[kind] for kind in SITE}}, missing)


def _unknown(region: str, factors: FactorSet) -> str:
    named = country_code(region)
    alike = near(region, factors.regions("carbon_intensity"), 0.5)
    alike = (named, *(each for each in alike if each != named)) if named else alike
    hint = f"; did you mean {', '.join(alike)}?" if alike else "."
    return (
        f"the region {region!r} is not known{hint} Write a country such as FR, a state such as US-CA, or {WORLD} for "
        "a world average, marked as such (all: joulebook factors --kind carbon_intensity)"
    )
