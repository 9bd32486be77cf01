"""FLOP per joule, MFU and HFU by hand, and what is too good to be true."""

from __future__ import annotations

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from joulebook.accounting.column import Column
from joulebook.accounting.flops import (
    flop_per_j,
    hardware_flop_utilization,
    implausible,
    model_flop_utilization,
)

PEAK = 312e12  # FLOP/s, one A100 in bf16
IDLE_W = 50.0


def test_work_per_joule():
    """1.2e15 FLOP from 4,000 J = 3e11 FLOP/J."""
    assert flop_per_j(1.2e15, 4000.0) == 3e11


def test_utilisation_of_two_devices():
    """Two A100 could do 2 × 312e12 × 10 s = 6.24e15. The model needs 3.12e15: MFU 0.5.

    With full recomputation a third more is executed, 4.16e15: HFU 2/3.
    """
    assert model_flop_utilization(3.12e15, 10.0, 2 * PEAK) == pytest.approx(0.5, rel=1e-12)
    assert hardware_flop_utilization(4.16e15, 10.0, 2 * PEAK) == pytest.approx(2 / 3, rel=1e-12)


def test_the_same_formulas_in_sql():
    flop, seconds, energy_j, peak = (Column(name) for name in ("flop", "seconds", "energy_j", "peak"))
    told = (flop_per_j(flop, energy_j), model_flop_utilization(flop, seconds, peak),
            hardware_flop_utilization(flop, seconds, peak))  # fmt: skip
    run = "select 1.2e15 as flop, 8e0 as seconds, 4e3 as energy_j, 3e14 as peak"
    with duckdb.connect(":memory:") as con:
        answer = con.execute(f"select {', '.join(map(str, told))} from ({run})").fetchone()
    assert answer == (3e11, 0.5, 0.5)  # 1.2e15 ÷ (8 × 3e14) = 0.5


def test_more_than_the_peak_is_flagged():
    """10 s at the peak are 3.12e15 FLOP; one part in a thousand more is not possible."""
    assert implausible(3.12e15, 10.0, None, PEAK, None) is None
    told = implausible(3.1232e15, 10.0, None, PEAK, None)
    assert told == "3.12e+15 FLOP in 10 s is more than the devices can do at their peak of 3.12e+14 FLOP/s"


def test_more_per_joule_than_the_peak_on_idle_power_is_flagged():
    """312e12 FLOP/s on 50 W are 6.24e12 FLOP/J at the most; 1e15 FLOP thus need at least 160.3 J."""
    assert implausible(1e15, 10.0, 160.4, PEAK, IDLE_W) is None
    told = implausible(1e15, 10.0, 160.2, PEAK, IDLE_W)
    assert told is not None
    assert told.startswith("1e+15 FLOP from 160 J is more than the devices can do")
    assert implausible(1e15, 10.0, 0.0, PEAK, IDLE_W) is not None  # work from nothing


def test_what_is_unknown_is_not_held_against_it():
    assert implausible(1e30, 1.0, 1.0, None, IDLE_W) is None
    assert implausible(1e15, 10.0, None, PEAK, IDLE_W) is None
    assert implausible(1e15, 10.0, 1e-9, PEAK, None) is None


@given(st.floats(0, 1), st.floats(1e-3, 1e6), st.floats(1, 100))
@settings(deadline=None)
def test_what_a_device_can_do_is_never_flagged(utilisation, seconds, times_idle):
    """Any share of the peak, at any power from idle up."""
    flop = utilisation * PEAK * seconds * (1 - 1e-12)
    energy_j = IDLE_W * times_idle * seconds * (1 + 1e-12)
    assert implausible(flop, seconds, energy_j, PEAK, IDLE_W) is None
