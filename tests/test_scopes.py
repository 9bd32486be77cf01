"""Scopes of the GHG Protocol and the Software Carbon Intensity: what counts where, once, and what contracts change."""

from __future__ import annotations

import json
import re
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from handmade import HandmadeJournal
from hypothesis import given, settings
from hypothesis import strategies as st

from joulebook.accounting.errors import InputError
from joulebook.accounting.factors import Series, Spell, load
from joulebook.accounting.factors.contracts import CRITERIA, Contract, load_contracts
from joulebook.accounting.factors.series import store_series
from joulebook.accounting.in_force import midnight
from joulebook.accounting.ledger import ingest, open_ledger
from joulebook.accounting.records import uuid7
from joulebook.accounting.sci import sci_g
from joulebook.accounting.scopes import (
    Stretch,
    direct_intensity_g_per_kwh,
    electricity_g,
    market,
    market_based_g,
    upstream,
    upstream_intensity_g_per_kwh,
)
from joulebook.accounting.site import Site
from joulebook.accounting.when import parse_when
from joulebook.cli import main
from joulebook.models.footprint import Call, footprints, place_for
from joulebook.reports import views
from joulebook.reports.views.impact import of_period

KWH, HOUR = 3_600_000.0, 3600.0
SITE = 'region = "FR"\npue = 1.25\n'
SHARE = load().select("upstream_share", "FR", date(2026, 1, 1)).factor.value  # of France's mix of 2023
GRID = load().select("carbon_intensity", "FR", date(2026, 1, 1)).factor.value
positive = st.floats(1e-3, 1e9)


def about(*numbers: float) -> object:
    return pytest.approx(numbers, rel=1e-9)


def recorded(home: Path, kwh: float = 8.0, *, day: int = 0, site: str = SITE, **start: Any) -> str:
    """A run that recorded so many kWh of IT energy; at a PUE of 1.25 the building took a quarter more."""
    journal = HandmadeJournal(home)
    begin = 86_400.0 * day
    run = journal.start(begin, **start)
    journal.event("usage", begin + 5, span_id=run, run_id=run, kind="energy", amount=kwh, unit="kWh", method="measured")
    journal.event(
        "usage", begin + 6, span_id=run, run_id=run, kind="correct_answers", amount=50, unit="1", method="measured"
    )
    journal.end(begin + HOUR, run)
    journal.write()
    (home / "site.toml").write_text(site)
    return run


def scopes(home: Path, **period: str) -> dict[str, Any]:
    ingest(home)
    since = parse_when(period.get("since", "2026-01-01"))
    until = parse_when(period.get("until", "2026-12-31"))
    view = views.scopes(open_ledger(home), views.period_of(since, until))
    return {row["key"]: row for row in view.rows}


def contract(home: Path, **changes: str) -> None:
    facts = {"name": '"wind"', "instrument": '"ppa"', "region": '"FR"', "from": "2026-01-01", "until": "2027-01-01",
             "intensity_g_per_kwh": "0", "evidence": '"registry 7"', "emission_rate_conveyed": "true",
             "only_claim": "true", "retired_for_us": "true", "vintage": "2026",
             "residual_mix_disclosed": "true"}  # fmt: skip
    text = "\n".join(f"{key} = {value}" for key, value in (facts | changes).items() if value)
    with (home / "contracts.toml").open("a") as file:
        file.write(f"[[contract]]\n{text}\n")


# Scope 2 and what belongs to it -----------------------------------------------------------------------------------


def test_a_life_cycle_factor_is_split_between_scope_2_and_category_3(home: Path) -> None:
    """8 kWh × 1.25 = 10 kWh × 41.44 g = 414 g of life cycle: 59 % at the stack, the rest before it, all of it once."""
    recorded(home)
    rows = scopes(home)
    whole = 10 * GRID
    at_stack, before = rows["scope_2_location"]["amount_g"], rows["scope_3_3_upstream"]["amount_g"]
    assert (at_stack.mid, before.mid) == about(whole * (1 - SHARE), whole * SHARE)
    assert at_stack.mid + before.mid == pytest.approx(whole)
    for amount in (at_stack, before):
        assert amount.low <= amount.mid <= amount.high
    assert rows["scope_2_location"]["match"] == "older"
    assert "no source has the losses of the grid" in rows["scope_3_3_losses"]["amount_g"].reason


def test_without_a_contract_market_is_location_and_says_so(home: Path) -> None:
    recorded(home)
    rows = scopes(home)
    assert rows["scope_2_market"]["amount_g"].mid == pytest.approx(rows["scope_2_location"]["amount_g"].mid)
    assert rows["scope_2_market"]["match"] == "location-based"


