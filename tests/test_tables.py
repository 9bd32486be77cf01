"""The factor tables: every row is whole, dated, sourced and in order; some are checked against the published number."""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from collections.abc import Callable
from datetime import date
from itertools import pairwise
from pathlib import Path

import pytest

from joulebook.accounting.errors import FactorError
from joulebook.accounting.factors import load, parse_table
from joulebook.accounting.factors.hardware import load_hardware, making, parse_hardware, published
from joulebook.accounting.factors.regions import cloud_regions, parse_regions

TABLES = Path(__file__).parents[1] / "data" / "tables"
HEADER = ["value", "low", "high", "unit", "region", "valid_from", "valid_to",
          "basis", "source", "url", "licence", "retrieved"]  # fmt: skip

PLACE = r"WORLD|[A-Z]{2}(-[A-Z0-9]{1,3})?"
KEY = r"WORLD|[a-z0-9]+(-[a-z0-9]+)*"
# table -> (unit, pattern of the region, least value that can be true)
CONTRACT = {
    "carbon_intensity": ("gCO2e/kWh", PLACE, 1.0),
    "pue": ("1", KEY, 1.0),
    "wue": ("L/kWh", KEY, 0.0),
    "water_intensity": ("L/kWh", PLACE, 0.1),
    "electricity_price": ("USD/kWh", PLACE, 0.005),
    "cpu_power": ("W", KEY, 0.1),
    "it_overhead": ("1", KEY, 1.0),
    "dram_power": ("W/GB", KEY, 0.01),
    "electricity_adpe": ("kgSb/kWh", PLACE, 1e-9),
    "electricity_primary_energy": ("J/kWh", PLACE, 3.6e6),  # what a kWh is itself
    "technology_intensity": ("gCO2e/kWh", KEY, 0.0),
    "technology_intensity_direct": ("gCO2e/kWh", KEY, 0.0),
    "upstream_share": ("1", PLACE, 0.0),
    "grid_losses": ("1", PLACE, 0.0),
    "hardware_lifetime": ("year", KEY, 1.0),
    "social_cost_of_carbon": ("USD/t", KEY, 1.0),
}
# What holds for a place or a key that is named, and for no other.
NOT_OF_THE_WORLD = {
    "electricity_primary_energy", "technology_intensity", "technology_intensity_direct", "upstream_share",
    "grid_losses", "social_cost_of_carbon",
}  # fmt: skip
MAY_BE_ZERO = {"technology_intensity_direct", "upstream_share"}
Row = dict[str, str]


