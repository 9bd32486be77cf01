"""Greenhouse gas by the scopes of the GHG Protocol.

    scope 1                    fuel that one burns oneself (`fuel.csv`)
    scope 2, location-based    own electricity × what the plants of its grid emit at the stack
    scope 2, market-based      the same electricity × what one's contracts say; what they do not cover by the residual
                               mix, else by the grid, and marked so
    scope 3, category 1        calls of model APIs; machines in somebody else's cloud
    scope 3, category 2        hardware bought, whole in the year of purchase
    scope 3, category 3        of own electricity what arises before the stack, and what is lost on the way

A life-cycle factor has both: scope 2 takes the part at the stack, category 3 the rest, so nothing counts twice. Scope 2
has two totals that stand beside each other and are never added. None of this changes an SCI.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import pairwise
from math import inf
from typing import Any, NamedTuple

from joulebook.accounting.assess import METHOD_RANK_SQL, Assessor, energy_sql, with_amounts
from joulebook.accounting.column import Column
from joulebook.accounting.declared import Asset, Fuel
from joulebook.accounting.embodied import total_embodied
from joulebook.accounting.energy import Carrier, facility_energy_j
from joulebook.accounting.estimates import Estimate, between, unknown
from joulebook.accounting.factors.contracts import Contract
from joulebook.accounting.in_force import ENDS, KINDS, SCOPE_KINDS, InForce, in_force_table, midnight, timeline
from joulebook.accounting.lines import Scope
from joulebook.accounting.records import METHODS, weakest
from joulebook.accounting.site import Range
from joulebook.accounting.units import J_PER_KWH, convert

ALL_KINDS = KINDS | SCOPE_KINDS
GRID = "location-based"  # what neither a contract nor a residual mix tells
NOT_SPLIT = "no source splits the intensity of this place: what arises before the stack is in scope 2"
AT_STACK = "the intensity of this place is of the stack alone: no source has what arises before it"
AMOUNTS = ("facility_j", "location_g", "residual_g", "life_cycle_g", "upstream_g", "losses_g")

# The formulas -----------------------------------------------------------------------------------------------------


def electricity_g(facility_energy_j: Carrier, *, intensity_g_per_kwh: Carrier) -> Carrier:
    """Bought electricity, by one of its intensities. Unit: g = J ÷ 3.6e6 × g/kWh."""
    return facility_energy_j / J_PER_KWH * intensity_g_per_kwh


def direct_intensity_g_per_kwh(life_cycle_g_per_kwh: Carrier, *, upstream_share: Carrier) -> Carrier:
    """What of a life-cycle intensity is emitted at the stack. Unit: g/kWh = g/kWh × (1 − share)."""
    return life_cycle_g_per_kwh * (1 - upstream_share)


def upstream_intensity_g_per_kwh(life_cycle_g_per_kwh: Carrier, *, upstream_share: Carrier) -> Carrier:
    """What of a life-cycle intensity arises before the stack. Unit: g/kWh = g/kWh × share."""
    return life_cycle_g_per_kwh * upstream_share


def losses_g(facility_energy_j: Carrier, *, life_cycle_g_per_kwh: Carrier, loss_share: Carrier) -> Carrier:
    """Category 3, electricity lost on the way: of what is fed in, `loss_share` does not arrive.

    Unit: g = J ÷ 3.6e6 × share ÷ (1 − share) × g/kWh.
    """
    return facility_energy_j / J_PER_KWH * loss_share / (1 - loss_share) * life_cycle_g_per_kwh


def market_based_g(by_contract_g: Carrier, by_residual_g: Carrier, *, covered_share: Carrier) -> Carrier:
    """Scope 2 after contracts, from what all of it would be under them and without, and the share that they cover.

    Unit: g = g × share + g × (1 − share).
    """
    return by_contract_g * covered_share + by_residual_g * (1 - covered_share)


# Own electricity --------------------------------------------------------------------------------------------------


class Stretch(NamedTuple):
    """A time without a change of contracts, what was used in it and emitted for it, at low, mid and high.

    `residual_g` is of the residual mix where there is one, else of the grid, as `location_g` is.
    """

    start: datetime
    end: datetime
    amounts: Mapping[str, Range | None]  # None where nobody knows a factor
    method: str
    has_residual: bool
    has_split: bool  # into what is emitted at the stack and before it
    pieces: tuple[int, ...]
    at_stack: bool = False  # the grid's factor has nothing of what arises before it
    of_all: Range = (1.0, 1.0, 1.0)  # which part it is of the electricity of the whole home

    def of(self, name: str) -> Range:
        """An amount that is never unknown: the world has its factors."""
        known = self.amounts[name]
        assert known  # noqa: S101
        return known


def pieces_of(assess: Assessor) -> list[InForce]:
    return timeline(assess.site, assess.factors, assess.start, assess.end, ALL_KINDS)


def stretches(assess: Assessor, scope: Scope, contracts: Sequence[Contract]) -> list[Stretch]:
    """The electricity of the runs of a scope, cut where contracts begin and end."""
    edges = {midnight(day) for contract in contracts for day in (contract.start, contract.end)}
    begin = _naive(scope.since) if scope.since else midnight(assess.start)
    until = _naive(scope.until) if scope.until else midnight(assess.end)
    tables = {"in_force": in_force_table(pieces_of(assess), ALL_KINDS)}
    cuts = [begin, *sorted(edge for edge in edges if begin < edge < until), until]
    sql, project = _stretch_sql(assess, scope.project), [scope.project] if scope.project is not None else []
    found = [(pair, assess.ledger.rows(sql, (*pair, *project), tables)[0]) for pair in pairwise(cuts)]
    return [_stretch(pair, row) for pair, row in found if row["facility_j_mid"] is not None]


def of_whole(own: Sequence[Stretch], whole: Sequence[Stretch]) -> list[Stretch]:
    """A project's stretches, each with the part that it is of the whole home's, of which they are cut alike."""
    of_home = {stretch.start: stretch.of("facility_j") for stretch in whole}
    return [stretch._replace(of_all=_part(stretch.of("facility_j"), of_home[stretch.start])) for stretch in own]


def _part(part: Range, whole: Range) -> Range:
    low, mid, high = (some / every if every else 1.0 for some, every in zip(part, whole, strict=True))
    return low, mid, high


def _stretch(pair: tuple[datetime, datetime], row: Mapping[str, Any]) -> Stretch:
    amounts = {name: _range(row, name) for name in AMOUNTS}
    method = METHODS[int(row["method_rank"])]
    flags = (bool(row["has_residual"]), bool(row["has_split"]), tuple(row["pieces"]), bool(row["at_stack"]))
    return Stretch(*pair, amounts, method, *flags)


def _range(row: Mapping[str, Any], name: str) -> Range | None:
    low, mid, high = (row[f"{name}_{end}"] for end in ENDS)
    return None if low is None or mid is None or high is None else (low, mid, high)


def _naive(when: datetime) -> datetime:
    return when.astimezone(UTC).replace(tzinfo=None)


def _stretch_sql(assess: Assessor, project: str | None) -> str:
    condition = "true" if project is None else "coalesce(w.project, '(no project)') = ?"
    sums = ", ".join(f"sum({name}_{end}) as {name}_{end}" for name in AMOUNTS for end in ENDS)
    amounts = ", ".join(f"{column} as {name}_{end}" for end in ENDS for name, column in _amounts(end).items())
    energies = ", ".join(f"{energy_sql(end)} as it_{end}" for end in ENDS)
    return f"""
        select {sums}, max(method_rank) as method_rank, bool_and(residual_mix_mid is not null) as has_residual,
               bool_and(coalesce(nullif(upstream_share_mid, 0), carbon_intensity_direct_mid) is not null) as has_split,
               bool_or(upstream_share_mid = 0 and carbon_intensity_direct_mid is null) as at_stack,
               list(distinct piece) as pieces
        from (select *, {amounts} from (
            select *, {energies}, {METHOD_RANK_SQL} as method_rank
            from {with_amounts(f"energy_source_{assess.grain}", assess.site.idle_energy)})) a
        join work w on w.span_id = a.run_id and w.parent_id is null
        where a.at_utc >= ? and a.at_utc < ? and {condition}
    """


def _amounts(end: str) -> dict[str, Column]:
    """The amounts at one end of the range; what is taken away stands at its other end there.

    A series at the stack stands above the split of the life-cycle row by the country's mix.
    """
    other = {"low": "high", "mid": "mid", "high": "low"}[end]
    facility = facility_energy_j(Column(f"it_{end}"), pue=Column(f"pue_{end}"))
    life_cycle, most = Column(f"carbon_intensity_{end}"), Column(f"coalesce(upstream_share_{other}, 0)")
    direct = _first(f"carbon_intensity_direct_{end}", direct_intensity_g_per_kwh(life_cycle, upstream_share=most))
    split = upstream_intensity_g_per_kwh(life_cycle, upstream_share=Column(f"upstream_share_{end}"))
    rest = Column(f"greatest(0, {life_cycle} - carbon_intensity_direct_{other})")
    before = Column(f"case when carbon_intensity_direct_mid is null then {split} else {rest} end")
    residual = _first(f"residual_mix_{end}", direct)
    return {
        "facility_j": facility,
        "location_g": electricity_g(facility, intensity_g_per_kwh=direct),
        "residual_g": electricity_g(facility, intensity_g_per_kwh=residual),
        "life_cycle_g": electricity_g(facility, intensity_g_per_kwh=life_cycle),
        "upstream_g": electricity_g(facility, intensity_g_per_kwh=before),
        "losses_g": losses_g(facility, life_cycle_g_per_kwh=life_cycle, loss_share=Column(f"grid_losses_{end}")),
    }


def _first(name: str, otherwise: Column) -> Column:
    return Column(f"coalesce({name}, {otherwise})")


def total(stretches: Sequence[Stretch], name: str, unit: str = "g") -> Estimate:
    """A sum over stretches; unknown where there is none, or where one of them has no factor."""
    if not stretches:
        return unknown(unit, "no energy was recorded")
    ends = [known for stretch in stretches if (known := stretch.amounts[name])]
    if len(ends) < len(stretches):
        return unknown(unit, "no source has a factor of it for this place")
    method = weakest([stretch.method for stretch in stretches])
    return between((sum(each[end] for each in ends) for end in range(3)), unit, method)


def upstream(stretches: Sequence[Stretch]) -> Estimate:
    """Category 3, before the stack; unknown where nobody splits the intensity of the place, or has the stack alone."""
    if not all(stretch.has_split for stretch in stretches):
        return unknown("g", AT_STACK if any(stretch.at_stack for stretch in stretches) else NOT_SPLIT)
    return total(stretches, "upstream_g")


# Contracts --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Covered:
    """What a contract covers (J of the facility, mid); or why it covers nothing."""

    contract: Contract
    energy_j: float
    reason: str | None = None


def market(stretches: Sequence[Stretch], contracts: Sequence[Contract], place: str) -> tuple[Estimate, list[Covered]]:
    """Scope 2, market-based, and what each contract covers. Of a contract's MWh each day has an equal part.

    It is matched with all that was used in the time that is asked for. Contracts are used up in their order; what none
    covers is by the residual mix, else by the grid. A contract is the whole home's: a project has its part of it.
    """
    reasons = {contract: contract.fails(place) for contract in contracts}
    usable = [contract for contract in contracts if not reasons[contract]]
    used = dict.fromkeys(contracts, 0.0)
    for stretch in stretches:
        for contract, part_j in _parts(stretch, 1, usable).items():
            used[contract] += part_j
    told = [Covered(contract, energy_j, reasons[contract]) for contract, energy_j in used.items()]
    if not stretches:
        return unknown("g", "no energy was recorded"), told
    ends = (sum(_market_g(stretch, end, usable) for stretch in stretches) for end in range(3))
    return between(ends, "g", weakest([stretch.method for stretch in stretches])), told


def _market_g(stretch: Stretch, end: int, contracts: Sequence[Contract]) -> float:
    """Scope 2 of a stretch after contracts, at one end of the range: who used more has more without a contract."""
    whole_j, residual_g = stretch.of("facility_j")[end], stretch.of("residual_g")[end]
    parts = _parts(stretch, end, contracts)
    covered_j = sum(parts.values())
    if not covered_j:
        return residual_g
    mean = sum(part_j * contract.intensity_g_per_kwh[end] for contract, part_j in parts.items()) / covered_j
    by_contract_g = electricity_g(whole_j, intensity_g_per_kwh=mean)
    return market_based_g(by_contract_g, residual_g, covered_share=covered_j / whole_j)


def by_what(own: Sequence[Stretch], covered: Sequence[Covered]) -> str:
    """What market-based rests on: contracts, the residual mix, the grid; the weakest of them last."""
    used_j = sum(each.energy_j for each in covered)
    whole_j = sum(stretch.of("facility_j")[1] for stretch in own)
    rest = "residual mix" if own and all(stretch.has_residual for stretch in own) else GRID
    named = ["contracts"] if used_j else []
    return " + ".join(named if used_j >= whole_j * (1 - 1e-9) and used_j else [*named, rest])


def _parts(stretch: Stretch, end: int, contracts: Iterable[Contract]) -> dict[Contract, float]:
    """What each contract covers of the energy of a stretch (J), in their order, at one end of the range."""
    left_j, of_all = stretch.of("facility_j")[end], stretch.of_all[end]
    parts: dict[Contract, float] = {}
    for contract in contracts:
        if midnight(contract.start) < stretch.end and stretch.start < midnight(contract.end) and left_j > 0:
            parts[contract] = min(left_j, _share_j(contract, stretch) * of_all)
            left_j -= parts[contract]
    return parts


def _share_j(contract: Contract, stretch: Stretch) -> float:
    """The contract's MWh for the time of a stretch, in J."""
    if contract.mwh is None:
        return inf
    time = (stretch.end - stretch.start) / (contract.end - contract.start)
    return convert(contract.mwh, "MWh", "J") * min(1.0, time)


