"""Projections: the study's numbers, each driver by hand, ranges, sensitivities, vintages, and the command."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from joulebook.accounting.errors import InputError, NotFound
from joulebook.accounting.estimates import between
from joulebook.accounting.ledger import open_ledger
from joulebook.accounting.site import Site
from joulebook.accounting.uncertainty import lognormal, uniform
from joulebook.cli import main
from joulebook.models.projection import paper2501
from joulebook.models.projection.ask import Asked, answer
from joulebook.models.projection.base import base_of
from joulebook.models.projection.compare import between as apart
from joulebook.models.projection.compare import levels, reproduced
from joulebook.models.projection.engines import engine_of, engines
from joulebook.models.projection.money import api_cost_usd, carbon_price_cost_usd, costs
from joulebook.models.projection.outcome import Sampling, energy_index, project
from joulebook.models.projection.portfolio import Portfolio, Price, UseCase, of_the_paper
from joulebook.models.projection.ramps import compound, linear, logistic
from joulebook.models.projection.scenarios import PRESETS, checks, preset, scenario_of
from joulebook.models.projection.sensitivity import sobol, sobol_of, tornado
from joulebook.models.projection.vintages import manufacture, stands
from joulebook.models.projection.walk import walk
from joulebook.reports import views

GOLDEN = Path(__file__).parents[2] / "shared" / "reference" / "factors" / "paper2501_projection_golden.json"
CATEGORIES = ("energy", "gwp", "water", "primary_energy", "adpe")
TO_2030 = range(2024, 2031)


@cache
def study(inputs="calibrated"):
    return base_of(of_the_paper(inputs), engine_of("paper2501"), Site())


def index(base, scenario, years=TO_2030):
    """Each category's index by year, at the central drivers."""
    told = list(walk(base, scenario, years, scenario.central))
    found = {"energy": [year.energy / told[0].energy for year in told]}
    for name in told[0].impacts:
        found[name] = [year.impacts[name] / told[0].impacts[name] for year in told]
    return found


# The study, reproduced --------------------------------------------------------------------------------------------


def test_vgpus_hold_the_model():
    # 8 × 2 bytes × 1.3 ÷ 10 GB = 2.08 → 3; 70 → 18.2 → 19; 405 → 105.3 → 106
    assert [paper2501.vgpus(size) for size in (8, 70, 405)] == [3, 19, 106]


def test_energy_of_a_request_by_hand():
    # (0.26 s + 208.45 ÷ 124.3 tokens/s) ÷ 3600 × 3 vGPUs × 50.1 W × 1.15 = 0.0930 Wh
    chat = paper2501.typical("chat", "low")
    assert paper2501.compute_wh(chat) == pytest.approx((0.26 + 208.45 / 124.3) / 3600 * 3 * 50.1 * 1.15)
    # 335.34 tokens × 4 bytes = 1.34136e-6 GB: × 8760 h × 1.25e-3 W × 1.15 kept, × 34.2 Wh/GB sent
    told = paper2501.request_energy(chat)
    assert told.storage_wh == pytest.approx(1.34136e-6 * 8760 * 1.25e-3 * 1.15)
    assert told.network_wh == pytest.approx(1.34136e-6 * 34.2)


# Table 1, kWh of an inference, as printed: three digits, so up to half of the last is rounding
TABLE_1 = {
    "low": {"chat": 9.31e-5, "rag": 1.56e-4, "agents": 4.97e-4},
    "medium": {"chat": 1.55e-3, "rag": 2.64e-3, "agents": 8.54e-3},
    "high": {"chat": 1.73e-2, "rag": 2.99e-2, "agents": 9.58e-2},
}


@pytest.mark.parametrize("size", TABLE_1)
@pytest.mark.parametrize("kind", paper2501.GENERATIVE)
def test_table_1(size, kind):
    printed = TABLE_1[size][kind]
    rounding = 0.5 * 10 ** (math.floor(math.log10(printed)) - 2)
    told = paper2501.request_energy(paper2501.typical(kind, size)).total_wh / 1e3
    assert abs(told - printed) <= 0.005 * printed + rounding * ((size, kind) == ("low", "rag"))  # that cell: 0.51 %


