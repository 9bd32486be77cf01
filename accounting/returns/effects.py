"""The attributed benefit of a claim: its gross effect of a unit, times units, rebound, share and persistence.

    units of a year     declared for the timeframe and spread over its days, or counted in the ledger
    effect of a unit    declared in amounts; as electricity on the grid in force; or from a measured pair of runs
    A of a year         `attributed_benefit`, draw by draw

Nothing is counted before the first run of the use case: what was caused then is not on record either. A solution run
of the use case itself is among what was caused, so that the pair then counts the reference alone: "the AI excluded".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

from joulebook.accounting.assess import Assessor, InForce, timeline
from joulebook.accounting.errors import InputError, NotFound
from joulebook.accounting.factors import locate, unknown_region
from joulebook.accounting.in_force import midnight
from joulebook.accounting.records import weakest
from joulebook.accounting.returns.benefit import attributed_benefit
from joulebook.accounting.returns.claims import Claim
from joulebook.accounting.returns.classes import MEASURED
from joulebook.accounting.returns.record import Version
from joulebook.accounting.returns.recorded import Factors, Group, Scope, UseCase, counted_units, factors_of, group
from joulebook.accounting.returns.sampling import ENERGY, ON_GRID, Array, Sample, impacts, summed
from joulebook.accounting.site import Range, Site
from joulebook.accounting.units import J_PER_KWH

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Stretch:
    """A part of a year under the same factors, and the units done in it (low, mid, high)."""

    year: int
    factors: Factors
    units: Range


@dataclass(frozen=True)
class Plan:
    """A claim with what the ledger says of it, before anything is drawn."""

    version: Version
    stretches: tuple[Stretch, ...]
    days: int  # of its timeframe that count here
    days_after: int  # of those, the ones after the last run or call of the use case
    reference: Group | None = None
    solution: Group | None = None
    problem: str = ""  # why nothing of it can count

    @property
    def claim(self) -> Claim:
        return self.version.claim

    @property
    def pair_method(self) -> str | None:
        """How the energy of its pair is known: the weaker side's."""
        sides = [side.method for side in (self.reference, self.solution) if side]
        return weakest(sides) if sides else None

    @property
    def time_share(self) -> float:
        """The part of its timeframe that counts here."""
        return self.days / (self.claim.end - self.claim.start).days


def plan(assess: Assessor, scope: Scope, version: Version, use_case: UseCase) -> Plan:
    """What the ledger says of a claim in a scope. One whose runs or region cannot be found counts nothing."""
    claim = version.claim
    first, last = scope.start.date(), (scope.end - timedelta(microseconds=1)).date() + _DAY
    start, end = max(claim.start, first, use_case.first_day), min(claim.end, last)
    days = max(0, (end - start).days)
    after = min(days, max(0, (end - use_case.last_day - _DAY).days))
    try:
        reference, solution = sides(assess, claim)
    except (InputError, NotFound) as error:
        return Plan(version, (), days, after, problem=str(error))
    stretches = tuple(_stretches(assess, claim, start, end)) if days else ()
    return Plan(version, stretches, days, after, reference, solution)


def sides(assess: Assessor, claim: Claim) -> tuple[Group | None, Group | None]:
    """What a unit took on both sides of a claim's pair, if it has one.

    Raises NotFound for runs that are not on record or say nothing of the unit, InputError for a region nobody knows.
    """
    region = claim.benefit.region
    if region and not assess.factors.knows_place("carbon_intensity", locate(region).place):
        raise InputError(unknown_region(region, assess.factors))
    if claim.pair is None:
        return None, None
    whole = replace(assess, start=date(1970, 1, 1), end=max(assess.end, datetime.now(UTC).date() + _DAY))
    reference, solution = (
        group(whole, runs, claim.pair.per, claim.use_case) for runs in (claim.pair.reference, claim.pair.solution)
    )
    return reference, solution


def _stretches(assess: Assessor, claim: Claim, start: date, end: date) -> Iterator[Stretch]:
    """[start, end) cut by year and wherever a factor changes, with the units of each part."""
    kind = claim.benefit.counted or (claim.pair.per if claim.pair and not claim.benefit.units else "")
    scope = Scope(midnight(start), midnight(end))
    counted = counted_units(assess.ledger, claim.use_case, kind, scope) if kind else {}
    for piece in timeline(_site(assess.site, claim), assess.factors, start, end):
        for year in range(piece.start.year, (piece.end - _DAY).year + 1):
            begin, until = max(piece.start, date(year, 1, 1)), min(piece.end, date(year + 1, 1, 1))
            part, values = _of_series(piece, midnight(begin), midnight(until))
            low, mid, high = (units * part for units in _units(claim, counted, begin, until))
            yield Stretch(year, factors_of(piece, values), (low, mid, high))


