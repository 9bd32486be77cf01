"""Abiotic depletion of minerals and metals (ADPe), in kilograms of antimony."""

from __future__ import annotations

from joulebook.accounting.energy import Carrier, facility_energy_j
from joulebook.accounting.units import J_PER_KWH


def operational_adpe_kgsb(it_energy_j: Carrier, *, pue: Carrier, adpe_kgsb_per_kwh: Carrier) -> Carrier:
    """ADPe of making the electricity of the facility. Unit: kgSb = J × PUE ÷ 3.6e6 × kgSb/kWh."""
    return facility_energy_j(it_energy_j, pue=pue) / J_PER_KWH * adpe_kgsb_per_kwh
