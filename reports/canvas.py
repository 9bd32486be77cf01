"""What all charts share: the canvas and its colours, values in the unit of the axis, text that shows as it is.

    Figure -> Canvas (plot, figure, palette) -> `bars_of` a series: low, mid, high and how they are written

Colours come from outside, so that the page can follow light and dark. Plotly reads labels as a little HTML, templates
and TeX: `literal` makes text show as it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import plotly.graph_objects as go

from joulebook.accounting.estimates import Estimate
from joulebook.reports import format as fmt
from joulebook.reports.view import Figure, Series

LABEL_CHARS = 30
CLEAR = "rgba(0,0,0,0)"
LINE = "line-ew"  # the symbol of what is only a line

# Plotly's markup, templates and TeX; and '#', because Streamlit replaces some hex colours anywhere in the chart.
_MARKS = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "$": "&#36;", "%": "&#37;", "#": "&#35;"})


@dataclass(frozen=True)
class Palette:
    """The colours of one theme: up to six series, the pale of a range, text, and lines of the grid."""

    series: tuple[str, ...]
    pale: str
    ink: str
    grid: str


@dataclass(frozen=True)
class Canvas:
    """What is drawn on, what is drawn, and with which colours."""

    plot: go.Figure
    figure: Figure
    palette: Palette

    def hue(self, number: int) -> str:
        return self.palette.series[number % len(self.palette.series)]

    def text(self, text: str, **where: Any) -> None:
        """Put text that is already literal at a place of the chart."""
        font = {"size": 12, "color": self.palette.ink}
        self.plot.add_annotation(text=text, showarrow=False, font=font, **where)


class Bar(NamedTuple):
    """A value with its range, in the unit of the axis; and how it is written."""

    mid: float
    low: float
    high: float
    text: str


def literal(text: object, longest: int = 200) -> str:
    """Text for a Plotly label that shows exactly as it is, on one line, cut when it is too long."""
    line = " ".join(str(text).split())
    return (line if len(line) <= longest else line[: longest - 1] + "…").translate(_MARKS)


def axis_unit(figure: Figure) -> tuple[str, float]:
    """The written unit of the values and its size in canonical units, chosen from the largest middle."""
    mids = [abs(mid) for series in figure.series for mid in series.mid if mid is not None]
    return fmt.scale_for(figure.unit, max(mids, default=None))


def has_values(figure: Figure) -> bool:
    return any(mid is not None for series in figure.series for mid in series.mid)


def layout(palette: Palette) -> dict[str, Any]:
    axis = {
        "gridcolor": palette.grid,
        "zeroline": False,
        "linecolor": palette.grid,
        "tickfont": {"color": palette.ink, "size": 12},
        "fixedrange": True,
        "title": {"text": "", "standoff": 0},
    }
    return {
        "margin": {"l": 0, "r": 4, "t": 26, "b": 42},
        "height": 270,
        "showlegend": False,
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "font": {"color": palette.ink}},
        "barmode": "overlay",
        "bargap": 0,
        "hovermode": "closest",
        "dragmode": False,
        "font": {"color": palette.ink, "size": 12},
        "hoverlabel": {"font": {"color": palette.ink, "size": 12}},
        "xaxis": axis | {"showgrid": False, "automargin": False},
        "yaxis": axis | {"rangemode": "tozero", "nticks": 5, "exponentformat": "none", "separatethousands": True},
    }


# Values.


def bars_of(figure: Figure, series: Series) -> list[Bar | None]:
    """The values of a series in the unit of the axis; None where there is none."""
    _, size = axis_unit(figure)
    return [_bar(series, index, figure.unit, size) for index in range(len(series.x))]


def _bar(series: Series, index: int, unit: str, size: float) -> Bar | None:
    mid = series.mid[index]
    if mid is None or not math.isfinite(mid):
        return None
    low, high = _bound(series.low, index, mid), _bound(series.high, index, mid)
    written = fmt.amount(mid, unit)
    if low != high:
        written += f" ({range_text(Estimate(low, mid, high, unit, 'modelled'))})"
    return Bar(mid / size, low / size, high / size, written)


def _bound(values: Sequence[float | None], index: int, default: float) -> float:
    value = values[index] if index < len(values) else None
    return default if value is None else value


def range_text(estimate: Estimate) -> str:
    """The range without its unit, which stands before it."""
    name, _ = fmt.scale_for(estimate.unit, estimate.mid)
    return fmt.span_of(estimate).removesuffix(f"{fmt.THIN}{name}")


# What charts have in common.


def hover(texts: Sequence[str]) -> dict[str, Any]:
    return {"customdata": texts, "hovertemplate": "%{customdata}<extra></extra>"}


def name_series(canvas: Canvas, shown: Sequence[Series], symbols: Sequence[str] = ()) -> None:
    """A legend of plain markers, only where there is more than one series."""
    if len(shown) < 2:
        return
    canvas.plot.update_traces(showlegend=False)
    for hue, series in enumerate(shown):
        marker = {"size": 10, "symbol": symbols[hue] if symbols else "square", "color": canvas.hue(hue)}
        if marker["symbol"] == LINE:
            marker["line"] = {"width": 2, "color": canvas.hue(hue)}
        name = literal(series.name, LABEL_CHARS)
        canvas.plot.add_scatter(x=[None], y=[None], mode="markers", marker=marker, name=name)
    canvas.plot.update_layout(showlegend=True, legend={"traceorder": "normal"})  # Plotly turns that of stacks round


def label_rows(canvas: Canvas, rows: Sequence[tuple[Any, str]], row_px: float) -> None:
    """Above each bar its name at the left, and at the right what is already literal."""
    for row, (name, told) in enumerate(rows):
        place = {"y": row, "yshift": row_px / 2 - 10, "yanchor": "middle", "xref": "paper"}
        canvas.text(literal(name, LABEL_CHARS), x=0, xanchor="left", **place)
        if told:
            canvas.text(told, x=1, xanchor="right", **place)


def head(canvas: Canvas, shown: Sequence[Series], label: str = "", symbols: Sequence[str] = ()) -> None:
    """Over the axis of values: what they are, and over that the legend where there are several series.

    A sum of money has its sign at each tick, and a ratio has no unit.
    """
    name_series(canvas, shown, symbols)
    if len(shown) > 1:
        canvas.plot.update_layout(margin={"t": 58}, legend={"y": 1, "yref": "container", "yanchor": "top"})
    name, _ = axis_unit(canvas.figure)
    canvas.plot.update_yaxes(tickprefix="$" if name == "$" else "")
    told = literal(", ".join(text for text in (label, "" if name in ("$", "1") else name) if text))
    canvas.text(told, xref="paper", yref="paper", x=0, y=1, yshift=18, xanchor="left")


def moment_of(x: Any) -> datetime:
    """A day or a moment in UTC, without its zone: Plotly would otherwise shift it to the reader's."""
    if isinstance(x, datetime):
        return x.astimezone(UTC).replace(tzinfo=None) if x.tzinfo else x
    return datetime(x.year, x.month, x.day)  # noqa: DTZ001 - see above


def day_axis(canvas: Canvas, first: datetime, last: datetime, step: timedelta = timedelta(days=1)) -> None:
    """An axis of days, or of longer steps, with room for a bar at both ends; at least seven steps long."""
    margin = max(timedelta(hours=14), step * 0.58)
    start = min(first, last - 6 * step)
    canvas.plot.update_xaxes(range=[start - margin, last + margin], tickformat="%-d %b\n%Y", nticks=8)
    if (last - start) / step < 8 and step < timedelta(days=8):
        canvas.plot.update_xaxes(dtick=step / timedelta(milliseconds=1), tick0=last)
