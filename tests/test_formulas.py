"""Each formula against a sum worked by hand, and on its three carriers: float, NumPy array, SQL text."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from joulebook.accounting.assess import CATEGORIES, ENDS, energy_sql, impact_amounts
from joulebook.accounting.carbon import operational_carbon_g
from joulebook.accounting.column import Column
from joulebook.accounting.cost import electricity_cost_usd
from joulebook.accounting.energy import cpu_it_energy_j, facility_energy_j, it_energy_j, memory_energy_j
from joulebook.accounting.water import water_l

KWH = 3_600_000.0
NAMES = (
    "pue",
    "carbon_intensity",
    "wue",
    "water_intensity",
    "electricity_price",
    "electricity_primary_energy",
    "electricity_adpe",
)

# Zero, or far enough from the smallest floats that a relative error means something.
energies = st.one_of(st.just(0.0), st.floats(1e-3, 1e15))
values = st.one_of(st.just(0.0), st.floats(1e-6, 1e4))
factors = st.fixed_dictionaries({name: st.floats(1, 5) if name == "pue" else values for name in NAMES})
quietly = settings(deadline=None, max_examples=60)


def near(expected: float | np.ndarray) -> object:
    return pytest.approx(expected, rel=1e-12, abs=0)


def test_cpu_time_becomes_energy() -> None:
    """100 s of one busy logical CPU × 4 W = 400 J."""
    assert cpu_it_energy_j(100.0, cpu_power_w=4.0) == 400.0


def test_a_device_is_less_than_its_server() -> None:
    """1000 J at the chip × 1.087 for the power supply = 1087 J at the plug."""
    assert it_energy_j(1000.0, it_overhead=1.087) == near(1087.0)


def test_the_facility_is_it_times_pue() -> None:
    """2 kWh × 1.2 = 2.4 kWh."""
    assert facility_energy_j(2 * KWH, pue=1.2) == near(2.4 * KWH)


def test_carbon() -> None:
    """2 kWh × 1.2 × 400 g/kWh = 960 g."""
    assert operational_carbon_g(2 * KWH, pue=1.2, intensity_g_per_kwh=400.0) == near(960.0)


def test_cost() -> None:
    """2 kWh × 1.5 × 0.10 USD/kWh = 0.30 USD."""
    assert electricity_cost_usd(2 * KWH, pue=1.5, price_usd_per_kwh=0.10) == near(0.30)


def test_pue_never_touches_wue() -> None:
    """1 kWh × (0.5 + 1.5 × 2) = 3.5 L. PUE on both would give 1.5 × (0.5 + 2) = 3.75 L, on none 2.5 L."""
    amount = water_l(KWH, wue_l_per_kwh=0.5, pue=1.5, offsite_l_per_kwh=2.0)
    assert amount == near(3.5)
    assert amount not in (near(3.75), near(2.5))


def test_every_impact_of_two_kilowatt_hours() -> None:
    """Facility 2 × 1.5 = 3 kWh; 3 × 400 = 1200 g; 2 × (0.5 + 1.5 × 2) = 7 L; 3 × 0.10 = 0.30 USD; 3 × 9 = 27 MJ;
    3 × 50 = 150 µgSb."""
    given_factors = dict(zip(NAMES, (1.5, 400.0, 0.5, 2.0, 0.10, 9e6, 5e-8), strict=True))
    assert impact_amounts(2 * KWH, given_factors) == near(
        {"it_energy_j": 2 * KWH, "facility_energy_j": 3 * KWH, "carbon_g": 1200.0, "water_l": 7.0, "cost_usd": 0.30,
         "primary_energy_j": 27e6, "adpe_kgsb": 1.5e-7}
    )  # fmt: skip


def test_without_a_factor_an_impact_is_not_there() -> None:
    """A place without primary energy or minerals has the other five; none of them is 0 for it."""
    five = dict(zip(NAMES, (1.5, 400.0, 0.5, 2.0, 0.10), strict=False))
    assert set(CATEGORIES) - set(impact_amounts(KWH, five)) == {"primary_energy_j", "adpe_kgsb"}


# One formula, three carriers --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:") as con:
        yield con


def in_sql(con: duckdb.DuckDBPyConnection, texts: list[str], row: dict[str, float | str]) -> list[float]:
    """Some SQL expressions over one row of doubles and texts."""
    columns = ", ".join(f"?::{'varchar' if isinstance(x, str) else 'double'} as {name}" for name, x in row.items())
    found = con.execute(f"select {', '.join(texts)} from (select {columns})", list(row.values())).fetchone()
    assert found is not None
    return list(found)


@given(energies, factors)
@quietly
def test_every_impact_is_the_same_on_float_array_and_sql(
    con: duckdb.DuckDBPyConnection, energy: float, by_name: dict[str, float]
) -> None:
    by_hand = impact_amounts(energy, by_name)
    assert list(by_hand) == list(CATEGORIES)
    as_array = impact_amounts(np.array([energy, energy]), {name: np.array([x, x]) for name, x in by_name.items()})
    columns = impact_amounts(Column("it"), {name: Column(name) for name in NAMES})
    as_sql = in_sql(con, [str(column) for column in columns.values()], {"it": energy, **by_name})
    for category, from_sql in zip(CATEGORIES, as_sql, strict=True):
        assert from_sql == near(by_hand[category]), category
        assert as_array[category] == near(np.array([by_hand[category]] * 2)), category


@given(energies, st.tuples(values, values, values), st.tuples(values, values, values))
@quietly
def test_energy_in_sql_is_the_energy_of_the_formulas(
    con: duckdb.DuckDBPyConnection, amount: float, power: tuple[float, ...], overhead: tuple[float, ...]
) -> None:
    """CPU seconds × W; joules of a device × overhead; joules at the plug as they are; GB·s × W/GB × overhead."""
    row: dict[str, float | str] = {f"amount_{end}": amount for end in ENDS}
    row |= {f"dram_power_{end}": x for end, x in zip(ENDS, power, strict=True)}
    row |= {f"cpu_power_{end}": x for end, x in zip(ENDS, power, strict=True)}
    row |= {f"it_overhead_{end}": x for end, x in zip(ENDS, overhead, strict=True)}
    texts = [energy_sql(end) for end in ENDS]
    modelled = [cpu_it_energy_j(amount, cpu_power_w=x) for x in power]
    at_plug = [it_energy_j(amount, it_overhead=x) for x in overhead]
    memory = [it_energy_j(memory_energy_j(amount, dram_power_w_per_gb=w), it_overhead=x)
              for w, x in zip(power, overhead, strict=True)]  # fmt: skip
    cases = (("s", "it", modelled), ("J", "device", at_plug), ("J", "it", [amount] * 3), ("GB", "device", memory))
    for unit, boundary, expected in cases:
        assert in_sql(con, texts, row | {"unit": unit, "boundary": boundary}) == near(expected)


def test_a_column_writes_each_sign_in_its_order(con: duckdb.DuckDBPyConnection) -> None:
    """x = 8, y = 2: 8 + 2, 8 - 2, 8 × 2, 8 ÷ 2; with a number on either side; and (8 + 2) × 2 is not 8 + 2 × 2."""
    x, y = Column("x"), Column("y")
    columns = [
        x + y,
        x - y,
        x * y,
        x / y,
        x + 1,
        1 + x,
        x - 1,
        1 - x,
        x * 3,
        3 * x,
        x / 4,
        4 / x,
        (x + y) * y,
        x - (y - 1),
    ]
    expected = [10, 6, 16, 4, 9, 9, 7, -7, 24, 24, 2, 0.5, 20, 7]
    assert in_sql(con, [str(column) for column in columns], {"x": 8.0, "y": 2.0}) == expected


def test_a_number_in_a_column_keeps_all_its_digits(con: duckdb.DuckDBPyConnection) -> None:
    """SQL reads 0.1 as a DECIMAL, whose division rounds: 1 ÷ 3 must be the double nearest to a third."""
    assert in_sql(con, [str(Column("x") / 3), str(Column("x") * 0.1)], {"x": 1.0}) == [1 / 3, 0.1]


# What holds for all inputs ----------------------------------------------------------------------------------------


@given(energies, st.floats(1e-3, 1e3), factors)
@quietly
def test_twice_the_energy_is_twice_the_impact(energy: float, times: float, by_name: dict[str, float]) -> None:
    once, often = impact_amounts(energy, by_name), impact_amounts(energy * times, by_name)
    assert often == near({category: amount * times for category, amount in once.items()})


@given(energies, energies, factors)
@quietly
def test_a_split_adds_up_to_the_whole(first: float, second: float, by_name: dict[str, float]) -> None:
    parts = impact_amounts(first, by_name), impact_amounts(second, by_name)
    whole = impact_amounts(first + second, by_name)
    assert whole == near({category: parts[0][category] + parts[1][category] for category in CATEGORIES})


@given(factors)
@quietly
def test_nothing_used_is_nothing_caused(by_name: dict[str, float]) -> None:
    assert set(impact_amounts(0.0, by_name).values()) == {0.0}


def ordered(numbers: st.SearchStrategy[float]) -> st.SearchStrategy[list[float]]:
    return st.lists(numbers, min_size=3, max_size=3).map(sorted)


@given(
    ordered(energies),
    st.fixed_dictionaries({name: ordered(st.floats(1, 5) if name == "pue" else values) for name in NAMES}),
)
@quietly
def test_ordered_factors_give_ordered_impacts(energy: list[float], by_name: dict[str, list[float]]) -> None:
    low, mid, high = (impact_amounts(energy[end], {name: by_name[name][end] for name in NAMES}) for end in range(3))
    for category in CATEGORIES:
        assert low[category] <= mid[category] <= high[category], category


# factor -> what must grow with it; all else must stay as it is
GROWS = {
    "pue": {"facility_energy_j", "carbon_g", "water_l", "cost_usd", "primary_energy_j", "adpe_kgsb"},
    "carbon_intensity": {"carbon_g"},
    "wue": {"water_l"},
    "water_intensity": {"water_l"},
    "electricity_price": {"cost_usd"},
    "electricity_primary_energy": {"primary_energy_j"},
    "electricity_adpe": {"adpe_kgsb"},
}


@pytest.mark.parametrize("name", NAMES)
@given(energy=st.floats(1, 1e12), by_name=st.fixed_dictionaries({name: st.floats(1, 100) for name in NAMES}))
@quietly
def test_a_greater_factor_makes_what_rests_on_it_greater(name: str, energy: float, by_name: dict[str, float]) -> None:
    before, after = impact_amounts(energy, by_name), impact_amounts(energy, by_name | {name: by_name[name] * 1.5})
    assert {category for category in CATEGORIES if after[category] > before[category]} == GROWS[name]
    assert {category for category in CATEGORIES if after[category] < before[category]} == set()
