"""What making the hardware took: by the time that runs held it, and, apart, whole in the year of purchase."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from joulebook.accounting.declared import Asset, load_assets
from joulebook.accounting.estimates import Estimate, between
from joulebook.accounting.factors.hardware import CATEGORIES, making, published
from joulebook.accounting.factors.hardware import Figure as Published
from joulebook.accounting.held import NOTHING_NAMED, Held
from joulebook.accounting.held import embodied as time_share
from joulebook.accounting.ledger import Ledger
from joulebook.accounting.scopes import inventory
from joulebook.reports.format import amount, mid_of
from joulebook.reports.view import Column, Figure, Series, View
from joulebook.reports.views.common import Period, capital, of_project
from joulebook.reports.views.impact import Subject, of_period

AMOUNTS = (
    Column("gwp_g", "Greenhouse gas, CO₂e", "estimate", "g"),
    Column("primary_energy_j", "Primary energy", "estimate", "J"),
    Column("adpe_kgsb", "Minerals (ADPe)", "estimate", "kgSb"),
)
HELD = (
    Column("hardware", "Hardware"), Column("taken_as", "Taken as"), Column("runs", "Runs", "number"),
    Column("reserved_s", "Reserved", "duration", "s"), *AMOUNTS,
)  # fmt: skip
BOUGHT = (
    Column("year", "Year"), Column("asset", "Bought"), Column("hardware", "Hardware"),
    Column("count", "Pieces", "number"), *AMOUNTS,
)  # fmt: skip
SINGLE = (
    Column("hardware", "Hardware"), Column("gwp_g", "One piece, CO₂e", "estimate", "g"), Column("basis", "What it is"),
    Column("source", "Source"),
)  # fmt: skip


def embodied(ledger: Ledger, period: Period, project: str | None = None) -> View:
    """The hardware that runs held, what making it took, what was bought, and the figures that it rests on."""
    subject = of_period(ledger, period, project)
    rows = tuple(_held_row(subject, parts) for parts in _by_hardware(subject.held))
    whole = subject.embodied("gwp_g")
    assets = load_assets(ledger.home)
    names = [
        *(part.making.hardware for part in subject.held if part.making),
        *(each.making.hardware for each in assets),
    ]
    parts = (_bought(assets), *(_published(name) for name in dict.fromkeys(names)))
    return View(
        "embodied", "Making the hardware", _sentence(whole) if rows else "", f"{subject.title}{of_project(project)}",
        columns=HELD, rows=rows, parts=tuple(part for part in parts if part.rows), notes=_notes(subject),
        empty=f"{capital(NOTHING_NAMED)}." if not subject.held else "",
    )  # fmt: skip


def _by_hardware(parts: Sequence[Held]) -> list[list[Held]]:
    groups: defaultdict[str, list[Held]] = defaultdict(list)
    for part in parts:
        groups[part.name].append(part)
    return list(groups.values())


def _held_row(subject: Subject, parts: Sequence[Held]) -> dict[str, Any]:
    found = parts[0].making
    return {
        "hardware": parts[0].name,
        "taken_as": found.hardware if found else None,
        "runs": len({part.run_id for part in parts}),
        "reserved_s": sum(part.reserved_s * part.count for part in parts),
        **{category: time_share(parts, subject.lifetime, category) for category in CATEGORIES},
    }


def _sentence(gwp: Estimate) -> str:
    if not gwp.known:
        return f"Not known: {gwp.reason}."
    return f"By the time for which runs held it, making the hardware comes to {mid_of(gwp)} of CO₂e."


def _notes(subject: Subject) -> tuple[str, ...]:
    low, mid, high = subject.lifetime
    return (
        f"By time: the part of a life of {mid:g} years ({low:g} to {high:g}) for which it was reserved, idle or not.",
        "Runs that overlap on a device share its time.",
        "Bought: GHG Protocol, scope 3, category 2. The two answer different questions and are never added.",
    )


def _bought(assets: Sequence[Asset]) -> View:
    """The inventory view: everything in the year of purchase."""
    rows = [
        {"year": str(asset.purchased.year), "asset": asset.asset, "hardware": asset.hardware, "count": asset.count,
         **{key: inventory([asset], asset.purchased, date.max, key, unit) for key, unit in CATEGORIES.items()}}
        for asset in sorted(assets, key=lambda asset: asset.purchased)
    ]  # fmt: skip
    return View("bought", "Bought, whole in the year of purchase", columns=BOUGHT, rows=tuple(rows))


def _published(hardware: str) -> View:
    """The figures of one class of hardware: sources differ by more than anything else in this sum."""
    taken, figures = making(hardware), published(hardware)
    own = taken.figures.get("gwp_g") if taken else None
    if own is None or not figures:
        return View("published", "")
    low, mid, high = (amount(end, "g") for end in own.range)
    ends = f"{amount(figures[0].value, 'g')} to {amount(figures[-1].value, 'g')}"
    told = f"One {hardware} is taken as {mid} ({low} to {high}); {len(figures)} published figures run from {ends}."
    rows = (_single(own, f"{hardware}, as taken"), *(_single(each, each.hardware) for each in figures))
    names = tuple(f"{row['hardware']}: {row['source']}" if row["is_published"] else row["hardware"] for row in rows)
    mid_g, low_g, high_g = (tuple(getattr(row["gwp_g"], end) for row in rows) for end in ("mid", "low", "high"))
    figure = Figure("bars", f"Making one {hardware}", "g", (Series("CO₂e", names, mid_g, low_g, high_g),), told)
    title = f"What is published of one {hardware}"
    return View(f"published_{hardware}", title, told, columns=SINGLE, rows=rows, figure=figure)


def _single(figure: Published, name: str) -> Mapping[str, Any]:
    is_published = figure.distribution == "published"
    return {
        "hardware": name,
        "gwp_g": between((figure.low, figure.value, figure.high), "g", "default" if is_published else "modelled"),
        "basis": figure.basis,
        "source": figure.source,
        "url": figure.url,
        "is_published": is_published,
        "factor_id": figure.factor_id,
    }
