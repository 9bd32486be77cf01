"""Carbon of electricity used (GHG Protocol scope 2 for one's own machines, location-based)."""

from __future__ import annotations

from joulebook.accounting.energy import Carrier, facility_energy_j
from joulebook.accounting.units import J_PER_KWH


def operational_carbon_g(it_energy_j: Carrier, *, pue: Carrier, intensity_g_per_kwh: Carrier) -> Carrier:
    """Location-based operational carbon. Unit: gCO2e = J × PUE ÷ 3.6e6 × gCO2e/kWh."""
    return facility_energy_j(it_energy_j, pue=pue) / J_PER_KWH * intensity_g_per_kwh
