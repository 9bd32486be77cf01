"""Where the names and rows of a chart stand, for the page and for paper alike.

widest_first   the rows of a tornado, by how far their ends are apart
points_named   the points of a scatter whose names are written
free_places    the side of its point on which each name has room; one without room is left to the table
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from joulebook.reports.view import Figure

NAME_CHARS = 18
MOST_NAMED = 12  # points, where no frontier says which ones matter
CHAR_SHARE, LINE_SHARE, GAP_SHARE = 0.021, 0.055, 0.03  # of a narrow chart's width, and of its height

Side = Literal["right", "left", "above", "below"]


class Point(NamedTuple):
    """A named point in canonical units."""

    x: float
    y: float
    name: str


class Box(NamedTuple):
    """The room of a name, in shares of the chart."""

    left: float
    right: float
    low: float
    high: float

    def meets(self, other: Box) -> bool:
        beside = self.right <= other.left or other.right <= self.left
        return not (beside or self.high <= other.low or other.high <= self.low)

    @property
    def is_inside(self) -> bool:
        return self.left >= 0 and self.right <= 1.02 and self.low >= -0.05 and self.high <= 1.05


def widest_first(figure: Figure) -> list[int]:
    """The indices of a tornado's drivers, the widest first; those without a value last."""
    ends = [series.mid for series in figure.series[:2]]
    if len(ends) < 2:
        return []

    def width(index: int) -> float:
        low, high = ends[0][index], ends[1][index]
        return -1.0 if low is None or high is None else abs(high - low)

    return sorted(range(len(ends[0])), key=lambda index: -width(index))


def points_named(figure: Figure) -> list[Point]:
    """The points of the frontier; where there is none, all of them as long as they are few."""
    fronts = [series for series in figure.series if series.role == "frontier"]
    found = [
        Point(x, y, name)
        for series in fronts or figure.series
        for x, y, name in zip(series.x, series.mid, series.names, strict=False)
        if y is not None
    ]
    return found if fronts or len(found) <= MOST_NAMED else []


def free_places(figure: Figure) -> Iterator[tuple[Point, Side]]:
    """Each name that finds room beside its point, with the side; names never lie over each other or over points."""
    every = [(x, y) for s in figure.series for x, y in zip(s.x, s.mid, strict=True) if y is not None]
    named = points_named(figure)
    xs, ys = _shares([x for x, _ in every], log=figure.is_log_x), _shares([y for _, y in every])
    taken = [Box(xs[x] - 0.012, xs[x] + 0.012, ys[y] - 0.015, ys[y] + 0.015) for x, y in every]
    for point in named:
        width = min(len(point.name), NAME_CHARS) * CHAR_SHARE
        for side, box in _sides(xs[point.x], ys[point.y], width):
            if box.is_inside and not any(box.meets(other) for other in taken):
                taken.append(box)
                yield point, side
                break


def _shares(values: Sequence[float], *, log: bool = False) -> dict[float, float]:
    """Where each value stands between 0 and 1, from zero or on a logarithmic axis from the least."""
    steps = {value: math.log10(value) if log and value > 0 else value for value in values}
    low = min(steps.values(), default=0.0) if log else min(0.0, *values) if values else 0.0
    high = max(steps.values(), default=1.0)
    return {value: 0.5 if high == low else (step - low) / (high - low) for value, step in steps.items()}


def _sides(x: float, y: float, width: float) -> Iterator[tuple[Side, Box]]:
    half, middle = LINE_SHARE / 2, width / 2
    yield "right", Box(x + GAP_SHARE, x + GAP_SHARE + width, y - half, y + half)
    yield "left", Box(x - GAP_SHARE - width, x - GAP_SHARE, y - half, y + half)
    yield "above", Box(x - middle, x + middle, y + GAP_SHARE, y + GAP_SHARE + LINE_SHARE)
    yield "below", Box(x - middle, x + middle, y - GAP_SHARE - LINE_SHARE, y - GAP_SHARE)
