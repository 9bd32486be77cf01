"""Hourly and monthly factors: files of providers taken whole or not at all, kept in the home, used hour by hour."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from handmade import HandmadeJournal
from hypothesis import given, settings
from hypothesis import strategies as st

from joulebook.accounting.assess import assessor
from joulebook.accounting.errors import FactorError
from joulebook.accounting.factors import FactorSet, Series, Spell, factor_set, load
from joulebook.accounting.factors.imports import About, read_series
from joulebook.accounting.factors.series import clipped, load_series, series_dir, store_series
from joulebook.accounting.ledger import ingest, open_ledger
from joulebook.accounting.when import parse_when
from joulebook.cli import main

DAY = date(2026, 1, 2)
NEW_YEAR = datetime(2026, 1, 1)  # noqa: DTZ001 — as the ledger keeps times
HOUR = timedelta(hours=1)
INTENSITY = "Carbon intensity gCO₂eq/kWh"
EMAPS = f"Datetime (UTC),Country,Zone name,Zone id,{INTENSITY} (direct),{INTENSITY} (Life cycle)"
MW = "Actual Aggregated [MW]"
WIDE = f"Area,MTU,Biomass - {MW},Fossil Hard coal - {MW},Nuclear - {MW},Other - {MW}"
LATE = [EMAPS, "2026-01-01 00:00:00,F,F,FR,20,40", "yesterday,F,F,FR,2,4"]
MANY = [EMAPS, "2026-01-01 00:00:00,F,F,FR,20,forty"]
MUCH = [WIDE, "FR,01.01.2026 00:00 - 01.01.2026 01:00 (UTC),1,much,1,1"]


def read(tmp_path: Path, form: str, *lines: str, kind: str = "carbon_intensity") -> dict[str, Series]:
    path = tmp_path / "file.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {each.kind: each for each in read_series(About(path, "fr", DAY, "agreed", kind), form)}


def values(series: Series) -> list[tuple[datetime, float]]:
    return [(spell.start, spell.mid) for spell in series.spells]


# Files ------------------------------------------------------------------------------------------------------------


def test_electricity_maps(tmp_path: Path) -> None:
    """Direct 20 and 30, life-cycle 40 and 60; the range is 15 % to both sides: 34 to 46."""
    found = read(tmp_path, "electricitymaps", EMAPS, "2026-01-01 00:00:00,France,France,FR,20,40",
                 "2026-01-01 01:00:00,France,France,FR,30,60")  # fmt: skip
    whole, direct = found["carbon_intensity"], found["carbon_intensity_direct"]
    assert values(whole) == [(NEW_YEAR, 40), (NEW_YEAR + HOUR, 60)]
    assert [spell.mid for spell in direct.spells] == [20, 30]
    assert (whole.spells[0].low, whole.spells[0].high) == (pytest.approx(34), pytest.approx(46))
    assert (whole.region, whole.resolution, whole.unit, whole.licence) == ("FR", "hourly", "gCO2e/kWh", "agreed")
    assert whole.as_factor.value == 50


def test_entsoe_is_worked_from_the_mix(tmp_path: Path) -> None:
    """1000 MW coal and 3000 MW nuclear: (1000 × 820 + 3000 × 12) ÷ 4000 = 214 g, at the stack 1000 × 760 ÷ 4000 = 190.

    200 MW of "Other" have no factor and take the mean. Two hours of CET begin at 23:00 UTC of the day before."""
    hour = "01.01.2026 {}:00 - 01.01.2026 {}:00 (CET/CEST)"
    found = read(tmp_path, "entsoe", WIDE, f"FR,{hour.format('00', '01')},n/e,1000,3000,200",
                 f"FR,{hour.format('01', '02')},0,0,3000,")  # fmt: skip
    assert values(found["carbon_intensity"]) == [(NEW_YEAR - HOUR, 214), (NEW_YEAR, 12)]
    assert values(found["carbon_intensity_direct"]) == [(NEW_YEAR - HOUR, 190), (NEW_YEAR, 0)]
    first = found["carbon_intensity"].spells[0]
    assert (first.low, first.high) == ((1000 * 740 + 3000 * 3.7) / 4000, (1000 * 910 + 3000 * 110) / 4000)


def test_entsoe_in_its_long_form(tmp_path: Path) -> None:
    """Quarters of an hour, tab-separated: the hour is the mean of 820 (coal alone) and 12 (nuclear alone)."""
    head = "DateTime(UTC)\tAreaMapCode\tProductionType\tActualGenerationOutput[MW]"
    found = read(tmp_path, "entsoe", head, "2026-01-01 00:00:00\tFR\tFossil Hard coal\t50",
                 "2026-01-01 00:15:00\tFR\tNuclear\t70")  # fmt: skip
    assert values(found["carbon_intensity"]) == [(NEW_YEAR, (820 + 12) / 2)]
    with pytest.raises(FactorError, match=r"has several areas \(DE, FR\); keep the rows of one"):
        read(tmp_path, "entsoe", head, "2026-01-01 00:00:00\tFR\tNuclear\t50", "2026-01-01 00:00:00\tDE\tNuclear\t50")


def test_an_hour_that_is_mostly_unknown_has_no_value(tmp_path: Path) -> None:
    """1000 of 3000 MW have no factor: more than a fifth."""
    with pytest.raises(FactorError, match="has no row with a value"):
        read(tmp_path, "entsoe", WIDE, "FR,01.01.2026 00:00 - 01.01.2026 01:00 (UTC),0,0,2000,1000")


def test_watttime_is_marginal_and_in_pounds(tmp_path: Path) -> None:
    """Five-minute rates of 900 and 1100 lb/MWh: the hour is 1000 × 0.45359237 = 453.6 g/kWh, and marginal."""
    found = read(tmp_path, "watttime", "point_time,value", "2026-01-01T00:00:00+00:00,900",
                 "2026-01-01T00:05:00+00:00,1100")  # fmt: skip
    assert list(found) == ["carbon_intensity_marginal"]
    assert values(found["carbon_intensity_marginal"]) == [(NEW_YEAR, pytest.approx(453.59237))]


def test_ones_own_months(tmp_path: Path) -> None:
    found = read(
        tmp_path, "own", "start_utc,value,low,high", "2026-01-01,50,40,70", "2026-02-01,30,,", kind="residual_mix"
    )
    series = found["residual_mix"]
    assert series.resolution == "monthly"
    assert series.spells == (
        Spell(NEW_YEAR, datetime(2026, 2, 1), 40, 50, 70),  # noqa: DTZ001
        Spell(datetime(2026, 2, 1), datetime(2026, 3, 1), 30, 30, 30),  # noqa: DTZ001
    )


@pytest.mark.parametrize(
    ("form", "lines", "says"),
    [
        ("electricitymaps", MANY, r"line 2, .*Life cycle\): 'forty' is not a number"),
        ("electricitymaps", LATE, r"line 3, Datetime \(UTC\): 'yesterday'"),
        ("electricitymaps", ["a,b", "1,2"], "is no file of Electricity Maps: it has no column for a time"),
        ("entsoe", [WIDE, "FR,noon,1,1,1,1"], "line 2, MTU: 'noon' is not a time"),
        ("entsoe", MUCH, "line 2, Fossil Hard coal.*'much'"),
        ("watttime", ["point_time,value", "2026-01-01T00:00:00Z,-5"], "line 2, value: '-5' is not a number from 0 up"),
        ("own", ["start_utc,value,low", "2026-01-01T00:00,5,6"], "line 2, low: '6' is not at most the value 5"),
        ("own", ["start_utc,value", "2026-01-01T00:00,5", "2026-01-03T00:00,5"], "neither an hour apart"),
        ("own", ["start_utc,value"], "has no row with a value"),
    ],
)  # fmt: skip
def test_a_bad_file_is_refused_whole_by_line_and_field(tmp_path: Path, form: str, lines: list[str], says: str) -> None:
    with pytest.raises(FactorError, match=says):
        read(tmp_path, form, *lines)


# The home ---------------------------------------------------------------------------------------------------------


def hourly(*mids: float, start: datetime = NEW_YEAR, retrieved: date = DAY, region: str = "FR") -> Series:
    spells = tuple(Spell(start + n * HOUR, start + (n + 1) * HOUR, mid / 2, mid, mid * 2) for n, mid in enumerate(mids))
    return Series(
        "carbon_intensity",
        region,
        "gCO2e/kWh",
        "hourly",
        "a basis",
        "a source",
        "https://a.example",
        "own",
        retrieved,
        spells,
    )


def test_a_series_is_kept_by_its_content(home: Path) -> None:
    before = factor_set(home).set_id
    path = store_series(home, hourly(100, 300))
    assert store_series(home, hourly(100, 300)) == path
    assert load_series(home) == (hourly(100, 300),)
    known = factor_set(home)
    assert known.set_id != before
    assert known.as_of(date(2026, 1, 1)).series == ()  # it was not known yet
    path.write_text(path.read_text("utf-8").replace("300", "3"), encoding="utf-8")
    with pytest.raises(FactorError, match="was changed after its import; delete it and import the file again"):
        load_series(home)


def test_the_newest_hour_counts_and_a_month_fills_what_is_left() -> None:
    """Hours 0 and 1 of an old import, hour 1 of a new one; the month has the rest of three hours."""
    old, new = hourly(100, 300), hourly(500, start=NEW_YEAR + HOUR, retrieved=date(2026, 2, 1))
    month = replace(old, resolution="monthly", spells=(Spell(NEW_YEAR, datetime(2026, 2, 1), 9, 9, 9),))  # noqa: DTZ001
    known = FactorSet((), (month, old, new))
    assert known.series_of("carbon_intensity", "fr") == [new, old, month]
    held = clipped(known.series_of("carbon_intensity", "FR"), NEW_YEAR, NEW_YEAR + 3 * HOUR)
    assert [(spell.start, spell.end, spell.mid) for spell, _ in held] == [
        (NEW_YEAR, NEW_YEAR + HOUR, 100), (NEW_YEAR + HOUR, NEW_YEAR + 2 * HOUR, 500),
        (NEW_YEAR + 2 * HOUR, NEW_YEAR + 3 * HOUR, 9)]  # fmt: skip


@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(1, 8)), max_size=5),
    st.integers(0, 12),
    st.integers(1, 12),
)
@settings(deadline=None, max_examples=60)
def test_of_several_series_every_hour_has_one_value_at_the_most(
    placed: list[tuple[int, int]], begin: int, length: int
) -> None:
    """Whatever is laid over each other: no overlap, and each instant is the first series' that has it."""
    series = [hourly(*[n + 1.0] * hours, start=NEW_YEAR + at * HOUR) for n, (at, hours) in enumerate(placed)]
    start, end = NEW_YEAR + begin * HOUR, NEW_YEAR + (begin + length) * HOUR
    held = clipped(series, start, end)
    assert all(before.end <= after.start for (before, _), (after, _) in pairwise(held))
    by_hand = {
        hour: next((n + 1.0 for n, (at, hours) in enumerate(placed) if at <= hour < at + hours), None)
        for hour in range(begin, begin + length)
    }
    found = {(spell.start - NEW_YEAR) // HOUR: spell.mid for spell, _ in held}
    assert found == {hour: mid for hour, mid in by_hand.items() if mid is not None}


# Assessed by the hour ---------------------------------------------------------------------------------------------

SITE = 'region = "aws:eu-west-3"\ncpu_power_w = 4\npue = 1.5\n'


def three_hours(home: Path) -> None:
    """3600 CPU-seconds in each of the first three hours of 2026, at 4 W: 0.004 kWh of IT energy an hour."""
    journal = HandmadeJournal(home)
    journal.sensor()
    run = journal.start(0, counters={"cpu_time": 0.0})
    for hour in (1, 2):
        journal.tick(3600 * hour, cpu_time=3600.0 * hour)
    journal.end(3 * 3600 - 1e-3, run, counters={"cpu_time": 10_800.0})
    journal.write()
    (home / "site.toml").write_text(SITE)
    ingest(home)


def carbon_g(home: Path) -> tuple[float, int]:
    seen = assessor(open_ledger(home), parse_when("2026-01-01"), parse_when("2026-01-02"))
    (row,) = seen.rows("select sum(carbon_g_mid) as g, count(distinct piece) as pieces from assessed")
    return row["g"], row["pieces"]


def test_each_hour_is_assessed_with_its_own_intensity(home: Path) -> None:
    """Hours of 100, 300 and none: 0.006 kWh × (100 + 300 + the year's row of France) g. The region is a cloud's."""
    three_hours(home)
    row = load().select("carbon_intensity", "FR", date(2026, 1, 1)).factor  # 2025's, the newest
    assert carbon_g(home) == (pytest.approx(3 * 0.006 * row.value), 1)
    store_series(home, hourly(100, 300))
    assert carbon_g(home) == (pytest.approx(0.006 * (100 + 300 + row.value)), 2)


def test_what_the_site_declares_stands_above_a_series(home: Path) -> None:
    three_hours(home)
    store_series(home, hourly(100, 300))
    (home / "site.toml").write_text(SITE + "carbon_intensity_g_per_kwh = 10\n")
    assert carbon_g(home) == (pytest.approx(3 * 0.006 * 10), 1)


def test_a_marginal_series_never_stands_in_for_an_average(home: Path) -> None:
    three_hours(home)
    before = carbon_g(home)
    store_series(home, replace(hourly(900, 900, 900), kind="carbon_intensity_marginal"))
    assert carbon_g(home) == before


# The command ------------------------------------------------------------------------------------------------------


def test_import_and_list(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "fr.csv"
    path.write_text(f"{EMAPS}\n2026-01-01 00:00:00,F,F,FR,20,40\n2026-01-01 01:00:00,F,F,FR,30,60\n", encoding="utf-8")
    words = ["factors", "import", str(path), "--format", "electricitymaps", "--region", "aws:eu-west-3", "--json"]
    assert main(words) == 0
    told = json.loads(capsys.readouterr().out)
    assert [(row["kind"], row["region"], row["values"]) for row in told] == [
        ("carbon_intensity", "FR", 2), ("carbon_intensity_direct", "FR", 2)]  # fmt: skip
    assert (told[0]["from"], told[0]["until"]) == ("2026-01-01T00:00:00Z", "2026-01-01T02:00:00Z")
    assert main(["factors", "--series", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {row["factor_id"] for row in listed} == {row["factor_id"] for row in told}
    assert listed[0]["dimensions"] == {"of_plants": "average", "instrument": "location", "boundary": "life-cycle"}


def test_a_bad_file_leaves_nothing_behind(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "fr.csv"
    path.write_text(f"{EMAPS}\n2026-01-01 00:00:00,F,F,FR,20,40\n2026-01-01 01:00:00,F,F,FR,x,60\n", encoding="utf-8")
    words = ["factors", "import", str(path), "--format", "electricitymaps", "--region", "FR"]
    assert main(words) == 2
    told = capsys.readouterr()
    assert (told.out, told.err.count("\n")) == ("", 1)
    assert (
        "line 3, Carbon intensity gCO₂eq/kWh (direct): 'x' is not a number from 0 up; nothing was imported" in told.err
    )
    assert not series_dir(home).exists()
    assert main(["factors", "import", str(path), "--format", "electricitymaps", "--region", "Atlantis"]) == 2
    assert "the region 'Atlantis' is not known" in capsys.readouterr().err
    assert main(["factors", "import", str(tmp_path / "none.csv"), "--format", "own", "--region", "FR"]) == 2
    assert "cannot be read as text" in capsys.readouterr().err
