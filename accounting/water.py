"""Water consumed: on site for cooling, and off site where the electricity is made."""

from __future__ import annotations

from joulebook.accounting.energy import Carrier
from joulebook.accounting.units import J_PER_KWH


def water_l(it_energy_j: Carrier, *, wue_l_per_kwh: Carrier, pue: Carrier, offsite_l_per_kwh: Carrier) -> Carrier:
    """Water consumption. WUE is defined per kWh of **IT** energy, so PUE touches only the off-site part.

    Unit: L = J ÷ 3.6e6 × (WUE + PUE × off-site L/kWh).
    """
    return it_energy_j / J_PER_KWH * (wue_l_per_kwh + pue * offsite_l_per_kwh)
