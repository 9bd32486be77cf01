"""What a projection costs: tokens × price at APIs, electricity of one's own machines, and carbon at a price.

Apart from each other, at the central drivers: an API's price has its electricity in it. Use cases that name a provider
and a model are priced by the lists of today; those of the ledger by what they cost at ingest. Where the price of a use
case is not known, neither is the sum. A price of carbon is a driver of the scenario: 0 unless somebody says one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from joulebook.accounting.cost import electricity_cost_usd
from joulebook.accounting.estimates import Estimate, exactly, unknown
from joulebook.accounting.factors import WORLD, load
from joulebook.accounting.site import Site
from joulebook.models.projection.base import Base
from joulebook.models.projection.outcome import Projection
from joulebook.models.projection.portfolio import Portfolio, Price, UseCase
from joulebook.models.projection.ramps import compound, linear
from joulebook.models.projection.walk import WAYS, usage_index

G_PER_T = 1e6


class Cost(NamedTuple):
    """What a year costs: at APIs, for electricity, and of its carbon; unknown with a reason."""

    year: int
    api_usd: Estimate
    electricity_usd: Estimate
    carbon_usd: Estimate


def priced(portfolio: Portfolio, home: Path) -> Portfolio:
    """The same portfolio, with the prices of today for use cases that name a model: each kind of call asked once."""
    asked = {_call(each): each for each in portfolio.use_cases if each.model and each.price is None}
    prices = {call: _quoted(each, home) for call, each in asked.items()}
    use_cases = (replace(each, price=each.price or prices.get(_call(each))) for each in portfolio.use_cases)
    return replace(portfolio, use_cases=tuple(use_cases))


def _call(use_case: UseCase) -> tuple[object, ...]:
    """What the price of a request depends on."""
    return (use_case.provider, use_case.model, use_case.input_tokens, use_case.output_tokens, use_case.calls)


def _quoted(use_case: UseCase, home: Path) -> Price | None:
    from joulebook.accounting.ledger.quote import Question, quote

    amounts = {"input_tokens": use_case.input_tokens, "output_tokens": use_case.output_tokens}
    asked = Question(use_case.provider, str(use_case.model), amounts, datetime.now(UTC), {})
    told = quote(home, asked) if any(amounts.values()) else None
    if told is None or told["cost_usd"] is None:
        return None
    into, out = (
        use_case.calls * sum(_usd(line) for line in told["lines"] if ("output" in line["unit"]) == is_out)
        for is_out in (False, True)
    )
    return Price(into, out, f"{told['basis']} of today")


def _usd(line: Mapping[str, Any]) -> float:
    return float(line["amount"] * line["usd_per_unit"])


def costs(projection: Projection, site: Site) -> list[Cost]:
    """What each year costs."""
    base, values = projection.base, projection.scenario.central
    years = [year.year for year in projection.years]
    api = _at_apis(base, years, values)
    electricity = _of_electricity(projection, site, linear(values["electricity_price"], years))
    carbon = [_of_carbon(year.central["gwp"], values["carbon_price_usd_per_t"], base) for year in projection.years]
    return [Cost(*row) for row in zip(years, api, electricity, carbon, strict=True)]


def api_cost_usd(requests: float, price: Price, *, output: float) -> float:
    """Unit: USD = requests × (USD in + USD out × output), of answers so many times as long."""
    return requests * (price.input_usd + price.output_usd * output)


def _at_apis(base: Base, years: Sequence[int], values: Mapping[str, float]) -> list[Estimate]:
    bought = [each for each in base.portfolio.use_cases if each.energy_j is None]
    unpriced = [each.name for each in bought if each.price is None]
    if unpriced or not bought:
        why = f"no price is known of {unpriced[0]}" if unpriced else "nothing of it is bought at an API"
        return [unknown("USD", why)] * len(years)
    totals = [0.0] * len(years)
    for each in bought:
        if each.price is not None:
            totals = [a + b for a, b in zip(totals, _api_costs(each, each.price, years, values), strict=True)]
    return [exactly(total, "USD", "modelled") for total in totals]


def _api_costs(use_case: UseCase, price: Price, years: Sequence[int], values: Mapping[str, float]) -> list[float]:
    """One use case, year by year: more requests, more calls of each, longer answers, another price of tokens."""
    way, settling = WAYS[use_case.kind], values["settling_y"]
    output, calls = (
        compound(values[name] if name in way.more else 1.0, years, 0.0, settling)
        for name in ("output_tokens", "calls_per_workflow")
    )
    index = zip(usage_index(way.growth, years, values), calls, linear(values["token_price"], years), strict=True)
    return [
        api_cost_usd(use_case.requests_per_year * use * more, price, output=length) * per_token
        for (use, more, per_token), length in zip(index, output, strict=True)
    ]


def _of_electricity(projection: Projection, site: Site, prices: Sequence[float]) -> list[Estimate]:
    """Of one's own machines: the measured use cases. Their share of the energy is taken to stay."""
    base = projection.base
    own_wh = sum(
        said.parts["energy", "grid"][1] * use_case.requests_per_year * use_case.regions[region]
        for use_case, region, said in base.said
        if use_case.energy_j is not None and not said.reason
    )
    if not own_wh:
        return [unknown("USD", "nothing of it runs on one's own machines")] * len(prices)
    factor = load().select("electricity_price", site.region or WORLD, datetime.now(UTC).date()).factor
    tariff = site.price_usd_per_kwh or (factor.low, factor.value, factor.high)
    told: list[Estimate] = []
    for year, price in zip(projection.years, prices, strict=True):
        energy_j = own_wh * 3600 * (year.index["energy"] or 0.0)
        ends = [electricity_cost_usd(energy_j, pue=1.0, price_usd_per_kwh=each * price) for each in tariff]
        told.append(Estimate(ends[0], ends[1], ends[2], "USD", base.projected_method))
    return told


def carbon_price_cost_usd(carbon_g: float, *, price_usd_per_t: float) -> float:
    """Unit: USD = g ÷ 1e6 × USD/t."""
    return carbon_g / G_PER_T * price_usd_per_t


def _of_carbon(carbon_g: float | None, price: float, base: Base) -> Estimate:
    if carbon_g is None:
        return unknown("USD", base.missing["gwp"])
    if not price:
        return unknown("USD", "no price of carbon is said: carbon_price_usd_per_t in a scenario of yours")
    return exactly(carbon_price_cost_usd(carbon_g, price_usd_per_t=price), "USD", base.projected_method)
