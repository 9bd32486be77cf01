"""Factors: which row is chosen for a place and a day, as it was known on another day, and by what id it is named."""

from __future__ import annotations

from datetime import date

import pytest

from joulebook.accounting.assess import factors_in_force
from joulebook.accounting.errors import FactorError
from joulebook.accounting.factors import COLUMNS, Factor, FactorSet, Match, load, parse_table
from joulebook.accounting.site import Site

HEADER = ",".join(COLUMNS)


def row(region: str, value: float, start: str, end: str = "", known: str = "2026-01-01") -> str:
    """One line of a table; its low and high are half and twice its value."""
    return f"{value},{value / 2},{value * 2.0},gCO2e/kWh,{region},{start},{end},a basis,a source,https://a.example,own,{known}"


def table(*lines: str, kind: str = "carbon_intensity") -> FactorSet:
    return FactorSet(tuple(parse_table(kind, "\n".join((HEADER, *lines)) + "\n")))


SMALL = table(
    row("FR", 60, "2022-01-01", "2023-01-01"),
    row("FR", 50, "2023-01-01", "2024-01-01"),
    row("US", 400, "2020-01-01"),
    row("US-CA", 200, "2023-01-01", "2024-01-01"),
    row("WORLD", 480, "2023-01-01"),
)


@pytest.mark.parametrize(
    ("region", "day", "value", "match"),
    [
        ("FR", date(2023, 6, 1), 50, "exact"),
        ("fr", date(2023, 6, 1), 50, "exact"),
        ("FR", date(2022, 12, 31), 60, "exact"),  # the last day of a year …
        ("FR", date(2023, 1, 1), 50, "exact"),  # … and the first: half-open
        ("FR", date(2024, 1, 1), 50, "older"),  # nothing in force any more: the last one before
        ("FR", date(2021, 1, 1), 60, "newer"),  # nothing in force yet: the first one after
        ("US-CA", date(2023, 6, 1), 200, "exact"),
        ("US-CA", date(2025, 6, 1), 200, "older"),  # the state's own older row stands above the country's exact one
        ("US-TX", date(2023, 6, 1), 400, "parent"),
        ("US-TX-AUS", date(2023, 6, 1), 400, "parent"),
        ("DE", date(2023, 6, 1), 480, "world"),
        ("DE-BY", date(2023, 6, 1), 480, "world"),
        ("WORLD", date(2023, 6, 1), 480, "world"),
    ],
)
def test_the_place_itself_then_its_parent_then_the_world(region: str, day: date, value: float, match: str) -> None:
    found = SMALL.select("carbon_intensity", region, day)
    assert (found.factor.value, found.match) == (value, match)


def test_between_two_rows_the_one_before_counts() -> None:
    """2021 and 2024 are known: 2022 and 2023 take 2021's, which was true once; 2024's was not yet."""
    gap = table(row("FR", 70, "2021-01-01", "2022-01-01"), row("FR", 40, "2024-01-01"))
    found = gap.select("carbon_intensity", "FR", date(2023, 6, 1))
    assert (found.factor.value, found.match) == (70, "older")


def test_a_provider_has_no_parent() -> None:
    """`aws-eu` is no sub-region of `aws`: only names that begin with a country's two letters have a parent."""
    pue = table(row("aws", 1.2, "2020-01-01"), row("WORLD", 1.6, "2020-01-01"), kind="pue")
    assert pue.select("pue", "aws", date(2023, 1, 1)).match == "exact"
    assert pue.select("pue", "aws-eu", date(2023, 1, 1)).match == "world"


def test_what_the_site_declares_stands_above_every_table() -> None:
    everything = load()
    site = Site(region="FR", carbon_intensity_g_per_kwh=(10, 20, 40))
    found = factors_in_force(site, everything, date(2023, 6, 1)).matches
    assert found["carbon_intensity"].match == "declared"
    assert (found["carbon_intensity"].factor.low, found["carbon_intensity"].factor.value) == (10, 20)
    assert found["carbon_intensity"].factor.factor_id.startswith("carbon_intensity/SITE/1970-01-01/")
    assert (found["electricity_price"].match, found["electricity_price"].factor.region) == ("newer", "FR")  # from 2025
    assert {kind for kind, match in found.items() if match.match == "world"} == {
        "cpu_power",
        "dram_power",
        "it_overhead",
        "pue",
        "wue",
    }


def test_without_even_the_world_it_is_an_error() -> None:
    with pytest.raises(FactorError, match="no factor of kind 'pue' for 'FR' nor for the world"):
        SMALL.select("pue", "FR", date(2023, 1, 1))


# What was known when ----------------------------------------------------------------------------------------------

CORRECTED = table(
    row("FR", 56, "2023-01-01", "2024-01-01", known="2024-05-01"),
    row("FR", 44, "2023-01-01", "2024-01-01", known="2026-02-10"),  # the same year, published again
)


