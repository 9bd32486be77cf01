"""A set against C in one criterion, draw by draw, and what that comes to in a word.

    net gain     P5 of RoE above the threshold          net loss   P95 of RoE below minus the threshold
    break-even   all of P5 to P95 within the threshold  unclear    anything else

A verdict over several criteria is that of the weakest: they are never netted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from joulebook.accounting.returns.ratio import benefit_caused_ratio, net_benefit, return_on_environment
from joulebook.accounting.returns.sampling import Array
from joulebook.accounting.uncertainty import quantiles

MATERIAL = 0.05  # N within this part of C is neither gain nor loss
VERDICTS = ("net loss", "unknown", "unclear", "break-even", "net gain")  # the weakest first


@dataclass(frozen=True)
class Balance:
    """What was caused and what was avoided, in each draw."""

    caused: Array
    benefit: Array

    @property
    def net(self) -> Array:
        return net_benefit(self.benefit, caused=self.caused)

    @property
    def ratio(self) -> Array:
        return benefit_caused_ratio(self.benefit, caused=self.caused)

    @property
    def roe(self) -> Array:
        return return_on_environment(self.benefit, caused=self.caused)

    @property
    def p_net_above_0(self) -> float:
        return float((self.net > 0).mean())

    @property
    def verdict(self) -> str:
        low, _, high = quantiles(self.roe)
        if low > MATERIAL:
            return "net gain"
        if high < -MATERIAL:
            return "net loss"
        return "break-even" if low >= -MATERIAL and high <= MATERIAL else "unclear"


def verdict_over(balances: Iterable[Balance | None]) -> str:
    """The verdict over several criteria; one in which nobody knows what was caused is `unknown`."""
    return min((each.verdict if each else "unknown" for each in balances), key=VERDICTS.index)
