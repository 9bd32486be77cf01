"""Beside the return: when it is paid back, and on which grid it breaks even. Where almost no draw differs, a range."""

from __future__ import annotations

from typing import NamedTuple

from joulebook.accounting.estimates import Estimate, unknown
from joulebook.accounting.returns.break_even import break_even_intensity_g_per_kwh, payback_years
from joulebook.accounting.returns.portfolio import SUPPORTED_ONLY, Result
from joulebook.accounting.returns.sampling import GRID_G, KWH
from joulebook.accounting.uncertainty import quantiles, sampled

DAYS_A_YEAR = 365.25
NEARLY_ALL = 0.95  # of the draws must agree before a number is said


class BreakEven(NamedTuple):
    """The intensity at which N = 0. `cleaner`: N is above 0 on cleaner grids, else on dirtier ones."""

    intensity: Estimate
    cleaner: bool


def payback(result: Result, criterion: str, days: int, basis: str = SUPPORTED_ONLY) -> Estimate:
    """How many years until what was caused up front is given back, at the pace of these days. Unit: year."""
    balance, upfront = result.balance(criterion, basis), result.upfront.get(criterion)
    if balance is None:
        return unknown("year", "nobody knows what was caused")
    if upfront is None:
        return unknown("year", "nothing is known to be caused up front: no run has the tag phase=training")
    pace = DAYS_A_YEAR / days
    annual_benefit, annual_caused = balance.benefit * pace, (balance.caused - upfront) * pace
    pays = annual_benefit > annual_caused
    if pays.mean() < NEARLY_ALL:
        return unknown(
            "year", f"never, in {1 - pays.mean():.0%} of the draws: a year gives back no more than it causes"
        )
    years = payback_years(upfront[pays], annual_benefit=annual_benefit[pays], annual_caused=annual_caused[pays])
    return sampled(years, "year", result.method)


def break_even(result: Result, basis: str = SUPPORTED_ONLY) -> BreakEven:
    """The carbon intensity of the grid at which N = 0, where caused and avoided electricity are on the same grid."""
    balance = result.balance("gwp_g", basis)
    if balance is None or not balance.benefit.any():
        return BreakEven(unknown("gCO2e/kWh", "no benefit counts here, so N is below 0 on every grid"), True)
    caused, benefit = result.caused, result.benefit(basis)
    nothing = 0 * balance.caused
    slope = caused[KWH] - benefit.get(KWH, nothing)
    if not slope.any():
        return BreakEven(unknown("gCO2e/kWh", "N does not depend on the ledger's own grid"), True)
    cleaner = bool((slope > 0).mean() >= 0.5)
    fixed_benefit = balance.benefit - benefit.get(GRID_G, nothing)
    fixed_caused = balance.caused - caused[GRID_G]
    agreed = (slope > 0) if cleaner else (slope < 0)
    if agreed.mean() < NEARLY_ALL:
        return BreakEven(unknown("gCO2e/kWh", "whether a cleaner grid helps is not sure"), cleaner)
    at = break_even_intensity_g_per_kwh(
        fixed_benefit_g=fixed_benefit[agreed], fixed_caused_g=fixed_caused[agreed],
        benefit_kwh=benefit.get(KWH, nothing)[agreed], caused_kwh=caused[KWH][agreed],
    )  # fmt: skip
    if quantiles(at)[1] <= 0:
        return BreakEven(unknown("gCO2e/kWh", f"N is {'below' if cleaner else 'above'} 0 on every grid"), cleaner)
    return BreakEven(sampled(at, "gCO2e/kWh", result.method), cleaner)