@pytest.mark.parametrize(("kind", "kwh"), [("tabular", 3.46e-8), ("nlp", 3.70e-6), ("cv", 3.17e-4)])
def test_table_1_of_traditional_ai(kind, kwh):
    assert paper2501.traditional_energy(kind).total_wh / 1e3 == pytest.approx(kwh, rel=0.002)


# Table 33: of GWP, water, primary energy, ADPe, operation and manufacture (kg, m3 world-eq, MJ, kgSb)
TABLE_33 = {
    ("low", "chat"): (5.55e-5, 3.11e-6, 2.72e-6, 1.06e-6, 1.20e-3, 4.61e-5, 1.99e-12, 1.59e-11),
    ("high", "chat"): (1.03e-2, 5.79e-4, 5.06e-4, 1.98e-4, 0.224, 8.57e-3, 3.70e-10, 2.96e-9),
    ("high", "rag"): (1.79e-2, 1.00e-3, 8.75e-4, 3.42e-4, 0.387, 1.48e-2, 6.40e-10, 5.11e-9),
    ("high", "agents"): (5.72e-2, 3.20e-3, 2.80e-3, 1.09e-3, 1.24, 4.74e-2, 2.05e-9, 1.64e-8),
}


@pytest.mark.parametrize("row", TABLE_33)
def test_table_33(row):
    size, kind = row
    told = paper2501.impacts(paper2501.request_energy(paper2501.typical(kind, size)).total_wh)
    units = {"gwp": 1e3, "water": 1e3, "primary_energy": 1e6, "adpe": 1.0}
    ours = [
        amount / unit
        for name, unit in units.items()
        for amount in (told[name, "grid"] + told[name, "site"], told[name, "embodied"])
    ]
    assert ours == pytest.approx(TABLE_33[row], rel=0.006)


def test_the_portfolio_of_a_firm():
    # 3.9 GWh; agents 48.7 % of the energy as calibrated, 65.7 % as printed; GWP 2,480 t, water 160,000 m3, 0.76 kgSb
    for inputs, share in (("calibrated", 0.487), ("printed", 0.657)):
        energy = {kind: parts["energy", "grid"] for (kind, _), parts in study(inputs).cells.items()}
        assert sum(energy.values()) / 1e9 == pytest.approx(3.9, rel=0.001)
        assert energy["agents"] / sum(energy.values()) == pytest.approx(share, abs=5e-4)
    assert study().total("gwp") / 1e9 == pytest.approx(2.48, rel=0.011)
    assert study().total("water") / 1e6 == pytest.approx(160, rel=0.011)
    assert study().total("adpe") == pytest.approx(0.76, rel=0.016)


@pytest.mark.parametrize(
    ("scenario", "published", "within"),
    [("high", 24.40, 0.002), ("steady", 5.52, 0.002), ("intermediate", 7.55, 0.005), ("breakthrough", 4.02, 0.01),
     ("limited", 0.30, 0.025)],
)  # fmt: skip
def test_the_study_s_scenarios(scenario, published, within):
    assert index(study(), preset(scenario))["energy"][-1] == pytest.approx(published, rel=within)


def test_the_headline_by_hand():
    # (0.513 × 10.09 + 0.487 × 13.87) × 3 × 3 ÷ 4.4 = 24.40
    by_hand = (0.513 * 10.09 + 0.487 * 13.87) * 9 / 4.4
    assert by_hand == pytest.approx(24.40, rel=2e-4)
    printed = index(study("printed"), preset("high", "printed"))["energy"][-1]
    assert printed == pytest.approx(25.72, rel=0.001)
    assert printed == pytest.approx(24.40, rel=0.065)


@pytest.mark.parametrize("scenario", ["steady", "high", "intermediate"])
def test_other_criteria_of_the_study(scenario):
    told = index(study(), preset(scenario))
    for name, within in {"gwp": 0.003, "water": 0.004, "primary_energy": 0.003, "adpe": 0.006}.items():
        assert told[name][-1] == pytest.approx(paper2501.published_index(scenario, name), rel=within), name


@pytest.mark.parametrize("scenario", ["limited", "breakthrough"])
def test_where_efficiency_is_high_manufacture_goes_by_hours_of_hardware(scenario):
    # the study counts quantisation twice there, so that its manufacture is a fifth lower: bands of 10 to 25 %
    told = index(study(), preset(scenario))
    for name, within in {"gwp": 0.04, "primary_energy": 0.025, "water": 0.1, "adpe": 0.25}.items():
        assert told[name][-1] == pytest.approx(paper2501.published_index(scenario, name), rel=within), name


