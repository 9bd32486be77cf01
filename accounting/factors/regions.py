"""Regions of clouds, and the grid that each stands on: rows of `data/tables/cloud_regions.csv`.

    "aws:eu-west-3", or "eu-west-3" ─> locate ─> Located(place "FR", provider "aws")

What is no cloud's region is a place itself (FR, US-CA, WORLD). A region that nobody knows is an error with the names
that look alike: it is never taken for the world.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, fields
from difflib import get_close_matches
from functools import cache
from importlib import resources

from joulebook.accounting.errors import FactorError, InputError
from joulebook.accounting.factors.store import WORLD, FactorSet
from joulebook.accounting.site import Site

CLOUDS = ("aws", "azure", "gcp", "oracle", "ovh")  # whose machines are somebody else's


@dataclass(frozen=True)
class CloudRegion:
    """One row. `place`: the state or country of its grid; `location`: as its provider says."""

    provider: str
    region: str
    place: str
    location: str
    basis: str
    source: str
    url: str
    licence: str
    retrieved: str


@dataclass(frozen=True)
class Located:
    """Where a region is: the place whose factors hold, and whose data centre, if that is known."""

    place: str
    provider: str | None
    cloud: CloudRegion | None = None


def parse_regions(text: str) -> list[CloudRegion]:
    """The rows of the table. Raises FactorError for one without its source, date or licence."""
    reader = csv.DictReader(text.splitlines())
    names = [field.name for field in fields(CloudRegion)]
    rows: list[CloudRegion] = []
    for cells in reader:
        missing = [name for name in names if not cells.get(name)]
        if missing:
            raise FactorError(f"cloud_regions, line {reader.line_num}: {', '.join(missing)} missing")
        rows.append(CloudRegion(**{name: cells[name] for name in names}))
    return rows


@cache
def cloud_regions() -> dict[tuple[str, str], CloudRegion]:
    """All of them, by (provider, region)."""
    table = resources.files("joulebook.data") / "tables" / "cloud_regions.csv"
    return {(row.provider, row.region): row for row in parse_regions(table.read_text(encoding="utf-8"))}


def locate(region: str, provider: str | None = None) -> Located:
    """Where a region is. `provider` decides between clouds and is kept.

    Raises InputError for `cloud:unknown`, and for a region of one cloud with another for its provider.
    """
    text, whose = region.strip(), (provider or "").lower()
    cloud, colon, name = text.lower().rpartition(":")
    named = [row for row in cloud_regions().values() if row.region == name and cloud in ("", row.provider)]
    wanted = [row for row in named if whose in ("", row.provider)]
    if named and not wanted and any(row.provider == whose for row in cloud_regions().values()):
        raise InputError(unknown_region(f"{whose}:{name}"))
    wanted = wanted or named
    if len(wanted) == 1:
        return Located(wanted[0].place, provider or wanted[0].provider, wanted[0])
    if colon:
        raise InputError(unknown_region(text))
    return Located(text.upper(), provider)


def is_cloud(site: Site) -> bool:
    """Whether a site's machines are somebody else's: said, else by whether its region or provider is a cloud's."""
    if site.premises:
        return site.premises == "cloud"
    return (locate(site.region, site.provider).provider or "").lower() in CLOUDS


def unknown_region(region: str, factors: FactorSet | None = None, also: tuple[str, ...] = ()) -> str:
    """One sentence about a region that nobody knows, with what looks like it."""
    places = factors.regions("carbon_intensity") if factors else []
    names = {f"{row.provider}:{row.region}": row for row in cloud_regions().values()}
    known = {each.lower(): each for each in (*places, *names, *(row.region for row in names.values()))}
    likeness = 0.5 if len(region) < 4 else 0.65  # of two letters one may be wrong
    near = (known[each] for each in get_close_matches(region.lower(), known, n=4, cutoff=likeness))
    alike = dict.fromkeys([*also, *near])
    hint = f"; did you mean {', '.join(alike)}?" if alike else "."
    return (
        f"the region {region!r} is not known{hint} Write a country such as FR, a state such as US-CA, a cloud's region "
        f"such as aws:eu-west-3, or {WORLD} for a world average, marked as such (all: joulebook factors --regions)"
    )
