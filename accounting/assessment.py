"""The answer to `joulebook assess` and `joulebook restate`: one basis, or two and why they differ.

    assess(ledger, scope, basis)          ─▶ Assessment    totals with their ranges and quality, each run, draws
    restate(ledger, scope, before, after) ─▶ Restatement   totals and runs under both, each cause with what it adds

Nothing in it depends on when it is asked: the same ledger, scope, basis, number of draws and seed give the same answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from joulebook.accounting import drawn
from joulebook.accounting.assess import CATEGORIES, check_region
from joulebook.accounting.factors import Match
from joulebook.accounting.in_force import worst_match
from joulebook.accounting.lines import Lines, Scope, kinds_of, lines
from joulebook.accounting.quality import Line, Quality, quality
from joulebook.accounting.records import METHODS
from joulebook.accounting.restate import FROM, TO, Assessed, Caused, caused, known_or_not
from joulebook.accounting.uncertainty import DRAWS, SEED, quantiles

if TYPE_CHECKING:
    from joulebook.accounting.basis import Basis
    from joulebook.accounting.drawn import Swing
    from joulebook.accounting.estimates import Estimate
    from joulebook.accounting.ledger import Ledger
    from joulebook.accounting.lines import Array


DIGITS = 9  # of a quantile of draws; the draws themselves are good for three or four


class Drawing(NamedTuple):
    """How the draws of an assessment are made."""

    n: int = DRAWS
    seed: int = SEED


@dataclass(frozen=True)
class Assessment:
    """What was used in a scope, under one basis."""

    scope: Scope
    basis: Basis
    drawing: Drawing
    assessed: Assessed
    sampled: Mapping[str, Estimate]  # P5, P50, P95 of each category; empty where nothing was used
    swings: tuple[Swing, ...]

    @property
    def lines(self) -> Lines:
        return self.assessed.lines

    @cached_property
    def quality(self) -> dict[str, Quality | None]:
        """How good the data behind each total is."""
        return {
            category: quality(line for _, line in quality_lines(self.assessed, category)) for category in CATEGORIES
        }

    def run_quality(self, category: str) -> list[Quality | None]:
        """The same of each run."""
        parts: list[list[Line]] = [[] for _ in self.lines.runs]
        for run, line in quality_lines(self.assessed, category):
            parts[run].append(line)
        return [quality(part) for part in parts]

    def matches(self) -> list[tuple[str, Match]]:
        """Every factor that the lines were seen with, by kind, each once."""
        return factors_of(self.lines, self.assessed.place)


def quality_lines(assessed: Assessed, category: str) -> list[tuple[int, Line]]:
    """For each line the place of its run, and what its quality is made of."""
    found, kinds = assessed.lines, CATEGORIES[category][1]
    match = [worst_match(piece[assessed.place].in_force, kinds) for piece in found.pieces]
    columns = (found.run, found.piece, found.method_rank, assessed.at_ends[1][category])
    return [
        (run, Line(amount, METHODS[rank], match[piece]))
        for run, piece, rank, amount in zip(*(column.tolist() for column in columns), strict=True)
    ]


def factors_of(found: Lines, place: int) -> list[tuple[str, Match]]:
    """The factors that some lines were seen with, by kind and then by time, each once."""
    used: list[int] = sorted(set(found.piece.tolist()))
    told = [(kind, found.pieces[number][place].match_of(kind)) for kind in kinds_of(found) for number in used]
    return list(dict.fromkeys((kind, match) for kind, match in told if match))


def assess(ledger: Ledger, scope: Scope, basis: Basis, drawing: Drawing | None = None) -> Assessment:
    """What was used in a scope, under a basis. Raises SiteError for a site in a region that nobody knows."""
    check_region(ledger.home, basis.site, basis.factors)
    drawing, found = drawing or Drawing(), lines(ledger, scope, [basis])
    if not len(found):
        return Assessment(scope, basis, drawing, Assessed(found), {}, ())
    method = METHODS[int(found.method_rank.max())]
    sample = drawn.drawn(found, 0, *drawing)
    sampled = {category: known_or_not(category, _rounded(values), method) for category, values in sample.items()}
    return Assessment(scope, basis, drawing, Assessed(found), sampled, tuple(drawn.swings(found)))


def _rounded(sample: Array) -> list[float]:
    """Quantiles without the digits in which the logarithms of two machines differ."""
    return [float(f"{value:.{DIGITS}g}") for value in quantiles(sample)]


@dataclass(frozen=True)
class Restatement:
    """What was used in a scope, under two bases, and what each thing that changed adds."""

    scope: Scope
    bases: tuple[Basis, Basis]
    before: Assessed
    after: Assessed
    caused: Caused

    @property
    def lines(self) -> Lines:
        return self.before.lines


def restate(ledger: Ledger, scope: Scope, before: Basis, after: Basis) -> Restatement:
    """The same scope under two bases. Raises SiteError for a site in a region that nobody knows."""
    for basis in (before, after):
        check_region(ledger.home, basis.site, basis.factors)
    found = lines(ledger, scope, [before, after])
    return Restatement(scope, (before, after), Assessed(found, FROM), Assessed(found, TO), caused(found))
