"""Software Carbon Intensity (ISO/IEC 21031:2024): carbon per functional unit.

    SCI = (E × I + M) ÷ R      E × I: operational, M: embodied, R: how many of what it is asked per

I is of the grid that one stands on, average or marginal. Contracts, certificates and offsets do not change an SCI. SCI
for AI (2026) has two scores that are never added: the consumer's (operation) and the provider's (making the model).
"""

from __future__ import annotations

from joulebook.accounting.energy import Carrier

ROLES = ("consumer", "provider")


def sci_g(operational_carbon_g: Carrier, embodied_carbon_g: Carrier, *, functional_units: Carrier) -> Carrier:
    """Carbon per functional unit. Unit: g per unit = (g + g) ÷ units."""
    return (operational_carbon_g + embodied_carbon_g) / functional_units
