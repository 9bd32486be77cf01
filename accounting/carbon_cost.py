"""What carbon costs: at one's own internal price, or the damage it does (the social cost of carbon)."""

from __future__ import annotations

from joulebook.accounting.energy import Carrier

G_PER_T = 1e6


def carbon_cost_usd(carbon_g: Carrier, *, price_usd_per_t: Carrier) -> Carrier:
    """Cost of carbon. Unit: USD = g ÷ 1e6 × USD/t."""
    return carbon_g / G_PER_T * price_usd_per_t
