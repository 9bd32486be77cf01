"""Return on Environment of one criterion: what was avoided by evidence, over what was caused.

A portfolio is the ratio of sums over all its use cases, those without a benefit among them: never a mean of ratios.
"""

from __future__ import annotations

from joulebook.accounting.energy import Carrier


def net_benefit(benefit: Carrier, *, caused: Carrier) -> Carrier:
    """N, in the unit of both: N = A − C."""
    return benefit - caused


def benefit_caused_ratio(benefit: Carrier, *, caused: Carrier) -> Carrier:
    """How much was avoided for each unit caused. Unit: 1 = A ÷ C."""
    return benefit / caused


def return_on_environment(benefit: Carrier, *, caused: Carrier) -> Carrier:
    """RoE. Unit: 1 = (A − C) ÷ C. −1: no evidenced benefit; 0: break-even; 1: two avoided for each one caused."""
    return net_benefit(benefit, caused=caused) / caused
