"""The attributed benefit: what a use of AI may count as avoided elsewhere."""

from __future__ import annotations

from joulebook.accounting.energy import Carrier


def attributed_benefit(gross: Carrier, *, rebound: Carrier, attribution: Carrier, persistence: Carrier) -> Carrier:
    """A of one year, in the unit of the gross second-order effect B: A = a × θ × (1 − ρ) × B.

    `rebound` ρ: the part that comes back as more activity (0 none, 1 all, above 1 backfire); `attribution` a: our share
    among all who brought it about; `persistence` θ: the part that would not have happened anyway by that year.
    """
    return attribution * persistence * (1 - rebound) * gross
