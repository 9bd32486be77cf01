"""Fans, scatters and tornadoes, on the page and on paper: where everything stands, what is said, and text as text."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stand_in import HOSTILE, MARKDOWN

from joulebook.reports.axes import log_axis, open_axis, shortest_step, year_ticks
from joulebook.reports.canvas import Palette, has_values
from joulebook.reports.figures import chart, picked, reading_help
from joulebook.reports.pdf import pdf_bytes
from joulebook.reports.pdf_figures import figure_data
from joulebook.reports.placing import Point, free_places, points_named, widest_first
from joulebook.reports.view import Figure, Series, View

PALETTE = Palette(tuple(f"#00000{n}" for n in range(1, 7)), pale="#aaaaaa", ink="#bbbbbb", grid="#cccccc")
MWH = 3.6e9
YEARS = (2025, 2026, 2027)
FIRST = datetime(2026, 11, 1, tzinfo=UTC)


def scenario(name: str = "steady", growth: float = 2.0) -> Series:
    """1 MWh in 2025 and then `growth` times as much each year; from half to twice of that."""
    mids = tuple(MWH * growth**n for n in range(3))
    return Series(name, YEARS, mids, tuple(m / 2 for m in mids), tuple(m * 2 for m in mids))


def fan(*series: Series) -> Figure:
    return Figure("fan", "Energy", "J", series or (scenario(),), "Energy grows fourfold.")


def budget() -> Figure:
    days = tuple(FIRST + timedelta(days=n) for n in range(5))
    burnt = Series("Burnt", days, (1.0, 2.0, 3.0, 4.0, 5.0), (1, 2, 3, 3, 3), (1, 2, 3, 5, 7))
    limit = Series("Budget", (days[0], days[-1]), (4.0, 4.0))
    return Figure("fan", "Carbon", "g", (burnt, limit), "It will be over.", days[3])


def scatter() -> Figure:
    best = Series(
        "Frontier", (1.0, 4.0), (0.6, 0.9), (0.5, 0.8), (0.7, 1.0),
        ("small", "large"), (0.5, 3.0), (2.0, 5.0), "frontier",
    )  # fmt: skip
    worse = Series("Dominated", (3.0, 2.0), (0.5, None), names=("old", "unknown"), role="dominated")
    return Figure("scatter", "Quality", "1", (best, worse), "Two are on the frontier.", y_label="Share correct",
                  x_label="Runtime", x_unit="s")  # fmt: skip


def tornado() -> Figure:
    names = ("PUE", "growth", "grid")
    lows, highs = (9 * MWH, 4 * MWH, 11 * MWH), (11 * MWH, 20 * MWH, None)
    ends = (Series("at its low", names, lows), Series("at its high", names, highs))
    return Figure("tornado", "What moves it", "J", ends, "Growth moves it most.", base=10 * MWH)


def texts(plot) -> list[str]:
    return [annotation.text for annotation in plot.layout.annotations]


# Fans.


def test_a_fan_has_its_band_from_p5_to_p95_and_its_line_through_the_median():
    band, line = chart(fan(), PALETTE).data
    # in MWh: 1, 2, 4, from half to twice
    assert list(band.x) == [2025, 2026, 2027, 2027, 2026, 2025]
    assert list(band.y) == [2, 4, 8, 2, 1, 0.5]
    assert list(line.y) == [1, 2, 4]
    assert (band.fillcolor, band.opacity) == (PALETTE.pale, None)


def test_years_are_ticks_of_whole_numbers():
    axis = chart(fan(), PALETTE).layout.xaxis
    assert (axis.tick0, axis.dtick, axis.tickformat) == (2025, 1, "d")
    assert [text for _, text in year_ticks(2024, 2035)] == ["2024", "2026", "2028", "2030", "2032", "2034"]


def test_scenarios_differ_by_symbol_and_hue_and_are_named():
    plot = chart(fan(scenario("steady"), scenario("high", 3)), PALETTE)
    lines = [trace for trace in plot.data if trace.mode == "lines+markers"]
    assert [(line.marker.symbol, line.line.color) for line in lines] == [("circle", "#000001"), ("square", "#000002")]
    assert [trace.name for trace in plot.data if trace.showlegend is None and trace.name] == ["steady", "high"]
    assert [trace.opacity for trace in plot.data if trace.fill == "toself"] == [0.2, 0.2]


def test_more_than_three_scenarios_have_whiskers_and_no_bands():
    figure = fan(*(scenario(f"s{n}", 1 + n / 2) for n in range(4)))
    plot = chart(figure, PALETTE)
    assert not [trace for trace in plot.data if trace.fill == "toself"]
    whiskers = [trace for trace in plot.data if trace.error_y.array]
    # the last of s1: 1.5² = 2.25 MWh, 2.25 over it and 1.125 under it; each a fortieth of the two years further right
    assert (whiskers[1].error_y.array, whiskers[1].error_y.arrayminus) == ((2.25,), (1.125,))
    assert [trace.x[0] for trace in whiskers] == pytest.approx([2027.05, 2027.1, 2027.15, 2027.2])
    assert "Whiskers: from the 5th to the 95th percentile of the last value." in reading_help(figure)
    data = figure_data(figure)
    assert (data["banded"], data["whiskered"]) == (False, True)


def test_what_is_foreseen_is_dotted_and_a_budget_is_a_plain_line():
    plot = chart(budget(), PALETTE)
    known, foreseen, limit = [trace for trace in plot.data if trace.line.dash]
    assert (known.line.dash, list(known.y)) == ("solid", [1, 2, 3, None, None])
    assert (foreseen.line.dash, list(foreseen.y)) == ("dot", [None, None, 3, 4, 5])
    assert (limit.line.dash, limit.mode, list(limit.y)) == ("solid", "lines", [4, 4])
    assert reading_help(budget()) == (
        "Line: the median. Pale: from the 5th to the 95th percentile. Dotted: forecast from 4 Nov 2026."
    )


def test_a_fan_on_paper_is_lines_over_years():
    data = figure_data(fan())
    (piece,) = data["lines"][0]
    # years 0 to 2 of 2; MWh over the highest end, 8
    assert piece["points"] == [(0.0, 0.125, 0.0625, 0.25), (0.5, 0.25, 0.125, 0.5), (1.0, 0.5, 0.25, 1.0)]
    assert data["x_ticks"] == [(0.0, "2025"), (0.5, "2026"), (1.0, "2027")]
    limit = figure_data(budget())["lines"][1]
    assert [part["partial"] for part in limit] == [False]


def test_a_fan_without_values_is_empty():
    nothing = fan(Series("s", YEARS, (None, None, None)))
    assert not has_values(nothing)
    assert figure_data(nothing)["empty"]


# Scatters.


def test_the_frontier_is_joined_and_dominated_points_are_hollow():
    joined, best, worse, *_ = chart(scatter(), PALETTE).data
    assert (list(joined.x), list(joined.y), joined.line.dash) == ([1, 4], [0.6, 0.9], "dot")
    assert (best.marker.symbol, worse.marker.symbol) == ("circle", "square-open")
    assert list(worse.x) == [3]  # the other has no value
    assert (best.error_x.array, best.error_x.arrayminus) == ((1.0, 1.0), (0.5, 1.0))
    assert best.error_y.array == pytest.approx((0.1, 0.1))
    assert worse.error_x.visible is False


def test_the_frontier_is_named_first_and_alone_where_there_are_many():
    plot = chart(scatter(), PALETTE)
    assert [text for text in texts(plot) if text in ("small", "large", "old")] == ["small", "large", "old"]
    crowd = Series("Dominated", (3.0,) * 20, (0.5,) * 20, names=("old",) * 20, role="dominated")
    assert [point.name for point in points_named(replace(scatter(), series=(scatter().series[0], crowd)))] == [
        "small", "large"]  # fmt: skip
    assert plot.data[2].customdata == ("old<br>Runtime 3.00 s<br>Share correct 0.500",)
    assert points_named(replace(scatter(), series=(scatter().series[1],))) == [Point(3.0, 0.5, "old", 3.0, 3.0)]


def test_names_do_not_lie_over_each_other():
    names = ("one model", "another model", "a third model")
    series = Series("all", (1.0, 1.02, 5.0), (0.5, 0.5, 0.9), names=names)
    places = list(free_places(Figure("scatter", "Q", "1", (series,), "a")))
    assert [(point.name, side) for point, side in places] == [
        ("one model", "right"),
        ("another model", "above"),  # at its right stands the first name, at its left the chart ends
        ("a third model", "left"),  # to the right the chart ends
    ]


@given(st.lists(st.tuples(st.floats(0.1, 100), st.floats(0, 1)), min_size=2, max_size=12, unique=True), st.booleans())
@settings(max_examples=40, deadline=None)
def test_each_point_is_named_once_at_most(points, log):
    xs, ys = zip(*points, strict=True)
    series = Series("s", xs, ys, names=tuple(f"model {n}" for n in range(len(points))))
    named = [point.name for point, _ in free_places(Figure("scatter", "Q", "1", (series,), "a", is_log_x=log))]
    assert len(named) == len(set(named)) <= len(points)


def test_a_logarithmic_axis_has_a_tick_at_each_power_of_ten():
    axis, ticks = log_axis([0.02, 30.0])
    assert ticks == [(-1.0, "0.1"), (0.0, "1"), (1.0, "10")]
    figure = replace(scatter(), is_log_x=True)
    assert chart(figure, PALETTE).layout.xaxis.type == "log"
    # less than two powers from one end to the other: at 1, 2 and 5 too
    assert figure_data(figure)["x_ticks"][0][1] == "0.5"
    assert chart(figure, PALETTE).layout.xaxis.ticktext[0] == "0.5"
    assert 0 < axis.at(0.0) < 1


def test_an_open_axis_does_not_begin_at_zero():
    axis, ticks = open_axis([90.0, 100.0])
    assert axis == pytest.approx((89.4, 100.6))
    assert [text for _, text in ticks] == ["90", "95", "100"]


def test_a_scatter_on_paper_stands_between_zero_and_one():
    data = figure_data(scatter())
    # x from 0 to 5 s; y from 0.5 to 1 with 6 % of that on both sides: 0.47 to 1.03
    small = data["series"][0]["points"][0]
    assert small == pytest.approx([0.2, 0.1, 0.4, 0.13 / 0.56, 0.03 / 0.56, 0.23 / 0.56], abs=1e-5)
    assert (data["x_title"], data["unit"]) == ("Runtime, s", "Share correct")
    assert data["caption"] == (
        "Two are on the frontier. Joined: the frontier, where nothing else is better in both. "
        "Hollow: something else is at least as good in both. Thin lines: the range."
    )


# Tornadoes.


def test_the_widest_driver_is_on_top_and_one_without_an_end_last():
    assert widest_first(tornado()) == [1, 0, 2]
    assert texts(chart(tornado(), PALETTE))[::2] == ["growth", "PUE", "grid"]


def test_each_lane_goes_from_the_base_to_what_comes_out():
    low, high, *_ = chart(tornado(), PALETTE).data
    # in MWh against 10: growth 4 and 20, PUE 9 and 11, grid 11 and nothing
    assert (low.base, list(low.x)) == (10, [-6, -1, 1])
    assert (high.base, list(high.x)) == (10, [10, 1])
    assert texts(chart(tornado(), PALETTE))[1::2] == ["4.00 → 20.0 MWh", "9.00 → 11.0 MWh", "–"]
    assert reading_help(tornado()) == "Upright line: the base, 10.0\u2009MWh. The widest driver is on top."


def test_a_tornado_on_paper_has_its_base_and_its_ends_on_one_axis():
    data = figure_data(tornado())
    # from 4 to 20 MWh: the base 10 is at 6/16, growth from 0 to 1, PUE at 5/16 and 7/16
    assert data["base"] == 0.375
    assert [row["ends"] for row in data["rows"]] == [[0.0, 1.0], [0.3125, 0.4375], [0.4375, None]]
    assert [row["value"] for row in data["rows"]] == ["4.00 → 20.0\u2009MWh", "9.00 → 11.0\u2009MWh", "–"]


# All of them.


def test_every_kind_becomes_a_tagged_file_and_is_the_same_each_time():
    six = fan(*(scenario(f"s{n}", 1 + n / 3) for n in range(6)))
    figures = (fan(), six, budget(), scatter(), replace(scatter(), is_log_x=True), tornado())
    view = View("v", "V", parts=tuple(View(str(n), f.title, figure=f, width="half") for n, f in enumerate(figures)))
    one, other = (pdf_bytes(view, prepared_at=FIRST) for _ in range(2))
    assert one == other
    assert b"<pdfuaid:part>1<" in one


@pytest.mark.parametrize("name", [HOSTILE, MARKDOWN])
def test_a_hostile_name_is_literal_in_every_kind(name):
    series = Series(name, (1.0,), (0.5,), names=(name,), role="frontier")
    named = (
        fan(replace(scenario(name)), scenario(name)),
        Figure("scatter", name, "1", (series, series), name, x_label=name, y_label=name),
        replace(tornado(), series=tuple(Series(name, (name,), (value,)) for value in (1.0, 2.0)), title=name, alt=name),
    )
    for figure in named:
        spec = repr(chart(figure, PALETTE).data) + repr(chart(figure, PALETTE).layout.annotations)
        for raw in ("<script", "<b>", "$(rm", "$x^2$", "%{x}", "#import"):
            assert raw not in spec
    pdf_bytes(View("v", "V", parts=tuple(View(str(n), "F", figure=f) for n, f in enumerate(named))), prepared_at=FIRST)


# What a chosen bar stands for, and longer steps than days.


def weeks() -> Figure:
    xs = tuple(FIRST + timedelta(weeks=n) for n in range(3))
    return Figure("days", "E", "J", (Series("a", xs, (1.0, 2.0, 3.0)), Series("b", xs, (1.0, None, 3.0))), "alt")


def test_a_chosen_bar_is_its_series_and_its_day_or_its_name():
    assert picked(weeks(), {"curve_number": 1, "x": "2026-11-15", "y": 3}) == ("b", datetime(2026, 11, 15).date())  # noqa: DTZ001
    alone = replace(weeks(), series=weeks().series[:1])
    assert picked(alone, {"curve_number": 1, "x": "2026-11-01 00:00", "y": 1})[0] == "a"
    bars = Figure("bars", "E", "J", (Series("s", ("x", "y"), (2.0, 1.0)),), "alt")
    assert picked(bars, {"curve_number": 1, "x": 1.0, "y": 1.14}) == ("y", None)


def test_a_bar_of_a_week_is_seven_times_as_wide_as_one_of_a_day():
    assert shortest_step(weeks().series[0].x) == timedelta(weeks=1)
    # three steps count as seven: 7/16 of a week, and half of that is solid
    assert chart(weeks(), PALETTE).data[0].width == pytest.approx(0.5 * 7 / 16 * 7 * 86_400_000)
    assert [len(part["points"]) for part in figure_data(weeks())["lines"][0]] == [3]  # one line on paper


def test_no_two_sides_of_a_name_are_the_same_box():
    from joulebook.reports.placing import _sides

    boxes = [box for _, box in _sides((0.4, 0.5, 0.6), 0.5, 0.2)]
    assert len(set(boxes)) == len(boxes)
    assert not any(one.meets(other) for one, other in combinations(boxes[:4], 2))
