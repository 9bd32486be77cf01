"""How a driver moves from year to year, on floats and on arrays of draws alike.

A scenario says where a driver is in 2030 against 2024. Until 2030 it goes there at one rate (`compound`) or in a
straight line (`linear`), after 2030 it settles. Each gives an index by year, 1 in the first of the years.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

REFERENCE_YEAR, TARGET_YEAR, LAST_YEAR = 2024, 2030, 2035
SPAN = TARGET_YEAR - REFERENCE_YEAR
Number = Any  # a float, or an array with one for each draw


def compound(total: Number, years: Sequence[int], settled: Number = 0.0, settling_y: Number = 3.0) -> list[Number]:
    """At one rate to `total` in 2030; afterwards growth g settles: g = settled + (g2030 − settled) × exp(−years ÷ τ).

    Unit: 1 = product of 1 + g.
    """
    rate = total ** (1 / SPAN)
    index: list[Number] = [1.0]
    for year in years[1:]:
        late = max(0, year - TARGET_YEAR)
        growth = settled + (rate - 1 - settled) * _fading(late, settling_y) if late else rate - 1
        index.append(index[-1] * (1 + growth))
    return index


def _fading(late: int, settling_y: Number) -> Number:
    return math.e ** (-late / settling_y)


def logistic(total: Number, years: Sequence[int], cap: Number) -> list[Number]:
    """Growth that begins at the rate of `total` and dies away towards `cap`, a multiple of the first year's use.

    Unit: 1 = cap ÷ (1 + (cap − 1) × rate^−years).
    """
    return [cap / (1 + (cap - 1) * total ** (-(year - years[0]) / SPAN)) for year in years]


def linear(total: Number, years: Sequence[int], goes_on: bool = False) -> list[Number]:
    """In a straight line to `total` in 2030; then it stays there, or goes on at the rate that led to it."""
    path = [_linear(total, year, goes_on) for year in years]
    return [value / path[0] for value in path]


def _linear(total: Number, year: int, goes_on: bool) -> Number:
    value = 1 + (total - 1) * (min(year, TARGET_YEAR) - REFERENCE_YEAR) / SPAN
    return value * total ** ((year - TARGET_YEAR) / SPAN) if goes_on and year > TARGET_YEAR else value