def test_losses_where_they_are_known(home: Path) -> None:
    """Of what is fed in, 5 % do not arrive in the United States: 10 kWh × 0.05 ÷ 0.95 × the country's intensity."""
    recorded(home, site='region = "US"\npue = 1.25\n')
    grid = load().select("carbon_intensity", "US", date(2026, 1, 1)).factor.value
    assert scopes(home)["scope_3_3_losses"]["amount_g"].mid == pytest.approx(10 * 0.05 / 0.95 * grid)


def test_a_series_at_the_stack_stands_above_the_split(home: Path) -> None:
    recorded(home)
    store_series(home, hours("carbon_intensity_direct", 20))
    assert scopes(home)["scope_2_location"]["amount_g"].mid == pytest.approx(10 * 20)


def hours(kind: str, value: float) -> Series:
    """The first day of 2026 by the hour."""
    begin, hour = midnight(date(2026, 1, 1)), timedelta(hours=1)
    spells = tuple(Spell(begin + n * hour, begin + (n + 1) * hour, value, value, value) for n in range(24))
    return Series(kind, "FR", "gCO2e/kWh", "hourly", "b", "s", "https://a.example", "own", date(2026, 1, 2), spells)


def test_in_a_cloud_it_is_the_providers_electricity(home: Path) -> None:
    """Scope 3 category 1, whole and life-cycle, with the hardware by time; scope 2 says why it is not there."""
    recorded(home, site='region = "aws:eu-west-3"\npue = 1.25\nhardware = "1 server-rack"\n')
    rows = scopes(home)
    assert rows["scope_3_1_cloud"]["amount_g"].mid == pytest.approx(10 * GRID)
    assert rows["scope_3_1_cloud_hardware"]["amount_g"].mid == pytest.approx(1000e3 / 4 / 8760)
    assert not rows["scope_2_location"]["amount_g"].known
    assert "somebody else's cloud" in rows["scope_2_market"]["amount_g"].reason


# Contracts --------------------------------------------------------------------------------------------------------


def test_a_contract_covers_its_part_and_the_residual_mix_the_rest(home: Path) -> None:
    """3.65 MWh over 2026 are 10 kWh a day. On 1 January 20 kWh were used: half at 0 g, half at the residual 500 g."""
    recorded(home, 16.0)
    store_series(home, hours("residual_mix", 500))
    contract(home, mwh="3.65")
    rows = scopes(home, since="2026-01-01", until="2026-01-02")
    assert rows["scope_2_market"]["amount_g"].mid == pytest.approx(0.5 * 20 * 500)
    assert rows["scope_2_market"]["match"] == "contracts + residual mix"
    assert rows["scope_2_location"]["amount_g"].mid == pytest.approx(20 * GRID * (1 - SHARE))


def test_contracts_are_used_up_in_their_order(home: Path) -> None:
    """20 kWh: 5 kWh of the first at 10 g, all the rest of the second at 30 g = 50 + 450 g."""
    recorded(home, 16.0)
    contract(home, mwh="1.825", intensity_g_per_kwh="10")
    contract(home, name='"rest"', intensity_g_per_kwh="[20, 30, 40]")
    rows = scopes(home, since="2026-01-01", until="2026-01-02")
    market_based = rows["scope_2_market"]["amount_g"]
    assert (market_based.low, market_based.mid, market_based.high) == about(350, 500, 650)
    assert rows["scope_2_market"]["match"] == "contracts"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"only_claim": "false"}, r"it is not said that it is the only instrument that carries this claim \(2\)"),
        ({"retired_for_us": "false"}, "retired, redeemed or cancelled"),
        ({"emission_rate_conveyed": "false"}, "conveys the direct emission rate"),
        ({"residual_mix_disclosed": "false"}, "residual mix"),
        ({"vintage": "2020"}, "its vintage 2020 is not close"),
        ({"region": '"DE"'}, "its market DE is not that of FR"),
    ],
)
def test_a_contract_that_misses_a_quality_criterion_is_listed_and_not_used(
    home: Path, changes: dict[str, str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    home.mkdir()
    contract(home, **changes)
    (one,) = load_contracts(home)
    assert re.search(says, one.fails("FR") or "")
    whole, (covered,) = market([stretch()], [one], "FR")
    assert (whole.mid, covered.energy_j, covered.reason) == (pytest.approx(500.0), 0.0, one.fails("FR"))


def stretch(**changes: Any) -> Stretch:
    """10 kWh on a day: 400 g at the stack, 500 g by the residual mix, 600 g life-cycle."""
    mids = {"facility_j": 10 * KWH, "location_g": 400.0, "residual_g": 500.0, "life_cycle_g": 600.0,
            "upstream_g": 200.0, "losses_g": 20.0}  # fmt: skip
    amounts = {name: (mid / 2, mid, mid * 2) for name, mid in mids.items()}
    whole = Stretch(midnight(date(2026, 1, 1)), midnight(date(2026, 1, 2)), amounts, "measured", True, True, (0,))
    return whole._replace(**changes)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"mwh": '"many"'}, "contract 1: mwh must be a number from 0 up, not 'many'"),
        ({"until": "2025-01-01"}, "until must be after its from"),
        ({"evidence": ""}, "'evidence' is missing"),
        ({"colour": '"green"'}, "'colour' is unknown"),
        ({"only_claim": '"yes"'}, "only_claim must be true or false"),
        ({"intensity_g_per_kwh": "[3, 2, 1]"}, "must be a number or \\[low, mid, high\\]"),
        ({"instrument": '"hope"'}, "instrument must be one of ppa"),
    ],
)
def test_a_bad_contract_is_told(home: Path, changes: dict[str, str], says: str) -> None:
    home.mkdir()
    contract(home, **changes)
    with pytest.raises(InputError, match=says):
        load_contracts(home)


