"""Greenhouse gas by the scopes of the GHG Protocol: scope 2 both ways, and scope 3 as far as it is known."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from joulebook.accounting.declared import load_assets, load_fuel
from joulebook.accounting.estimates import Estimate, between, ends_of, unknown
from joulebook.accounting.factors import MATCHES, is_cloud, locate
from joulebook.accounting.factors.contracts import Contract, load_contracts
from joulebook.accounting.in_force import worst_match
from joulebook.accounting.ledger import Ledger
from joulebook.accounting.lines import Scope
from joulebook.accounting.records import weakest
from joulebook.accounting.scopes import (
    Covered,
    Stretch,
    by_what,
    fuel_g,
    inventory,
    market,
    of_whole,
    pieces_of,
    stretches,
    total,
    upstream,
)
from joulebook.accounting.units import J_PER_KWH
from joulebook.models.footprint.recorded import Called, recorded
from joulebook.reports.format import mid_of
from joulebook.reports.view import Column, Tile, View
from joulebook.reports.views.common import ALL_TIME, Period, of_project, plural
from joulebook.reports.views.impact import Subject, of_period

COLUMNS = (
    Column("scope", "Scope"), Column("label", "What"), Column("amount_g", "CO₂e", "estimate"),
    Column("match", "Rests on", "state"), Column("remark", "Remark"),
)  # fmt: skip
PROVIDERS = "the machines are in somebody else's cloud: their electricity is in scope 3, category 1"
OWN = "the machines are one's own: their electricity is in scope 2"
OWN_HARDWARE = "the machines are one's own: their hardware is in category 2, whole when it was bought"
OF_HOME = "it is declared for the whole home and not by project: ask without --project"


def scopes(ledger: Ledger, period: Period, project: str | None = None) -> View:
    """Every scope that joulebook can tell of a period; what is not known says why."""
    subject = of_period(ledger, period, project)
    contracts = load_contracts(ledger.home)
    asked = Scope(period.start if period.start > ALL_TIME else None, period.end, project)
    own = stretches(subject.assess, asked, contracts)
    if project is not None and contracts:
        own = of_whole(own, stretches(subject.assess, asked._replace(project=None), contracts))
    by_market, covered = market(own, contracts, locate(subject.site.region, subject.site.provider).place)
    called = recorded(ledger, asked, subject.site)
    rows = tuple(_rows(subject, own, by_market, covered, called))
    return View(
        "scopes", "Greenhouse gas by scope", _sentence(rows), f"{subject.title}{of_project(project)} · GWP100",
        tiles=tuple(_tile(row) for row in rows if row["amount_g"].known),
        columns=COLUMNS, rows=rows, parts=tuple(part for part in (_contracts(covered), _calls(called)) if part.rows),
        notes=_notes(), factors=subject.factors,
    )  # fmt: skip


# key -> (scope, what), in the order in which they stand
LINES = {
    "scope_1": ("1", "Fuel burnt"),
    "scope_2_location": ("2, location-based", "Own electricity"),
    "scope_2_market": ("2, market-based", "Own electricity"),
    "scope_3_1_api": ("3, category 1", "Calls of model APIs"),
    "scope_3_1_cloud": ("3, category 1", "Machines in a cloud, electricity"),
    "scope_3_1_cloud_hardware": ("3, category 1", "Machines in a cloud, hardware by time"),
    "scope_3_2": ("3, category 2", "Hardware bought, whole in the year of purchase"),
    "scope_3_3_upstream": ("3, category 3", "Own electricity, before the stack"),
    "scope_3_3_losses": ("3, category 3", "Own electricity, lost on the way"),
}


def _rows(
    subject: Subject, own: Sequence[Stretch], by_market: Estimate, covered: Sequence[Covered], called: Sequence[Called]
) -> list[dict[str, Any]]:
    home, first, last = subject.ledger.home, subject.period.start, subject.period.end
    days = first.date(), (last + timedelta(days=1, microseconds=-1)).date()
    match, of_cloud = _match(subject, own), is_cloud(subject.site)
    cloud = (
        (total(own, "life_cycle_g"), subject.embodied("gwp_g"))
        if of_cloud
        else (unknown("g", OWN), unknown("g", OWN_HARDWARE))
    )
    of_home = unknown("g", OF_HOME) if subject.project is not None else None
    electricity = {
        "scope_2_location": (total(own, "location_g"), match),
        "scope_2_market": (by_market, by_what(own, covered)),
        "scope_3_3_upstream": (upstream(own), match),
        "scope_3_3_losses": (_losses(own), match),
    }
    told: dict[str, tuple[Estimate, str | None]] = {
        "scope_1": (of_home or fuel_g(load_fuel(home), *days), None),
        "scope_3_1_api": (_sum_of([each.of("gwp_g") for each in called]), None),
        "scope_3_1_cloud": (cloud[0], match),
        "scope_3_1_cloud_hardware": (cloud[1], None),
        "scope_3_2": (of_home or inventory(load_assets(home), *days, "gwp_g", "g"), None),
        **(dict.fromkeys(electricity, (unknown("g", PROVIDERS), None)) if of_cloud else electricity),
    }
    remarks = {"scope_3_1_api": _of_engines(called)}
    return [_row(key, amount, fit, remarks.get(key, "")) for key in LINES for amount, fit in [told[key]]]


def _tile(row: dict[str, Any]) -> Tile:
    return Tile(f"Scope {row['scope']}", row["amount_g"], row["label"])


def _row(key: str, amount: Estimate, match: str | None, remark: str) -> dict[str, Any]:
    scope, label = LINES[key]
    told = {"match": match, "remark": remark} if amount.known else {"match": None, "remark": ""}
    return {"key": key, "scope": scope, "label": label, "amount_g": amount, **told}


def _of_engines(called: Sequence[Called]) -> str:
    """What the sum of calls is, and what is not in it."""
    left_out = sum(each.calls for each in called if not each.of("gwp_g").known)
    untold = sum(each.untold for each in called if each.of("gwp_g").known)
    without = f"; without {plural(left_out, 'call')} that no engine knows" if left_out else ""
    without += f"; without {plural(untold, 'call')} of which nobody knows the tokens" if untold else ""
    return f"from the lowest to the highest engine{without}"


def _match(subject: Subject, own: Sequence[Stretch]) -> str | None:
    pieces = pieces_of(subject.assess)
    used = {number for stretch in own for number in stretch.pieces}
    return max((worst_match(pieces[n], ("carbon_intensity",)) for n in used), key=MATCHES.index, default=None)


def _losses(own: Sequence[Stretch]) -> Estimate:
    told = total(own, "losses_g")
    return told if told.known or not own else unknown("g", "no source has the losses of the grid of this place")


def _sum_of(amounts: Sequence[Estimate]) -> Estimate:
    """The sum of what is known; nothing known is unknown. What is left out is told in the table of calls."""
    known = [amount for amount in amounts if amount.known]
    if not known:
        return unknown(
            "g", "no call of a model API is on record" if not amounts else "no engine knows the models called"
        )
    ends = zip(*(ends_of(amount) for amount in known), strict=True)
    return between((sum(each) for each in ends), "g", weakest([amount.method for amount in known]))


def _contracts(covered: Sequence[Covered]) -> View:
    rows = [_contract(each.contract, each) for each in covered]
    columns = (
        Column("name", "Contract"), Column("instrument", "Instrument"),
        Column("intensity_g_per_kwh", "g/kWh", "estimate"), Column("covered_kwh", "Covers here, kWh", "number"),
        Column("evidence", "Evidence"), Column("remark", "Quality criteria"),
    )  # fmt: skip
    return View("contracts", "Contracts for electricity", columns=columns, rows=tuple(rows))


def _contract(contract: Contract, covered: Covered) -> dict[str, Any]:
    return {
        "name": contract.name, "instrument": contract.instrument, "region": contract.region,
        "intensity_g_per_kwh": between(contract.intensity_g_per_kwh, "gCO2e/kWh", "declared"),
        "covered_kwh": covered.energy_j / J_PER_KWH, "evidence": contract.evidence,
        "remark": "all met" if covered.reason is None else f"not used: {covered.reason}",
    }  # fmt: skip


def _calls(called: Sequence[Called]) -> View:
    rows = [
        {"provider": each.provider or None, "model": each.model or None, "calls": each.calls, "gwp_g": each.of("gwp_g"),
         "remark": _remark(each)}
        for each in called
    ]  # fmt: skip
    columns = (
        Column("provider", "Provider"), Column("model", "Model"), Column("calls", "Calls", "number"),
        Column("gwp_g", "Between engines, CO₂e", "estimate", "g"), Column("remark", "Remark"),
    )  # fmt: skip
    return View("api_calls", "Calls of model APIs, by every engine that can say", columns=columns, rows=tuple(rows))


def _remark(called: Called) -> str:
    amount = called.of("gwp_g")
    untold = f"of {called.untold} calls nobody knows the tokens" if called.untold else ""
    return "; ".join(filter(None, [amount.reason or "", untold]))


def _sentence(rows: Sequence[dict[str, Any]]) -> str:
    by_key = {row["key"]: row["amount_g"] for row in rows}
    location, by_market = by_key["scope_2_location"], by_key["scope_2_market"]
    if not location.known:
        return f"Scope 2 is not known: {location.reason}."
    both = f"{mid_of(location)} of CO₂e location-based and {mid_of(by_market)} market-based"
    return f"Scope 2 is {both}: two answers, never added."


def _notes() -> tuple[str, ...]:
    return (
        "Scope 2 is what plants emit at the stack; what arises before it is in category 3, so nothing counts twice.",
        "Market-based: contracts that meet the Scope 2 Quality Criteria, then the residual mix, then the grid.",
        "Category 2 is whole in the year of purchase; the time share of the same hardware is in joulebook impact.",
        "Avoided emissions are outside the scopes: joulebook roe.",
    )
