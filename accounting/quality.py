"""How good the data behind an amount is: what it rests on, and its tier.

    a line: its method × how well its factors match ──▶ what it rests on, its tier ──▶ shares of a total

A line rests on its method (measured, integrated, attributed, modelled, declared), or on `default` where a world average
stands in for one of its factors. Its tier is the worse of the two:

    1   measured or integrated     factors declared, or of the place and the time
    2   attributed                 factors of the place, of another time
    3   modelled or declared       factors of the region around
    4   default                    world averages

A total has the tier of its weakest line. What share of it has which tier stands beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import fsum
from typing import Any, NamedTuple

from joulebook.accounting.factors import MATCHES
from joulebook.accounting.records import METHODS

TIERS = (1, 2, 3, 4)
WORDS = {
    1: "measured, with factors of the place and time",
    2: "a share of a device, or factors of another time",
    3: "modelled or declared, or factors of the region around",
    4: "a world average stands in",
}
METHOD_TIER: dict[str, int] = dict(zip(METHODS, (1, 1, 2, 3, 3, 4, 4), strict=True))
MATCH_TIER: dict[str, int] = dict(zip(MATCHES, (1, 1, 2, 2, 3, 4), strict=True))


class Line(NamedTuple):
    """A part of an amount, with the method of its energy and the worst match of its factors."""

    amount: float
    method: str
    match: str


class Quality(NamedTuple):
    """The tier of the weakest line, and the shares of the amount by what it rests on and by tier, largest first."""

    tier: int
    rests_on: Mapping[str, float]
    tiers: Mapping[int, float]

    def as_json(self) -> dict[str, Any]:
        return {"tier": self.tier, "rests_on": self.rests_on, "tiers": self.tiers}


def evidence(method: str, match: str) -> str:
    return "default" if match == "world" else method


def tier(method: str, match: str) -> int:
    return max(METHOD_TIER[method], MATCH_TIER[match])


def quality(lines: Iterable[Line]) -> Quality | None:
    """The quality of a sum of lines; None where there is nothing to weigh."""
    known = [line for line in lines if line.amount > 0]  # also not a number, which nobody knows
    if not known:
        return None
    rests_on = _shares((evidence(line.method, line.match), line.amount) for line in known)
    tiers = _shares((tier(line.method, line.match), line.amount) for line in known)
    return Quality(max(tiers), rests_on, dict(sorted(tiers.items())))


def _shares(told: Iterable[tuple[Any, float]]) -> dict[Any, float]:
    parts: dict[Any, list[float]] = {}
    for key, amount in told:
        parts.setdefault(key, []).append(amount)
    sums = {key: fsum(amounts) for key, amounts in parts.items()}
    whole = fsum(sums.values())
    return {key: sums[key] / whole for key in sorted(sums, key=lambda key: (-sums[key], str(key)))}
