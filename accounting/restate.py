"""What was used, under one basis; and what changes from one basis to another, run by run, and why.

    lines ──assessed──▶ impacts at low, mid and high ──▶ total, each run
    lines under two bases ──caused──▶ what each change adds ──▶ total, each run, each factor that was replaced

The facts are the same under both: what differs is factors, or who bears idle energy. The difference is shared out to
what changed by Shapley's rule: each cause has the mean of what it adds, over all orders in which the causes could
come. No cause has a place before another, and the parts add up to the difference, of each run and in total.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from joulebook.accounting.assess import CATEGORIES, missing_factor
from joulebook.accounting.estimates import Estimate, between, exactly, unknown
from joulebook.accounting.in_force import ENDS, KINDS
from joulebook.accounting.lines import Held, Lines, impacts, impacts_at, kinds_of, numpy
from joulebook.accounting.records import METHODS

if TYPE_CHECKING:
    from joulebook.accounting.factors import Match
    from joulebook.accounting.lines import Array

IDLE = "idle_energy"  # who bears it: a cause like a factor, from the site
FROM, TO = 0, 1  # the two bases of a restatement, by their place


# One basis --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Assessed:
    """The impacts of lines under the basis at `place`."""

    lines: Lines
    place: int = 0

    @cached_property
    def at_ends(self) -> tuple[dict[str, Array], ...]:
        """Every category of each line, at low, mid and high."""
        return tuple(impacts_at(self.lines, self.place, end) for end in range(len(ENDS)))

    def total(self, category: str) -> Estimate:
        if not len(self.lines):
            return unknown(CATEGORIES[category][0], "no energy was recorded")
        ends = (math.fsum(end[category]) for end in self.at_ends)
        return known_or_not(category, ends, METHODS[int(self.lines.method_rank.max())])

    def runs(self, category: str) -> list[Estimate]:
        """The sum of each run, in the order of `lines.runs`."""
        ends = zip(*(self.lines.by_run(end[category]).tolist() for end in self.at_ends), strict=True)
        return [known_or_not(category, each, method) for each, method in zip(ends, self.run_methods, strict=True)]

    @cached_property
    def run_methods(self) -> list[str]:
        np = numpy()
        ranks = np.zeros(len(self.lines.runs), dtype="int64")
        np.maximum.at(ranks, self.lines.run, self.lines.method_rank)
        return [METHODS[rank] for rank in ranks]


def known_or_not(category: str, ends: Iterable[float], method: str) -> Estimate:
    """An amount of a category; unknown where a factor is missing, which makes it no number."""
    found, unit = tuple(ends), CATEGORIES[category][0]
    return unknown(unit, missing_factor(category)) if math.isnan(found[1]) else between(found, unit, method)


# Two bases --------------------------------------------------------------------------------------------------------


class Cause(NamedTuple):
    """One thing that changed: a kind of factor from one row to another, or who bears idle energy."""

    kind: str
    before: Match | None
    after: Match | None
    change: Mapping[str, float]  # what it adds, by category


@dataclass(frozen=True)
class Caused:
    """What each kind of cause adds to each line, by category: `added[kind][category]`, mid values."""

    lines: Lines
    added: Mapping[str, Mapping[str, Array]]

    def causes(self) -> list[Cause]:
        """Each change from one factor to another, with what it adds; the largest in carbon first."""
        found = [cause for kind in self.added for cause in self._causes_of(kind)]
        return sorted(found, key=lambda cause: (-abs(cause.change["carbon_g"]), cause.kind, str(cause.before)))

    def _causes_of(self, kind: str) -> list[Cause]:
        pairs = [(piece[FROM].match_of(kind), piece[TO].match_of(kind)) for piece in self.lines.pieces]
        different = [pair for pair in dict.fromkeys(pairs) if kind == IDLE or pair[FROM] != pair[TO]]
        return [Cause(kind, *pair, self._change_in(kind, pairs, pair)) for pair in different]

    def _change_in(self, kind: str, pairs: Sequence[object], pair: object) -> dict[str, float]:
        there = numpy().array([each == pair for each in pairs])[self.lines.piece]
        return {category: math.fsum(added[there]) for category, added in self.added[kind].items()}

    def by_run(self, kind: str, category: str) -> list[float]:
        return self.lines.by_run(self.added[kind][category]).tolist()


def change_of(before: Estimate, after: Estimate) -> Estimate:
    """The change of the mids. Its own range is not known from theirs: they share what they are wrong by."""
    if before.mid is None or after.mid is None:
        return unknown(before.unit, before.reason or after.reason or "unknown")
    return exactly(after.mid - before.mid, before.unit, after.method)


def caused(lines: Lines) -> Caused:
    """What each thing that changed adds to each line, from the first basis to the second.

    Needs as many looks at the formulas as there are sets of changes: two to the power of the groups that change.
    """
    kinds, np = changed(lines), numpy()
    added = {kind: {category: np.zeros(len(lines)) for category in CATEGORIES} for kind in kinds}
    groups = apart(kinds)
    for chosen in _subsets(groups):
        amounts = _with(lines, frozenset(kind for group in chosen for kind in group))
        for group in groups:
            weight = _weight(len(groups), len(chosen), is_in=group in chosen)
            for kind in group:
                for category in _touched_by(kind):
                    added[kind][category] += weight * amounts[category]
    return Caused(lines, added)


def apart(kinds: Sequence[str]) -> list[tuple[str, ...]]:
    """Kinds in groups of which no two change the same category, such as a grid and a price of electricity.

    What changes nothing of a category has no part in it and alters no other's part: so a group can change at once.
    """
    groups: list[list[str]] = []
    for kind in kinds:
        mine = set(_touched_by(kind))
        for group in groups:
            if all(mine.isdisjoint(_touched_by(other)) for other in group):
                group.append(kind)
                break
        else:
            groups.append([kind])
    return [tuple(group) for group in groups]


def changed(lines: Lines) -> list[str]:
    """The kinds of factors whose mid values differ somewhere between the bases, and idle energy where it does."""
    kinds = [kind for kind in kinds_of(lines) if any(_differs(kind, *piece) for piece in lines.pieces)]
    same = (lines.amounts[FROM][1] == lines.amounts[TO][1]).all()
    return kinds if same else [*kinds, IDLE]


def _differs(kind: str, before: Held, after: Held) -> bool:
    mids = [held.range_of(kind)[1] for held in (before, after)]
    return mids[FROM] != mids[TO] and not all(map(math.isnan, mids))


def _with(lines: Lines, chosen: frozenset[str]) -> dict[str, Array]:
    """Every category of each line with the chosen kinds as the second basis has them, the others as the first."""
    factors = {kind: lines.range_of(kind, TO if kind in chosen else FROM, 1) for kind in KINDS}
    return impacts(lines, lines.amounts[TO if IDLE in chosen else FROM][1], factors)


def _touched_by(kind: str) -> list[str]:
    """The categories that a cause can change: those of its own, and all of them where it changes the energy."""
    of_one = {each for _, kinds in CATEGORIES.values() for each in kinds}
    return [category for category, (_, kinds) in CATEGORIES.items() if kind in kinds or kind not in of_one]


def _subsets(groups: Sequence[tuple[str, ...]]) -> Iterable[frozenset[tuple[str, ...]]]:
    for number in range(2 ** len(groups)):
        yield frozenset(group for place, group in enumerate(groups) if number >> place & 1)


def _weight(players: int, chosen: int, *, is_in: bool) -> float:
    """What the value of a set of causes counts for in the part of one: it is added with it, taken away without."""
    others = chosen - is_in
    share = math.factorial(others) * math.factorial(players - others - 1) / math.factorial(players)
    return share if is_in else -share
