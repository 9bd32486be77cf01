"""Figures of what may be, for paper: the points of a scatter and the rows of a tornado, between 0 and 1.

A fan is drawn as lines are (`pdf_figures`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from joulebook.reports import format as fmt
from joulebook.reports.axes import Axis, log_axis, open_axis, value_axis
from joulebook.reports.placing import NAME_CHARS, free_places, widest_first
from joulebook.reports.reading import MAX_SERIES
from joulebook.reports.view import Figure, Series

MAX_ROWS = 20
Scale = tuple[str, float]


def scatter(figure: Figure, scale: Scale) -> dict[str, Any]:
    x_scale = fmt.scale_for(figure.x_unit, max((abs(x) for s in figure.series for x in s.x), default=None))
    kept = [_points(series, x_scale[1], scale[1]) for series in figure.series[:MAX_SERIES]]
    every = [point for points in kept for point in points]
    y_axis, y_ticks = open_axis([value for point in every for value in point[3:]])
    xs = [value for point in every for value in point[:3]]
    x_axis, x_ticks = log_axis(xs) if figure.is_log_x else value_axis(xs)

    def across(x: float) -> float:
        return x_axis.at(math.log10(x) if figure.is_log_x else x)

    return {
        "series": [
            {
                "points": [[*map(across, point[:3]), *map(y_axis.at, point[3:])] for point in sorted(points)],
                "role": series.role,
            }
            for series, points in zip(figure.series, kept, strict=False)
        ],
        "labels": [
            (across(p.beside(side) / x_scale[1]), y_axis.at(p.y / scale[1]), _cut(p.name), side)
            for p, side in free_places(figure)
        ],
        "x_ticks": [(x_axis.at(value), text) for value, text in x_ticks],
        "y_ticks": [(y_axis.at(value), text) for value, text in y_ticks],
        "x_title": _titled(figure.x_label, x_scale[0]),
        "unit": _titled(figure.y_label, scale[0]),
    }


def _points(series: Series, x_size: float, y_size: float) -> list[tuple[float, ...]]:
    """Each point as x, its low and high, y, its low and high, in the units of the chart."""
    return [
        (*_ends(x, series.x_low, series.x_high, n, x_size), *_ends(y, series.low, series.high, n, y_size))
        for n, (x, y) in enumerate(zip(series.x, series.mid, strict=True))
        if y is not None and math.isfinite(y)
    ]


def _ends(
    mid: float, lows: Sequence[float | None], highs: Sequence[float | None], index: int, size: float
) -> tuple[float, float, float]:
    low, high = (ends[index] if ends else None for ends in (lows, highs))
    return mid / size, (mid if low is None else low) / size, (mid if high is None else high) / size


def _cut(name: str) -> str:
    return name if len(name) <= NAME_CHARS else name[: NAME_CHARS - 1] + "…"


def _titled(label: str, unit: str) -> str:
    return ", ".join(text for text in (label, "" if unit == "1" else unit) if text)


def tornado(figure: Figure, scale: Scale) -> dict[str, Any]:
    order = widest_first(figure)
    base = figure.base or 0.0
    ends = [value for series in figure.series[:2] for value in series.mid if value is not None]
    axis = Axis(min(base, *ends), max(base, *ends))
    rows = [_row(figure, index, axis, scale) for index in order[:MAX_ROWS]]
    hidden = len(order) - len(rows)
    return {"rows": rows, "base": axis.at(base), "hints": [f"{hidden} more are not drawn."] if hidden else []}


def _row(figure: Figure, index: int, axis: Axis, scale: Scale) -> dict[str, Any]:
    mids = [series.mid[index] for series in figure.series[:2]]
    return {
        "label": str(figure.series[0].x[index]),
        "ends": [None if mid is None else axis.at(mid) for mid in mids],
        "value": ends_text(mids, scale),
    }


def ends_text(mids: Sequence[float | None], scale: Scale) -> str:
    """What comes out with a driver at its low and at its high: `12.0 → 31.0 kg`."""
    if any(mid is None for mid in mids):
        return fmt.MISSING
    name, size = scale
    if name == "$":
        return " → ".join(fmt.money(mid) for mid in mids)
    return fmt.with_unit(" → ".join(fmt.number(mid / size) for mid in mids if mid is not None), name)