def test_the_way_to_2030():
    # energy of high, year by year, recomputed apart from this code
    told = index(study(), preset("high"))["energy"]
    assert told == pytest.approx([1, 1.7001, 2.8924, 4.9243, 8.3894, 14.3029, 24.4016], rel=2e-4)
    assert index(study(), preset("limited"))["gwp"][3] == pytest.approx(0.4355, rel=5e-4)


def test_all_years_of_all_scenarios():
    if not GOLDEN.exists():
        pytest.skip(f"{GOLDEN} is not here: some of its numbers stand in the test before")
    results = json.loads(GOLDEN.read_text("utf-8"))["results"]
    for name, rows in results.items():
        told = index(study(), preset({"tech": "breakthrough"}.get(name, name)))
        for category, key in (("energy", "energy"), ("gwp", "gwp"), ("primary_energy", "pe"), ("water", "water")):
            assert told[category] == pytest.approx([row[key] for row in rows], rel=6e-4), (name, category)


def test_how_much_better_hardware_must_be_for_a_tenth_of_the_carbon():
    # Table 5: hardware × 565, PUE 1.04, grid 0.55: energy index 0.17, GWP 0.10
    told = index(study(), preset("high").with_values(hardware=565, pue=1.04, grid_carbon=0.55))
    assert told["energy"][-1] == pytest.approx(0.172, rel=0.005)
    assert told["gwp"][-1] == pytest.approx(0.10, rel=0.02)


def test_growth_of_agents():
    # Table 4, the only place to which the share of agents was fitted: energy by yearly growth of agents
    for rate, printed in {0.25: 5.12, 0.35: 6.12, 0.45: 7.55, 0.55: 9.58, 0.65: 12.37}.items():
        scenario = preset("intermediate").with_values(agents_growth=(1 + rate) ** 6)
        assert index(study(), scenario)["energy"][-1] == pytest.approx(printed, rel=0.005), rate


def test_beside_the_iea():
    told = index(study(), preset("iea"))["energy"][-1]
    assert told == pytest.approx(1.3**6, rel=0.05)  # 30 % a year: 4.83
    assert [round(each.value ** (1 / 6) - 1, 3) for each in checks()] == [0.3, 0.246, 0.148, 0.5]


def test_calibrated_and_printed_stand_side_by_side():
    told = {each.scenario: each for each in reproduced()}
    assert told["high"].published == 24.4
    assert told["high"].calibrated == pytest.approx(24.40, rel=0.002)
    assert told["steady"].printed == pytest.approx(5.25, rel=0.001)


# Drivers ----------------------------------------------------------------------------------------------------------


def test_growth_settles_after_2030():
    # 64 times in six years: 2 a year; afterwards 5 % + (100 % − 5 %) × e^(−years ÷ 3)
    path = compound(64.0, range(2024, 2033), 0.05, 3.0)
    growth = [0.05 + 0.95 * math.exp(-late / 3) for late in (1, 2)]
    assert path == pytest.approx([1, 2, 4, 8, 16, 32, 64, 64 * (1 + growth[0]), 64 * (1 + growth[0]) * (1 + growth[1])])


def test_a_cap_ends_growth():
    # cap 5, rate 2: 5 ÷ (1 + 4 ÷ 2^n)
    assert logistic(64.0, range(2024, 2028), 5.0) == pytest.approx([1, 5 / 3, 2.5, 10 / 3])


