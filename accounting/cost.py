"""What the electricity costs."""

from __future__ import annotations

from joulebook.accounting.energy import Carrier, facility_energy_j
from joulebook.accounting.units import J_PER_KWH


def electricity_cost_usd(it_energy_j: Carrier, *, pue: Carrier, price_usd_per_kwh: Carrier) -> Carrier:
    """Electricity cost of the facility. Unit: USD = J × PUE ÷ 3.6e6 × USD/kWh."""
    return facility_energy_j(it_energy_j, pue=pue) / J_PER_KWH * price_usd_per_kwh