def read(table: str) -> list[Row]:
    with (TABLES / f"{table}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def day(text: str) -> date:
    """A date written as YYYY-MM-DD and in no other way; `date.fromisoformat` takes more."""
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", text), text
    return date.fromisoformat(text)


def last_day(row: Row) -> date:
    return day(row["valid_to"]) if row["valid_to"] else date.max


@pytest.fixture(params=CONTRACT)
def table(request: pytest.FixtureRequest) -> str:
    return request.param


def test_the_tables_are_the_ones_of_the_contract() -> None:
    found = {path.stem for path in TABLES.glob("*.csv")}
    assert set(CONTRACT) <= found


def test_file_form(table: str) -> None:
    raw = (TABLES / f"{table}.csv").read_bytes()
    assert raw.split(b"\n", 1)[0].decode() == ",".join(HEADER)
    assert b"\r" not in raw
    assert raw.endswith(b"\n")


def test_every_cell_is_there(table: str) -> None:
    for row in read(table):
        assert list(row) == HEADER  # a surplus cell would stand under None
        assert [name for name in HEADER if name != "valid_to" and not (row[name] or "").strip()] == [], row


def test_numbers_are_finite_and_ordered(table: str) -> None:
    _, _, least = CONTRACT[table]
    for row in read(table):
        value, low, high = (float(row[name]) for name in ("value", "low", "high"))
        assert least <= low <= value <= high, row
        assert math.isfinite(high), row
        assert value > 0 or table in MAY_BE_ZERO, row


def test_unit_and_region(table: str) -> None:
    unit, pattern, _ = CONTRACT[table]
    rows = read(table)
    assert {row["unit"] for row in rows} == {unit}
    assert [row["region"] for row in rows if not re.fullmatch(pattern, row["region"])] == []
    assert ("WORLD" in {row["region"] for row in rows}) == (table not in NOT_OF_THE_WORLD)


def test_days(table: str) -> None:
    for row in read(table):
        assert day(row["valid_from"]) < last_day(row), row
        if table != "social_cost_of_carbon":  # the damage of emissions that are still to come
            assert day(row["retrieved"]) >= day(row["valid_from"]), row


def test_rows_are_sorted_and_single(table: str) -> None:
    keys = [(row["region"], row["valid_from"], row["retrieved"]) for row in read(table)]
    assert keys == sorted(keys)
    assert [key for key, count in Counter(keys).items() if count > 1] == []


def test_intervals_of_a_region_do_not_overlap(table: str) -> None:
    rows = sorted(read(table), key=lambda row: (row["region"], row["retrieved"], row["valid_from"]))
    for before, after in pairwise(rows):
        if (before["region"], before["retrieved"]) == (after["region"], after["retrieved"]):
            assert last_day(before) <= day(after["valid_from"]), (before, after)


def test_sources(table: str) -> None:
    for row in read(table):
        assert re.fullmatch(r"https://[^\s/]+\.[^\s/]+/?\S*", row["url"]), row
        assert min(len(row["source"]), len(row["basis"])) > 10, row


def test_carbon_intensity_covers_the_world() -> None:
    regions = {row["region"] for row in read("carbon_intensity")}
    countries = {region for region in regions if re.fullmatch("[A-Z]{2}", region)}
    assert len(countries) >= 60
    assert len([region for region in regions if region.startswith("US-")]) == 51  # the states and DC


def test_no_country_carries_the_world_average() -> None:
    rows = read("carbon_intensity")
    world = {row["value"] for row in rows if row["region"] == "WORLD"} | {"475"}  # 475: a common fallback
    assert [row["region"] for row in rows if row["region"] != "WORLD" and row["value"] in world] == []


def test_a_cpu_that_nobody_named_spans_every_known_one() -> None:
    rows = {row["region"]: row for row in read("cpu_power")}
    known = [row for region, row in rows.items() if region != "WORLD"]
    assert float(rows["WORLD"]["low"]) <= min(float(row["low"]) for row in known)
    assert float(rows["WORLD"]["high"]) >= max(float(row["value"]) for row in known)


@pytest.mark.parametrize(
    ("table", "region", "valid_from", "published"),
    [
        ("carbon_intensity", "FR", "2023-01-01", 56.04),  # Our World in Data, edition of 2024
        ("carbon_intensity", "SE", "2023-01-01", 40.70),  # the same
        ("carbon_intensity", "PL", "2023-01-01", 661.93),  # the same
        ("carbon_intensity", "IN", "2023-01-01", 713.44),  # the same
        ("carbon_intensity", "DE", "2023-01-01", 380.95),  # the same
        ("carbon_intensity", "AF", "2024-01-01", 131.31),  # owid-energy-data.csv, edition of 2026
        ("carbon_intensity", "ZW", "2024-01-01", 384.02),  # the same
        ("carbon_intensity", "WORLD", "2024-01-01", 471.08),  # the same; Ember's first figure was 473
        ("carbon_intensity", "WORLD", "2025-01-01", 458.29),  # the same
        ("carbon_intensity", "US-CA", "2023-01-01", 394.769 * 0.45359237),  # EPA eGRID2023: 394.769 lb/MWh
        ("pue", "aws", "2025-01-01", 1.14),  # Amazon's sustainability page
        ("pue", "gcp", "2024-01-01", 1.09),  # 84 % less overhead than 1.56: 1 + 0.16 × 0.56 = 1.09
        ("pue", "WORLD", "2024-01-01", 1.56),  # Uptime Institute survey
        ("wue", "aws", "2025-01-01", 0.12),  # Amazon, 2026
        ("wue", "azure", "2024-07-01", 0.27),  # Microsoft, fiscal year 2025
        ("water_intensity", "US", "2020-01-01", 3.132),  # WRI
        ("electricity_price", "US", "2024-01-01", 0.1275),  # EIA: 12.75 cents, commercial
        ("electricity_price", "US-VA", "2023-01-01", 0.0895),  # EIA: 8.95 cents, commercial
        ("electricity_price", "DE", "2025-07-01", 0.2264 * 1.13),  # Eurostat: 0.2264 EUR; 1.13 USD per EUR
        ("cpu_power", "intel-granite-rapids", "2020-01-01", 2.527),  # ccf-coefficients
        ("dram_power", "WORLD", "2016-01-01", 0.3725),  # Green Algorithms
        ("it_overhead", "WORLD", "2012-01-01", 1 / 0.92),  # 80 PLUS Gold at 230 V, half load
        ("electricity_primary_energy", "FR", "2020-01-01", 9.3135e6),  # ADEME, as EcoLogits has it
        ("electricity_adpe", "US", "2020-01-01", 9.855e-8),  # the same
        ("technology_intensity", "coal", "2014-01-01", 820),  # IPCC AR5, annex III, table A.III.2
        ("technology_intensity", "nuclear", "2014-01-01", 12),  # the same
        ("technology_intensity_direct", "gas", "2014-01-01", 370),  # the same
        ("grid_losses", "US", "2018-01-01", 0.05),  # EIA
        ("social_cost_of_carbon", "epa", "2025-01-01", 210),  # EPA, 2 %
        ("social_cost_of_carbon", "uba", "2025-01-01", 345 * 1.13),  # Umweltbundesamt; 1.13 USD per EUR
    ],
)
def test_spot_values(table: str, region: str, valid_from: str, published: float) -> None:
    [row] = [row for row in read(table) if (row["region"], row["valid_from"]) == (region, valid_from)]
    assert float(row["value"]) == pytest.approx(published, rel=5e-4)


# A row without its source, its date or its licence is rejected ------------------------------------------------------


@pytest.mark.parametrize("column", ["source", "retrieved", "licence", "url", "basis"])
def test_a_factor_without_its_origin_is_rejected(column: str) -> None:
    head, good = (TABLES / "pue.csv").read_text("utf-8").splitlines()[:2]
    cells = next(csv.DictReader([head, good])) | {column: ""}
    planted = ",".join(f'"{cells[name]}"' for name in HEADER)
    with pytest.raises(FactorError, match=f"factor table pue, line 3: {column} missing; every fact has a source"):
        parse_table("pue", "\n".join((head, good, planted)))


@pytest.mark.parametrize("column", ["source", "retrieved", "licence"])
@pytest.mark.parametrize(("table", "parse"), [("hardware_embodied", parse_hardware), ("cloud_regions", parse_regions)])
def test_a_row_of_a_catalogue_without_its_origin_is_rejected(
    table: str, parse: Callable[[str], object], column: str
) -> None:
    head, good = (TABLES / f"{table}.csv").read_text("utf-8").splitlines()[:2]
    cells = next(csv.DictReader([head, good])) | {column: ""}
    planted = ",".join(f'"{cells[name]}"' for name in head.split(","))
    with pytest.raises(FactorError, match=f"{table}, line 3: {column} missing"):
        parse("\n".join((head, good, planted)))


def test_making_hardware_is_whole_and_its_spread_is_shown() -> None:
    """Of one class of card 127.6 to 575 kg are published; it is taken as 250 kg, P5 to P95 130 to 575."""
    assert [figure.value for figure in published("H100")] == [
        127600,
        150000,
        164000,
        181000,
        273000,
        318000,
        568000,
        575000,
    ]
    taken = making("NVIDIA H100 80GB HBM3")
    assert taken is not None
    assert taken.range_of("gwp_g") == (130_000, 250_000, 575_000)
    assert taken == making("NVIDIA A100-SXM4-80GB")
    for figure in load_hardware():
        assert figure.unit == {"gwp_g": "g", "adpe_kgsb": "kgSb", "primary_energy_j": "J"}[figure.category], figure
        assert min(len(figure.source), len(figure.basis)) > 5, figure
    assert making("NVIDIA A10") is None  # no name is taken for another


def test_every_cloud_region_stands_on_a_grid_that_is_known() -> None:
    """Both the country's and, where it has one, the state's own: never the world's."""
    known = load()
    for row in cloud_regions().values():
        assert known.knows_place("carbon_intensity", row.place), row
        assert known.select("carbon_intensity", row.place, date(2024, 7, 1)).match != "world", row
    clouds = Counter(row.provider for row in cloud_regions().values())
    assert clouds == {"aws": 39, "azure": 58, "gcp": 45}