def _of_series(piece: InForce, begin: datetime, until: datetime) -> tuple[float, dict[str, Range]]:
    """The part of a time in which a piece holds, and what its series come to then, all hours alike."""
    if not piece.hours:
        return 1.0, {}
    spells = [(max(0.0, (min(each.end, until) - max(each.start, begin)) / (until - begin)), each.values)
              for each in piece.hours]  # fmt: skip
    part = sum(share for share, _ in spells)
    values: dict[str, Range] = {}
    for kind in {kind for _, told in spells for kind in told} if part else ():
        low, mid, high = (sum(share * told[kind][end] for share, told in spells) / part for end in range(3))
        values[kind] = low, mid, high
    return part, values


def _site(site: Site, claim: Claim) -> Site:
    """Where the effect happens: the grid of the claim's region, else the ledger's own."""
    region = claim.benefit.region
    return replace(site, region=region, carbon_intensity_g_per_kwh=None) if region else site


def _units(claim: Claim, counted: Mapping[date, float], begin: date, until: date) -> Range:
    if claim.benefit.units is None:
        done = sum(units for day, units in counted.items() if begin <= day < until)
        return done, done, done
    part = (until - begin).days / (claim.end - claim.start).days
    low, mid, high = (units * part for units in claim.benefit.units)
    return low, mid, high


# Draw by draw -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Effect:
    """A claim with its attributed benefit, by year and criterion; `ON_GRID` is its part on the ledger's own grid."""

    plan: Plan
    by_year: Mapping[int, Mapping[str, Array]]

    @property
    def total(self) -> dict[str, Array]:
        return summed(self.by_year.values())


def effect(planned: Plan, sample: Sample) -> Effect:
    """The attributed benefit of a claim in each draw."""
    years: dict[int, list[dict[str, Array]]] = {}
    for stretch in planned.stretches:
        years.setdefault(stretch.year, []).append(_attributed(planned, stretch, sample))
    return Effect(planned, {year: summed(parts) for year, parts in sorted(years.items())})


def _attributed(planned: Plan, stretch: Stretch, sample: Sample) -> dict[str, Array]:
    claim, name = planned.claim, planned.claim.id
    fractions = {
        "rebound": sample.within(f"{name}: rebound", claim.rebound.of(stretch.year)),
        "attribution": sample.within(f"{name}: share", claim.attribution),
        "persistence": sample.within(f"{name}: persistence", claim.persistence.of(stretch.year)),
    }
    units = sample.of(f"{name}: units", stretch.units)
    gross = summed(_of_a_unit(planned, stretch, sample))
    return {key: attributed_benefit(units * each, **fractions) for key, each in gross.items()}


def _of_a_unit(planned: Plan, stretch: Stretch, sample: Sample) -> Iterator[Mapping[str, Array]]:
    """The gross effect of one unit, one part for each way in which the claim tells it."""
    claim = planned.claim
    yield {criterion: sample.of(f"{claim.id}: benefit", values) for criterion, values in claim.benefit.per_unit.items()}
    factors = _factors(claim, stretch, sample)
    if claim.benefit.electricity_kwh:
        energy_j = sample.of(f"{claim.id}: electricity", claim.benefit.electricity_kwh) * J_PER_KWH
        yield _on_grid(claim, impacts(energy_j, factors | {"pue": 1.0, "wue": 0.0}))
    if planned.reference and planned.solution:
        saved_j = _saved_j(planned, planned.reference, planned.solution, sample)
        yield _on_grid(claim, impacts(saved_j, factors))


def _factors(claim: Claim, stretch: Stretch, sample: Sample) -> dict[str, Array]:
    factors = sample.factors(stretch.factors)
    if claim.benefit.marginal_g_per_kwh:
        factors["carbon_intensity"] = sample.of(f"{claim.id}: marginal", claim.benefit.marginal_g_per_kwh)
    return factors


def _on_grid(claim: Claim, amounts: dict[str, Array]) -> dict[str, Array]:
    """Electricity of another grid, or at the margin, does not meet what was caused on the ledger's own."""
    if claim.benefit.region or claim.benefit.marginal_g_per_kwh:
        return {name: values for name, values in amounts.items() if name not in ON_GRID}
    return amounts


def _saved_j(planned: Plan, reference: Group, solution: Group, sample: Sample) -> Array:
    """IT energy of a unit without, minus with."""
    saved_j = _energy_j(planned, "reference", reference, sample)
    return saved_j if solution.is_caused else saved_j - _energy_j(planned, "solution", solution, sample)


def _energy_j(planned: Plan, side: str, of: Group, sample: Sample) -> Array:
    """A model's error is the same on both sides and in all runs; a sensor's is taken to be each side's own."""
    name = planned.claim.id
    own = planned.pair_method in MEASURED
    energy_j = sample.of(f"{name}: {side}" if own else ENERGY, of.it_energy_j_per_unit)
    return energy_j * sample.run_error(f"{name}: {side} runs", of)
