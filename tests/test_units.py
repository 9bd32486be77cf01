"""Units: what one of each is in canonical units, and that only like is turned into like."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from joulebook.accounting.errors import UnitError
from joulebook.accounting.units import J_PER_KWH, canonical, convert

ENERGY = ("J", "mJ", "uJ", "kJ", "MJ", "GJ", "Ws", "Wh", "kWh", "MWh", "GWh")


@pytest.mark.parametrize(
    ("amount", "unit", "expected"),
    [
        (2, "kWh", (7_200_000.0, "J")),  # 2 × 1000 W × 3600 s
        (1, "Ws", (1.0, "J")),
        (5, "uJ", (5e-6, "J")),  # what RAPL counts in
        (3, "t", (3_000_000.0, "g")),
        (0.25, "m3", (250.0, "L")),
        (2, "h", (7200.0, "s")),
        (4, "TFLOP", (4e12, "FLOP")),
        (1.5, "GB", (1.5e9, "byte")),  # decimal, not 2^30
        (7, "token", (7.0, "token")),
    ],
)
def test_canonical(amount: float, unit: str, expected: tuple[float, str]) -> None:
    assert canonical(amount, unit) == (pytest.approx(expected[0], rel=1e-12), expected[1])


def test_a_unit_that_nobody_knows_stays() -> None:
    assert canonical(3, "widget") == (3.0, "widget")


def test_convert() -> None:
    """90 min = 1.5 h; 1 kWh = 3.6 MJ; 1500 mL = 0.0015 m³."""
    assert convert(90, "min", "h") == 1.5
    assert convert(1, "kWh", "MJ") == pytest.approx(3.6, rel=1e-12)
    assert convert(1500, "mL", "m3") == pytest.approx(0.0015, rel=1e-12)
    assert J_PER_KWH == 1000 * 3600


def test_unknown_and_unlike_units_are_refused_by_name() -> None:
    with pytest.raises(UnitError, match="unknown unit 'BTU'"):
        convert(1, "BTU", "J")
    with pytest.raises(UnitError, match="unknown unit 'kwh'"):  # a prefix in the wrong case is another unit
        convert(1, "J", "kwh")
    with pytest.raises(UnitError, match="cannot turn kWh into g: they measure different things"):
        convert(1, "kWh", "g")


@given(st.floats(1e-9, 1e12), st.sampled_from(ENERGY), st.sampled_from(ENERGY))
@settings(deadline=None)
def test_there_and_back_is_the_same(amount: float, unit: str, to: str) -> None:
    assert convert(convert(amount, unit, to), to, unit) == pytest.approx(amount, rel=1e-12)
