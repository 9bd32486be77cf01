"""Which class each claim of a use case has, criterion by criterion, and how much of it counts.

N is the use case's: its claims that are complete stand together against all that it caused, and those that are not
quite complete are looked at with them. A claim of negative effect always counts: harm needs no proof.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from joulebook.accounting.returns.claims import CRITERIA, UNITS, Claim
from joulebook.accounting.returns.classes import (
    PLAUSIBLE,
    SUPPORTED,
    UNSUPPORTED,
    missing_for_plausible,
    missing_for_supported,
    tier,
)
from joulebook.accounting.returns.effects import Effect
from joulebook.accounting.returns.sampling import ON_GRID, Array
from joulebook.accounting.uncertainty import quantiles

Amounts = Mapping[str, Array]


@dataclass(frozen=True)
class Judged:
    """A claim with its tier and its class in each criterion that it speaks of. `missing`: for the next class."""

    effect: Effect
    tier: int
    classes: Mapping[str, str]
    missing: tuple[str, ...]
    harms: frozenset[str]

    @property
    def claim(self) -> Claim:
        return self.effect.plan.claim

    @property
    def criterion(self) -> str:
        """The one that its class is told by: carbon, where it speaks of carbon."""
        return next((each for each in CRITERIA if each in self.classes), CRITERIA[0])

    @property
    def state(self) -> str:
        return self.classes.get(self.criterion, UNSUPPORTED)

    def counted(self, *, internal: bool) -> dict[int, Amounts]:
        """By year, what counts: in supported criteria, for internal use in plausible ones too, and all harm."""
        wanted = (SUPPORTED, PLAUSIBLE) if internal else (SUPPORTED,)
        counting = {each for each, state in self.classes.items() if state in wanted} | self.harms
        if "gwp_g" in counting:
            counting |= set(ON_GRID)
        return {
            year: {key: values for key, values in amounts.items() if key in counting}
            for year, amounts in self.effect.by_year.items()
        }


def judge(effects: Sequence[Effect], caused: Amounts) -> tuple[Judged, ...]:
    """The class of each claim of one use case."""
    tiers = [tier(each.plan.claim, each.plan.pair_method) for each in effects]
    best = [_best(each.plan.claim, of) for each, of in zip(effects, tiers, strict=True)]
    nets = {each: _net(each, effects, best, caused) for each in CRITERIA}
    return tuple(_judged(*each, nets) for each in zip(effects, tiers, best, strict=True))


def _best(claim: Claim, evidence_tier: int) -> str:
    """The best class that the record allows, whatever its numbers are."""
    if missing_for_plausible(claim):
        return UNSUPPORTED
    return PLAUSIBLE if missing_for_supported(claim, evidence_tier) else SUPPORTED


class Net(NamedTuple):
    """N of a use case: P5 with its complete claims, P50 and P5 with all that have evidence. None: C is not known."""

    p5: float | None = None
    p50: float | None = None
    p5_if_complete: float | None = None


def _net(criterion: str, effects: Sequence[Effect], best: Sequence[str], caused: Amounts) -> Net:
    if criterion not in caused:
        return Net()
    told = [(each.total[criterion], of) for each, of in zip(effects, best, strict=True) if criterion in each.total]
    sums: list[Array] = [
        sum((benefit for benefit, of in told if of in wanted or _harms(benefit)), start=-caused[criterion])
        for wanted in ((SUPPORTED,), (SUPPORTED, PLAUSIBLE))
    ]
    p5_if_complete, p50, _ = quantiles(sums[1])
    return Net(quantiles(sums[0])[0], p50, p5_if_complete)


def _harms(benefit: Array) -> bool:
    return quantiles(benefit)[1] < 0


def _judged(each: Effect, evidence_tier: int, best: str, nets: Mapping[str, Net]) -> Judged:
    total = {name: values for name, values in each.total.items() if name in CRITERIA}
    harms = frozenset(name for name, values in total.items() if _harms(values))
    classes = {name: UNSUPPORTED if name in harms else _class(best, nets[name]) for name in CRITERIA if name in total}
    judged = Judged(each, evidence_tier, classes, (), harms)
    return replace(judged, missing=tuple(_missing(judged, nets[judged.criterion])))


def _class(best: str, net: Net) -> str:
    if best == SUPPORTED and (net.p5 or 0.0) > 0:
        return SUPPORTED
    return PLAUSIBLE if best != UNSUPPORTED and (net.p50 or 0.0) > 0 else UNSUPPORTED


def _missing(judged: Judged, net: Net) -> Iterator[str]:
    """What the next class needs, in words."""
    if judged.state == SUPPORTED:
        return
    if judged.effect.plan.problem:
        yield f"what it rests on: {judged.effect.plan.problem}"
    elif not judged.effect.plan.days:
        yield "a timeframe that overlaps with the runs on record: nothing of it counts here"
    elif judged.criterion in judged.harms:
        yield "a benefit: by its own numbers it harms"
    place, value = ("P5", net.p5_if_complete) if judged.state == PLAUSIBLE else ("P50", net.p50)
    if value is None:
        yield "what the use case caused: nobody knows it here"
    elif value <= 0:
        yield f"{place} of N above 0: it is {value:.3g} {UNITS[judged.criterion]}"
    if judged.state == PLAUSIBLE:
        yield from missing_for_supported(judged.claim, judged.tier)
    else:
        yield from missing_for_plausible(judged.claim)
