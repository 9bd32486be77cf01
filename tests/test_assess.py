"""From energy to impact: which factors hold when, and that Python and SQL give the same amounts."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from handmade import HandmadeJournal

from joulebook.accounting.assess import (
    CATEGORIES,
    ENDS,
    KINDS,
    SUMS_SQL,
    Assessor,
    InForce,
    estimate_of,
    factors_in_force,
    impacts,
    timeline,
)
from joulebook.accounting.errors import FactorError
from joulebook.accounting.estimates import Estimate, exactly
from joulebook.accounting.factors import Factor, FactorSet
from joulebook.accounting.ledger import ingest, open_ledger
from joulebook.accounting.site import Site
from joulebook.accounting.units import canonical

KWH = 3_600_000.0
FEBRUARY_S = 31 * 86_400.0  # of a handmade journal, which begins with 2026
DECEMBER, JANUARY, FEBRUARY, MARCH = date(2025, 12, 1), date(2026, 1, 1), date(2026, 2, 1), date(2026, 3, 1)


def fact(kind: str, value: float, start: date = DECEMBER, end: date | None = None, region: str = "WORLD") -> Factor:
    low, high = (value, value * 2) if kind in ("pue", "it_overhead") else (value / 2, value * 2)
    return Factor(
        kind,
        value,
        low,
        high,
        KINDS[kind][1],
        region,
        start,
        end,
        "basis",
        "source",
        "https://a.example",
        "own",
        JANUARY,
    )


# The carbon intensity of the place changes on 1 February; nothing else ever does.
FACTORS = FactorSet((
    fact("cpu_power", 4), fact("dram_power", 0.4),
    fact("it_overhead", 1.1), fact("pue", 1.5), fact("wue", 0.5), fact("water_intensity", 2),
    fact("electricity_price", 0.1), fact("carbon_intensity", 480),
    fact("electricity_primary_energy", 9e6), fact("electricity_adpe", 5e-8),
    fact("carbon_intensity", 400, DECEMBER, FEBRUARY, "FR"), fact("carbon_intensity", 200, FEBRUARY, None, "FR"),
))  # fmt: skip
HERE = Site(region="FR")


# When which factors hold ------------------------------------------------------------------------------------------


def intensities(pieces: list[InForce]) -> list[tuple[date, date, float]]:
    return [(piece.start, piece.end, piece.range_of("carbon_intensity")[1]) for piece in pieces]


def test_a_timeline_is_cut_where_a_factor_changes() -> None:
    assert intensities(timeline(HERE, FACTORS, JANUARY, MARCH)) == [(JANUARY, FEBRUARY, 400), (FEBRUARY, MARCH, 200)]


def test_a_factor_of_elsewhere_cuts_nothing() -> None:
    """In Germany the world's intensity holds, and that does not change when France's does."""
    assert intensities(timeline(Site(region="DE"), FACTORS, JANUARY, MARCH)) == [(JANUARY, MARCH, 480)]


def test_a_declared_value_cuts_nothing_either() -> None:
    site = replace(HERE, carbon_intensity_g_per_kwh=(10, 20, 40))
    assert intensities(timeline(site, FACTORS, JANUARY, MARCH)) == [(JANUARY, MARCH, 20)]


def test_a_timeline_that_ends_on_the_day_of_a_change_does_not_see_it() -> None:
    assert intensities(timeline(HERE, FACTORS, JANUARY, FEBRUARY)) == [(JANUARY, FEBRUARY, 400)]
    assert intensities(timeline(HERE, FACTORS, FEBRUARY, MARCH)) == [(FEBRUARY, MARCH, 200)]


def test_a_kind_without_any_factor_is_an_error() -> None:
    without = FactorSet(tuple(row for row in FACTORS.rows if row.kind != "wue"))
    with pytest.raises(FactorError, match="no factor of kind 'wue'"):
        factors_in_force(HERE, without, JANUARY)


# In Python --------------------------------------------------------------------------------------------------------


def test_the_impacts_of_one_to_three_kilowatt_hours() -> None:
    """Low  PUE 1.5, 200 g, 0.25 L, 1 L, 0.05 USD: 1 × 1.5 × 200 = 300 g; 1 × (0.25 + 1.5 × 1) = 1.75 L; 0.075 USD.
    Mid  PUE 1.5, 400 g, 0.50 L, 2 L, 0.10 USD: 2 × 1.5 × 400 = 1200 g; 2 × (0.5 + 1.5 × 2) = 7 L; 0.30 USD.
    High PUE 3.0, 800 g, 1.00 L, 4 L, 0.20 USD: 3 × 3 × 800 = 7200 g; 3 × (1 + 3 × 4) = 39 L; 1.80 USD.
    """
    in_force = factors_in_force(HERE, FACTORS, JANUARY)
    found = {
        impact.category: impact for impact in impacts(Estimate(KWH, 2 * KWH, 3 * KWH, "J", "attributed"), in_force)
    }
    amounts = {key: (impact.amount.low, impact.amount.mid, impact.amount.high) for key, impact in found.items()}
    assert amounts == {
        "it_energy_j": pytest.approx((KWH, 2 * KWH, 3 * KWH), rel=1e-12),
        "facility_energy_j": pytest.approx((1.5 * KWH, 3 * KWH, 9 * KWH), rel=1e-12),
        "carbon_g": pytest.approx((300, 1200, 7200), rel=1e-12),
        "water_l": pytest.approx((1.75, 7, 39), rel=1e-12),
        "cost_usd": pytest.approx((0.075, 0.30, 1.80), rel=1e-12),
        "primary_energy_j": pytest.approx((1.5 * 4.5e6, 3 * 9e6, 9 * 18e6), rel=1e-12),
        "adpe_kgsb": pytest.approx((1.5 * 2.5e-8, 3 * 5e-8, 9 * 1e-7), rel=1e-12),
    }
    assert {(impact.amount.unit, impact.amount.method) for impact in found.values()} == {
        (unit, "attributed") for unit in ("J", "g", "L", "USD", "kgSb")}  # fmt: skip


def test_an_impact_names_its_factors_and_the_worst_of_their_matches() -> None:
    in_force = factors_in_force(replace(HERE, pue=(1.2, 1.2, 1.2)), FACTORS, JANUARY)
    found = {impact.category: impact for impact in impacts(exactly(KWH, "J", "measured"), in_force)}
    kinds = {key: tuple(factor_id.split("/")[0] for factor_id in impact.factor_ids) for key, impact in found.items()}
    assert kinds == {category: kinds for category, (_, kinds) in CATEGORIES.items()}
    matches = {key: impact.match for key, impact in found.items()}
    # declared PUE alone; with France's own intensity; with water and prices that only the world has
    assert matches == {
        "it_energy_j": "exact",
        "facility_energy_j": "declared",
        "carbon_g": "exact",
        "water_l": "world",
        "cost_usd": "world",
        "primary_energy_j": "world",
        "adpe_kgsb": "world",
    }


# In SQL -----------------------------------------------------------------------------------------------------------


def assessed(home: Path, site: Site = HERE) -> list[dict[str, Any]]:
    """Each run's sums of every category, in the order of the runs."""
    ingest(home)
    seen = Assessor(open_ledger(home), site, FACTORS, JANUARY, MARCH)
    return seen.rows(f"""
        select a.run_id, max(method_rank) as method_rank, {SUMS_SQL}, sum(cpu_time_s) as cpu_time_s,
               count(distinct piece) as pieces
        from assessed a join span s on s.span_id = a.run_id group by 1 order by min(s.started_at_utc)
    """)


