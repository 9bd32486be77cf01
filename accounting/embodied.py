"""Embodied impact: what making the hardware took, in two views that are never added.

by time       SCI's M: of the whole, the part of its life and of its capacity that was reserved for the work
inventory     GHG Protocol, scope 3 category 2: the whole of it in the year in which it was bought
"""

from __future__ import annotations

from joulebook.accounting.energy import Carrier

S_PER_YEAR = 365 * 24 * 3600.0


def embodied_share(
    total_embodied: Carrier, *, reserved_s: Carrier, lifetime_s: Carrier, reserved_share: Carrier
) -> Carrier:
    """Embodied impact by time share: M = TE × (TiR ÷ EL) × (RR ÷ ToR).

    `reserved_s`: time reserved (TiR); `lifetime_s`: expected life (EL); `reserved_share`: resources reserved ÷ all.
    Unit: that of the total = total × s ÷ s × 1.
    """
    return total_embodied * (reserved_s / lifetime_s) * reserved_share


def total_embodied(per_piece: Carrier, count: Carrier) -> Carrier:
    """Embodied impact of several pieces. Unit: that of a piece = amount × 1."""
    return per_piece * count
