"""Figures as Plotly charts: positions, units, what is hatched, and that text stays text."""

from __future__ import annotations

import tomllib
from datetime import UTC, date, datetime, timedelta
from itertools import product
from pathlib import Path

import pytest
from stand_in import HOSTILE, MARKDOWN

from joulebook.reports import figures
from joulebook.reports.canvas import Palette, has_values, literal
from joulebook.reports.figures import chart, reading_help
from joulebook.reports.view import Figure, Series

PALETTE = Palette(("#111111", "#222222", "#333333"), pale="#aaaaaa", ink="#bbbbbb", grid="#cccccc")
KWH = 3.6e6
FIRST = datetime(2026, 11, 1, tzinfo=UTC)


def days(mids, partial_from=None, first=FIRST) -> Figure:
    xs = tuple(first + timedelta(days=n) for n in range(len(mids)))
    lows, highs = tuple(m and m / 2 for m in mids), tuple(m and m * 2 for m in mids)
    return Figure("days", "Energy", "J", (Series("energy", xs, tuple(mids), lows, highs),), "alt", partial_from)


def bars(*values: tuple[str, float | None]) -> Figure:
    names, mids = zip(*values, strict=True)
    return Figure("bars", "Energy", "J", (Series("energy", names, mids),), "alt")


def texts(plot) -> list[str]:
    return [annotation.text for annotation in plot.layout.annotations]


def test_a_day_without_a_value_is_an_empty_place():
    pale, solid = chart(days([2 * KWH, None, 4 * KWH]), PALETTE).data
    assert [x.day for x in solid.x] == [1, 3]
    assert list(solid.y) == [2.0, 4.0]  # kWh
    assert (list(pale.base), list(pale.y)) == ([1.0, 2.0], [3.0, 6.0])  # from half to twice: 1 to 4 and 2 to 8


def test_days_start_from_zero_and_span_their_calendar():
    plot = chart(days([2 * KWH, None, None, None, None, None, None, None, None, 4 * KWH]), PALETTE)
    assert plot.layout.yaxis.rangemode == "tozero"
    first, last = plot.layout.xaxis.range
    assert (first, last) == (datetime(2026, 10, 31, 10), datetime(2026, 11, 10, 14))  # noqa: DTZ001 - as Plotly has it


def test_the_day_that_is_not_over_is_hatched_and_said():
    figure = days([2 * KWH, 1 * KWH], partial_from=FIRST + timedelta(days=1))
    assert list(chart(figure, PALETTE).data[1].marker.pattern.shape) == ["", "/"]
    assert "Hatched: from 2 Nov 2026, not complete yet." in reading_help(figure)
    assert "Hatched" not in reading_help(days([2 * KWH]))


@pytest.mark.parametrize(("count", "part"), [(1, 7 / 16), (7, 7 / 16), (12, 12 / 16), (16, 1), (90, 1)])
def test_few_days_make_thin_bars(count, part):
    solid = chart(days([KWH] * count), PALETTE).data[1]
    assert solid.width == pytest.approx(0.5 * part * 86_400_000)


def test_days_may_be_dates():
    figure = Figure("days", "E", "J", (Series("e", (date(2026, 11, 1),), (KWH,)),), "alt", FIRST)
    assert list(chart(figure, PALETTE).data[1].marker.pattern.shape) == ["/"]


def test_bars_have_their_label_and_value_as_text_and_one_thickness():
    one, many = chart(bars(("a", KWH)), PALETTE), chart(bars(("a", 3 * KWH), ("b", KWH), ("c", None)), PALETTE)
    assert texts(many) == ["a", "3.00 kWh", "b", "1.00 kWh", "c", "–"]
    assert list(many.data[1].x) == [3.0, 1.0]
    # a row is 22 + 16 + 8 = 46 pixels, and 2 stay above: the bar of one row is as thick as that of three
    assert (one.layout.height, many.layout.height) == (48, 140)
    assert one.data[0].width == many.data[0].width == pytest.approx(12 / 46)


def test_two_names_that_look_the_same_when_cut_stay_two_bars():
    same = "x" * 40
    plot = chart(bars((f"{same}1", 2 * KWH), (f"{same}2", KWH)), PALETTE)
    assert len(plot.data[1].y) == 2
    assert texts(plot)[0] == texts(plot)[2] == "x" * 29 + "…"


def test_a_line_breaks_where_there_is_no_value_and_its_band_too():
    xs = tuple(float(n) for n in range(5))
    mids, lows, highs = (100, 200, None, 300, 400), (90, 190, None, 290, 390), (110, 210, None, 310, 410)
    series = Series("power", xs, mids, lows, highs)
    plot = chart(Figure("trace", "Power", "W", (series,), "alt"), PALETTE)
    first, second, line = plot.data
    assert list(line.y) == [100, 200, None, 300, 400]
    assert not line.connectgaps
    assert (list(first.x), list(first.y)) == ([0, 1, 1, 0], [110, 210, 190, 90])
    assert list(second.x) == [3, 4, 4, 3]


