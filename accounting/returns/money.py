"""Companions in money. They stand beside the physical return and never change it."""

from __future__ import annotations

from joulebook.accounting.carbon_cost import G_PER_T, carbon_cost_usd
from joulebook.accounting.energy import Carrier


def carbon_productivity_usd_per_kg(value_usd: Carrier, *, caused_g: Carrier) -> Carrier:
    """Value for each kg of CO2e caused. Unit: USD/kg = USD ÷ (g ÷ 1000)."""
    return value_usd / (caused_g / 1000)


def carbon_per_value_g_per_usd(caused_g: Carrier, *, value_usd: Carrier) -> Carrier:
    """CO2e caused for each dollar of value. Unit: g/USD."""
    return caused_g / value_usd


def climate_value_usd(
    net_g: Carrier, *, social_cost_usd_per_t: float, discount_rate: float = 0.0, years: float = 0.0
) -> Carrier:
    """What the net benefit of a year is worth to all, at the social cost of that year, seen from `years` before.

    The discount rate is the social cost's own. Unit: USD = g ÷ 1e6 × USD/t ÷ (1 + r)^years.
    """
    present_usd_per_t = social_cost_usd_per_t / (1 + discount_rate) ** years
    return carbon_cost_usd(net_g, price_usd_per_t=present_usd_per_t)


def carbon_adjusted_roi(
    *, value_usd: Carrier, cost_usd: Carrier, net_g: Carrier, carbon_price_usd_per_t: Carrier
) -> Carrier:
    """Return on investment with carbon at a price: (V − K − p C + p A) ÷ K. Unit: 1.

    The price of carbon is counted once: K holds none of it.
    """
    return (value_usd - cost_usd + carbon_cost_usd(net_g, price_usd_per_t=carbon_price_usd_per_t)) / cost_usd


def abatement_cost_usd_per_t(*, cost_usd: Carrier, other_value_usd: Carrier, net_g: Carrier) -> Carrier:
    """What a tonne less costs. Below 0 it pays for itself; it means nothing where N is not above 0.

    Unit: USD/t = (K − V) ÷ (N ÷ 1e6).
    """
    return (cost_usd - other_value_usd) / (net_g / G_PER_T)
