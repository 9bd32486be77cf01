"""Return on Environment of every use case and of all of them together.

    use cases of the ledger ─┐
    claims in force ─────────┴▶ plans ──one sample──▶ C and A by year and criterion ──▶ classes ──▶ balances

A balance exists twice: with supported claims alone, which may be published, and with plausible ones, for internal use.
What a claim harms counts in any class. The whole is the sum of all use cases, those without a claim among them. No
inventory and no SCI ever reads this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property

from joulebook.accounting.assess import Assessor
from joulebook.accounting.factors import Match
from joulebook.accounting.factors.hardware import CATEGORIES
from joulebook.accounting.held import NOTHING_NAMED
from joulebook.accounting.records import weakest
from joulebook.accounting.returns.balance import Balance, verdict_over
from joulebook.accounting.returns.claims import CRITERIA
from joulebook.accounting.returns.effects import Effect, effect, plan
from joulebook.accounting.returns.judging import Judged, judge
from joulebook.accounting.returns.manufacture import MOSTLY_MADE, Made, made
from joulebook.accounting.returns.record import Version, standing
from joulebook.accounting.returns.recorded import Scope, Slice, UseCase, use_cases
from joulebook.accounting.returns.sampling import (
    ENERGY,
    MANUFACTURE,
    OF_ALL,
    Array,
    Sample,
    claim_names,
    drawn,
    factor_names,
    impacts,
    summed,
    summed_where_all_know,
)
from joulebook.accounting.uncertainty import DRAWS, SEED

Amounts = Mapping[str, Array]  # by criterion
SUPPORTED_ONLY, WITH_PLAUSIBLE = BASES = ("supported", "with_plausible")


@dataclass(frozen=True)
class Result:
    """A use case, or all of them (`name` is empty): C and A in each draw.

    benefit_by_year: by basis;  unmade: the criteria in which making the hardware is not in C, and why.
    """

    name: str
    runs: int
    runs_without_energy: int
    api_calls: int
    method: str
    caused_by_year: Mapping[int, Amounts]
    upfront: Amounts
    benefit_by_year: Mapping[str, Mapping[int, Amounts]] = field(
        default_factory=dict[str, Mapping[int, Amounts]]
    )  # by basis
    claims: tuple[Judged, ...] = ()
    unmade: Mapping[str, str] = field(
        default_factory=dict[str, str]
    )  # criteria without the making of hardware, and why

    @cached_property
    def caused(self) -> Amounts:
        return summed_where_all_know(self.caused_by_year.values())

    def benefit(self, basis: str) -> Amounts:
        return summed(self.benefit_by_year.get(basis, {}).values())

    def balance(self, criterion: str, basis: str = SUPPORTED_ONLY) -> Balance | None:
        """None where nobody knows what was caused."""
        caused = self.caused.get(criterion)
        return None if caused is None else Balance(caused, self.benefit(basis).get(criterion, 0 * caused))

    def verdict(self, basis: str = SUPPORTED_ONLY) -> str:
        """Over all criteria: that of the weakest."""
        return verdict_over(self.balance(criterion, basis) for criterion in CRITERIA)


@dataclass(frozen=True)
class Portfolio:
    """All use cases of a scope. `days`: from its first run, or its beginning, to its end."""

    days: int
    whole: Result
    use_cases: tuple[Result, ...]
    factors: tuple[Match, ...]
    orphans: tuple[Version, ...]  # claims on use cases without a run in the scope
    draws: int
    seed: int


def portfolio(
    assess: Assessor, scope: Scope, recorded: Sequence[Version], n: int = DRAWS, seed: int = SEED
) -> Portfolio:
    """Every use case of a scope, with the claims in force.

    Raises NotFound for a pair of runs that is not on record, InputError where `n` is no power of two.
    """
    found = use_cases(assess, scope)
    by_name = {each.name: each for each in found}
    versions = standing(recorded)
    plans = [plan(assess, scope, each, by_name[each.claim.use_case]) for each in versions if _is_in(each, by_name)]
    caused = [each.factors for case in found for each in case.slices]
    avoided = [stretch.factors for each in plans for stretch in each.stretches]
    names = [*OF_ALL, *factor_names([*caused, *avoided]), *claim_names(each.claim.id for each in plans)]
    sample = drawn(names, n, seed)
    effects = [effect(each, sample) for each in plans]
    manufacture = made(assess, scope)
    causes = [_caused_by(case, manufacture.get(case.name, ()), sample) for case in found]
    results = tuple(
        _with_claims(cause, [each for each in effects if each.plan.claim.use_case == cause.name]) for cause in causes
    )
    matches = {match.factor.factor_id: match for each in (*caused, *avoided) for match in each.matches.values()}
    orphans = tuple(each for each in versions if not _is_in(each, by_name))
    return Portfolio(_days(scope, found), _whole(results), results, tuple(matches.values()), orphans, n, seed)


def _is_in(version: Version, by_name: Mapping[str, UseCase]) -> bool:
    return version.claim.use_case in by_name


def _days(scope: Scope, found: Sequence[UseCase]) -> int:
    first = max(scope.start.date(), min((each.first_day for each in found), default=scope.start.date()))
    return max(1, ((scope.end - timedelta(microseconds=1)).date() - first).days + 1)


def _caused_by(case: UseCase, manufacture: Sequence[Made], sample: Sample) -> Result:
    """A use case without its claims."""
    years = sorted({each.year for each in case.slices})
    by_year = {year: _caused(case, manufacture, sample, lambda each, year=year: each.year == year) for year in years}
    upfront = _caused(case, manufacture, sample, lambda each: each.is_upfront)
    return Result(
        case.name, case.runs, case.runs_without_energy, case.api_calls, weakest([each.method for each in case.slices]),
        by_year, upfront, unmade=_unmade(case, manufacture),
    )  # fmt: skip


def _caused(
    case: UseCase, manufacture: Sequence[Made], sample: Sample, wanted: Callable[[Slice | Made], bool]
) -> dict[str, Array]:
    """What the operation of some slices caused, and making the hardware where that is known."""
    operation = summed_where_all_know(
        impacts(sample.of(ENERGY, each.it_energy_j), sample.factors(each.factors))
        for each in case.slices
        if wanted(each)
    )
    making = summed(
        {name: sample.of(MANUFACTURE, amount) for name, amount in each.amounts.items()}
        for each in manufacture
        if wanted(each)
    )
    unknown = {MOSTLY_MADE} & _unmade(case, manufacture).keys()
    return {name: amounts + making.get(name, 0.0) for name, amounts in operation.items() if name not in unknown}


def _unmade(case: UseCase, manufacture: Sequence[Made]) -> dict[str, str]:
    """The criteria in which nobody knows what making the hardware took, and why."""
    if case.slices and not manufacture:
        return dict.fromkeys(CATEGORIES, NOTHING_NAMED)
    return {name: why for each in manufacture for name, why in each.unknown.items()}


def _with_claims(cause: Result, effects: Sequence[Effect]) -> Result:
    judged = judge(effects, cause.caused)
    return replace(cause, claims=judged, benefit_by_year=_benefits(judged))


def _benefits(judged: Sequence[Judged]) -> dict[str, dict[int, Amounts]]:
    """By basis and year: what counts of each claim."""
    counting = {SUPPORTED_ONLY: [each.counted(internal=False) for each in judged],
                WITH_PLAUSIBLE: [each.counted(internal=True) for each in judged]}  # fmt: skip
    return {basis: _by_year(parts, summed) for basis, parts in counting.items()}


def _by_year(
    parts: Sequence[Mapping[int, Amounts]], add: Callable[[Iterable[Amounts]], dict[str, Array]]
) -> dict[int, Amounts]:
    years = sorted({year for part in parts for year in part})
    return {year: add(part[year] for part in parts if year in part) for year in years}


def _whole(results: Sequence[Result]) -> Result:
    """The sum of all: a criterion that one of them does not know is not known of the whole."""
    used = [each for each in results if each.caused_by_year]
    return Result(
        "", sum(each.runs for each in results), sum(each.runs_without_energy for each in results),
        sum(each.api_calls for each in results), weakest([each.method for each in used]),
        _by_year([each.caused_by_year for each in used], summed_where_all_know), summed(each.upfront for each in used),
        {basis: _by_year([each.benefit_by_year[basis] for each in used], summed) for basis in BASES},
        tuple(claim for each in results for claim in each.claims),
        {name: why for each in results for name, why in each.unmade.items()},
    )  # fmt: skip
