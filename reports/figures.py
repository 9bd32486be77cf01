"""A `Figure` as a Plotly chart: calm, from zero, with its range, and with nothing in it that a name could inject.

    chart(figure, palette)
    ├── bars    one horizontal bar a name: pale from low to high, solid to the middle, its label as text above it
    ├── days    one bar a day, the same way; a day without a value is an empty place; an unfinished day is hatched
    ├── trace   a line that breaks where there is no value, dashed where it is not complete
    ├── spans   one bar for each piece of work, indented by its depth
    └── fan, scatter, tornado   in `scenario_figures`

`reading_help(figure)` says in words how to read what is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

import plotly.graph_objects as go

from joulebook.reports import format as fmt
from joulebook.reports import scenario_figures as scenarios
from joulebook.reports.axes import duration_ticks, shortest_step
from joulebook.reports.canvas import (
    CLEAR,
    Bar,
    Canvas,
    Palette,
    bars_of,
    day_axis,
    head,
    hover,
    label_rows,
    layout,
    literal,
    moment_of,
    name_series,
)
from joulebook.reports.reading import MAX_SERIES, how_to_read
from joulebook.reports.view import Figure, Series

MAX_BARS = 15
MAX_SPANS = 30
LABEL_PX, BAR_PX, BAR_ROW_PX = 22, 12, 16
SPAN_LABEL_CHARS = 22
SPAN_ROW_PX = 26
INDENT_PX, MAX_INDENT = 12, 4
PX_PER_CHAR = 6.6
RIGHT_PX = 78  # a duration beside the pieces of work
DEPTH_OPACITY = (1.0, 0.7, 0.5, 0.38)


def chart(figure: Figure, palette: Palette) -> go.Figure:
    """The chart of a Figure; all that a reader sees of names and units is literal text."""
    canvas = Canvas(go.Figure(layout=layout(palette)), figure, palette)
    _DRAWERS[figure.kind](canvas)
    return canvas.plot


def reading_help(figure: Figure) -> str:
    """How to read the chart, in words, as far as it is drawn."""
    if figure.kind in ("fan", "scatter", "tornado"):
        told = (how_to_read(figure, "Dotted"), _hidden_help(figure))
    else:
        told = (_range_help(figure), _partial_help(figure), _hidden_help(figure))
    return " ".join(text for text in told if text)


def picked(figure: Figure, point: Mapping[str, Any]) -> tuple[str, date | None]:
    """What a chosen point of a chart stands for: the name of its bar or series, and the day where there is one."""
    if figure.kind == "bars":
        return str(figure.series[0].x[round(point["y"])]), None
    alone = len(figure.series) == 1  # then its range is a bar of its own
    series = figure.series[0 if alone else point["curve_number"]]
    return series.name, date.fromisoformat(str(point["x"])[:10])


def _range_help(figure: Figure) -> str:
    if figure.kind == "spans" or len(figure.series) != 1 or not figure.series[0].is_ranged:
        return ""
    return f"{'Line' if figure.kind == 'trace' else 'Solid'}: best estimate. Pale: its range."


def _partial_help(figure: Figure) -> str:
    if figure.partial_from is None or figure.kind not in ("days", "trace"):
        return ""
    mark = "Hatched" if figure.kind == "days" else "Dotted"
    return f"{mark}: from {fmt.day(figure.partial_from)}, not complete yet."


def _hidden_help(figure: Figure) -> str:
    if figure.kind == "spans":
        hidden = sum(len(series.x) for series in figure.series) - MAX_SPANS
        return f"The {MAX_SPANS} longest; {hidden} shorter ones are in the table." if hidden > 0 else ""
    if figure.kind in ("bars", "tornado"):
        hidden = max((len(series.x) for series in figure.series), default=0) - MAX_BARS
    else:
        hidden = len(figure.series) - MAX_SERIES
    return f"{hidden} more are in the table." if hidden > 0 else ""


# Bars with names.


def _draw_bars(canvas: Canvas) -> None:
    shown = canvas.figure.series[:MAX_SERIES]
    names = shown[0].x[:MAX_BARS]
    row_px = LABEL_PX + BAR_ROW_PX * len(shown) + 8
    bars: list[Bar | None] = []
    for hue, series in enumerate(shown):
        shift = (LABEL_PX - row_px / 2 + (hue + 0.5) * BAR_ROW_PX) / row_px
        bars = bars_of(canvas.figure, series)[:MAX_BARS]
        known = {row + shift: bar for row, bar in enumerate(bars) if bar}
        _add_horizontal(canvas, known, BAR_PX / row_px, hue)
    alone = [literal(bar.text if bar else fmt.MISSING) for bar in bars] if len(shown) == 1 else [""] * len(names)
    label_rows(canvas, list(zip(names, alone, strict=True)), row_px)
    name_series(canvas, shown)
    top = 26 if len(shown) > 1 else 2
    canvas.plot.update_layout(height=max(len(names), 1) * row_px + top, margin={"t": top, "r": 0, "b": 0})
    canvas.plot.update_xaxes(visible=False, rangemode="tozero")
    canvas.plot.update_yaxes(visible=False, range=[len(names) - 0.5, -0.5], rangemode="normal")


def _add_horizontal(canvas: Canvas, bars: dict[float, Bar], thick: float, hue: int) -> None:
    """Bars by where they stand: the range first, so that the middle lies over it."""
    values = list(bars.values())
    same = {"y": list(bars), "orientation": "h", "marker_line_width": 0, **hover([literal(b.text) for b in values])}
    ranges, lows = [bar.high - bar.low for bar in values], [bar.low for bar in values]
    canvas.plot.add_bar(x=ranges, base=lows, width=thick, marker_color=canvas.palette.pale, **same)
    canvas.plot.add_bar(x=[bar.mid for bar in values], width=thick * 0.6, marker_color=canvas.hue(hue), **same)


# Values in time: bars a day, and lines.


def _draw_in_time(canvas: Canvas) -> None:
    figure = canvas.figure
    shown = figure.series[:MAX_SERIES]
    for hue, series in enumerate(shown):
        add = _add_days if figure.kind == "days" else _add_line
        add(canvas, series, canvas.hue(hue))
    head(canvas, shown)
    _time_axis(canvas)


def _add_days(canvas: Canvas, series: Series, colour: str) -> None:
    known = {moment_of(x): bar for x, bar in zip(series.x, bars_of(canvas.figure, series), strict=True) if bar}
    late = [_is_late(canvas.figure, x) for x in known]
    values, thick_ms = list(known.values()), _thickness(series) * shortest_step(series.x) / timedelta(milliseconds=1)
    texts = [_day_text(x, bar, partial) for (x, bar), partial in zip(known.items(), late, strict=True)]
    same = {"x": list(known), "marker_line_width": 0, **hover(texts)}
    if len(canvas.figure.series) > 1:
        canvas.plot.update_layout(barmode="stack")
    else:
        ranges, lows = [bar.high - bar.low for bar in values], [bar.low for bar in values]
        pale = {"width": 0.82 * thick_ms, "marker_color": canvas.palette.pale}
        canvas.plot.add_bar(y=ranges, base=lows, **pale, **same)
    pattern = {"shape": ["/" if partial else "" for partial in late], "fgcolor": colour, "bgcolor": CLEAR, "size": 5}
    solid = {"width": 0.5 * thick_ms, "marker_color": colour, "marker_pattern": pattern}
    canvas.plot.add_bar(y=[bar.mid for bar in values], **solid, **same)


def _thickness(series: Series) -> float:
    """The part of its day that a bar fills: less when there are few days, so that no bar becomes a block."""
    steps = (moment_of(series.x[-1]) - moment_of(series.x[0])) // shortest_step(series.x) + 1 if series.x else 0
    return min(1.0, max(steps, 7) / 16)


def _is_late(figure: Figure, x: Any) -> bool:
    return figure.partial_from is not None and x >= moment_of(figure.partial_from)


def _day_text(when: datetime, bar: Bar, partial: bool) -> str:
    return f"{fmt.day(when)}<br>{literal(bar.text)}" + (", not complete yet" if partial else "")


def _add_line(canvas: Canvas, series: Series, colour: str) -> None:
    xs = [moment_of(x) if isinstance(x, date) else x for x in series.x]
    bars = bars_of(canvas.figure, series)
    if len(canvas.figure.series) == 1:
        for piece in _ranged_pieces(xs, bars):
            _add_band(canvas, piece)
    late = [_is_late(canvas.figure, x) for x in xs]
    few = {"mode": "lines+markers", "marker": {"size": 4, "color": colour}} if len(xs) < 60 else {"mode": "lines"}
    same = {"x": xs, "connectgaps": False, **few}
    same |= hover([f"{_when(x)}<br>{literal(bar.text)}" if bar else "" for x, bar in zip(xs, bars, strict=True)])
    for partial, dash in ((False, "solid"), (True, "dot")):
        ys = [bar.mid if bar and is_late == partial else None for bar, is_late in zip(bars, late, strict=True)]
        if any(y is not None for y in ys):
            canvas.plot.add_scatter(y=ys, line={"color": colour, "width": 1.6, "dash": dash}, **same)


def _when(x: Any) -> str:
    return f"{fmt.day(x)} {x:%H:%M:%S}" if isinstance(x, datetime) else f"after {_after(x)}"


def _ranged_pieces(xs: Sequence[Any], bars: Sequence[Bar | None]) -> list[list[tuple[Any, Bar]]]:
    """The unbroken pieces of a line that have a range."""
    pieces: list[list[tuple[Any, Bar]]] = [[]]
    for x, bar in zip(xs, bars, strict=True):
        if bar is None:
            pieces.append([])
        else:
            pieces[-1].append((x, bar))
    return [piece for piece in pieces if any(bar.low != bar.high for _, bar in piece)]


def _add_band(canvas: Canvas, piece: Sequence[tuple[Any, Bar]]) -> None:
    around = [(x, bar.high) for x, bar in piece] + [(x, bar.low) for x, bar in reversed(piece)]
    fill = {"fill": "toself", "fillcolor": canvas.palette.pale, "line_width": 0, "mode": "lines", "hoverinfo": "skip"}
    canvas.plot.add_scatter(x=[x for x, _ in around], y=[y for _, y in around], **fill)


def _time_axis(canvas: Canvas) -> None:
    xs = [x for series in canvas.figure.series for x in series.x]
    if not xs:
        return
    if not isinstance(xs[0], date):  # a datetime is a date as well
        _duration_axis(canvas, max(xs))
    elif canvas.figure.kind == "trace":
        canvas.plot.update_xaxes(tickformat="%H:%M\n%-d %b", nticks=7)
    else:
        step = min(shortest_step(series.x) for series in canvas.figure.series)
        day_axis(canvas, min(map(moment_of, xs)), max(map(moment_of, xs)), step)


def _duration_axis(canvas: Canvas, end_s: float, at_most: int = 6) -> None:
    ticks = duration_ticks(end_s)
    ticks = ticks[:: max(1, math.ceil((len(ticks) - 1) / at_most))]
    labels = [literal(text) for _, text in ticks]
    canvas.plot.update_layout(margin={"b": 26})  # one line of labels, not two
    canvas.plot.update_xaxes(range=[0, end_s], tickvals=[value for value, _ in ticks], ticktext=labels, tickangle=0)


# Pieces of work.


class Span(NamedTuple):
    """One piece of work, in seconds since the start."""

    name: str
    depth: int
    start: float
    end: float


def _draw_spans(canvas: Canvas) -> None:
    spans = _longest([span for series in canvas.figure.series for span in _spans(series)])
    left_px = _left_px(spans)
    for depth in sorted({span.depth for span in spans}):
        _add_depth(canvas, {row: span for row, span in enumerate(spans) if span.depth == depth}, depth)
    for row, span in enumerate(spans):
        indent_px = min(span.depth, MAX_INDENT) * INDENT_PX - left_px
        canvas.text(literal(span.name, SPAN_LABEL_CHARS), xref="paper", x=0, xanchor="left", y=row, xshift=indent_px)
        length = literal(fmt.duration(span.end - span.start))
        canvas.text(length, xref="paper", x=1, xanchor="right", y=row, xshift=RIGHT_PX)
    margin = {"l": left_px, "t": 4, "r": RIGHT_PX, "b": 30}
    canvas.plot.update_layout(height=len(spans) * SPAN_ROW_PX + 34, margin=margin)
    # Three ticks at most: on a phone there is no room for more.
    _duration_axis(canvas, max((span.end for span in spans), default=0.0) or 1.0, at_most=2)
    canvas.plot.update_xaxes(showgrid=True)
    canvas.plot.update_yaxes(visible=False, range=[len(spans) - 0.5, -0.5], rangemode="normal")


def _add_depth(canvas: Canvas, rows: dict[int, Span], depth: int) -> None:
    """The pieces of work of one depth; deeper is paler."""
    texts = [f"{literal(s.name)}<br>from {_after(s.start)} to {_after(s.end)}" for s in rows.values()]
    canvas.plot.add_bar(
        orientation="h",
        y=list(rows),
        base=[span.start for span in rows.values()],
        x=[span.end - span.start for span in rows.values()],
        width=12 / SPAN_ROW_PX,
        marker={"color": canvas.hue(0), "opacity": DEPTH_OPACITY[min(depth, 3)], "line": {"width": 0}},
        **hover(texts),
    )


def _spans(series: Series) -> list[Span]:
    return [
        Span(str(name), int(depth or 0), start, end)
        for name, depth, start, end in zip(series.x, series.mid, series.low, series.high, strict=True)
        if start is not None and end is not None
    ]


def _longest(spans: Sequence[Span]) -> list[Span]:
    """The longest pieces of work, in the order in which they stand."""
    keep = sorted(range(len(spans)), key=lambda n: spans[n].start - spans[n].end)[:MAX_SPANS]
    return [spans[n] for n in sorted(keep)]


def _left_px(spans: Sequence[Span]) -> int:
    """The width that the names need, indented."""
    widths = (
        min(len(span.name), SPAN_LABEL_CHARS) * PX_PER_CHAR + min(span.depth, MAX_INDENT) * INDENT_PX for span in spans
    )
    return round(max(widths, default=0)) + 10


def _after(seconds: float) -> str:
    return literal(fmt.duration(seconds) if seconds else "0")


_DRAWERS = {
    "bars": _draw_bars,
    "days": _draw_in_time,
    "trace": _draw_in_time,
    "spans": _draw_spans,
    "fan": scenarios.draw_fan,
    "scatter": scenarios.draw_scatter,
    "tornado": scenarios.draw_tornado,
}
