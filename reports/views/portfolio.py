"""A portfolio: who asks how often for what, what its requests take, and what in it is only a default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from joulebook.accounting.estimates import Estimate, unknown
from joulebook.accounting.ledger import Ledger
from joulebook.accounting.site import load_site
from joulebook.models.projection.ask import Asked, portfolio_of
from joulebook.models.projection.base import Base, base_of
from joulebook.models.projection.engines import EVIDENCE, KEYS, Said, engine_of, scaled
from joulebook.models.projection.outcome import unit_of
from joulebook.models.projection.portfolio import UseCase
from joulebook.reports.view import Column, Figure, Series, Tile, View
from joulebook.reports.views.common import in_words, plural
from joulebook.reports.views.projection import drawn, left_out

COLUMNS = (
    Column("use_case", "Use case"),
    Column("kind", "Kind"),
    Column("requests_per_year", "Requests a year", "number"),
    Column("region", "Region"),
    Column("engine", "By"),
    Column("energy_per_request", "Of a request", "estimate", "J"),
    Column("energy", "Energy", "estimate", "J"),
    Column("gwp", "Carbon, CO₂e", "estimate", "g"),
    Column("defaults", "Defaults"),
)


def portfolio(ledger: Ledger, asked: Asked | None = None) -> View:
    """The use cases of the ledger, of a file or of the study, as the base year of a projection has them."""
    asked = asked or Asked()
    found = portfolio_of(ledger, asked)
    base = base_of(found, engine_of(asked.engine or EVIDENCE), load_site(ledger.home))
    rows = tuple(_row(base, use_case, region, said) for use_case, region, said in base.said)
    energy, carbon = (_total(base, rows, category) for category in ("energy", "gwp"))
    requests = sum(use_case.requests_per_year for use_case in found.use_cases)
    known = sorted((row for row in rows if row["energy"].known), key=lambda row: -row["energy"].mid)
    names = tuple(f"{row['use_case']} ({row['region']})" for row in known)
    mid, low, high = (tuple(getattr(row["energy"], end) for row in known) for end in ("mid", "low", "high"))
    series = Series("Energy", names, mid, low, high)
    sentence = f"{plural(len(found.use_cases), 'use case')} with {requests:,.0f} requests a year"
    sentence += f" take {in_words(energy)}." if energy.known else "."
    return View(
        "portfolio", "Portfolio", sentence, subtitle=f"{found.name} · {found.base_year} · engine {base.engine.name}",
        tiles=(Tile("Energy a year", energy), Tile("Carbon a year", carbon, base.covers.get("gwp", ""))),
        columns=COLUMNS, rows=rows,
        figure=Figure("bars", "Energy a year, by use case", "J", (series,), sentence) if known else None,
        alerts=tuple(left_out(base)),
        notes=(*found.notes, "Defaults are fields that nobody filled in: they have the study's values.", *base.notes),
    )  # fmt: skip


def _row(base: Base, use_case: UseCase, region: str, said: Said) -> Mapping[str, Any]:
    requests = use_case.requests_per_year * use_case.regions[region]
    return {
        "use_case": use_case.name, "kind": use_case.kind, "requests_per_year": requests, "region": region,
        "engine": said.engine, "energy_per_request": _amount(base, said, "energy", 1.0),
        **{category: _amount(base, said, category, requests) for category in KEYS},
        "defaults": ", ".join(use_case.defaults), "method": said.method,
    }  # fmt: skip


def _amount(base: Base, said: Said, category: str, requests: float) -> Estimate:
    """A category in all its parts; unknown where the engine does not say what running takes."""
    unit = unit_of(base, category)
    parts = [scaled(values, requests) for part, values in said.parts.items() if part[0] == category]
    if said.reason or (category, "grid") not in said.parts:
        return drawn(unknown(unit, said.reason or "the engine does not say"))
    low, mid, high = (sum(values[end] for values in parts) for end in range(3))
    return drawn(Estimate(low, mid, high, unit, said.method))


def _total(base: Base, rows: tuple[Mapping[str, Any], ...], category: str) -> Estimate:
    known = [row[category] for row in rows if row[category].known]
    unit = drawn(unknown(unit_of(base, category), "")).unit
    if not known or category in base.missing:
        return unknown(unit, base.missing.get(category, "no engine knows any of it"))
    low, mid, high = (sum(getattr(each, end) for each in known) for end in ("low", "mid", "high"))
    return Estimate(low, mid, high, unit, base.method)