# What holds for all inputs ----------------------------------------------------------------------------------------


@given(positive, positive, st.floats(0, 1))
@settings(deadline=None, max_examples=50)
def test_scope_2_and_what_is_before_it_are_the_whole(energy: float, intensity: float, share: float) -> None:
    whole = electricity_g(energy, intensity_g_per_kwh=intensity)
    at_stack = electricity_g(energy, intensity_g_per_kwh=direct_intensity_g_per_kwh(intensity, upstream_share=share))
    assert 0 <= at_stack <= whole * (1 + 1e-12)
    before = electricity_g(energy, intensity_g_per_kwh=upstream_intensity_g_per_kwh(intensity, upstream_share=share))
    assert at_stack + before == pytest.approx(whole)


@given(positive, positive, st.floats(0, 1))
@settings(deadline=None, max_examples=50)
def test_market_based_lies_between_its_two_and_is_linear(contract_g: float, residual_g: float, share: float) -> None:
    found = market_based_g(contract_g, residual_g, covered_share=share)
    assert min(contract_g, residual_g) * (1 - 1e-9) <= found <= max(contract_g, residual_g) * (1 + 1e-9)
    assert market_based_g(contract_g * 2, residual_g * 2, covered_share=share) == pytest.approx(found * 2)


def test_what_is_before_the_stack_is_never_below_nothing(home: Path) -> None:
    """A series at the stack that says more than the life-cycle row of France: nothing is left before it, not less."""
    recorded(home)
    store_series(home, hours("carbon_intensity_direct", 900))
    rows = scopes(home)
    assert rows["scope_3_3_upstream"]["amount_g"].mid == 0
    assert rows["scope_2_location"]["amount_g"].mid == pytest.approx(10 * 900)
    assert not upstream([stretch(has_split=False)]).known


def test_who_used_more_has_more_without_a_contract() -> None:
    """5, 10 or 20 kWh, 10 of them under a contract at 0 g: at the high end half is by the residual mix, 1000 g."""
    ten = Contract(
        "wind", "ppa", "FR", date(2026, 1, 1), date(2026, 1, 2), 0.01, (0, 0, 0), "7", 2026, frozenset(CRITERIA)
    )
    found, (covered,) = market([stretch()], [ten], "FR")
    assert (found.low, found.mid, found.high) == about(0, 0, 0.5 * 1000)
    assert covered.energy_j == pytest.approx(10 * KWH)


def test_a_split_of_the_time_adds_up(home: Path) -> None:
    """Three runs on three days: by the day and all at once."""
    for day in range(3):
        recorded(home, day + 1.0, day=day)
    contract(home, mwh="1")
    whole = scopes(home, until="2026-01-04")
    days = [scopes(home, since=f"2026-01-0{n}", until=f"2026-01-0{n + 1}") for n in (1, 2, 3)]
    for key in ("scope_2_location", "scope_3_3_upstream"):
        assert whole[key]["amount_g"].mid == pytest.approx(sum(day[key]["amount_g"].mid for day in days)), key


# Calls of model APIs ----------------------------------------------------------------------------------------------


