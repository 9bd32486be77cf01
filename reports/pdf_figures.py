"""Figures for paper: a `Figure` becomes labels and positions between 0 and 1, and the template only draws them.

    values -> one unit for the chart -> an axis with round ticks -> positions -> unbroken pieces of line

A missing value ends a piece of line, so a gap stays a gap. What is not complete yet is a dashed piece of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

from joulebook.reports import format as fmt
from joulebook.reports import pdf_scenarios as scenarios
from joulebook.reports.axes import DAY_S, Axis, Tick, clock_step, duration_ticks, shortest_step, value_axis, year_ticks
from joulebook.reports.reading import MAX_SERIES, has_bands, how_to_read
from joulebook.reports.view import Figure, Series

MAX_ROWS = 20  # as many labels with bars as fit one page
MAX_BARS = 40  # and as many bars
MAX_SPANS = 30
LABEL_CHARS = 60


class Point(NamedTuple):
    """One value of a line: `x` in seconds, the rest in the unit of the chart."""

    x: float
    mid: float
    low: float
    high: float


def figure_data(figure: Figure) -> dict[str, Any]:
    """The figure as plain data for the template. `empty` is true when it has no value to draw."""
    scale = fmt.scale_for(figure.unit, max((abs(v) for s in figure.series for v in _known(s.mid)), default=None))
    empty = not any(_known(s.mid) for s in figure.series)
    drawn = {} if empty else _drawn(figure, scale)
    hints = [] if empty else [*_hints(figure), *drawn.pop("hints", [])]
    # Bars say all in their labels; elsewhere the finding helps those who see the chart as well.
    finding = f"{figure.title}." if figure.kind == "bars" or not figure.alt else figure.alt
    return {
        "kind": figure.kind,
        "title": figure.title,
        "unit": "" if empty or _is_said(figure, scale[0]) else scale[0],
        "alt": figure.alt or figure.title or "Chart",
        "caption": " ".join([finding, *hints]),
        "names": [s.name for s in figure.series[:MAX_SERIES]] if len(figure.series) > 1 else [],
        "empty": empty,
        **drawn,
    }


def _is_said(figure: Figure, unit: str) -> bool:
    """Whether the values say their unit themselves, or have none."""
    return unit == "1" or figure.kind in ("spans", "tornado") or (figure.kind == "bars" and unit in ("$", "s"))


def _drawn(figure: Figure, scale: tuple[str, float]) -> dict[str, Any]:
    if figure.kind == "spans":
        return _spans(figure)
    if figure.kind == "scatter":
        return scenarios.scatter(figure, scale)
    if figure.kind == "tornado":
        return scenarios.tornado(figure, scale)
    return _bars(figure, scale) if figure.kind == "bars" else _lines(figure, scale)


def _hints(figure: Figure) -> list[str]:
    """How to read what is drawn, in words, only as far as it is there."""
    ranged = any(s.low and s.low != s.high for s in figure.series)
    hints = []
    if figure.kind in ("days", "trace"):
        told = "Line: best estimate; band: its range, low to high." if has_bands(figure) else "Line: best estimate."
        hints += [told] if ranged else []
        hints += ["Where the line is broken there is no value."] if any(None in s.mid for s in figure.series) else []
    if figure.kind == "bars" and ranged:
        hints.append("The thin line on each bar goes from low to high.")
    hints += [text for text in (how_to_read(figure, "Dashed"),) if text]
    if figure.partial_from and figure.kind in ("days", "trace"):
        hints.append(f"Dashed from {fmt.day(figure.partial_from)}: not complete yet.")
    if len(figure.series) > MAX_SERIES:
        hints.append(f"{len(figure.series) - MAX_SERIES} more series are not drawn.")
    return hints


def _known(values: Sequence[float | None]) -> list[float]:
    return [v for v in values if v is not None and math.isfinite(v)]


def _at(values: Sequence[float | None], index: int, default: float) -> float:
    """A bound that may be missing, or the value that it would bound."""
    value = values[index] if index < len(values) else None
    return default if value is None or not math.isfinite(value) else value


# Lines: days, traces and fans.


def _lines(figure: Figure, scale: tuple[str, float]) -> dict[str, Any]:
    kept = [_points(series, scale[1]) for series in figure.series[:MAX_SERIES]]
    known = [point for points in kept for point in points if point]
    clock = figure.kind == "trace" and _is_calendar(figure)
    ends = [end for point in known for end in (point.low, point.high)]
    ranges_show = figure.kind == "fan" or has_bands(figure)
    y_axis, y_ticks = value_axis([*(point.mid for point in known), *(ends if ranges_show else ())])
    xs = sorted({_seconds(x) for series in figure.series for x in series.x})
    starts_at_zero = figure.kind == "trace" and not _is_calendar(figure)
    x_axis = Axis(min(0.0, xs[0]) if starts_at_zero else xs[0], xs[-1])
    limit_s = 1.5 * _step_s(figure) if figure.kind == "days" else math.inf
    return {
        "lines": [
            [_piece(run, partial, x_axis, y_axis) for run, partial in _pieces(points, limit_s, partial_s)]
            for points, partial_s in zip(kept, _partial(figure), strict=False)
        ],
        "banded": has_bands(figure),
        "whiskered": figure.kind == "fan" and not has_bands(figure),
        "y_ticks": [(y_axis.at(value), text) for value, text in y_ticks],
        "x_ticks": [(x_axis.at(value), text) for value, text in _x_ticks(figure, xs)],
        "hints": [f"Times are UTC, from {fmt.moment(datetime.fromtimestamp(xs[0], UTC))}."] if clock else [],
    }


def _step_s(figure: Figure) -> float:
    return min(shortest_step(series.x) for series in figure.series).total_seconds()


def _partial(figure: Figure) -> list[float]:
    """From when on each series is not complete; a line without a range in a fan, such as a budget, always is."""
    begin = math.inf if figure.partial_from is None else _seconds(figure.partial_from)
    return [math.inf if figure.kind == "fan" and not series.low else begin for series in figure.series]


def _is_calendar(figure: Figure) -> bool:
    """Whether x are moments or days, and not seconds since the start."""
    return isinstance(figure.series[0].x[0], date)  # a datetime is a date as well


def _seconds(x: Any) -> float:
    """A moment as seconds since 1970, a day as its midnight, seconds as they are."""
    if isinstance(x, datetime):
        return (x if x.tzinfo else x.replace(tzinfo=UTC)).timestamp()
    if isinstance(x, date):
        return (x - date(1970, 1, 1)).days * DAY_S
    return float(x)


def _points(series: Series, size: float) -> list[Point | None]:
    """The values of a series in the unit of the chart, None where there is no value."""
    points: list[Point | None] = []
    for index, (x, mid) in enumerate(zip(series.x, series.mid, strict=True)):
        if mid is None or not math.isfinite(mid):
            points.append(None)
            continue
        low, high = _at(series.low, index, mid), _at(series.high, index, mid)
        points.append(Point(_seconds(x), mid / size, low / size, high / size))
    return points


def _pieces(points: Sequence[Point | None], limit_s: float, partial_s: float) -> list[tuple[list[Point], bool]]:
    """The unbroken pieces of a line, each with whether it is partial; a partial piece starts where the whole ends."""
    runs: list[list[Point]] = [[]]
    for point in points:
        if point is None or (runs[-1] and point.x - runs[-1][-1].x > limit_s):
            runs.append([])
        if point is not None:
            runs[-1].append(point)
    pieces = []
    for run in runs:
        whole = [point for point in run if point.x < partial_s]
        pieces.append((whole, False))
        if len(whole) < len(run):
            pieces.append((run[max(len(whole) - 1, 0) :], True))
    return [(run, partial) for run, partial in pieces if run]


def _piece(run: Sequence[Point], partial: bool, x_axis: Axis, y_axis: Axis) -> dict[str, Any]:
    return {
        "points": [(x_axis.at(p.x), y_axis.at(p.mid), y_axis.at(p.low), y_axis.at(p.high)) for p in run],
        "ranged": any(p.low < p.high for p in run),
        "partial": partial,
    }


def _x_ticks(figure: Figure, xs: Sequence[float]) -> list[Tick]:
    if not _is_calendar(figure):
        return year_ticks(xs[0], xs[-1]) if figure.kind == "fan" else duration_ticks(xs[-1])
    if figure.kind in ("days", "fan"):
        return _day_ticks(xs)
    return _clock_ticks(xs[0], xs[-1])


def _clock_ticks(start_s: float, end_s: float) -> list[Tick]:
    """Moments that are round on the UTC clock; the day is written once, at the first."""
    step = clock_step(end_s - start_s, 6)
    pattern = "%H:%M" if step % 60 == 0 else "%H:%M:%S"
    ticks = []
    for n in range(math.ceil(start_s / step), math.floor(end_s / step) + 1):
        when = datetime.fromtimestamp(n * step, UTC)
        ticks.append((n * step, f"{when.day} {when:%b}" if step >= DAY_S else f"{when:{pattern}}"))
    return ticks


def _day_ticks(xs: Sequence[float]) -> list[Tick]:
    """At most seven days, or firsts of months when there are more than two months."""
    days = [datetime.fromtimestamp(x, UTC) for x in _calendar(xs[0], xs[-1])]
    long = len(days) > 62
    if long:
        days = [day for day in days if day.day == 1]
    every = math.ceil(len(days) / 7)
    return [(day.timestamp(), f"{day:%b %Y}" if long else f"{day.day} {day:%b}") for day in days[::every]]


def _calendar(start_s: float, end_s: float) -> list[float]:
    days = timedelta(seconds=end_s - start_s).days
    return [start_s + n * DAY_S for n in range(days + 1)]


# Bars and spans.


def _bars(figure: Figure, scale: tuple[str, float]) -> dict[str, Any]:
    kept = figure.series[:MAX_SERIES]
    labels = list(dict.fromkeys(str(x) for series in kept for x in series.x))
    values = [v for series in kept for v in _known((*series.mid, *series.low, *series.high))]
    axis = Axis(min(0.0, *values), max(0.0, *values))
    write = _writer(figure.unit, scale)
    rows: dict[str, list[dict[str, Any]]] = {label: [] for label in labels[: min(MAX_ROWS, MAX_BARS // len(kept))]}
    for hue, series in enumerate(kept):
        for index, label in enumerate(map(str, series.x)):
            if label in rows:
                rows[label].append(_bar(series, index, axis, write) | {"hue": hue})
    hidden = len(labels) - len(rows)
    return {
        "rows": [{"label": _short(label), "bars": bars} for label, bars in rows.items()],
        "zero": axis.at(0.0),
        "hints": [f"{hidden} more are not drawn."] if hidden else [],
    }


def _short(label: str) -> str:
    return label if len(label) <= LABEL_CHARS else label[: LABEL_CHARS - 1] + "…"


def _bar(series: Series, index: int, axis: Axis, write: Callable[[float | None], str]) -> dict[str, Any]:
    mid = series.mid[index]
    if mid is None or not math.isfinite(mid):
        return {"to": None, "value": fmt.MISSING, "range": ""}
    low, high = _at(series.low, index, mid), _at(series.high, index, mid)
    span = fmt.between(write(low), write(high)) if low < high else ""
    return {"to": axis.at(mid), "low": axis.at(low), "high": axis.at(high), "value": write(mid), "range": span}


def _writer(unit: str, scale: tuple[str, float]) -> Callable[[float | None], str]:
    """How a value of the chart is written; its unit stands in the title, unless it is part of the number."""
    if scale[0] == "$":
        return fmt.money
    if unit == "s":
        return fmt.duration
    return lambda value: fmt.number(None if value is None else value / scale[1])


def _spans(figure: Figure) -> dict[str, Any]:
    spans = [
        (str(name), int(depth or 0), start, end)
        for series in figure.series
        for name, depth, start, end in zip(series.x, series.mid, series.low, series.high, strict=True)
        if start is not None and end is not None
    ]
    axis = Axis(0.0, max((end for *_, end in spans), default=0.0) or 1.0)
    rows = [
        {"label": name, "depth": depth, "from": axis.at(start), "to": axis.at(end), "value": fmt.duration(end - start)}
        for name, depth, start, end in spans[:MAX_SPANS]
    ]
    hints = [f"{len(spans) - MAX_SPANS} more are not drawn."] if len(spans) > MAX_SPANS else []
    ticks = [(axis.at(value), text) for value, text in duration_ticks(axis.end)]
    return {"rows": rows, "x_ticks": ticks, "names": [], "hints": hints}
