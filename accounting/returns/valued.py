"""The return in money, apart from it: money changes nothing physical, and nothing physical is priced silently.

    claims ──[money]──▶ value and cost, for the part of their timeframes that counts
    C, A by year × a price of carbon ──formulas of `money`──▶ lines, one for each companion and price

A price is none, the organisation's own, or a published social cost (`social_cost_of_carbon`): in dollars of the year
that its row names, at the discount rate that its mid rests on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import NamedTuple

from joulebook.accounting.errors import FactorError
from joulebook.accounting.estimates import Estimate, unknown
from joulebook.accounting.factors import FactorSet
from joulebook.accounting.returns.balance import Balance
from joulebook.accounting.returns.companions import NEARLY_ALL
from joulebook.accounting.returns.money import (
    abatement_cost_usd_per_t,
    carbon_adjusted_roi,
    carbon_per_value_g_per_usd,
    carbon_productivity_usd_per_kg,
    climate_value_usd,
)
from joulebook.accounting.returns.portfolio import SUPPORTED_ONLY, Amounts, Result
from joulebook.accounting.returns.sampling import Array
from joulebook.accounting.uncertainty import sampled

# publisher -> the discount rate that the mids of its rows rest on
PUBLISHED = {"epa": 0.02, "uba": 0.01}


class Price(NamedTuple):
    """What a tonne of CO2e is taken to cost, by year."""

    name: str
    usd_per_t: Mapping[int, float]
    discount_rate: float = 0.0


class Line(NamedTuple):
    """One companion; `price` is the one that it rests on, empty where it rests on none."""

    name: str
    price: str
    amount: Estimate


def prices(factors: FactorSet, years: Sequence[int], internal_usd_per_t: float | None = None) -> list[Price]:
    """None, the internal one where there is one, and the published ones that the tables have."""
    found = [Price("none", dict.fromkeys(years, 0.0))]
    if internal_usd_per_t is not None:
        found.append(Price("internal", dict.fromkeys(years, internal_usd_per_t)))
    for name, rate in PUBLISHED.items():
        try:
            told = {
                year: factors.select("social_cost_of_carbon", name, date(year, 7, 1)).factor.value for year in years
            }
        except FactorError:
            continue
        found.append(Price(name, told, rate))
    return found


def lines(result: Result, priced: Sequence[Price], basis: str = SUPPORTED_ONLY) -> list[Line]:
    """All companions of a use case or a portfolio. Unknown with a reason where value or cost is not told."""
    balance = result.balance("gwp_g", basis)
    if balance is None:
        return []
    value, cost = (_told(result, key) for key in ("value_usd", "cost_usd"))
    return [
        Line("carbon_productivity_usd_per_kg", "", _productivity(balance, value)),
        Line("carbon_per_value_g_per_usd", "", _per_value(balance, value)),
        Line("abatement_cost_usd_per_t", "", _abatement_cost(balance, value, cost)),
        *(Line("carbon_adjusted_roi", price.name, _roi(balance, value, cost, price)) for price in priced),
        *(Line("climate_value_usd", price.name, sampled(_climate_value(result, price, basis), "USD"))
          for price in priced if any(price.usd_per_t.values())),
    ]  # fmt: skip


def _told(result: Result, key: str) -> float | None:
    """What the claims tell together; None where none does."""
    told = [(getattr(each.claim.money, key), each.effect.plan.time_share) for each in result.claims]
    known = [amount * share for amount, share in told if amount is not None]
    return sum(known) if known else None


NO_VALUE, NO_COST = (f"no claim tells [money] {key}" for key in ("value_usd", "cost_usd"))


def _productivity(balance: Balance, value: Array | None) -> Estimate:
    if value is None:
        return unknown("USD/kg", NO_VALUE)
    return sampled(carbon_productivity_usd_per_kg(value, caused_g=balance.caused), "USD/kg")


def _per_value(balance: Balance, value: Array | None) -> Estimate:
    if not value:
        return unknown("g/USD", NO_VALUE)
    return sampled(carbon_per_value_g_per_usd(balance.caused, value_usd=value), "g/USD")


def _abatement_cost(balance: Balance, value: Array | None, cost: Array | None) -> Estimate:
    if value is None or cost is None:
        return unknown("USD/t", NO_VALUE if value is None else NO_COST)
    abates = balance.net > 0
    if abates.mean() < NEARLY_ALL:
        return unknown("USD/t", "no abatement: N is not surely above 0")
    amount = abatement_cost_usd_per_t(cost_usd=cost, other_value_usd=value, net_g=balance.net[abates])
    return sampled(amount, "USD/t")


def _roi(balance: Balance, value: Array | None, cost: Array | None, price: Price) -> Estimate:
    """At the price of the last year."""
    if value is None or not cost:
        return unknown("1", NO_VALUE if value is None else NO_COST)
    newest: Array = price.usd_per_t[max(price.usd_per_t)]
    roi = carbon_adjusted_roi(value_usd=value, cost_usd=cost, net_g=balance.net, carbon_price_usd_per_t=newest)
    return sampled(roi, "1")


def _climate_value(result: Result, price: Price, basis: str) -> Array:
    """N of each year at the social cost of that year, seen from the first of them."""
    caused, benefit = result.caused_by_year, result.benefit_by_year.get(basis, {})
    first = min(price.usd_per_t)
    nothing: Amounts = {"gwp_g": 0 * result.caused["gwp_g"]}
    total = nothing["gwp_g"]
    for year in sorted({*caused, *benefit}):
        gain, cost = ({**nothing, **amounts.get(year, nothing)}["gwp_g"] for amounts in (benefit, caused))
        total = total + climate_value_usd(gain - cost, social_cost_usd_per_t=price.usd_per_t[year],
                                          discount_rate=price.discount_rate, years=year - first)  # fmt: skip
    return total