# What is declared -------------------------------------------------------------------------------------------------


def fuel_g(fuel: Iterable[Fuel], start: date, end: date) -> Estimate:
    """Scope 1: fuel that was burnt in [start, end)."""
    burnt = [each for each in fuel if start <= each.day < end]
    if not burnt:
        return unknown("g", "no fuel is declared for this time (fuel.csv in the home: day,fuel,amount,unit)")
    ends = ((each.factor.low, each.factor.value, each.factor.high) for each in burnt)
    amounts = [[each.amount * factor for factor in values] for each, values in zip(burnt, ends, strict=True)]
    return between((sum(each[end] for each in amounts) for end in range(3)), "g", "declared")


def inventory(assets: Iterable[Asset], start: date, end: date, category: str, unit: str) -> Estimate:
    """Scope 3 category 2: hardware bought in [start, end), all of it in that time; unknown where one part is."""
    bought = [asset for asset in assets if start <= asset.purchased < end]
    if not bought:
        return unknown(unit, "no hardware is declared as bought in this time (assets.csv in the home)")
    ranges = [asset.making.range_of(category) for asset in bought]
    missing = sorted({asset.hardware for asset, values in zip(bought, ranges, strict=True) if values is None})
    if missing:
        return unknown(unit, f"no source has {category} of making {', '.join(missing)}")
    known = [(asset.count, values) for asset, values in zip(bought, ranges, strict=True) if values]
    ends = (sum(total_embodied(values[end], count) for count, values in known) for end in range(3))
    return between(ends, unit, "declared")
