"""What a run or a period did to the climate and to resources: running it and making its hardware, side by side.

    electricity × factors ─> operational ─┐
    hardware held × its making ─> embodied ┴─> total, by category     carbon × a price ─> what it costs

Embodied is by time share of the hardware's life. What was bought whole in a year is another question (`scopes`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from joulebook.accounting.assess import CATEGORIES, ENDS, Assessor, estimate_of, worst_match
from joulebook.accounting.carbon_cost import carbon_cost_usd
from joulebook.accounting.estimates import Estimate, added, between, ends_of, unknown
from joulebook.accounting.factors import MATCHES
from joulebook.accounting.held import Held, embodied, factor_ids, held, lifetime_years
from joulebook.accounting.ledger import Ledger
from joulebook.accounting.site import Range, Site
from joulebook.reports.format import mid_of
from joulebook.reports.view import Column, FactorUse, Tile, View
from joulebook.reports.views.common import (
    Period,
    assess_period,
    aware,
    capital,
    factor_uses,
    naive,
    of_project,
    period_of,
    project_filter,
    standing_notes,
)
from joulebook.reports.views.run import find_run
from joulebook.reports.views.runs import RUNS_SQL
from joulebook.reports.views.summary import nothing_found, totals

# category -> (its label, the operational category of `assess`, the category of the hardware's making, unit)
ROWS = {
    "gwp_g": ("Greenhouse gas, CO₂e", "carbon_g", "gwp_g", "g"),
    "primary_energy_j": ("Primary energy", "primary_energy_j", "primary_energy_j", "J"),
    "adpe_kgsb": ("Minerals and metals (ADPe)", "adpe_kgsb", "adpe_kgsb", "kgSb"),
    "water_l": ("Water", "water_l", None, "L"),
}
BOUNDARIES = {
    "device_energy_j": "Devices: what sensors on chips and boards see",
    "it_energy_j": "IT: servers at their plugs",
    "facility_energy_j": "Facility: with cooling and losses of the building",
}
PARTS = {"total": "both", "operational": "running it alone", "embodied": "manufacture alone"}
NO_WATER = "no source has the water that making hardware takes"
NO_DEVICE = "no device sensor could be read"
COLUMNS = (
    Column("label", "Impact"),
    Column("operational", "Running it", "estimate"),
    Column("embodied", "Making the hardware, by time", "estimate"),
    Column("total", "Together", "estimate"),
    Column("match", "Factor match", "state"),
)


@dataclass(frozen=True)
class Subject:
    """What is asked about: a run, or the runs of a period, with what they used and held."""

    ledger: Ledger
    assess: Assessor
    period: Period
    title: str
    run_id: str | None = None
    project: str | None = None

    @property
    def site(self) -> Site:
        return self.assess.site

    @cached_property
    def facts(self) -> Mapping[str, Any]:
        """Sums of every category; without energy an empty row."""
        if self.run_id:
            return self.assess.rows(f"{RUNS_SQL} and w.span_id = ?::uuid", (self.run_id,))[0]
        found = totals(self.assess, self.period, None, self.project)
        return found[0] if found else {}

    @property
    def where(self) -> tuple[str, tuple[Any, ...]]:
        """A condition on `work w` that holds for its runs, and its parameters."""
        if self.run_id:
            return "w.span_id = ?::uuid", (self.run_id,)
        condition, params = project_filter(self.project)
        within = "w.parent_id is null and w.seen_until_utc > ? and w.started_at_utc < ?"
        return f"{within} {condition}", (*self.window, *params)

    @property
    def window(self) -> tuple[datetime, datetime]:
        return naive(self.period.start), naive(self.period.end)

    @cached_property
    def run_ids(self) -> set[str]:
        """The runs that were there in it."""
        where, params = self.where
        rows = self.ledger.rows(f"select span_id::varchar as run_id from work w where {where}", params)
        return {row["run_id"] for row in rows}

    @cached_property
    def held(self) -> list[Held]:
        return [
            each
            for each in held(self.ledger, self.site, self.period.start, self.period.end)
            if each.run_id in self.run_ids
        ]

    @cached_property
    def lifetime(self) -> Range:
        return lifetime_years(self.site, self.assess.factors, self.period.start)

    def embodied(self, category: str, runs: set[str] | None = None) -> Estimate:
        parts = [each for each in self.held if runs is None or each.run_id in runs]
        return embodied(parts, self.lifetime, category)

    @property
    def factors(self) -> tuple[FactorUse, ...]:
        return factor_uses(self.assess, [self.facts]) if self.facts.get("pieces") else ()


def of_run(ledger: Ledger, text: str) -> Subject:
    """One run. Raises NotFound when it is not in the ledger."""
    run_id = find_run(ledger, text)
    begun = ledger.rows("select name, started_at_utc, seen_until_utc from work where span_id = ?::uuid", (run_id,))[0]
    period = period_of(aware(begun["started_at_utc"]), aware(begun["seen_until_utc"] + timedelta(microseconds=1)))
    return Subject(ledger, assess_period(ledger, period), period, begun["name"], run_id)


def of_period(ledger: Ledger, period: Period, project: str | None = None) -> Subject:
    return Subject(ledger, assess_period(ledger, period), period, capital(period.label), None, project)


def impact(subject: Subject) -> View:
    """Every category, operational and embodied, with the energy at three boundaries and what the carbon costs."""
    facts = subject.facts
    rows = tuple(_row(subject, category) for category in ROWS)
    whole = {row["category"]: row for row in rows}
    known = facts.get("it_energy_j_mid") is not None or any(row["embodied"].known for row in rows)
    view = View("impact", "Impacts", subtitle=f"{subject.title}{of_project(subject.project)} · location-based")
    if not known:
        return replace(view, empty=nothing_found(subject.period, subject.project))
    return replace(
        view, sentence=_sentence(whole["gwp_g"]), tiles=_tiles(whole), columns=COLUMNS, rows=rows,
        parts=(_boundaries(facts), _cost(subject, whole["gwp_g"])), notes=_notes(subject), factors=subject.factors,
    )  # fmt: skip


def _row(subject: Subject, category: str) -> dict[str, Any]:
    label, running, making, unit = ROWS[category]
    operational = estimate_of(subject.facts, running)
    made = subject.embodied(making) if making else unknown(unit, NO_WATER)
    pieces = [subject.assess.pieces[number] for number in subject.facts.get("pieces") or ()]
    kinds = CATEGORIES[running][1]
    match = max((worst_match(piece, kinds) for piece in pieces), key=MATCHES.index, default=None)
    used = (piece.matches[kind].factor.factor_id for piece in pieces for kind in kinds if kind in piece.matches)
    ids = [*used, *(factor_ids(subject.held, making) if making else ())]
    return {
        "category": category,
        "label": label,
        "operational": operational,
        "embodied": made,
        "total": added(operational, made) if made.known else unknown(unit, "making it is not known"),
        "match": match,
        "factor_ids": list(dict.fromkeys(ids)),
    }


def _sentence(gwp: Mapping[str, Any]) -> str:
    parts = {"running it": gwp["operational"], "making its hardware": gwp["embodied"]}
    told = [f"{mid_of(amount)} of CO₂e from {what}" for what, amount in parts.items() if amount.known]
    missing = [f"{what} is not known: {amount.reason}" for what, amount in parts.items() if not amount.known]
    return f"{' and '.join(told)}.{''.join(f' What comes from {each}.' for each in missing)}"


def _tiles(rows: Mapping[str, Mapping[str, Any]]) -> tuple[Tile, ...]:
    gwp = rows["gwp_g"]
    return (
        Tile("Carbon, running", gwp["operational"], "location-based"),
        Tile("Carbon, manufacture", gwp["embodied"], "by time share"),
        Tile("Primary energy, running", rows["primary_energy_j"]["operational"]),
        Tile("Minerals, manufacture", rows["adpe_kgsb"]["embodied"]),
    )


def _boundaries(facts: Mapping[str, Any]) -> View:
    """The same energy at three boundaries: one turns into the next by one factor, so they are never added."""
    cells = {category: estimate_of(facts, category) for category in ("it_energy_j", "facility_energy_j")}
    device = [facts.get(f"device_energy_j_{end}") or 0.0 for end in ENDS]
    is_known = facts.get("device_energy_j_mid") is not None
    method = cells["it_energy_j"].method
    cells["device_energy_j"] = between(device, "J", method) if is_known else unknown("J", NO_DEVICE)
    rows = tuple({"category": key, "label": label, "energy_j": cells[key]} for key, label in BOUNDARIES.items())
    columns = (Column("label", "Boundary"), Column("energy_j", "Energy", "estimate", "J"))
    return View("boundaries", "Energy at three boundaries", columns=columns, rows=rows, width="half")


def _cost(subject: Subject, gwp: Mapping[str, Any]) -> View:
    """What the carbon costs: of both parts where both are known, else of what is."""
    part = next((part for part in ("total", "operational", "embodied") if gwp[part].known), "total")
    rows = [
        {**price, "part": part, "carbon": PARTS[part], "cost_usd": _priced(gwp[part], price["price_usd_per_t"])}
        for price in _prices(subject)
    ]
    columns = (
        Column("label", "Price of carbon"), Column("price_usd_per_t", "Price", "estimate", "USD/t"),
        Column("carbon", "Of"), Column("cost_usd", "Cost", "estimate", "USD"),
    )  # fmt: skip
    return View("carbon_cost", "What the carbon costs", columns=columns, rows=tuple(rows), width="half")


def _prices(subject: Subject) -> Iterator[dict[str, Any]]:
    """The site's own price, then the social costs that are published."""
    own = subject.site.carbon_price_usd_per_t
    if own:
        price = between(own, "USD/t", "declared")
        yield {"price": "own", "label": "internal price, site.toml", "price_usd_per_t": price, "factor_id": None}
    day = min(subject.period.end, datetime.now(UTC)).date()
    for key, name in (("epa", "social cost, US EPA"), ("uba", "social cost, Umweltbundesamt")):
        factor = subject.assess.factors.select("social_cost_of_carbon", key, day).factor
        price = between((factor.low, factor.value, factor.high), "USD/t", "default")
        yield {"price": key, "label": name, "price_usd_per_t": price, "factor_id": factor.factor_id}


def _priced(carbon: Estimate, price: Estimate) -> Estimate:
    if not carbon.known:
        return unknown("USD", carbon.reason or "the carbon is not known")
    ends = (carbon_cost_usd(g, price_usd_per_t=usd) for g, usd in zip(ends_of(carbon), ends_of(price), strict=True))
    return between(ends, "USD", carbon.method)


def _notes(subject: Subject) -> tuple[str, ...]:
    standing = standing_notes(subject.assess, [subject.facts]) if subject.facts.get("pieces") else ()
    low, mid, high = subject.lifetime
    notes = [note for note in standing if "manufacture" not in note]  # here it is in them
    notes.append(
        f"Manufacture is by time share: what was reserved of a life of {mid:g} years ({low:g} to {high:g}). "
        "What was bought, whole in its year: joulebook scopes."
    )
    if subject.held and not subject.site.hardware:
        notes.append(
            "Of the hardware only accelerators are named in the journal: servers, processors and memory are not in it. "
            'Name them in site.toml, e.g. hardware = "8 H100, 1 server-8-gpu, 2048 dram".'
        )
    return tuple(notes)