def test_calls_are_category_1_with_the_spread_between_engines(home: Path) -> None:
    """Ten calls of 500 tokens, on the grid of the provider: ten times the lowest and the highest engine's mid."""
    journal = HandmadeJournal(home, version=3)
    used = {"usage": {"prompt_tokens": 800, "completion_tokens": 500, "total_tokens": 1300}}
    for n in range(10):
        journal.event("call", n, call_id=uuid7(), source="http", provider="openai", host="api.openai.com",
                      path="/v1/chat/completions", request_model="gpt-4o", status=200, outcome="ok",
                      usage_json=json.dumps(used))  # fmt: skip
    journal.write()
    (home / "site.toml").write_text(SITE)
    row = scopes(home)["scope_3_1_api"]["amount_g"]
    said = footprints(Call("openai", "gpt-4o", 800, 500), place_for("openai", None, Site(region="FR"))).engines
    told = [engine for engine in said if "gwp_g" not in engine.apart]
    amounts = [engine.total["gwp_g"] if engine.total["gwp_g"].known else engine.operational["gwp_g"] for engine in told]
    mids = [amount.mid for amount in amounts if amount.mid is not None]
    assert len(mids) >= 3
    assert (row.low, row.high) == about(10 * min(mids), 10 * max(mids))


# SCI --------------------------------------------------------------------------------------------------------------


@given(positive, positive, positive, st.floats(1, 100))
@settings(deadline=None, max_examples=50)
def test_sci_is_linear_in_carbon_and_falls_with_units(
    operational: float, embodied: float, units: float, more: float
) -> None:
    score = sci_g(operational, embodied, functional_units=units)
    assert sci_g(operational * 2, embodied * 2, functional_units=units) == pytest.approx(2 * score)
    assert sci_g(operational, embodied, functional_units=units * more) <= score
    assert sci_g(operational * more, embodied, functional_units=units) >= score


def scored(home: Path, per: str = "correct_answers") -> dict[str, dict[str, Any]]:
    ingest(home)
    period = views.period_of(parse_when("2026-01-01"), parse_when("2026-12-31"))
    return {row["role"]: row for row in views.sci(of_period(open_ledger(home), period), per).rows}


def test_sci_per_correct_answer(home: Path) -> None:
    """(10 kWh × 41.44 g + an hour of 1000 kg over 4 years) ÷ 50 answers."""
    recorded(home, site=SITE + 'hardware = "1 server-rack"\n')
    row = scored(home)["consumer"]
    assert row["functional_units"] == 50
    assert row["sci_g"].mid == pytest.approx((10 * GRID + 1000e3 / 4 / 8760) / 50)
    assert row["sci_g"].low <= row["sci_g"].mid <= row["sci_g"].high


def test_contracts_never_change_an_sci(home: Path) -> None:
    recorded(home, site=SITE + 'hardware = "1 server-rack"\n')
    before = scored(home)
    contract(home)
    store_series(home, hours("residual_mix", 900))
    assert scopes(home)["scope_2_market"]["amount_g"].mid == 0  # all of it is covered, at 0 g
    assert scored(home) == before


def test_the_maker_of_a_model_has_a_score_of_its_own(home: Path) -> None:
    """A run that makes the model and one that uses it: two scores per run, of 30 and 8 kWh, and no third."""
    recorded(home, 30.0, tags=[["sci_role", "provider"]], site=SITE + 'hardware = "1 server-rack"\n')
    recorded(home, 8.0, day=1, site=SITE + 'hardware = "1 server-rack"\n')
    rows = scored(home, "runs")
    making = 1000e3 / 4 / 8760
    assert list(rows) == ["consumer", "provider"]
    assert rows["provider"]["sci_g"].mid == pytest.approx(37.5 * GRID + making)
    assert rows["consumer"]["sci_g"].mid == pytest.approx(10 * GRID + making)


def test_without_known_hardware_the_running_part_is_told_alone(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = recorded(home)
    assert main(["sci", run, "--per", "correct_answers", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["sci"]
    assert row["sci_g"]["mid"] is None
    assert "the embodied part is not known" in row["sci_g"]["reason"]
    assert row["operational_per_unit_g"]["mid"] == pytest.approx(10 * GRID / 50)
    assert main(["sci", run, "--per", "frogs"]) == 3
    assert "no 'frogs' was recorded" in capsys.readouterr().err


def test_scopes_as_json(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded(home)
    contract(home, retired_for_us="false")
    assert main(["scopes", "--since", "2026-01-01", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [row["key"] for row in told["scopes"]] == [
        "scope_1", "scope_2_location", "scope_2_market", "scope_3_1_api", "scope_3_1_cloud",
        "scope_3_1_cloud_hardware", "scope_3_2", "scope_3_3_upstream", "scope_3_3_losses"]  # fmt: skip
    assert all(row["amount_g"]["unit"] == "g" for row in told["scopes"])
    assert all(row["amount_g"]["mid"] is not None or row["amount_g"]["reason"] for row in told["scopes"])
    assert told["contracts"][0]["remark"].startswith("not used: it is not said that it was tracked and retired")
