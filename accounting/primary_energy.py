"""Primary energy: what was taken from nature to make the electricity."""

from __future__ import annotations

from joulebook.accounting.energy import Carrier, facility_energy_j
from joulebook.accounting.units import J_PER_KWH


def primary_energy_j(it_energy_j: Carrier, *, pue: Carrier, primary_j_per_kwh: Carrier) -> Carrier:
    """Primary energy behind the electricity of the facility. Unit: J = J × PUE ÷ 3.6e6 × J/kWh."""
    return facility_energy_j(it_energy_j, pue=pue) / J_PER_KWH * primary_j_per_kwh
