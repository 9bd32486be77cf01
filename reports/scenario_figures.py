"""Charts of what may be: several futures, several systems, several causes of a range.

    fan       a line a scenario with its band; with many of them only the ends have their range, as whiskers
    scatter   a point a system with its range in both directions; the frontier is joined and named
    tornado   a row a driver: from the base to what comes out at its low, and at its high; the widest on top

Scenarios differ by symbol as well as by hue.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date
from typing import Any

from joulebook.reports import format as fmt
from joulebook.reports.axes import log_axis
from joulebook.reports.canvas import (
    LABEL_CHARS,
    LINE,
    Bar,
    Canvas,
    axis_unit,
    bars_of,
    day_axis,
    head,
    hover,
    label_rows,
    literal,
    moment_of,
    name_series,
)
from joulebook.reports.pdf_scenarios import ends_text
from joulebook.reports.placing import NAME_CHARS, free_places, widest_first
from joulebook.reports.reading import MAX_SERIES, has_bands
from joulebook.reports.view import Figure, Series

SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star")
MOST_SYMBOLS = 40  # values of a line that still has a symbol at each
MAX_ROWS = 15
WHISKER_SHARE = 0.025  # of the length of the axis, between two whiskers
LABEL_PX, LANE_PX = 22, 8


# Fans.


def draw_fan(canvas: Canvas) -> None:
    shown = canvas.figure.series[:MAX_SERIES]
    banded = has_bands(canvas.figure)
    for hue, series in enumerate(shown):
        known = [(_place(x), bar) for x, bar in zip(series.x, bars_of(canvas.figure, series), strict=True) if bar]
        if known and banded and series.is_ranged:
            _add_band(canvas, known, hue)
    for hue, series in enumerate(shown):
        _add_scenario(canvas, series, hue, whisker=not banded and series.is_ranged)
    head(canvas, shown, symbols=[SYMBOLS[n] if _is_dotted(series) else LINE for n, series in enumerate(shown)])
    _x_axis(canvas)


def _place(x: Any) -> Any:
    return moment_of(x) if isinstance(x, date) else x


def _add_band(canvas: Canvas, known: Sequence[tuple[Any, Bar]], hue: int) -> None:
    alone = len(canvas.figure.series) == 1
    look = {"fillcolor": canvas.palette.pale} if alone else {"fillcolor": canvas.hue(hue), "opacity": 0.2}
    xs = [x for x, _ in known]
    ys = [bar.high for _, bar in known] + [bar.low for _, bar in reversed(known)]
    line = {"mode": "lines", "line_width": 0, "fill": "toself", "hoverinfo": "skip"}
    canvas.plot.add_scatter(x=[*xs, *reversed(xs)], y=ys, **line, **look)


def _is_dotted(series: Series) -> bool:
    """Whether each value has its symbol: not where they are many, nor on a mere line such as a budget."""
    return len(series.x) <= MOST_SYMBOLS and (bool(series.low) or len(series.x) > 2)


def _add_scenario(canvas: Canvas, series: Series, hue: int, *, whisker: bool) -> None:
    """The line of a scenario, dotted where it is a forecast; `whisker`: with the range of its last value beside it."""
    colour, bars = canvas.hue(hue), bars_of(canvas.figure, series)
    xs = [_place(x) for x in series.x]
    texts = [_told(series, x, bar) for x, bar in zip(xs, bars, strict=True)]
    marks = {"mode": "lines+markers", "marker": {"size": 6, "color": colour, "symbol": SYMBOLS[hue]}}
    look = marks if _is_dotted(series) else {"mode": "lines"}
    for is_forecast, ys in _pieces(canvas.figure, series, bars):
        line = {"color": colour, "width": 1.8, "dash": "dot" if is_forecast else "solid"}
        canvas.plot.add_scatter(x=xs, y=ys, connectgaps=False, line=line, **look, **hover(texts))
    if whisker and bars[-1]:
        _add_whisker(canvas, xs[-1] + (hue + 1) * WHISKER_SHARE * (xs[-1] - xs[0]), bars[-1], hue)


def _pieces(figure: Figure, series: Series, bars: Sequence[Bar | None]) -> list[tuple[bool, list[float | None]]]:
    """What is known and what is forecast as two lines that meet; a line without a range is neither."""
    mids = [bar.mid if bar else None for bar in bars]
    if figure.partial_from is None or not series.low:
        return [(False, mids)]
    limit = moment_of(figure.partial_from)
    first = next((n for n, x in enumerate(series.x) if _place(x) >= limit), len(mids))
    last = max(0, first - 1)  # the forecast begins at the last that is known
    known: list[float | None] = [*mids[:first], *[None] * (len(mids) - first)]
    return [(False, known), (True, [*[None] * last, *mids[last:]])][: 1 if first == len(mids) else 2]


def _add_whisker(canvas: Canvas, x: Any, bar: Bar, hue: int) -> None:
    over, under = [bar.high - bar.mid], [bar.mid - bar.low]
    error = {"type": "data", "symmetric": False, "array": over, "arrayminus": under, "thickness": 1.6, "width": 0}
    marker = {"size": 6, "color": canvas.hue(hue), "symbol": SYMBOLS[hue]}
    error["color"] = canvas.hue(hue)
    canvas.plot.add_scatter(x=[x], y=[bar.mid], mode="markers", marker=marker, error_y=error, hoverinfo="skip")


def _told(series: Series, x: Any, bar: Bar | None) -> str:
    when = str(x) if isinstance(x, int | float) else fmt.day(x)
    return f"{literal(series.name, LABEL_CHARS)}, {when}<br>{literal(bar.text)}" if bar else ""


def _x_axis(canvas: Canvas) -> None:
    xs = [_place(x) for series in canvas.figure.series for x in series.x]
    if not xs:
        return
    if isinstance(xs[0], int | float):
        first, last = min(xs), max(xs)
        step = max(1, math.ceil((last - first) / 6))
        margin = max(0.3, (last - first) * 0.04)
        whiskers = 0 if has_bands(canvas.figure) else len(canvas.figure.series) * WHISKER_SHARE * (last - first)
        canvas.plot.update_xaxes(
            range=[first - margin, last + margin + whiskers], tick0=first, dtick=step, tickformat="d"
        )
        canvas.plot.update_layout(margin={"b": 26})
    else:
        day_axis(canvas, min(xs), max(xs))


# Points.


def draw_scatter(canvas: Canvas) -> None:
    figure = canvas.figure
    shown = figure.series[:MAX_SERIES]
    for hue, series in enumerate(shown):
        _add_points(canvas, series, hue)
    canvas.plot.update_layout(height=360, margin={"b": 54})
    head(canvas, shown, figure.y_label, SYMBOLS)
    unit, _ = x_scale(figure)
    told = ", ".join(text for text in (figure.x_label, "" if unit in ("1", "$") else unit) if text)
    canvas.text(literal(told), xref="paper", yref="paper", x=1, y=0, yshift=-26, xanchor="right", yanchor="top")
    _scatter_axes(canvas, unit)
    _name_points(canvas)


def x_scale(figure: Figure) -> tuple[str, float]:
    """The written unit of x and its size, chosen from the largest."""
    return fmt.scale_for(figure.x_unit, max((abs(x) for s in figure.series for x in s.x), default=None))


def _scatter_axes(canvas: Canvas, unit: str) -> None:
    if canvas.figure.is_log_x:
        canvas.plot.update_xaxes(type="log", **_log_ticks(canvas.figure))
    else:
        canvas.plot.update_xaxes(rangemode="tozero", nticks=6)
    canvas.plot.update_xaxes(showgrid=True, exponentformat="none", tickprefix="$" if unit == "$" else "")
    canvas.plot.update_yaxes(rangemode="normal")


def _log_ticks(figure: Figure) -> dict[str, Any]:
    """The ticks that paper has: Plotly writes 2 and 5 without their power of ten."""
    _, size = x_scale(figure)
    ends = [end for s in figure.series for ends in (s.x, s.x_low, s.x_high) for end in ends if end]
    _, ticks = log_axis([end / size for end in ends] or [1.0])
    return {"tickvals": [10.0**power for power, _ in ticks], "ticktext": [text for _, text in ticks]}


def _add_points(canvas: Canvas, series: Series, hue: int) -> None:
    _, size = x_scale(canvas.figure)
    bars = bars_of(canvas.figure, series)
    kept = [n for n, bar in enumerate(bars) if bar]
    known = [bar for bar in bars if bar]
    xs = [series.x[n] / size for n in kept]
    colour, pale = canvas.hue(hue), series.role == "dominated"
    symbol = f"{SYMBOLS[hue]}-open" if pale else SYMBOLS[hue]
    if series.role == "frontier":
        joined = sorted(zip(xs, (bar.mid for bar in known), strict=True))
        line = {"color": colour, "width": 1.4, "dash": "dot"}
        ends = {"x": [x for x, _ in joined], "y": [y for _, y in joined]}
        canvas.plot.add_scatter(mode="lines", line=line, hoverinfo="skip", **ends)
    canvas.plot.add_scatter(
        x=xs,
        y=[bar.mid for bar in known],
        mode="markers",
        marker={"size": 8 if pale else 10, "symbol": symbol, "color": colour},
        opacity=0.55 if pale else 1,
        error_x=_errors(xs, [_ends(series, n, size) for n in kept], colour),
        error_y=_errors([b.mid for b in known], [(b.low, b.high) for b in known], colour),
        **hover([_point_text(canvas.figure, series, n, bar) for n, bar in zip(kept, known, strict=True)]),
    )


def _ends(series: Series, index: int, size: float) -> tuple[float, float]:
    x = series.x[index]
    low, high = (ends[index] if ends else None for ends in (series.x_low, series.x_high))
    return (x if low is None else low) / size, (x if high is None else high) / size


def _errors(mids: Sequence[float], ends: Sequence[tuple[float, float]], colour: str) -> dict[str, Any]:
    if all(low == high for low, high in ends):
        return {"visible": False}
    over = [high - mid for mid, (_, high) in zip(mids, ends, strict=True)]
    under = [mid - low for mid, (low, _) in zip(mids, ends, strict=True)]
    bars = {"array": over, "arrayminus": under, "symmetric": False, "type": "data"}
    return bars | {"color": colour, "thickness": 1, "width": 0}


def _point_text(figure: Figure, series: Series, index: int, bar: Bar) -> str:
    name = series.names[index] if series.names else series.name
    x = fmt.amount(series.x[index], figure.x_unit)
    told = (name, f"{figure.x_label} {x}", f"{figure.y_label} {bar.text}")
    return "<br>".join(literal(text, 60) for text in told)


def _name_points(canvas: Canvas) -> None:
    """Names beside the points, where they have room."""
    figure = canvas.figure
    _, x_size = x_scale(figure)
    _, y_size = axis_unit(figure)
    for point, side in free_places(figure):
        x = point.beside(side) / x_size
        x = math.log10(x) if figure.is_log_x else x
        xanchor, x_px, y_px = _BESIDE[side]
        name = literal(point.name, NAME_CHARS)
        canvas.text(name, x=x, y=point.y / y_size, xanchor=xanchor, xshift=x_px, yshift=y_px)


# Where a name stands: its anchor, and how far from the point.
_BESIDE = {
    "right": ("left", 8, 0), "left": ("right", -8, 0), "above": ("center", 0, 13), "below": ("center", 0, -13),
    "above right": ("left", 0, 13), "below right": ("left", 0, -13),
    "above left": ("right", 0, 13), "below left": ("right", 0, -13),
}  # fmt: skip


# Causes.


def draw_tornado(canvas: Canvas) -> None:
    figure = canvas.figure
    order = widest_first(figure)[:MAX_ROWS]
    scale = axis_unit(figure)
    base = (figure.base or 0.0) / scale[1]
    row_px = LABEL_PX + 2 * LANE_PX + 8
    for hue, series in enumerate(figure.series[:2]):
        shift = (LABEL_PX - row_px / 2 + (hue + 0.5) * LANE_PX) / row_px
        bars = bars_of(figure, series)
        rows = [(row + shift, bar) for row, n in enumerate(order) if (bar := bars[n])]
        _add_lane(canvas, rows, base, hue, LANE_PX / row_px)
    told = [(figure.series[0].x[n], literal(ends_text([s.mid[n] for s in figure.series[:2]], scale))) for n in order]
    label_rows(canvas, told, row_px)
    name_series(canvas, figure.series[:2])
    _add_base(canvas, base, [row + shift for row in range(len(order)) for shift in _lane_ends(row_px)])
    canvas.plot.update_layout(height=max(len(order), 1) * row_px + 26, margin={"t": 26, "r": 0, "b": 0})
    canvas.plot.update_xaxes(visible=False, rangemode="normal")
    canvas.plot.update_yaxes(visible=False, range=[len(order) - 0.5, -0.5], rangemode="normal")


def _add_lane(canvas: Canvas, rows: Sequence[tuple[float, Bar]], base: float, hue: int, thick: float) -> None:
    canvas.plot.add_bar(
        y=[row for row, _ in rows],
        x=[bar.mid - base for _, bar in rows],
        base=base,
        width=thick,
        orientation="h",
        marker={"color": canvas.hue(hue), "line": {"width": 0}},
        **hover([literal(bar.text) for _, bar in rows]),
    )


def _lane_ends(row_px: int) -> tuple[float, float]:
    """From where to where the lanes of a row go, in rows from its middle."""
    start = (LABEL_PX - row_px / 2) / row_px
    return start, start + 2 * LANE_PX / row_px


def _add_base(canvas: Canvas, base: float, ends: Sequence[float]) -> None:
    """An upright line through the lanes of each row, not through the names above them."""
    ys = [y for start, end in zip(ends[::2], ends[1::2], strict=True) for y in (start - 0.04, end + 0.04, None)]
    line = {"color": canvas.palette.ink, "width": 1.2}
    canvas.plot.add_scatter(
        x=[base] * len(ys), y=ys, mode="lines", line=line, hoverinfo="skip", connectgaps=False, showlegend=False
    )