def energy(row: dict[str, Any]) -> tuple[float, float, float]:
    return row["it_energy_j_low"], row["it_energy_j_mid"], row["it_energy_j_high"]


def cpu_run(home: Path, at_s: float = 100, cpu_s: float = 100, length_s: float = 60) -> None:
    journal = HandmadeJournal(home)
    journal.sensor()
    run = journal.start(at_s, counters={"cpu_time": 5.0})
    journal.end(at_s + length_s, run, counters={"cpu_time": 5.0 + cpu_s})
    journal.write()


def test_cpu_time_is_modelled_with_the_power_of_a_cpu(home: Path) -> None:
    """100 CPU-seconds × 2, 4, 8 W = 200, 400, 800 J."""
    cpu_run(home)
    (row,) = assessed(home)
    assert energy(row) == pytest.approx((200, 400, 800), rel=1e-12)
    assert (row["cpu_time_s"], row["device_energy_j_mid"]) == (100, None)
    assert estimate_of(row, "it_energy_j").method == "modelled"


def test_sql_gives_what_python_gives(home: Path) -> None:
    """From nothing to three months of a thousand CPUs; the energy of each run is taken as SQL has it."""
    amounts = [0.0, 1e-6, 100.0, 7.7e9]
    for number, cpu_s in enumerate(amounts):
        cpu_run(home, at_s=100 * number, cpu_s=cpu_s)
    rows = assessed(home)
    assert [row["it_energy_j_mid"] for row in rows] == pytest.approx([4 * cpu_s for cpu_s in amounts], rel=1e-6)
    for row in rows:
        it = Estimate(*energy(row), "J", "modelled")
        for impact in impacts(it, factors_in_force(HERE, FACTORS, JANUARY)):
            found = estimate_of(row, impact.category)
            assert (found.unit, found.method) == (impact.amount.unit, impact.amount.method)
            for end in ENDS:
                assert getattr(found, end) == pytest.approx(getattr(impact.amount, end), rel=1e-12, abs=0), impact