@pytest.mark.parametrize(
    ("known_on", "value"),
    [(date(2024, 5, 1), 56), (date(2026, 2, 9), 56), (date(2026, 2, 10), 44), (date(2030, 1, 1), 44)],
)
def test_a_correction_counts_from_the_day_it_was_known(known_on: date, value: float) -> None:
    found = CORRECTED.as_of(known_on).select("carbon_intensity", "FR", date(2023, 7, 1))
    assert (found.factor.value, found.match) == (value, "exact")


def test_before_anything_was_known_there_is_nothing() -> None:
    assert CORRECTED.as_of(date(2024, 4, 30)).rows == ()


@pytest.mark.parametrize(("day", "match"), [(date(2022, 1, 1), "newer"), (date(2025, 1, 1), "older")])
def test_a_correction_counts_outside_its_year_too(day: date, match: str) -> None:
    found = CORRECTED.select("carbon_intensity", "FR", day)
    assert (found.factor.value, found.match) == (44, match)


def test_the_order_of_the_rows_decides_nothing() -> None:
    turned = FactorSet(tuple(reversed(CORRECTED.rows)))
    assert turned.select("carbon_intensity", "FR", date(2023, 7, 1)).factor.value == 44
    assert turned.set_id == CORRECTED.set_id


# Ids --------------------------------------------------------------------------------------------------------------


def only(line: str) -> Factor:
    return table(line).rows[0]


def test_an_id_names_the_row_and_changes_with_all_that_it_says() -> None:
    base = row("FR", 50, "2023-01-01", "2024-01-01")
    plain = only(base)
    assert plain.factor_id.startswith("carbon_intensity/FR/2023-01-01/")
    assert only(base).factor_id == plain.factor_id
    changes = [("50,", "51,"), (",100.0,", ",101.0,"), ("2024-01-01", "2024-06-01"), ("a basis", "b basis"),
               ("a source", "b source"), ("a.example", "b.example"), (",own,", ",CC0,"),
               (",2026-01-01", ",2026-01-02")]  # fmt: skip
    ids = {only(base.replace(old, new, 1)).factor_id for old, new in changes}
    assert len(ids | {plain.factor_id}) == len(changes) + 1


def test_the_set_id_names_exactly_these_rows() -> None:
    assert table(row("FR", 50, "2023-01-01")).set_id != SMALL.set_id
    assert len(SMALL.set_id) == 12
    assert FactorSet(SMALL.rows[1:]).set_id != SMALL.set_id


def test_every_row_that_ships_has_an_id_of_its_own() -> None:
    ids = [factor.factor_id for factor in load().rows]
    assert len(set(ids)) == len(ids)


def test_which_places_are_known() -> None:
    assert SMALL.regions("carbon_intensity") == ["FR", "US", "US-CA", "WORLD"]
    assert SMALL.knows("carbon_intensity", "us-ca")
    assert not SMALL.knows("carbon_intensity", "US-TX")  # only its parent is
    assert SMALL.edges() == [date(2020, 1, 1), date(2022, 1, 1), date(2023, 1, 1), date(2024, 1, 1)]


# Broken tables ----------------------------------------------------------------------------------------------------

GOOD = row("FR", 50, "2023-01-01", "2024-01-01")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (GOOD.replace("50,", "fifty,", 1), "line 3: could not convert string to float: 'fifty'"),
        (GOOD.replace("2024-01-01", "2024-13-01"), "line 3: month must be in 1..12"),
        (GOOD.replace(",25.0,", ",60.0,"), r"line 3: low ≤ value ≤ high does not hold \(60.0, 50.0, 100.0\)"),
        (GOOD.replace(",25.0,", ",-1,"), "line 3: low ≤ value ≤ high does not hold"),
        (GOOD.replace(",100.0,", ",inf,"), "line 3: low ≤ value ≤ high does not hold"),
        (GOOD.replace("50,", "nan,", 1), "line 3: low ≤ value ≤ high does not hold"),
        (GOOD.replace("a source", ""), "line 3: source missing; every fact has a source"),
        (GOOD.replace("2023-01-01", ""), "line 3: valid_from missing; every fact has a source"),
        ("50,25,100", "line 3: "),
    ],
)
def test_a_broken_row_is_named_by_table_and_line(line: str, says: str) -> None:
    with pytest.raises(FactorError, match=f"factor table carbon_intensity, {says}"):
        table(GOOD, line)


def test_a_wrong_header_is_said() -> None:
    with pytest.raises(FactorError, match="factor table pue: the header must be value,low,high,unit,region"):
        parse_table("pue", "value,unit\n1,1\n")


def test_a_match_is_plain() -> None:
    factor = only(GOOD)
    assert Match(factor, "exact") == Match(only(GOOD), "exact")
    assert factor.valid == "2023-01-01 – 2024-01-01"
    assert only(row("FR", 50, "2023-01-01")).valid == "2023-01-01 – now"
