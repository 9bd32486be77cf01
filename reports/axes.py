"""Axes and their ticks, as numbers and text: round steps that people read without counting.

value_axis      from zero, for amounts
open_axis       from about the least to the greatest, for comparisons in which zero means nothing
log_axis        whole powers of ten
duration_ticks  seconds, minutes or hours since the start
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date, timedelta
from itertools import pairwise
from typing import NamedTuple

from joulebook.reports import format as fmt

DAY_S = 86400
# Steps of a clock that people read without counting, in seconds.
CLOCK_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, DAY_S, 2 * DAY_S)


Tick = tuple[float, str]


class Axis(NamedTuple):
    """The ends of an axis, in its unit."""

    start: float
    end: float

    def at(self, value: float) -> float:
        """Where a value stands between 0 and 1; in the middle when the axis has no length."""
        if self.end == self.start:
            return 0.5
        return round((value - self.start) / (self.end - self.start), 5)


def shortest_step(xs: Sequence[date]) -> timedelta:
    """The time from one day to the next, or from one week or month to the next; a day where there is but one."""
    return min((after - before for before, after in pairwise(xs)), default=timedelta(days=1))


def value_axis(values: Sequence[float]) -> tuple[Axis, list[Tick]]:
    """An axis from zero that holds all values, with three to five round ticks on its longer side."""
    low, high = min(0.0, *values), max(0.0, *values)
    if low == high:
        return Axis(0.0, 1.0), [(0.0, "0")]
    return Axis(low, high), _ticks(Axis(low, high), _round_step(max(high, -low)))


def open_axis(values: Sequence[float]) -> tuple[Axis, list[Tick]]:
    """An axis that holds all values with a little room, with round ticks."""
    low, high = min(values), max(values)
    room = (high - low or abs(high) or 1.0) * 0.06
    axis = Axis(low - room, high + room)
    step = _round_step(axis.end - axis.start, 5)
    return axis, _ticks(axis, step)


def log_axis(values: Sequence[float]) -> tuple[Axis, list[Tick]]:
    """An axis of logarithms to the base of ten, with a tick at each whole power; a short one at 1, 2, 5 too."""
    low, high = math.log10(min(values)), math.log10(max(values))
    room = max(0.15, (high - low) * 0.06)
    axis = Axis(low - room, high + room)
    steps = (1, 2, 5) if high - low < 2 else (1,)
    powers = range(math.floor(axis.start), math.floor(axis.end) + 1)
    ticks = [(n + math.log10(step), fmt.number(step * 10.0**n, 1)) for n in powers for step in steps]
    return axis, [tick for tick in ticks if axis.start <= tick[0] <= axis.end]


def year_ticks(first: float, last: float) -> list[Tick]:
    """At most seven years, each with the same distance to the next."""
    step = max(1, math.ceil((last - first) / 6))
    return [(float(year), str(year)) for year in range(int(first), int(last) + 1, step)]


def _ticks(axis: Axis, step: float) -> list[Tick]:
    places = max(0, -math.floor(math.log10(step) + 1e-9))
    first, last = math.ceil(axis.start / step - 1e-9), math.floor(axis.end / step + 1e-9)
    return [(n * step, f"{n * step:,.{places}f}" if n else "0") for n in range(first, last + 1)]


def _round_step(length: float, at_most: int = 4) -> float:
    """The smallest of 1, 2, 5, 10, … that divides a length into few enough steps."""
    power = 10.0 ** math.floor(math.log10(length / at_most))
    return next(power * m for m in (1, 2, 5, 10) if length / (power * m) <= at_most + 1e-9)


def clock_step(length_s: float, at_most: int) -> float:
    steps = [step for step in CLOCK_STEPS_S if length_s / step <= at_most]
    if length_s < CLOCK_STEPS_S[0] * at_most or not steps:
        return _round_step(length_s or 1.0, at_most)
    return steps[0]


def duration_ticks(length_s: float) -> list[Tick]:
    """Round ticks from zero to a length of time, e.g. `0`, `5 min`, `10 min`."""
    step = clock_step(length_s, 6)
    name, size = next((n, s) for n, s in (("h", 3600), ("min", 60), ("s", 1)) if step % s == 0 or s == 1)
    count = math.floor(length_s / step + 1e-9)
    return [(n * step, f"{n * step / size:,.6g}{fmt.THIN}{name}" if n else "0") for n in range(count + 1)]
