"""The factors: those in force at this site, all rows of a kind, imported series, regions of clouds, making hardware."""

from __future__ import annotations

from dataclasses import asdict, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from joulebook.accounting.errors import InputError
from joulebook.accounting.estimates import Estimate, between
from joulebook.accounting.factors import DIMENSIONS, Factor, Match, Series, factor_set, load
from joulebook.accounting.factors.hardware import load_hardware
from joulebook.accounting.factors.regions import cloud_regions as all_regions
from joulebook.accounting.in_force import KINDS, SCOPE_KINDS, factors_in_force
from joulebook.accounting.site import Site
from joulebook.reports.view import Column, View

COLUMNS = (
    Column("kind", "Kind"),
    Column("region", "Region"),
    Column("amount", "Value", "estimate"),
    Column("unit", "Unit"),
    Column("match", "Match", "state"),
    Column("valid", "Holds"),
    Column("source", "Source"),
    Column("factor_id", "Factor"),
)
REGIONS = (
    Column("provider", "Cloud"),
    Column("region", "Region"),
    Column("location", "Where"),
    Column("place", "Grid"),
    Column("match", "Match", "state"),
    Column("source", "Source"),
)
HARDWARE = (
    Column("hardware", "Hardware"),
    Column("per", "Per"),
    Column("category", "Category"),
    Column("amount", "Value", "estimate"),
    Column("distribution", "Is", "state"),
    Column("basis", "What it is"),
    Column("source", "Source"),
)
SERIES = (
    Column("kind", "Kind"),
    Column("region", "Region"),
    Column("amount", "Mean, least, greatest", "estimate"),
    Column("unit", "Unit"),
    Column("resolution", "By"),
    Column("valid", "Holds"),
    Column("values", "Values", "number"),
    Column("source", "Source"),
    Column("factor_id", "Factor"),
)


def factors(site: Site, kind: str | None = None, region: str | None = None, home: Path | None = None) -> View:
    """The factors in force at a site, or every row of a kind and region. Raises InputError for an unknown kind."""
    known = factor_set(home) if home else load()
    if kind is None and region is None:
        in_force = factors_in_force(site, known, datetime.now(UTC).date(), KINDS | SCOPE_KINDS)
        rows = [_matched(match) for match in in_force.matches.values()]
        title = f"Factors in force at {site.region}"
    else:
        kinds = sorted({row.kind for row in known.rows})
        if kind is not None and kind not in kinds:
            raise InputError(f"no factors of kind {kind!r}: there are {', '.join(kinds)}")
        place = region and region.upper()
        chosen = [row for row in known.rows if kind in (None, row.kind) and place in (None, row.region.upper())]
        rows = [factor_row(row, "") for row in chosen]
        title = "Factors"
    columns = tuple(column for column in COLUMNS if column.key != "match" or (kind is None and region is None))
    sentence = f"{len(rows)} of {len(known.rows)} rows; factor set {known.set_id}."
    notes = (f"This home has {len(known.series)} imported series, which stand above these: joulebook factors --series",)
    return View(
        "factors", title, sentence, columns=columns, rows=tuple(rows), notes=notes if known.series else (),
        empty="No factor fits: see joulebook factors.",
    )  # fmt: skip


def _matched(match: Match) -> dict[str, Any]:
    return factor_row(match.factor, match.match)


def factor_row(factor: Factor, match: str) -> dict[str, Any]:
    facts = {field.name: getattr(factor, field.name) for field in fields(factor)}
    facts |= {name: str(facts[name]) if facts[name] else None for name in ("valid_from", "valid_to", "retrieved")}
    method = "declared" if match == "declared" else "default"
    amount = Estimate(factor.low, factor.value, factor.high, factor.unit, method)
    told = {"resolution": factor.resolution, "dimensions": _dimensions(factor.kind)}
    return (
        facts | told | {"factor_id": factor.factor_id, "valid": factor.valid, "match": match or None, "amount": amount}
    )


def _dimensions(kind: str) -> dict[str, str] | None:
    """What a carbon intensity is of; other kinds have none."""
    found = DIMENSIONS.get(kind)
    return found._asdict() if found else None


def cloud_regions(wanted: str | None = None) -> View:
    """Every region of the clouds, its grid, and how well a carbon intensity fits it today."""
    known, today = load(), datetime.now(UTC).date()
    rows = [
        {**asdict(row), "match": known.select("carbon_intensity", row.place, today).match}
        for row in all_regions().values()
        if wanted is None or wanted.lower() in (row.provider, row.region, f"{row.provider}:{row.region}")
    ]
    sentence = f'{len(rows)} regions. In site.toml: region = "aws:eu-west-3", or that region with its provider.'
    return View(
        "cloud_regions", "Regions of clouds", sentence, columns=REGIONS, rows=tuple(rows),
        notes=("parent: the country's factor stands for a state or province that has none of its own.",),
        empty=f"No cloud has a region {wanted!r}: joulebook factors --regions lists all.",
    )  # fmt: skip


def hardware() -> View:
    """What making hardware takes: what is taken, and the single figures that it rests on."""
    rows = [
        {**asdict(row), "factor_id": row.factor_id,
         "amount": between(row.range, row.unit, "default" if row.distribution == "published" else "modelled")}
        for row in load_hardware()
    ]  # fmt: skip
    notes = ("lognormal: what is taken (median, P5, P95); published: one figure of a source, which it rests on.",)
    return View("hardware", "Making hardware", f"{len(rows)} rows.", columns=HARDWARE, rows=tuple(rows), notes=notes)


def series(home: Path) -> View:
    """The imported hourly and monthly factors of a home."""
    rows = tuple(_series_row(each) for each in factor_set(home).series)
    empty = "No series is in this home: joulebook factors import FILE --format electricitymaps --region FR"
    return View(
        "series", "Imported series", f"{len(rows)} series." if rows else "", columns=SERIES, rows=rows, empty=empty
    )


def _series_row(each: Series) -> dict[str, Any]:
    return factor_row(each.as_factor, "exact") | {"resolution": each.resolution, "values": len(each.spells)}