def test_what_is_not_complete_is_a_dotted_line():
    xs = tuple(FIRST + timedelta(hours=n) for n in range(3))
    figure = Figure("trace", "P", "W", (Series("p", xs, (1.0, 2.0, 3.0)),), "alt", xs[2])
    whole, late = chart(figure, PALETTE).data
    assert (whole.line.dash, list(whole.y)) == ("solid", [1, 2, None])
    assert (late.line.dash, list(late.y)) == ("dot", [None, None, 3])


def test_spans_stand_from_start_to_end_indented_and_paler_by_depth():
    series = Series("spans", ("run", "load"), (0, 1), (0.0, 5.0), (120.0, 65.0))
    plot = chart(Figure("spans", "Work", "s", (series,), "alt"), PALETTE)
    run, load = plot.data
    assert (list(load.base), list(load.x), list(load.y)) == ([5.0], [60.0], [1])
    assert (run.marker.opacity, load.marker.opacity) == (1.0, 0.7)
    assert texts(plot) == ["run", "2 min 00 s", "load", "1 min 00 s"]
    assert plot.layout.annotations[2].xshift - plot.layout.annotations[0].xshift == 12


def test_too_many_spans_keep_the_longest_and_say_so():
    ends = tuple(float(n + 1) for n in range(40))
    figure = Figure("spans", "W", "s", (Series("s", tuple(map(str, range(40))), (0,) * 40, (0.0,) * 40, ends),), "alt")
    assert len(chart(figure, PALETTE).data[0].x) == figures.MAX_SPANS == 30
    assert reading_help(figure) == "The 30 longest; 10 shorter ones are in the table."


def test_several_series_of_days_are_stacked_with_a_legend_of_their_names():
    xs = (FIRST,)
    figure = Figure("days", "E", "J", (Series("<b>a", xs, (KWH,)), Series("b", xs, (2 * KWH,))), "alt")
    plot = chart(figure, PALETTE)
    assert plot.layout.barmode == "stack"
    assert [trace.name for trace in plot.data if trace.type == "scatter"] == ["&lt;b&gt;a", "b"]


def test_money_has_its_sign_on_the_axis_and_in_the_text():
    plot = chart(Figure("bars", "Cost", "USD", (Series("c", ("a",), (2.5,)),), "alt"), PALETTE)
    assert texts(plot)[1] == "&#36;2.50"
    plot = chart(Figure("days", "Cost", "USD", (Series("c", (FIRST,), (2.5,)),), "alt"), PALETTE)
    assert plot.layout.yaxis.tickprefix == "$"


def test_text_shows_as_it_is():
    assert literal("a <b>b</b> & $x$ %{y} #000001") == "a &lt;b&gt;b&lt;/b&gt; &amp; &#36;x&#36; &#37;{y} &#35;000001"
    assert literal("two\nlines\tand  more") == "two lines and more"


@pytest.mark.parametrize(("kind", "name"), [*product(("bars", "spans"), (HOSTILE, MARKDOWN))])
def test_a_hostile_name_reaches_plotly_only_as_literal_text(kind, name):
    series = Series("s", (name,), (0.0 if kind == "spans" else KWH,), (1.0,), (2.0,))
    plot = chart(Figure(kind, name, "J", (series,), "alt"), PALETTE)
    spec = repr(plot.data) + repr(plot.layout.annotations)
    for raw in ("<script", "<b>", "$(rm", "$x^2$", "%{x}", "#000001", "#import"):
        assert raw not in spec


def test_a_figure_of_gaps_has_no_values():
    assert not has_values(days([None, None]))
    assert has_values(days([None, 0.0]))


def contrast(one: str, other: str) -> float:
    """The WCAG contrast of two colours: (lighter + 0.05) / (darker + 0.05) of their relative luminances."""

    def luminance(colour: str) -> float:
        parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
        red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_theme_can_be_read(scheme):
    theme = tomllib.loads(Path(figures.__file__).with_name("theme.toml").read_text())["theme"][scheme]
    first, *_, pale, ink, grid, _ = theme["chartCategoricalColors"]
    page = theme["backgroundColor"]
    assert contrast("#000000", "#FFFFFF") == 21
    for text in (theme["textColor"], theme["primaryColor"], theme["dataframeHeaderTextColor"], ink):
        assert contrast(text, page) >= 4.5
    assert contrast(theme["textColor"], theme["sidebar"]["backgroundColor"]) >= 4.5
    assert contrast(first, page) >= 3  # a graphic needs 3
    assert contrast(first, pale) >= 2  # the middle stands out from its range
    assert contrast(pale, page) > contrast(grid, page)
