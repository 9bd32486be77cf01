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
from typing import NamedTuple

from joulebook.accounting.assess import Assessor
from joulebook.accounting.factors import Match
from joulebook.accounting.records import weakest
from joulebook.accounting.returns.balance import Balance, verdict_over
from joulebook.accounting.returns.causes import Calls, Cause, caused
from joulebook.accounting.returns.claims import CRITERIA
from joulebook.accounting.returns.effects import Effect, effect, plan
from joulebook.accounting.returns.judging import Judged, judge
from joulebook.accounting.returns.manufacture import made
from joulebook.accounting.returns.market import Market, market_based_g, market_of
from joulebook.accounting.returns.record import Version, standing
from joulebook.accounting.returns.recorded import Scope, UseCase, use_cases
from joulebook.accounting.returns.sampling import (
    OF_ALL,
    Array,
    Sample,
    claim_names,
    drawn,
    factor_names,
    summed,
    summed_where_all_know,
)
from joulebook.accounting.uncertainty import DRAWS, SEED

Amounts = Mapping[str, Array]  # by criterion
NOWHERE: Mapping[str, Sequence[Calls]] = {}
SUPPORTED_ONLY, WITH_PLAUSIBLE = BASES = ("supported", "with_plausible")


@dataclass(frozen=True)
class Result:
    """A use case, or all of them (`name` is empty): C and A in each draw.

    benefit_by_year: by basis;  unmade: the criteria in which making the hardware is not in C, and why;  unknown: those
    in which nobody knows what was caused, and why;  market_g: carbon caused by the market-based account.
    """

    name: str
    runs: int
    runs_without_energy: int
    api_calls: int
    calls_without_tokens: int
    upfront_before: bool  # some of what it caused up front lies before the scope
    method: str
    caused_by_year: Mapping[int, Amounts]
    upfront: Amounts
    benefit_by_year: Mapping[str, Mapping[int, Amounts]] = field(default_factory=dict[str, Mapping[int, Amounts]])
    claims: tuple[Judged, ...] = ()
    unmade: Mapping[str, str] = field(default_factory=dict[str, str])
    unknown: Mapping[str, str] = field(default_factory=dict[str, str])
    market_g: Array | None = None

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


class Draw(NamedTuple):
    """How many draws, a power of two, and which."""

    n: int = DRAWS
    seed: int = SEED


@dataclass(frozen=True)
class Portfolio:
    """All use cases of a scope. `days`: from its first run, or its beginning, to its end."""

    days: int
    whole: Result
    use_cases: tuple[Result, ...]
    factors: tuple[Match, ...]
    orphans: tuple[Version, ...]  # claims on use cases without a run in the scope
    draw: Draw
    internal_usd_per_t: float | None = None  # the site's own price of carbon
    market: Market | None = None  # what the market-based account rests on; None where the machines are a cloud's


def portfolio(
    assess: Assessor,
    scope: Scope,
    recorded: Sequence[Version],
    draw: Draw = Draw(),  # noqa: B008 - it never changes
    elsewhere: Mapping[str, Sequence[Calls]] = NOWHERE,
) -> Portfolio:
    """Every use case of a scope, with the claims in force. `elsewhere`: by use case, what its API calls caused.

    Raises InputError where the draws are no power of two.
    """
    manufacture = made(assess, scope)
    found = _with_calls(use_cases(assess, scope), elsewhere)
    causes = [Cause(each, manufacture.get(each.name, ()), elsewhere.get(each.name, ())) for each in found]
    by_name = {each.name: each for each in found}
    known, others = _parted(standing(recorded), by_name)
    orphans = others if scope.project is None else ()  # those of other projects are none
    plans = [plan(assess, scope, each, by_name[each.claim.use_case]) for each in known]
    told = [each.factors for case in found for each in case.slices]
    told += [stretch.factors for each in plans for stretch in each.stretches]
    sample = drawn([*OF_ALL, *factor_names(told), *claim_names(each.claim.id for each in plans)], draw.n, draw.seed)
    effects: dict[str, list[Effect]] = {name: [] for name in by_name}
    for each in plans:
        effects[each.claim.use_case].append(effect(each, sample))
    grid = next((each.factors.names["carbon_intensity"] for case in found for each in case.slices), None)
    market = market_of(assess, scope, grid)
    results = tuple(_with_claims(_result(cause, sample, market), effects[cause.case.name]) for cause in causes)
    own = assess.site.carbon_price_usd_per_t
    matches = {match.factor.factor_id: match for each in told for match in each.matches.values()}
    return Portfolio(
        _days(scope, found), _whole(results), results, tuple(matches.values()), orphans, draw, own and own[1], market
    )


def _with_calls(found: Sequence[UseCase], elsewhere: Mapping[str, Sequence[Calls]]) -> list[UseCase]:
    """The use cases of runs, and those that have calls of model APIs alone; each since its first run or call."""
    by_name = {each.name: each for each in found}
    for name, calls in elsewhere.items():
        first, last = min(each.first_day for each in calls), max(each.last_day for each in calls)
        known = by_name.get(name, UseCase(name, 0, 0, first, last))
        by_name[name] = replace(known, first_day=min(known.first_day, first), last_day=max(known.last_day, last))
    return [by_name[name] for name in sorted(by_name)]


def _parted(versions: Sequence[Version], by_name: Mapping[str, UseCase]) -> tuple[list[Version], tuple[Version, ...]]:
    """Claims on use cases that are here, and the others."""
    known = [each for each in versions if each.claim.use_case in by_name]
    return known, tuple(each for each in versions if each.claim.use_case not in by_name)


def _days(scope: Scope, found: Sequence[UseCase]) -> int:
    if not found:
        return 0
    first = max(scope.start.date(), min(each.first_day for each in found))
    return max(1, ((scope.end - timedelta(microseconds=1)).date() - first).days + 1)


def _result(cause: Cause, sample: Sample, market: Market | None) -> Result:
    """A use case without its claims."""
    case = cause.case
    by_year = {year: caused(cause, sample, lambda each, year=year: each.year == year) for year in cause.years}
    upfront = caused(cause, sample, lambda each: each.is_upfront)
    return Result(
        case.name, case.runs, case.runs_without_energy, cause.calls, cause.untold, case.upfront_before, cause.method,
        by_year, upfront, unmade=cause.unmade, unknown=cause.unknown,
        market_g=market_based_g(by_year, sample, market) if market else None,
    )  # fmt: skip


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
        sum(each.api_calls for each in results), sum(each.calls_without_tokens for each in results),
        any(each.upfront_before for each in results), weakest([each.method for each in used]),
        _by_year([each.caused_by_year for each in used], summed_where_all_know), summed(each.upfront for each in used),
        {basis: _by_year([each.benefit_by_year[basis] for each in used], summed) for basis in BASES},
        tuple(claim for each in results for claim in each.claims),
        {name: why for each in results for name, why in each.unmade.items()},
        {name: why for each in results for name, why in each.unknown.items()},
        _sum_where_all_know([each.market_g for each in used]),
    )  # fmt: skip


def _sum_where_all_know(parts: Sequence[Array | None]) -> Array | None:
    known = [each for each in parts if each is not None]
    return sum(known) if known and len(known) == len(parts) else None
