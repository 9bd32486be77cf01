"""Ranges through a formula: the quantiles that were told come back, and what is shared does not average out."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from joulebook.accounting.errors import InputError, MissingExtra
from joulebook.accounting.uncertainty import (
    corners,
    draws,
    lognormal,
    quantiles,
    sampled,
    spread,
    triangular,
    two_point,
    uniform,
)

GRID = (300.0, 400.0, 500.0)


# Distributions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dist", "expected"),
    [
        (lognormal(50, 100, 200), (50, 100, 200)),  # one lognormal: 100 ÷ 50 = 200 ÷ 100
        (lognormal(5.29, 7.4, 10.09), (5.29, 7.4, 10.09)),  # two halves
        (lognormal(1.08, 1.15, 1.2, floor=1.0), (1.08, 1.15, 1.2)),
        # F(x) = (x − 1)² ÷ 3 up to 2, then 1 − (4 − x)² ÷ 6: 1 + √0.15, 4 − √3, 4 − √0.3
        (triangular(1, 2, 4), (1 + math.sqrt(0.15), 4 - math.sqrt(3), 4 - math.sqrt(0.3))),
        (uniform(10, 20), (10.5, 15, 19.5)),
        (two_point(1, 2, 0.3), (1, 1, 2)),
        (spread((0, 1, 2)), (math.sqrt(0.1), 1, 2 - math.sqrt(0.1))),  # zero has no logarithm: a triangle
        ((7.0, 7.0, 7.0), (7, 7, 7)),
        (GRID, GRID),  # a plain range: P5, P50, P95
    ],
)
def test_the_quantiles_that_were_told_come_back(dist, expected):
    assert quantiles(draws({"x": dist}, 8192)["x"]) == pytest.approx(expected, rel=1e-3)


def test_the_mean_of_a_lognormal():
    """σ = ln 2 ÷ 1.6449 = 0.42140; its mean is 100 × e^(σ² ÷ 2) = 109.284."""
    assert draws({"x": lognormal(50, 100, 200)}, 2**14)["x"].mean() == pytest.approx(109.284, rel=1e-3)


def test_chance_counts():
    assert draws({"x": two_point(1.0, 1.2, 0.25)}, 1024)["x"].mean() == pytest.approx(1.05, abs=1e-3)


def test_nothing_is_drawn_below_the_floor():
    assert draws({"pue": lognormal(1.02, 1.1, 1.9, floor=1.0)}, 2**14)["pue"].min() > 1


@pytest.mark.parametrize(
    "make",
    [
        lambda: lognormal(0, 1, 2),
        lambda: lognormal(2, 1, 3),
        lambda: lognormal(1.0, 1.1, 1.2, floor=1.0),
        lambda: triangular(2, 1, 3),
        lambda: uniform(2, 1),
        lambda: two_point(1, 2, 1.5),
        lambda: draws({"x": GRID}, 1000),
        lambda: draws({"x": GRID}, 16, correlation={("x", "y"): 0.5}),
        lambda: draws({"x": GRID, "y": GRID}, 16, correlation={("x", "y"): 1.5}),
        lambda: draws(dict.fromkeys("abc", GRID), 16, correlation={("a", "b"): -1, ("b", "c"): -1, ("a", "c"): -1}),
        lambda: corners(sum, dict.fromkeys(map(str, range(17)), GRID)),
    ],
)
def test_what_cannot_be_is_refused(make):
    with pytest.raises(InputError):
        make()


# Sums -------------------------------------------------------------------------------------------------------------


def test_what_two_runs_share_adds_up():
    """1 and 2 kWh on one grid of 300 – 400 – 500 g/kWh: 3 × 300, 3 × 400, 3 × 500 g. ± 100 g stay ± 100 g per kWh."""
    grid = draws({"grid": GRID})["grid"]
    assert quantiles(1 * grid + 2 * grid) == pytest.approx((900, 1200, 1500), rel=1e-3)


def test_what_two_runs_do_not_share_averages_out():
    """The same kWh on two unrelated grids: ± √(100² + 200²) = ± 223.6 g around 1200 g, not ± 300 g."""
    close = spread((390.0, 400.0, 410.0))  # narrow, so that a lognormal is nearly a normal: ± √(10² + 20²) = ± 22.36
    one = draws({"here": close, "there": close}, 2**13)
    low, mid, high = quantiles(1 * one["here"] + 2 * one["there"])
    assert (low, mid, high) == pytest.approx((1200 - 22.36, 1200, 1200 + 22.36), abs=0.4)


def test_a_shared_factor_and_independent_energies():
    """Two runs of 9 – 10 – 11.1 kWh each on one grid of 360 – 400 – 444.4 g/kWh.

    In logarithms each range is ± ln(10 ÷ 9) = ± 0.10536. The runs' own errors average out in their sum, to
    0.10536 ÷ √2 = 0.0745; the grid's does not: √(0.10536² + 0.0745²) = 0.12904. So P95 = 8000 × e^0.12904 = 9102 g,
    and were the grid drawn for each run, it would be 8000 × e^0.10536 = 8889 g: too narrow. (A sum of lognormals is
    not quite a lognormal, which is a quarter of a percent here.)
    """
    ten, grid = (9.0, 10.0, 10 / 0.9), (360.0, 400.0, 400 / 0.9)
    drawn = draws({"one": ten, "two": ten, "grid": grid, "other grid": grid}, 2**13)
    shared = quantiles((drawn["one"] + drawn["two"]) * drawn["grid"])
    apart = quantiles(drawn["one"] * drawn["grid"] + drawn["two"] * drawn["other grid"])
    assert shared == pytest.approx((8000 * math.exp(-0.12904), 8000, 8000 * math.exp(0.12904)), rel=3e-3)
    assert apart[2] == pytest.approx(8000 * math.exp(0.10536), rel=3e-3)


@pytest.mark.parametrize(("rho", "of_sum"), [(1.0, 0.2), (0.0, 0.2 / math.sqrt(2)), (0.5, 0.1 * math.sqrt(3))])
def test_correlated_inputs(rho, of_sum):
    """ln a and ln b are ± 0.1 each: their sum is ± √(0.1² + 0.1² + 2ρ 0.1²)."""
    near = (math.exp(-0.1), 1.0, math.exp(0.1))
    drawn = draws({"a": near, "b": near}, 2**13, correlation={("a", "b"): rho})
    assert math.log(quantiles(drawn["a"] * drawn["b"])[2]) == pytest.approx(of_sum, rel=5e-3)
    assert quantiles(drawn["b"]) == pytest.approx(near, rel=1e-3)  # each by itself is as it was


# What must hold for all -------------------------------------------------------------------------------------------

ranges = st.tuples(st.floats(0.01, 1e6), st.floats(1, 3), st.floats(1, 3)).map(
    lambda told: (told[0], told[0] * told[1], told[0] * told[1] * told[2])
)
amounts = st.lists(st.floats(0.1, 1e3), min_size=2, max_size=6)


@settings(max_examples=25)
@given(ranges, amounts)
def test_a_sum_of_parts_that_share_a_factor_is_as_wide_as_all_of_them(factor, parts):
    grid = draws({"grid": factor}, 256)["grid"]
    whole = quantiles(sum(part * grid for part in parts))
    assert whole == pytest.approx([sum(ends) for ends in zip(*(quantiles(part * grid) for part in parts), strict=True)])


@settings(max_examples=25)
@given(st.dictionaries(st.text(min_size=1, max_size=8), ranges, min_size=1, max_size=6), st.integers(0, 2**32))
def test_the_same_question_has_the_same_draws(inputs, seed):
    """Also where something was added to the question."""
    once, more = draws(inputs, 64, seed), draws({**inputs, "one more input": GRID}, 64, seed)
    assert list(once) == list(inputs)
    assert all(np.array_equal(once[name], more[name]) for name in inputs)
    assert all(np.isfinite(values).all() and (values > 0).all() for values in once.values())


@settings(max_examples=25)
@given(ranges, ranges, ranges)
def test_corners_hold_every_draw_between_the_ends(a, b, c):
    def formula(a, b, c):
        return a * b / c + b

    ends = {"a": a, "b": b, "c": c}
    low, mid, high = corners(formula, ends)
    found = formula(**draws({name: uniform(lo, hi) for name, (lo, _, hi) in ends.items()}, 64))
    assert low * (1 - 1e-9) <= found.min() <= found.max() <= high * (1 + 1e-9)
    assert low * (1 - 1e-9) <= mid <= high * (1 + 1e-9)


def test_corners_by_hand():
    # 1 ÷ 4 at the least, 3 ÷ 1 at the most
    assert corners(lambda a, b: a / b, {"a": (1, 2, 3), "b": (1, 2, 4)}) == (0.25, 1.0, 3.0)


def test_an_estimate_of_a_sample():
    told = sampled(draws({"x": GRID})["x"], "g", "modelled")
    assert (told.unit, told.method) == ("g", "modelled")
    assert told.mid == pytest.approx(400, rel=1e-3)


def test_without_its_packages_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(MissingExtra, match=r"joulebook\[models\]"):
        draws({"x": GRID})


def test_a_correlation_leaves_the_other_inputs_as_they_are():
    inputs = dict.fromkeys("abc", (1.0, 2.0, 4.0))
    alone, together = draws(inputs, 256), draws(inputs, 256, correlation={("a", "c"): 0.9})
    assert together["b"].tolist() == alone["b"].tolist()
    assert together["c"].tolist() != alone["c"].tolist()
