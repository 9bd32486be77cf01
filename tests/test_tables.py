"""The factor tables: every row is whole, dated, sourced and in order; some are checked against the published number."""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from datetime import date
from itertools import pairwise
from pathlib import Path

import pytest

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
}
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
        assert value > 0, row


def test_unit_and_region(table: str) -> None:
    unit, pattern, _ = CONTRACT[table]
    rows = read(table)
    assert {row["unit"] for row in rows} == {unit}
    assert [row["region"] for row in rows if not re.fullmatch(pattern, row["region"])] == []
    assert "WORLD" in {row["region"] for row in rows}


def test_days(table: str) -> None:
    for row in read(table):
        assert day(row["valid_from"]) < last_day(row), row
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
    ],
)
def test_spot_values(table: str, region: str, valid_from: str, published: float) -> None:
    [row] = [row for row in read(table) if (row["region"], row["valid_from"]) == (region, valid_from)]
    assert float(row["value"]) == pytest.approx(published, rel=5e-4)
