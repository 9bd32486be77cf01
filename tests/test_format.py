"""How numbers are written: three significant figures, a unit that fits, a dash for what is missing."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from joulebook.accounting.estimates import Estimate, exactly, unknown
from joulebook.reports.format import (
    amount,
    count,
    day,
    duration,
    mid_of,
    moment,
    money,
    number,
    scale_for,
    short_id,
    span_of,
)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0, "0"),
        (None, "–"),
        (math.nan, "–"),
        (math.inf, "–"),
        (1, "1.00"),
        (12.345, "12.3"),
        (99.94, "99.9"),
        (99.96, "100"),  # not 100.0, which would claim a fourth figure
        (9.999, "10.0"),
        (999.6, "1,000"),
        (1234, "1,230"),
        (1_234_567, "1,230,000"),
        (9.994e14, "999,000,000,000,000"),
        (6.3369e17, "6.34 × 10¹⁷"),
        (9.996e17, "1.00 × 10¹⁸"),
        (-3.14e23, "-3.14 × 10²³"),
        (0.0012345, "0.00123"),
        (4.864e-6, "4.86e-6"),
        (4.864e-8, "4.86e-8"),
        (0.00099996, "0.00100"),
        (-3.14159, "-3.14"),
    ],
)
def test_three_significant_figures(value: float | None, written: str) -> None:
    assert number(value) == written


@given(st.floats(1e-9, 9e14))
@settings(deadline=None)
def test_what_is_written_is_within_half_a_figure(value: float) -> None:
    """Three figures: the error is at most half of the third, 0.5 % of a number that begins with 1."""
    written = number(value)
    assert float(written.replace(",", "")) == pytest.approx(value, rel=0.005)
    if value < 99:
        assert len(written.partition("e")[0].replace(".", "").lstrip("0")) == 3


@pytest.mark.parametrize(
    ("value", "unit", "written"),
    [
        (7.2e6, "J", "2.00 kWh"),
        (3.6, "J", "1.00 mWh"),
        (0.036, "J", "0.0100 mWh"),  # no smaller unit: it is written in the smallest
        (9e12, "J", "2.50 GWh"),
        (0.0, "J", "0 Wh"),
        (1500, "g", "1.50 kg"),
        (2.5e6, "g", "2.50 t"),
        (0.5, "L", "500 mL"),
        (250_000, "L", "250 m³"),
        (1.2, "USD", "$1.20"),
        (0.0, "USD", "$0.00"),
        (12.5, "token", "12.5 token"),
        (3.5e6, "token", "3.50 Mtoken"),
        (1.2e15, "FLOP", "1.20 PFLOP"),
        (3.14e23, "FLOP", "314 ZFLOP"),  # training GPT-3
        (0.0, "FLOP", "0 FLOP"),
        (9.894e14, "FLOP/s", "989 TFLOP/s"),
        (3.4e9, "FLOP/J", "3.40 GFLOP/J"),
        (512.0, "byte", "512 byte"),
        (80e9, "byte", "80.0 GB"),
        (0.4042, "%", "40.4 %"),
        (0.0, "%", "0 %"),
        (None, "g", "–"),
    ],
)
def test_an_amount_in_a_unit_that_fits(value: float | None, unit: str, written: str) -> None:
    assert amount(value, unit).replace("\u2009", " ") == written


def test_a_column_has_one_unit_from_its_largest_value() -> None:
    """The largest is 5 kWh, so 36 kJ beside it are 0.01 kWh."""
    scale = scale_for("J", 1.8e7)
    assert scale == ("kWh", 3.6e6)
    assert amount(36_000, "J", scale).replace("\u2009", " ") == "0.0100 kWh"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, "–"),
        (0, "$0.00"),
        (0.01, "$0.01"),
        (12.345, "$12.35"),
        (999.5, "$999.50"),
        (1234.6, "$1,235"),
        (0.0099, "9.90 m$"),  # a small run is not "$0.00" …
        (0.00001, "10.0 µ$"),  # … and a smaller one neither
        (2e-9, "0.00200 µ$"),
    ],
)
def test_money(value: float | None, written: str) -> None:
    assert money(value).replace("\u2009", " ") == written


def test_a_range_stands_in_the_unit_of_its_middle() -> None:
    """1.1, 2 and 3.4 Wh; then 0.5, 2 and 3400 kWh, where the low stays in kWh."""
    narrow = Estimate(3960, 7200, 12240, "J", "modelled")
    wide = Estimate(0.5 * 3.6e6, 2 * 3.6e6, 3400 * 3.6e6, "J", "modelled")
    assert (mid_of(narrow), span_of(narrow)) == ("2.00\u2009Wh", "1.10–3.40\u2009Wh")
    assert span_of(wide) == "0.500–3,400\u2009kWh"
    assert span_of(Estimate(0.5, 1.0, 2.0, "USD", "modelled")) == "$0.50–$2.00"
    assert span_of(Estimate(2e-6, 4e-6, 8e-6, "USD", "modelled")) == "2.00–8.00\u2009µ$"


def test_no_range_is_written_where_there_is_none() -> None:
    assert span_of(exactly(5.0, "J", "measured")) == ""
    assert span_of(unknown("J", "nobody looked")) == ""
    assert mid_of(unknown("J", "nobody looked")) == "–"


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (None, "–"),
        (0, "0 ms"),
        (0.48, "480 ms"),
        (3.2, "3.20 s"),
        (59.4, "59.4 s"),
        (60, "1 min 00 s"),
        (250, "4 min 10 s"),
        (3599.7, "1 h 00 min"),  # rounded first, so that it is not 59 min 60 s
        (7500, "2 h 05 min"),
        (360_000, "100 h 00 min"),
    ],
)
def test_durations(seconds: float | None, written: str) -> None:
    assert duration(seconds).replace("\u2009", " ") == written


def test_times() -> None:
    when = datetime(2026, 3, 5, 8, 4, 59, tzinfo=UTC)
    assert (moment(when), day(when)) == ("2026-03-05 08:04", "5 Mar 2026")
    assert (moment(None), day(None)) == ("–", "–")


def test_counts_keep_their_figures_while_people_can_read_them() -> None:
    assert [count(18_204), count(800e12), count(633.6e15)] == ["18,204", "800,000,000,000,000", "6.34 × 10¹⁷"]


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("nvml:GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77:instant", "nvml:GPU-5d5ba0d6:instant"),
        ("MIG-AAAA1111-0000-0000-0000-000000000001", "MIG-AAAA1111"),
        ("powercap:package-0", "powercap:package-0"),
        ("0000:03:00.0", "0000:03:00.0"),
    ],
)
def test_a_uuid_is_cut_to_its_first_part(text: str, short: str) -> None:
    assert short_id(text) == short
