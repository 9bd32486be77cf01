"""What each unit of some calls costs and when: the rows of a list, less discounts, under what was agreed.

Combination (how calls name what they used) ─> rows of its list ─┐
                                      prices.toml of that day ──┴─> Rate: one for each unit, stretch of time and tier
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, time
from itertools import pairwise
from typing import NamedTuple

from joulebook.accounting.prices.compiled import Price
from joulebook.accounting.prices.contract import Called, Contract
from joulebook.accounting.prices.nesting import narrowest

EVER, NEVER = date.min, date.max
DAY_US = 86_400_000_000
MORE_THAN_ANY = 1e300  # tokens


class Rate(NamedTuple):
    """What a unit costs calls of a combination, on days from `from_day` and at times of day from `from_us`.

    For calls of more than `tier_start` input tokens, at most `tier_end`.
    """

    combination: int
    unit: str
    from_day: date
    to_day: date
    from_us: int
    to_us: int
    tier_start: float
    tier_end: float
    usd_per_unit: float
    list_usd_per_unit: float | None  # before discounts and own prices
    least_amount: float | None
    basis: str
    source: str


@dataclass(frozen=True)
class Standing:
    """The price of a unit at one moment, by tiers: `(tier_start, usd_per_unit)`, the lowest first."""

    tiers: tuple[tuple[float, float], ...]
    basis: str
    source: str
    least_amount: float | None = None

    def at(self, tier_start: float) -> float:
        return [usd for start, usd in self.tiers if start <= tier_start][-1]

    def less(self, part: float) -> Standing:
        return replace(self, tiers=tuple((start, usd * (1 - part)) for start, usd in self.tiers), basis="contract")


class Asked(NamedTuple):
    """A combination of what calls say of themselves, the units that they used, and the rows that its list has of it."""

    combination: int
    called: Called
    units: Sequence[str]
    basis: str  # list or fallback
    prices: Sequence[Price]


def rates(asked: Asked, contract: Contract) -> Iterator[Rate]:
    """All that is needed to price such calls; nothing for a unit, or a time, without a price."""
    days = {day for price in asked.prices for day in (price.valid_from, price.valid_to) if day}
    cuts = sorted({EVER, NEVER, *days, *contract.days(asked.called)})
    daily = sorted({(_us(price.daily_from, 0), _us(price.daily_to, DAY_US)) for price in asked.prices})
    for hours in daily or [(0, DAY_US)]:
        rows = [price for price in asked.prices if _us(price.daily_from, 0) == hours[0]]
        for since, until in pairwise(cuts):
            listed = _listed(rows, since, asked.basis)
            paid = _paid(listed, asked.called, contract, since)
            for rate in _by_unit(asked.units, listed, paid):
                yield Rate(asked.combination, rate[0], since, until, *hours, *rate[1:])


def _us(at: time | None, otherwise: int) -> int:
    """Microseconds since midnight."""
    return otherwise if at is None else ((at.hour * 60 + at.minute) * 60 + at.second) * 1_000_000 + at.microsecond


def _listed(rows: Iterable[Price], day: date, basis: str) -> dict[str, Standing]:
    """What the list says for a day."""
    found: dict[str, Standing] = {}
    for row in sorted(rows, key=lambda row: row.tier_start):
        if (row.valid_from or EVER) <= day < (row.valid_to or NEVER):
            before = found[row.unit].tiers if row.unit in found else ()
            tiers = (*before, (row.tier_start, row.usd_per_unit))
            found[row.unit] = Standing(tiers, basis, row.source, row.least_amount)
    return found


def _paid(listed: Mapping[str, Standing], called: Called, contract: Contract, day: date) -> dict[str, Standing]:
    """What is paid on that day: the list, less the last discount that holds, under own prices."""
    off = [one.part for one in contract.discounts if one.scope.fits(called) and one.scope.holds(day)]
    paid = {unit: _off(standing, off[-1]) if off else standing for unit, standing in listed.items()}
    for own in contract.prices:
        if own.scope.fits(called) and own.scope.holds(day):
            usd = contract.usd_of(own.currency, day)
            paid |= {
                unit: Standing(((0.0, amount * usd),), "contract", "prices.toml")
                for unit, amount in own.per_unit.items()
            }
    return paid


def _off(standing: Standing, part: float) -> Standing:
    """A discount on an undated price stays one."""
    less = standing.less(part)
    return replace(less, basis="fallback") if standing.basis == "fallback" else less


def _by_unit(
    units: Iterable[str], listed: Mapping[str, Standing], paid: Mapping[str, Standing]
) -> Iterator[tuple[str, float, float, float, float | None, float | None, str, str]]:
    """The fields of a `Rate` from the unit on, but for its time."""
    own = frozenset(unit for unit, standing in paid.items() if standing.source == "prices.toml")
    for unit in units:
        name, of_list = narrowest(unit, frozenset(paid), own), narrowest(unit, frozenset(listed))
        if name is None:
            continue
        price, list_price = paid[name], listed.get(of_list or "")
        starts = sorted({start for one in (price, list_price) if one for start, _ in one.tiers})
        for start, end in pairwise([*starts, MORE_THAN_ANY]):
            before = list_price.at(start) if list_price else None
            yield unit, start, end, price.at(start), before, price.least_amount, price.basis, price.source