def test_a_run_across_a_change_takes_each_factor_for_its_own_hours(home: Path) -> None:
    """An hour before 1 February and two after it, 3600 CPU-seconds each hour, at 4 W: 14 400 J = 0.004 kWh an hour.
    0.004 × 1.5 × 400 + 0.008 × 1.5 × 200 = 2.4 + 2.4 = 4.8 g."""
    journal = HandmadeJournal(home)
    journal.sensor()
    run = journal.start(FEBRUARY_S - 3600, counters={"cpu_time": 0.0})
    for hour in range(3):
        journal.tick(FEBRUARY_S + 3600 * hour, cpu_time=3600.0 * (hour + 1))
    journal.end(FEBRUARY_S + 7200, run, counters={"cpu_time": 10_800.0})
    journal.write()
    (row,) = assessed(home)
    assert row["pieces"] == 2
    assert row["carbon_g_mid"] == pytest.approx(4.8, rel=1e-12)


def test_a_device_sensor_gains_what_the_power_supply_loses(home: Path) -> None:
    """500 J of a GPU × 1.1, 1.1, 2.2 = 550, 550, 1100 J at the plug; the measurement itself stays 500 J."""
    journal = HandmadeJournal(home)
    journal.sensor("gpu-energy", "J", device="gpu", boundary="device")
    run = journal.start(0, counters={"gpu_energy": 1000.0})
    journal.end(10, run, counters={"gpu_energy": 1500.0})
    journal.write()
    (row,) = assessed(home)
    assert energy(row) == pytest.approx((550, 550, 1100), rel=1e-12)
    assert (row["device_energy_j_mid"], row["cpu_time_s"]) == (500, None)
    assert estimate_of(row, "carbon_g").method == "measured"


def test_joules_at_the_plug_are_taken_as_they_are(home: Path) -> None:
    journal = HandmadeJournal(home)
    journal.sensor("plug", "J", device="server", boundary="it", method="integrated")
    run = journal.start(0, counters={"plug": 0.0})
    journal.end(10, run, counters={"plug": 700.0})
    journal.write()
    (row,) = assessed(home)
    assert energy(row) == (700, 700, 700)
    assert estimate_of(row, "it_energy_j").method == "integrated"


