"""One question and its whole answer: what the command, the page and the report all draw."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from joulebook.accounting.errors import InputError
from joulebook.accounting.ledger import Ledger
from joulebook.accounting.site import load_site
from joulebook.accounting.uncertainty import DRAWS
from joulebook.models.projection import paper2501
from joulebook.models.projection.base import base_of
from joulebook.models.projection.compare import Between, Level, Reproduced, between, levels, reproduced
from joulebook.models.projection.engines import EVIDENCE, engine_of
from joulebook.models.projection.history import has_history, of_the_ledger
from joulebook.models.projection.money import Cost, costs, priced
from joulebook.models.projection.outcome import Projection, Sampling, project
from joulebook.models.projection.portfolio import Portfolio, of_the_paper, read
from joulebook.models.projection.questionnaire import kept_file
from joulebook.models.projection.ramps import TARGET_YEAR
from joulebook.models.projection.scenarios import PRESETS, changed, scenario_of
from joulebook.models.projection.sensitivity import Sobol, Swing, sobol, tornado

OWN, LEDGER, PAPER = "own", "ledger", "paper"  # the one that the home keeps, its history, the study's
COMPARING = Sampling(4096)  # draws for a number of which only the range is told


@dataclass(frozen=True)
class Asked:
    """A question. `portfolio`: a file, `own`, `ledger`, `paper`, or a made one; None: the first that there is.
    `base_year`: of a file.

    `changes`: other values for some drivers, fixed, e.g. from the sliders of a page.
    """

    scenario: str = PRESETS[0]
    engine: str | None = None
    inputs: str = paper2501.INPUTS[0]
    portfolio: str | Portfolio | None = None
    until: int = TARGET_YEAR
    draws: int = DRAWS
    seed: int = 0
    base_year: int | None = None
    changes: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Answer:
    """A projection, with what it costs, what matters in it, and what others say."""

    projection: Projection
    costs: tuple[Cost, ...]
    tornado: tuple[Swing, ...]
    sobol: tuple[Sobol, ...]
    levels: tuple[Level, ...]
    between: Between | None
    reproduced: tuple[Reproduced, ...]


def answer(ledger: Ledger, asked: Asked) -> Answer:
    """Raises InputError for what makes no sense, NotFound where the engine knows nothing of the portfolio."""
    site, scenario = load_site(ledger.home), changed(scenario_of(asked.scenario, asked.inputs), asked.changes)
    portfolio = priced(portfolio_of(ledger, asked), ledger.home)
    base = base_of(portfolio, engine_of(asked.engine or EVIDENCE), site)
    projection = project(base, scenario, asked.until, Sampling(asked.draws, asked.seed))
    told = tuple(levels(portfolio, scenario, site, COMPARING))
    return Answer(
        projection, tuple(costs(projection, site)), tuple(tornado(base, scenario)), tuple(sobol(base, scenario)),
        told, between(told), tuple(reproduced()),
    )  # fmt: skip


def portfolio_of(ledger: Ledger, asked: Asked) -> Portfolio:
    """The one that was named, else the first that there is."""
    region = load_site(ledger.home).region
    named = usual(ledger, asked.engine) if asked.portfolio is None else asked.portfolio
    if isinstance(named, Portfolio):
        return named
    if named == PAPER:
        return of_the_paper(asked.inputs, region)
    if named == LEDGER:
        return of_the_ledger(ledger)
    path = kept_file(ledger.home) if named == OWN else Path(named)
    if named == OWN and not path.exists():
        raise InputError("this home keeps no portfolio: fill in the form of the page Portfolio, or name a file")
    told = read(path, asked.base_year or datetime.now(UTC).year, region)
    return replace(told, name="this home's portfolio") if named == OWN else told


def usual(ledger: Ledger, engine: str | None = None) -> str:
    """The home's own portfolio, else its history, else the study's use cases, of which alone its engine is asked."""
    if engine == paper2501.NAME:
        return PAPER
    if kept_file(ledger.home).exists():
        return OWN
    return LEDGER if has_history(ledger) else PAPER