def test_straight_lines():
    # from 1 to 0.4 in six years: 0.9, 0.8, …; a grid goes on at the rate that led there, 0.4^(1/6) a year
    assert linear(0.4, range(2024, 2031)) == pytest.approx([1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    assert linear(0.4, range(2030, 2032)) == pytest.approx([1, 1])
    assert linear(0.4, range(2030, 2032), goes_on=True) == pytest.approx([1, 0.4 ** (1 / 6)])
    # who begins in 2027 has a part of the way behind: 0.4 ÷ 0.7
    assert linear(0.4, range(2027, 2031))[-1] == pytest.approx(0.4 / 0.7)


def test_size_has_an_elasticity_and_calls_are_of_agents():
    base, scenario = study(), preset("intermediate")
    start = index(base, scenario)["energy"][-1]
    squared = index(base, scenario.with_values(size_elasticity=2.0))["energy"][-1]
    assert squared / start == pytest.approx(2, rel=1e-4)  # size 2 becomes 4
    more = index(base, scenario.with_values(calls_per_workflow=2.0))["energy"][-1]
    agents = 0.48696 * 9.3 / ((1 - 0.48696) * 7.4 + 0.48696 * 9.3)  # of the energy in 2030
    assert more / start == pytest.approx(1 + agents, rel=1e-4)


def test_water_and_minerals_have_ways_of_their_own():
    # beside the study, a kWh keeps its water and minerals: only what a kWh emits falls
    base = base_of(Portfolio("one", (chat(),), 2024), engine_of("measured"), Site(region="FR"))
    told = index(base, preset("steady"))
    assert told["gwp"][-1] == pytest.approx(told["energy"][-1] * 0.75)
    assert told["water"][-1] == pytest.approx(told["energy"][-1])
    assert told["adpe"][-1] == pytest.approx(told["energy"][-1])


def test_a_region_goes_its_own_way(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text('base = "steady"\n[grid_carbon_in]\nFR = 0.9\n')
    scenario = scenario_of(str(path))
    for region, grid in {"FR": 0.9, "DE": 0.75}.items():
        base = base_of(Portfolio("one", (chat(region),), 2024), engine_of("measured"), Site(region=region))
        told = index(base, scenario)
        assert told["gwp"][-1] / told["energy"][-1] == pytest.approx(grid)


def test_a_scenario_of_ones_own(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text('base = "high"\nhardware = [4.0, 5.0, 8.0]\nmodel_size = {value = 1.5, source = "roadmap"}\n')
    scenario = scenario_of(str(path))
    assert (scenario.name, scenario.drivers["hardware"].range) == ("plan", (4.0, 5.0, 8.0))
    assert scenario.drivers["model_size"].basis == "roadmap"
    # (0.513 × 10.09 + 0.487 × 13.87) × 1.5 × 3 ÷ 5
    assert index(study(), scenario)["energy"][-1] == pytest.approx(24.402 * 4.4 / 9 * 4.5 / 5, rel=1e-4)


def test_a_range_of_ones_own_is_drawn_as_it_is_written(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text("hardware = [4.0, 5.0, 8.0]\n")
    at = np.array([0.05, 0.5, 0.95])
    assert scenario_of(str(path)).drivers["hardware"].dist(at) == pytest.approx([4, 5, 8])
    # that of the table: 4.4 ÷ and × √(8 ÷ 3)
    assert preset("intermediate").drivers["hardware"].dist(at) == pytest.approx([2.694, 4.4, 7.185], rel=1e-3)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("\nfoo = 1", "line 2, foo: no such driver"),
        ("hardware = -1", "line 1, hardware: -1 must be a number or low, mid, high, from"),
        ("hardware = [5, 4, 6]", "line 1, hardware"),
        ('pue = "good"', "line 1, pue: 'good' is neither a number"),
        ('base = "doom"', "line 1, base: 'doom' is no scenario"),
        ("[grid_carbon_in]\nXX = 1", "line 2, XX: the region 'XX' is not known"),
        ("grid_carbon_in = 3", "line 1, grid_carbon_in: must be a table"),
        ("[grid_carbon_in]\nFR = true", "line 2, FR: True is not a number"),
        ("hardware = {value = 4, lo = 3}", "line 1, hardware: 'lo' is no part of a driver"),
        ("a = = 1", "is not TOML"),
    ],
)
def test_a_scenario_that_makes_no_sense(tmp_path, text, says):
    path = tmp_path / "plan.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=says.replace("[", r"\[")):
        scenario_of(str(path))


def test_a_slider_changes_a_driver(tmp_path):
    asked = Asked("high", "paper2501", draws=2, changes=(("hardware", 8.8),))
    told = answer(open_ledger(tmp_path), asked).projection
    assert told.years[-1].index["energy"] == pytest.approx(24.402 / 2, rel=1e-4)
    with pytest.raises(InputError, match="no such driver"):
        answer(open_ledger(tmp_path), Asked(changes=(("luck", 2.0),)))


def test_every_driver_has_a_source_and_its_range():
    for inputs in paper2501.INPUTS:
        for name in PRESETS:
            for driver in preset(name, inputs).drivers.values():
                assert driver.low <= driver.value <= driver.high, (name, driver)
                assert all((driver.source, driver.basis, driver.url)), (name, driver)
                assert (driver.distribution == "fixed") == driver.fixed, (name, driver)


# Vintages ---------------------------------------------------------------------------------------------------------


def test_hardware_is_bought_for_growth_and_replaced():
    # life 4: a quarter is replaced every year; need 1 → 2 → 4: bought 1/4 + 1, then 1/4 + 2, of 1/4 in the first year
    told = manufacture([1, 2, 4], 4.0, [1, 1, 1])
    assert [year.bought for year in told] == pytest.approx([1, 5, 9])
    assert [year.charged for year in told] == pytest.approx([1, 2, 4])


def test_what_is_bought_and_not_needed_is_charged_all_the_same():
    # life 4, need falls to a tenth: three quarters still stand, a half, a quarter; then a tenth is bought
    told = manufacture([1, 0.1, 0.1, 0.1, 0.1], 4.0, [1] * 5)
    assert [year.charged for year in told] == pytest.approx([1, 0.75, 0.5, 0.25, 0.1])
    assert [year.bought for year in told] == pytest.approx([1, 0, 0, 0, 0.4])


def test_new_hardware_may_be_cheaper_to_make():
    # need doubles, each new piece takes half: 3/4 old + 5/4 new × 0.5 = 1.375
    assert manufacture([1, 2], 4.0, [1, 0.5])[1].charged == pytest.approx(1.375)


@given(st.floats(1, 12))
def test_a_vintage_stands_for_its_life(life):
    assert sum(stands(age, life) for age in range(13)) == pytest.approx(life)


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=9), st.floats(1, 8))
def test_no_manufacture_is_lost(growth, life):
    """Once everything has gone, as much was charged as was bought, and as was still to be charged of older vintages."""
    need = [1.0, *growth, *[0.0] * 9]
    told = manufacture(need, life, [1.0] * len(need))
    older = sum(stands(age, life) / life for begun in range(1, 9) for age in range(begun, 9))
    assert sum(year.charged for year in told) == pytest.approx(sum(year.bought for year in told) + older)


# Ranges -----------------------------------------------------------------------------------------------------------


def test_the_range_of_the_study_s_intermediate():
    # lognormals by hand: σ of size 0.298, output 0.264, hardware 0.298, growth about 0.18: P95 ÷ P50 = e^(1.645 × 0.53)
    told = project(study(), preset("intermediate"), sampling=Sampling(16384, 1))
    low, mid, high = told.years[-1].index_range["energy"]
    assert mid == pytest.approx(7.57, rel=0.01)
    assert low == pytest.approx(3.22, rel=0.04)
    assert high == pytest.approx(18.07, rel=0.03)
    assert told.years[-1].index["energy"] == pytest.approx(7.568, rel=1e-3)


def test_the_headline_is_a_stress_case():
    # ln(24.40 ÷ 7.57) ÷ 0.535 = 2.19 standard deviations: above 98 of 100 outcomes
    told = project(study(), preset("intermediate")).stress
    assert (told.scenario, told.among) == ("high", "intermediate")
    assert told.index == pytest.approx(24.40, rel=0.002)
    assert told.percentile == pytest.approx(0.985, abs=0.005)


def test_the_same_seed_gives_the_same_and_draws_are_raised_to_a_power_of_two():
    one, other = (project(study(), preset("intermediate"), sampling=Sampling(1000, 5)) for _ in range(2))
    assert one.draws == 1024
    assert one.years == other.years
    assert one.years != project(study(), preset("intermediate"), sampling=Sampling(1000, 6)).years


def test_what_a_scenario_fixes_has_no_range():
    told = project(study(), preset("high"))
    assert told.uncertain == ("gpu_embodied", "hardware_life_y")
    energy = told.years[-1].amounts["energy"]
    assert energy.low == energy.mid == energy.high == pytest.approx(24.402 * 3.8987e9, rel=1e-4)


@settings(max_examples=15)
@given(st.sampled_from(PRESETS), st.sampled_from(("model_size", "output_tokens", "pue", "genai_growth")))
def test_more_of_a_driver_is_more_energy(name, driver):
    scenario = preset(name)
    more = scenario.with_values(**{driver: scenario.drivers[driver].value * 1.1})
    assert index(study(), more)["energy"][-1] > index(study(), scenario)["energy"][-1]


@settings(max_examples=15)
@given(st.lists(st.floats(1, 1e6), min_size=1, max_size=5), st.sampled_from(PRESETS))
def test_a_portfolio_is_the_sum_of_its_use_cases(users, name):
    scenario = preset(name)

    def last(use_cases):
        base = base_of(Portfolio("some", tuple(use_cases), 2024), engine_of("paper2501"), Site())
        return [*walk(base, scenario, TO_2030, scenario.central)][-1].impacts["gwp"]

    parts = [chat(users=count) for count in users]
    assert last(parts) == pytest.approx(sum(last([each]) for each in parts))
    assert last(parts) == pytest.approx(last([chat(users=sum(users))]))


def test_numbers_and_arrays_go_the_same_way():
    scenario = preset("intermediate")
    sizes = np.array([1.0, 2.0, 3.0])
    told = energy_index(study(), scenario, {**scenario.central, "model_size": sizes})
    assert told == pytest.approx([energy_index(study(), scenario.with_values(model_size=x), {
        **scenario.central, "model_size": x}) for x in sizes])  # fmt: skip


# Sensitivities ----------------------------------------------------------------------------------------------------


def test_sobol_of_a_product_of_lognormals():
    # of the logarithm S1 = σ² ÷ Σσ²: 0.09, 0.0706, 0.09 → 0.359, 0.282, 0.359
    spreads = {"a": 1.6356, "b": 1.5480, "c": 1.6356}
    dists = {name: lognormal(1 / spread, 1.0, spread) for name, spread in spreads.items()}
    told = sobol_of(lambda x: np.log(x["a"] * x["b"] / x["c"]), dists, 4096, 1)
    variances = np.array([math.log(spread) ** 2 for spread in spreads.values()])
    assert [each.first for each in told] == pytest.approx(list(variances / variances.sum()), abs=0.01)
    assert [each.total for each in told] == pytest.approx(list(variances / variances.sum()), abs=0.01)


def test_sobol_of_ishigami():
    # sin a + 7 sin² b + 0.1 c⁴ sin a: S1 = 0.3139, 0.4424, 0; ST = 0.5576, 0.4424, 0.2437
    dists = {name: uniform(-math.pi, math.pi) for name in "abc"}
    told = sobol_of(
        lambda x: np.sin(x["a"]) + 7 * np.sin(x["b"]) ** 2 + 0.1 * x["c"] ** 4 * np.sin(x["a"]), dists, 8192, 1
    )
    assert [each.first for each in told] == pytest.approx([0.3139, 0.4424, 0.0], abs=0.01)
    assert [each.total for each in told] == pytest.approx([0.5576, 0.4424, 0.2437], abs=0.01)


def test_whose_uncertainty_it_is():
    # recomputed apart from this code: S1 of size 0.292, hardware 0.291, output 0.229, agents 0.063, other use 0.025
    told = {each.driver: each for each in sobol(study(), preset("intermediate"))}
    expected = {"model_size": 0.292, "hardware": 0.291, "output_tokens": 0.229, "agents_growth": 0.063}
    for name, first in expected.items():
        assert told[name].first == pytest.approx(first, abs=0.02), name
    assert told["model_size"].total == pytest.approx(0.356, abs=0.01)


def test_one_driver_at_a_time():
    # ± 10 %: size ∓10 %; hardware 1/0.9 and 1/1.1; agents 49.5 % and 40.5 % a year instead of 45 %
    told = {each.driver: each for each in tornado(study(), preset("intermediate"))}
    centre = index(study(), preset("intermediate"))["energy"][-1]
    changes = {name: (each.less / centre - 1, each.more / centre - 1) for name, each in told.items()}
    assert changes["model_size"] == pytest.approx((-0.1, 0.1), abs=1e-4)
    assert changes["hardware"] == pytest.approx((0.111, -0.091), abs=1e-3)
    assert changes["pue"] == pytest.approx((-0.1, 0.1), abs=1e-4)
    assert changes["agents_growth"] == pytest.approx((-0.094, 0.109), abs=1e-3)
    assert changes["genai_growth"] == pytest.approx((-0.072, 0.083), abs=1e-3)
    assert told["quantisation"].at_low is None
    assert told["hardware"].at_low == pytest.approx(centre * 4.4 / 3.0, rel=1e-6)


# Engines ----------------------------------------------------------------------------------------------------------


def chat(region="FR", users=100.0, **more):
    """A use case of which a request took 3,600 J at the plug of one's own server."""
    energy = between((1800, 3600, 7200), "J", "measured")
    told = {"energy_j": energy, "input_tokens": 300, "output_tokens": 400, "model_sizes": {"high": 1.0}} | more
    return UseCase("assistant", "chat", 1, users, 10, 250, regions={region: 1.0}, **told)


def test_the_study_is_not_the_default():
    assert next(iter(engines())) == "evidence"
    base = base_of(of_the_paper("calibrated", "FR"), engine_of("evidence"), Site())
    assert study().total("energy") / base.total("energy") == pytest.approx(9.6, rel=0.02)


def test_what_is_measured_comes_first():
    # 100 × 10 × 250 requests of 1 Wh at the plug × the PUE of the place
    site = Site(region="FR", pue=(1.2, 1.2, 1.2))
    base = base_of(Portfolio("one", (chat(),), 2024), engine_of("evidence"), site)
    assert base.total("energy") == pytest.approx(250_000 * 1.2)
    assert (base.method, base.spread["request_energy"]) == ("measured", (0.5, 1.0, 2.0))
    assert base.covers["gwp"] == "operation only"
    # what is measured is a request; a year to come is not
    assert {year.amounts["energy"].method for year in project(base, preset("high")).years} == {"modelled"}


def test_who_says_nothing_is_in_no_sum():
    named = chat(energy_j=None, provider="openai", model="gpt-99")
    base = base_of(Portfolio("two", (chat(), named), 2024), engine_of("evidence"), Site())
    ((silent, reason),) = base.silent
    assert silent is named
    assert "ecologits: EcoLogits knows no model 'gpt-99'" in reason
    with pytest.raises(NotFound, match="measured says nothing of one"):
        project(base_of(Portfolio("one", (named,), 2024), engine_of("measured"), Site()), preset("high"))


def test_a_run_of_a_model_that_nobody_named():
    # its energy is measured; an estimator has neither a model nor a size to go by
    found = levels(Portfolio("one", (chat(model_sizes={}),), 2024), preset("high"), Site(region="FR"), Sampling(64))
    told = {level.engine: level for level in found}
    assert told["ecologits"].reason == "neither its model nor the size of it is known"
    assert told["measured"].covers == 1


def test_engines_side_by_side():
    found = levels(of_the_paper("calibrated", "FR"), preset("intermediate"), Site(), Sampling(64))
    told = {level.engine: level for level in found}
    assert {"paper2501", "ecologits", "ecocost", "epoch", "disclosed", "measured", "roofline"} <= set(told)
    assert told["epoch"].now_wh.reason
    spread = apart(found)
    assert spread.highest == "paper2501"
    assert spread.ratio == pytest.approx(told["paper2501"].now_wh.mid / told[spread.lowest].now_wh.mid)


# Money ------------------------------------------------------------------------------------------------------------


def test_what_calls_and_carbon_cost():
    # 1000 requests × ($1 in + $2 out × 3 times as long); 5 t at 100 $/t
    assert api_cost_usd(1000, Price(1, 2, "list"), output=3) == 7000
    assert carbon_price_cost_usd(5e6, price_usd_per_t=100) == 500


def test_electricity_of_one_s_own_machines():
    # 250,000 requests of 1 Wh × PUE 1.2 = 300 kWh, in two places together, at $0.20; five times as much in 2030: steady
    site = Site(region="FR", pue=(1.2, 1.2, 1.2), price_usd_per_kwh=(0.1, 0.2, 0.3))
    shared = replace(chat(), regions={"FR": 0.5, "DE": 0.5})
    made = project(base_of(Portfolio("one", (shared,), 2024), engine_of("measured"), site), preset("steady"))
    first, *_, last = costs(made, site)
    assert first.electricity_usd.mid == pytest.approx(300 * 0.2)
    # 5.29 × 3 × 1.43 ÷ 4.4 = 5.158
    assert last.electricity_usd.mid == pytest.approx(300 * 0.2 * 5.29 * 3 * 1.43 / 4.4)
    assert (first.api_usd.reason, first.carbon_usd.known) == ("nothing of it is bought at an API", False)


def test_calls_of_an_api_grow_with_use_and_length():
    # 250,000 requests of $0.001 + $0.002; high: 10.09 times as many, answers three times as long
    bought = chat(energy_j=None, provider="openai", model="gpt-4o", price=Price(0.001, 0.002, "list"))
    site = Site(region="FR")
    made = project(base_of(Portfolio("one", (bought,), 2024), engine_of("ecologits"), site), preset("high"))
    first, *_, last = costs(made, site)
    assert first.api_usd.mid == pytest.approx(750)
    assert last.api_usd.mid == pytest.approx(250_000 * 10.09 * (0.001 + 0.002 * 3))


# The command and the Views ----------------------------------------------------------------------------------------


def ask(home, capsys, *words):
    code = main(["--home", str(home), "project", *words])
    out = capsys.readouterr()
    return code, out.out, out.err


def test_the_command_as_json(tmp_path, capsys):
    code, out, _ = ask(tmp_path, capsys, "--scenario", "high", "--engine", "paper2501", "--draws", "256", "--json")
    told = json.loads(out)
    assert code == 0
    assert (told["engine"], told["scenario"], told["inputs"], told["draws"]) == ("paper2501", "high", "calibrated", 256)
    first, last = told["years"][0], told["years"][-1]
    assert (first["year"], last["year"]) == (2024, 2030)
    assert first["index"] == dict.fromkeys(CATEGORIES, 1.0)
    assert last["index"]["energy"] == pytest.approx(24.40, rel=0.002)
    assert last["energy_wh"]["p50"] == pytest.approx(24.402 * 3.8987e9, rel=1e-4)
    keys = ("energy_wh", "gwp_g", "water_l", "primary_energy_j", "adpe_kgsb")
    assert all({"p5", "p50", "p95", "central", "unit", "method"} <= set(last[key]) for key in keys)
    assert all(last[key]["p5"] <= last[key]["p50"] <= last[key]["p95"] for key in keys)
    assert last["water_l"]["unit"] == "L world-eq"
    assert told["stress"]["percentile"] == pytest.approx(0.985, abs=0.005)


def test_what_is_wrong_is_one_sentence(tmp_path, capsys):
    for words, code, says in (
        (("--scenario", "doom"), 2, "'doom' is neither a scenario"),
        (("--engine", "tea-leaves"), 2, "'tea-leaves' is no engine"),
        (("--until", "2040"), 2, "the last year must be after the base year 2024 and not after 2035"),
        (("--draws", "1"), 2, "the number of draws must be from 2 to 1,048,576"),
        (("--engine", "measured"), 3, "measured says nothing of the study's 100 use cases"),
    ):
        told = ask(tmp_path, capsys, *words)
        assert told[:2] == (code, ""), words
        assert told[2].startswith(f"joulebook: {says}"), told[2]
        assert told[2].count("\n") == 1


def test_the_view_says_why_the_study_is_not_the_default(tmp_path):
    told = answer(open_ledger(tmp_path), Asked(scenario="high", engine="paper2501", draws=64))
    view = views.projected(told)
    assert view.figure.kind == "fan"
    assert any("8 to 80 times" in alert for alert in view.alerts)
    assert any("× 24.4 of high is a stress case: 98" in alert for alert in view.alerts)
    parts = {part.key: part for part in view.parts}
    assert {"drivers", "tornado", "engines", "study", "checks"} <= set(parts)
    assert "66 % of its energy" in parts["study"].notes[0]
    assert parts["tornado"].figure.kind == "tornado"
    assert all(row["source"] for row in parts["drivers"].rows)
    assert "sobol" not in parts  # the scenario fixes all drivers of energy


def test_the_view_of_the_default(tmp_path):
    view = views.projection(open_ledger(tmp_path), Asked(draws=64, until=2035))
    assert [row["year"] for row in view.rows] == [str(year) for year in range(2024, 2036)]
    parts = {part.key: part for part in view.parts}
    assert {"sobol", "bought", "projection_beside"} <= set(parts)
    assert parts["bought"].rows[0]["with_charged"] == parts["bought"].rows[0]["with_bought"]
    assert any("8 to 80 times" in note for note in view.notes)
