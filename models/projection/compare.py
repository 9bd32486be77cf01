"""The engines side by side, and the study's own results beside ours.

Between engines: how far the mids are apart, of those that know the whole portfolio. Within one: how wide its own range
is. The first is mostly the larger, and no number of draws of one engine shows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from joulebook.accounting.estimates import Estimate, unknown
from joulebook.accounting.site import Site
from joulebook.accounting.uncertainty import quantiles
from joulebook.models.projection import paper2501
from joulebook.models.projection.base import Base, base_of
from joulebook.models.projection.engines import EVIDENCE, engine_of, engines
from joulebook.models.projection.outcome import Sampling, energy_index, outcomes, sample, uncertain
from joulebook.models.projection.portfolio import Portfolio, of_the_paper
from joulebook.models.projection.ramps import TARGET_YEAR
from joulebook.models.projection.scenarios import Scenario, preset

STUDY = ("steady", "high", "limited", "breakthrough", "intermediate")


class Level(NamedTuple):
    """What one engine says of the base year and of 2030 (Wh). `within`: its own range, high ÷ low."""

    engine: str
    now_wh: Estimate
    then_wh: Estimate
    within: float | None
    covers: float  # the part of the requests that it knows
    reason: str | None


class Between(NamedTuple):
    """How far the engines that know the whole portfolio are apart in the base year: the highest mid ÷ the lowest."""

    lowest: str
    highest: str
    ratio: float


class Reproduced(NamedTuple):
    """Energy in 2030 over 2024: as the study has it, and as its inputs give it."""

    scenario: str
    published: float
    calibrated: float
    printed: float


def levels(portfolio: Portfolio, scenario: Scenario, site: Site, sampling: Sampling) -> list[Level]:
    """Every engine, asked about the same use cases (the generative ones, where there are any) and the same scenario."""
    generative = tuple(each for each in portfolio.use_cases if each.kind in paper2501.GENERATIVE)
    asked = replace(portfolio, use_cases=generative or portfolio.use_cases)
    names = (name for name in engines() if name != EVIDENCE)
    return [_level(base_of(asked, engine_of(name), site), scenario, sampling) for name in names]


def _level(base: Base, scenario: Scenario, sampling: Sampling) -> Level:
    name = base.engine.name
    if not base.known:
        nothing = unknown("Wh", base.why_unknown)
        return Level(name, nothing, nothing, None, 0.0, base.why_unknown)
    years = range(base.portfolio.base_year, TARGET_YEAR + 1)
    drawn = sample(uncertain(base, scenario), scenario, sampling.draws, sampling.seed)
    then = quantiles(outcomes(base, scenario, years, drawn)[-1]["energy"])
    now = base.total("energy")
    low, _, high = base.spread["request_energy"]
    return Level(
        name, Estimate(now * low, now, now * high, "Wh", base.method), Estimate(*then, "Wh", base.projected_method),
        high / low if low else None, _covers(base), base.silent[0][1] if base.silent else None,
    )  # fmt: skip


def _covers(base: Base) -> float:
    requests = sum(each.requests_per_year for each in base.portfolio.use_cases)
    silent = sum(each.requests_per_year for each in {id(each): each for each, _ in base.silent}.values())
    return 1 - silent / requests if requests else 0.0


def between(found: Sequence[Level]) -> Between | None:
    """The spread of the engines that know all of it; None where fewer than two do."""
    mids = {each.now_wh.mid: each.engine for each in found if each.covers > 0.999 and each.now_wh.mid}
    if len(mids) < 2:
        return None
    low, high = min(mids), max(mids)
    return Between(mids[low], mids[high], high / low)


def reproduced() -> list[Reproduced]:
    """The study's five scenarios, by its calibrated inputs and by those it prints."""
    told: dict[tuple[str, str], float] = {}
    for inputs in paper2501.INPUTS:
        base = base_of(of_the_paper(inputs), engine_of(paper2501.NAME), Site())
        for name in STUDY:
            scenario = preset(name, inputs)
            told[name, inputs] = float(energy_index(base, scenario, scenario.central))
    return [
        Reproduced(name, paper2501.published_index(name, "energy"), told[name, "calibrated"], told[name, "printed"])
        for name in STUDY
    ]
