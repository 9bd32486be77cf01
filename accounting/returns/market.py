"""Carbon caused by the market-based account, beside the location-based one: it enters no return.

    own electricity of all runs, year by year ──contracts, residual mix, grid──▶ g/kWh ──▶ the same for each use case

A contract is for the whole home, so that every use case has its part of it. Calls of model APIs and making the hardware
are the same in both accounts. The market's intensity moves with the grid's: they are drawn as one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from joulebook.accounting.assess import Assessor
from joulebook.accounting.factors import is_cloud, locate
from joulebook.accounting.factors.contracts import load_contracts
from joulebook.accounting.lines import Scope as Window
from joulebook.accounting.returns.recorded import Scope
from joulebook.accounting.returns.sampling import GRID_G, KWH, Array, Sample
from joulebook.accounting.scopes import GRID, Covered, Stretch, by_what, market, stretches
from joulebook.accounting.site import Range
from joulebook.accounting.units import J_PER_KWH

NOTHING: Range = (0.0, 0.0, 0.0)


class Market(NamedTuple):
    """What a kWh at the meter came to by contracts, the residual mix and the grid, in each year (g)."""

    g_per_kwh: Mapping[int, Range]
    rests_on: str
    drawn_as: str  # the grid's carbon intensity


def market_of(assess: Assessor, scope: Scope, grid: str | None) -> Market | None:
    """`grid`: how the carbon intensity of one's own electricity is drawn; None where none is on record.

    None where nothing is bought: no electricity of one's own, or machines in somebody else's cloud.
    """
    if grid is None or is_cloud(assess.site):
        return None
    contracts = load_contracts(assess.ledger.home)
    place = locate(assess.site.region, assess.site.provider).place
    found: dict[int, Range] = {}
    covers: list[Covered] = []
    used: list[Stretch] = []
    for start, end in scope.years(assess.ledger):
        own = stretches(assess, Window(start, end), contracts)
        by_market, covered = market(own, contracts, place)
        if by_market.low is not None and by_market.mid is not None and by_market.high is not None:
            found[start.year] = _g_per_kwh(own, covered, (by_market.low, by_market.mid, by_market.high))
            used += own
            covers += covered
    return Market(found, by_what(used, covers), grid)


def _g_per_kwh(own: Sequence[Stretch], covered: Sequence[Covered], by_market_g: Range) -> Range:
    """At the stack by the market, and before it by the grid; by the grid alone, what the other account has."""
    has_split = [each for each in own if each.has_split]
    if by_what(own, covered) == GRID:
        grams = _sum(own, "life_cycle_g")
    else:
        grams = [at + before for at, before in zip(by_market_g, _sum(has_split, "upstream_g"), strict=True)]
    kwh = [energy_j / J_PER_KWH for energy_j in _sum(own, "facility_j")]
    low, mid, high = sorted(amount / energy if energy else 0.0 for amount, energy in zip(grams, kwh, strict=True))
    return low, mid, high


def _sum(own: Sequence[Stretch], name: str) -> list[float]:
    return [sum(each.of(name)[end] for each in own) for end in range(3)]


def market_based_g(caused: Mapping[int, Mapping[str, Array]], sample: Sample, market: Market) -> Array | None:
    """C without its electricity by the grid, with the same electricity by the market. None where C is not known."""
    if any("gwp_g" not in each for each in caused.values()) or not caused:
        return None
    return sum(
        each["gwp_g"] - each[GRID_G] + each[KWH] * sample.of(market.drawn_as, market.g_per_kwh.get(year, NOTHING))
        for year, each in caused.items()
    )
