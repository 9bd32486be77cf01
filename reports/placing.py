"""Where the names and rows of a chart stand, for the page and for paper alike.

widest_first   the rows of a tornado, by how far their ends are apart
points_named   the points of a scatter whose names are written
free_places    the side of its point on which each name has room; one without room is left to the table
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
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
    """Each name that finds room beside its point, with the side; no name lies over a point, a range or another name."""
    marks = list(_marks(figure))
    origin = [] if figure.is_log_x else [0.0]
    place_x = _axis([*origin, *(x for mark in marks for x in mark[:2])], log=figure.is_log_x)
    place_y = _axis([y for *_, y in marks])
    taken = [
        Box(place_x(low) - 0.012, place_x(high) + 0.012, place_y(y) - 0.015, place_y(y) + 0.015)
        for low, high, y in marks
    ]
    for point in points_named(figure):
        width = min(len(point.name), NAME_CHARS) * CHAR_SHARE
        for side, box in _sides(place_x(point.x), place_y(point.y), width):
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


def _axis(values: Sequence[float], *, log: bool = False) -> Callable[[float], float]:
    """Where a value stands between the least and the greatest of some, as a share."""
    scale = math.log10 if log else float
    low, high = scale(min(values, default=1.0)), scale(max(values, default=1.0))
    return lambda value: 0.5 if high == low else (scale(value) - low) / (high - low)


def _sides(x: float, y: float, width: float) -> Iterator[tuple[Side, Box]]:
    half, middle = LINE_SHARE / 2, width / 2
    yield "right", Box(x + GAP_SHARE, x + GAP_SHARE + width, y - half, y + half)
    yield "left", Box(x - GAP_SHARE - width, x - GAP_SHARE, y - half, y + half)
    yield "above", Box(x - middle, x + middle, y + GAP_SHARE, y + GAP_SHARE + LINE_SHARE)
    yield "below", Box(x - middle, x + middle, y - GAP_SHARE - LINE_SHARE, y - GAP_SHARE)