@pytest.mark.parametrize(
    ("device", "joules", "cpu_s"),
    [
        ("cpu", 330.0, None),  # 300 J × 1.1: the CPU is measured, so its time is not modelled on top of it
        ("gpu", 730.0, 100.0),  # 300 J × 1.1 of the GPU and 100 s × 4 W of the CPU: two devices, both count
    ],
)
def test_cpu_time_is_left_out_only_where_a_cpu_is_measured(
    home: Path, device: str, joules: float, cpu_s: float | None
) -> None:
    journal = HandmadeJournal(home)
    journal.sensor()
    journal.sensor("energy", "J", device=device, boundary="device")
    run = journal.start(0, counters={"cpu_time": 0.0, "energy": 0.0})
    journal.end(10, run, counters={"cpu_time": 100.0, "energy": 300.0})
    journal.write()
    (row,) = assessed(home)
    assert row["it_energy_j_mid"] == pytest.approx(joules, rel=1e-12)
    assert row["cpu_time_s"] == cpu_s


def test_a_measured_cpu_in_one_process_does_not_silence_the_model_in_another(home: Path) -> None:
    """300 J × 1.1 = 330 J in the one, 100 s × 4 W = 400 J in the other."""
    journal = HandmadeJournal(home)
    journal.sensor("rapl", "J", boundary="device")
    run = journal.start(0, counters={"rapl": 0.0})
    journal.end(10, run, counters={"rapl": 300.0})
    journal.write()
    cpu_run(home)
    assert [row["it_energy_j_mid"] for row in assessed(home)] == pytest.approx([330, 400], rel=1e-12)


def recorded(home: Path, energy: tuple[float, str, str], *, cpu_s: float | None = None, at_s: float = 0) -> None:
    """A run that recorded (amount, unit, method), and used some CPU time if it could be read."""
    amount, unit, method = energy
    journal = HandmadeJournal(home)
    counters = [{"cpu_time": x} for x in (0.0, cpu_s)] if cpu_s is not None else [{}, {}]
    if cpu_s is not None:
        journal.sensor()
    run = journal.start(at_s, counters=counters[0])
    journal.event("usage", at_s + 5, span_id=run, run_id=run, kind="energy", amount=amount, unit=unit, method=method)
    journal.end(at_s + 10, run, counters=counters[1])
    journal.write()


def test_energy_that_a_job_records_itself_is_it_energy_with_its_method(home: Path) -> None:
    """1 kWh × 1.5 × 400 g/kWh = 600 g, as the job declared it."""
    recorded(home, (1, "kWh", "declared"))
    (row,) = assessed(home)
    assert energy(row) == (KWH, KWH, KWH)
    assert row["carbon_g_mid"] == pytest.approx(600, rel=1e-12)
    assert estimate_of(row, "carbon_g").method == "declared"


def test_recorded_energy_counts_in_every_unit_that_joulebook_knows(home: Path) -> None:
    units = ["J", "mJ", "uJ", "kJ", "MJ", "GJ", "Ws", "Wh", "kWh", "MWh", "GWh"]
    for at_s, unit in enumerate(units):
        recorded(home, (2, unit, "measured"), at_s=at_s)
    joules = [canonical(2, unit)[0] for unit in units]
    assert [row["it_energy_j_mid"] for row in assessed(home)] == pytest.approx(joules, rel=1e-12)


def test_energy_in_a_unit_that_nobody_knows_is_not_guessed(home: Path) -> None:
    recorded(home, (2, "BTU", "measured"))
    assert assessed(home) == []


@pytest.mark.parametrize(
    ("method", "weakest"), [("measured", "modelled"), ("declared", "declared"), ("unknown", "unknown")]
)
def test_a_sum_is_as_weak_as_its_weakest_part(home: Path, method: str, weakest: str) -> None:
    """50 CPU-seconds × 4 W, which is modelled, and 1000 J that the job recorded: 1200 J."""
    recorded(home, (1, "kJ", method), cpu_s=50.0)
    (row,) = assessed(home)
    assert row["it_energy_j_mid"] == pytest.approx(1200, rel=1e-12)
    assert estimate_of(row, "it_energy_j").method == weakest


def test_a_run_without_any_counter_is_unknown_and_not_zero(home: Path) -> None:
    journal = HandmadeJournal(home)
    run = journal.start(0)
    journal.end(10, run)
    journal.write()
    assert assessed(home) == []
    assert estimate_of({}, "carbon_g") == Estimate(None, None, None, "g", "unknown", "no energy was recorded")
