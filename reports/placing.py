"""Where the names and rows of a chart stand, for the page and for paper alike.

widest_first   the rows of a tornado, by how far their ends are apart
points_named   the points of a scatter whose names are written
free_places    the side of its point on which each name has room; one without room is left to the table
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

from joulebook.reports.view import Figure, Series

NAME_CHARS = 18
MOST_NAMED = 16  # points; of more, only those of a frontier
CHAR_SHARE, LINE_SHARE, GAP_SHARE = 0.018, 0.048, 0.025  # of a narrow chart's width, and of its height
ALONG = 8  # places to look at along the line between two points

Side = Literal["right", "left", "above", "below", "above right", "below right", "above left", "below left"]


class Point(NamedTuple):
    """A named point in canonical units, and its range along x."""

    x: float
    y: float
    name: str
    low: float
    high: float

    def beside(self, side: Side) -> float:
        """Where along x its name is fixed."""
        return {"right": self.high, "left": self.low}.get(side, self.x)


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
        return self.left >= 0 and self.right <= 1.02 and self.low >= -0.08 and self.high <= 1.08


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
    """The points that have names: those of a frontier first, the others as long as all are few."""
    fronts = [series for series in figure.series if series.role == "frontier"]
    others = [series for series in figure.series if series.role != "frontier"]
    first, rest = ([point for series in some for point in _points(series)] for some in (fronts, others))
    return first + rest if len(first) + len(rest) <= MOST_NAMED else first


def _points(series: Series) -> Iterator[Point]:
    ends = zip(series.x_low or series.x, series.x_high or series.x, strict=True)
    for x, y, name, (low, high) in zip(series.x, series.mid, series.names, ends, strict=False):
        if y is not None:
            yield Point(x, y, name, x if low is None else low, x if high is None else high)


def free_places(figure: Figure) -> Iterator[tuple[Point, Side]]:
    """Each name that finds room beside its point, with the side; no name lies over a point, a range or another name.

    A name to the right begins where the range ends, one to the left ends where it begins.
    """
    marks = list(_marks(figure))
    origin = [] if figure.is_log_x else [0.0]
    place_x = _axis([*origin, *(x for mark in marks for x in mark[:2])], log=figure.is_log_x)
    place_y = _axis([y for *_, y in marks])
    taken = [
        Box(place_x(low) - 0.01, place_x(high) + 0.01, place_y(y) - 0.015, place_y(y) + 0.015) for low, high, y in marks
    ]
    taken += [Box(place_x(x), place_x(x), place_y(y), place_y(y)) for x, y in _joined(figure)]
    for point in points_named(figure):
        width = min(len(point.name), NAME_CHARS) * CHAR_SHARE
        low, middle, high = (place_x(x) for x in (point.low, point.x, point.high))
        for side, box in _sides((low, middle, high), place_y(point.y), width):
            if box.is_inside and not any(box.meets(other) for other in taken):
                taken.append(box)
                yield point, side
                break


def _marks(figure: Figure) -> Iterator[tuple[float, float, float]]:
    """Each point with its range along x, and its height."""
    for series in figure.series:
        for n, (x, y) in enumerate(zip(series.x, series.mid, strict=True)):
            low, high = (ends[n] if ends else None for ends in (series.x_low, series.x_high))
            if y is not None:
                yield x if low is None else low, x if high is None else high, y


def _joined(figure: Figure) -> Iterator[tuple[float, float]]:
    """Places along the line that joins a frontier."""
    for series in figure.series:
        if series.role == "frontier":
            points = sorted((x, y) for x, y in zip(series.x, series.mid, strict=True) if y is not None)
            for (x, y), (next_x, next_y) in pairwise(points):
                for n in range(1, ALONG):
                    part = n / ALONG
                    across = x * (next_x / x) ** part if figure.is_log_x else x + (next_x - x) * part
                    yield across, y + (next_y - y) * part


def _axis(values: Sequence[float], *, log: bool = False) -> Callable[[float], float]:
    """Where a value stands between the least and the greatest of some, as a share."""
    scale = math.log10 if log else float
    low, high = scale(min(values, default=1.0)), scale(max(values, default=1.0))
    return lambda value: 0.5 if high == low else (scale(value) - low) / (high - low)


def _sides(ends: tuple[float, float, float], y: float, width: float) -> Iterator[tuple[Side, Box]]:
    low, x, high = ends
    half, middle = LINE_SHARE / 2, width / 2
    over, under = (y + GAP_SHARE, y + GAP_SHARE + LINE_SHARE), (y - GAP_SHARE - LINE_SHARE, y - GAP_SHARE)
    yield "right", Box(high + GAP_SHARE, high + GAP_SHARE + width, y - half, y + half)
    yield "left", Box(low - GAP_SHARE - width, low - GAP_SHARE, y - half, y + half)
    yield "above", Box(x - middle, x + middle, *over)
    yield "below", Box(x - middle, x + middle, *under)
    yield "above right", Box(x, x + width, *over)
    yield "below right", Box(x, x + width, *under)
    yield "above left", Box(x - width, x, *over)
    yield "below left", Box(x - width, x, *under)
