"""When, and on which grid, a use of AI has given back what it caused."""

from __future__ import annotations

from joulebook.accounting.energy import Carrier


def payback_years(upfront: Carrier, *, annual_benefit: Carrier, annual_caused: Carrier) -> Carrier:
    """Environmental payback of what was caused up front (manufacture, training). Unit: year = C₀ ÷ (A − C a year).

    Where the benefit of a year is not above what the year causes, it is never paid back and this means nothing.
    """
    return upfront / (annual_benefit - annual_caused)


def break_even_intensity_g_per_kwh(
    *, fixed_benefit_g: Carrier, fixed_caused_g: Carrier, benefit_kwh: Carrier, caused_kwh: Carrier
) -> Carrier:
    """The grid on which N = 0, where both sides use the same grid g: A₀ + A₁ g = C₀ + C₁ g.

    `fixed_…`: what does not depend on the grid (manufacture, fuels); `…_kwh`: electricity at the meter.
    Unit: gCO2e/kWh = (A₀ − C₀) ÷ (C₁ − A₁). N is above 0 on cleaner grids where C₁ > A₁, else on dirtier ones.
    """
    return (fixed_benefit_g - fixed_caused_g) / (caused_kwh - benefit_kwh)
