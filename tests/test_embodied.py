"""Making the hardware: by the time that runs held it, and, apart, whole in the year of purchase."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import pytest
from handmade import HandmadeJournal
from hypothesis import given, settings
from hypothesis import strategies as st

from joulebook.accounting.declared import load_assets, load_fuel
from joulebook.accounting.embodied import S_PER_YEAR, embodied_share
from joulebook.accounting.errors import InputError
from joulebook.accounting.factors import load
from joulebook.accounting.factors.hardware import parse_parts
from joulebook.accounting.held import Reservation, embodied, held, lifetime_years, reserved_s
from joulebook.accounting.ledger import ingest, open_ledger
from joulebook.accounting.scopes import fuel_g, inventory
from joulebook.accounting.site import Site
from joulebook.accounting.when import parse_when
from joulebook.cli import main
from joulebook.collectors.sensors import Sensor

H100 = "NVIDIA H100 80GB HBM3"
HOUR = 3600.0
BEGIN, END = parse_when("2026-01-01"), parse_when("2026-01-03")


def about(*numbers: float) -> object:
    return pytest.approx(numbers, rel=1e-9)


def ends(estimate: object) -> tuple[float, ...]:
    return tuple(getattr(estimate, end) for end in ("low", "mid", "high"))


# The formula ------------------------------------------------------------------------------------------------------


@given(st.floats(1, 1e9), st.floats(0, 1e8), st.floats(0, 1e8), st.floats(0.5, 20), st.floats(0, 1))
@settings(deadline=None, max_examples=50)
def test_it_is_linear_in_time_and_adds_up_over_any_split(
    total: float, first_s: float, second_s: float, years: float, share: float
) -> None:
    def of(seconds: float) -> float:
        return embodied_share(total, reserved_s=seconds, lifetime_s=years * S_PER_YEAR, reserved_share=share)

    assert of(first_s + second_s) == pytest.approx(of(first_s) + of(second_s), rel=1e-9, abs=1e-12)
    assert of(2 * first_s) == pytest.approx(2 * of(first_s), rel=1e-12)


# Who had a device when --------------------------------------------------------------------------------------------


def alone(run: str, begin: float, end: float, part: float = 1.0, whose: str | None = None) -> Reservation:
    return Reservation(run, "gpu", begin, end, part, whose or run)


def test_a_device_is_shared_by_what_is_reserved_of_it() -> None:
    """a has it alone for 10 s, then shares it with b for 10 s: 10 + 5 and 5. c reserved a quarter of an idle one."""
    assert reserved_s([alone("a", 0, 20), alone("b", 10, 20)]) == {("a", "gpu"): 15, ("b", "gpu"): 5}
    assert reserved_s([alone("c", 0, 20, 0.25)]) == {("c", "gpu"): 5}


def test_halves_do_not_cut_each_other_down() -> None:
    """Two halves are a whole: 10 s each of 20. Three quarters and a half are cut to 3/5 and 2/5."""
    halves = reserved_s([alone("a", 0, 20, 0.5), alone("b", 0, 20, 0.5)])
    assert halves == {("a", "gpu"): 10, ("b", "gpu"): 10}
    cut = reserved_s([alone("a", 0, 20, 0.75), alone("b", 0, 20, 0.5)])
    assert cut == {("a", "gpu"): pytest.approx(12), ("b", "gpu"): pytest.approx(8)}


def test_runs_of_one_container_share_its_reservation() -> None:
    """Both live in the same half: 5 s each of 20, and together no more than one of them alone."""
    both = reserved_s([alone("a", 0, 20, 0.5, "box"), alone("b", 0, 20, 0.5, "box")])
    assert both == {("a", "gpu"): 5, ("b", "gpu"): 5}


reservations = st.lists(
    st.tuples(st.integers(0, 50), st.integers(1, 30), st.sampled_from([0.25, 0.5, 1.0])), min_size=1, max_size=8
)


@given(reservations, st.integers(1, 60))
@settings(deadline=None, max_examples=80)
def test_no_second_is_given_twice_and_a_split_of_the_time_adds_up(
    placed: list[tuple[int, int, float]], cut: int
) -> None:
    runs = [alone(str(n), begin, begin + length, part) for n, (begin, length, part) in enumerate(placed)]
    whole = reserved_s(runs)
    assert sum(whole.values()) <= len({s for run in runs for s in range(int(run.from_s), int(run.to_s))}) + 1e-9
    before = [run._replace(to_s=min(run.to_s, cut)) for run in runs if run.from_s < cut]
    after = [run._replace(from_s=max(run.from_s, cut)) for run in runs if run.to_s > cut]
    first, second = reserved_s(before), reserved_s(after)
    for key, seconds in whole.items():
        assert seconds == pytest.approx(first.get(key, 0) + second.get(key, 0), abs=1e-9)


# From the journal -------------------------------------------------------------------------------------------------


def gpu_job(home: Path, *, model: str | None = H100, begin_s: float = 0, length_s: float = HOUR) -> str:
    """A run with one GPU of the node, on a host of its own."""
    journal = HandmadeJournal(home, boot_id="node")
    journal.node_sensor(Sensor("nvml:GPU-1", "gpu:GPU-1", "mJ", "measured", "nvml", model, share_by="reservation"))
    run = journal.start(begin_s, counters={}, node={"nvml:GPU-1": 0.0})
    journal.end(begin_s + length_s, run, node={"nvml:GPU-1": 1e6})
    journal.write()
    return run


def test_an_hour_of_an_h100_of_which_the_journal_has_the_name(home: Path) -> None:
    """250 kg ÷ 4 years of 8760 h = 7.13 g; 130 kg over 6 years: 2.47 g; 575 kg over 3: 21.88 g."""
    run = gpu_job(home)
    ingest(home)
    parts = held(open_ledger(home), Site(), BEGIN, END)
    assert [(part.run_id, part.name, part.reserved_s) for part in parts] == [(run, H100, pytest.approx(HOUR))]
    found = embodied(parts, lifetime_years(Site(), load(), BEGIN), "gwp_g")
    assert ends(found) == about(130e3 / 6 / 8760, 250e3 / 4 / 8760, 575e3 / 3 / 8760)
    assert (found.unit, found.method) == ("g", "modelled")


def test_two_runs_at_once_have_half_an_hour_each(home: Path) -> None:
    for _ in range(2):
        gpu_job(home)
    ingest(home)
    parts = held(open_ledger(home), Site(), BEGIN, END)
    assert [part.reserved_s for part in parts] == [pytest.approx(HOUR / 2)] * 2


def test_a_period_has_its_part_of_a_run(home: Path) -> None:
    gpu_job(home)
    ingest(home)
    half = BEGIN + timedelta(minutes=30)
    first, second = (held(open_ledger(home), Site(), *edges) for edges in ((BEGIN, half), (half, END)))
    assert [part.reserved_s for part in (*first, *second)] == [pytest.approx(HOUR / 2)] * 2


def test_a_card_that_nobody_knows_and_hardware_that_nobody_named(home: Path) -> None:
    gpu_job(home, model="Cerebras WSE-3")
    ingest(home)
    life = lifetime_years(Site(), load(), BEGIN)
    unknown = embodied(held(open_ledger(home), Site(), BEGIN, END), life, "gwp_g")
    assert (unknown.known, unknown.reason) == (False, "not known of making Cerebras WSE-3")
    nothing = embodied([], life, "gwp_g")
    assert (nothing.mid, "site.toml no hardware" in (nothing.reason or "")) == (None, True)


def test_what_the_site_declares_stands_above_the_journal(home: Path) -> None:
    """8 cards and their host for an hour: (8 × 250 + 3775) kg ÷ 5 years; minerals 8 × 5.83 g + 370 g."""
    gpu_job(home)
    ingest(home)
    site = Site(hardware="8 H100, 1 server-8-gpu", hardware_lifetime_years=(5, 5, 5))
    parts = held(open_ledger(home), site, BEGIN, END)
    gwp, adpe = (embodied(parts, (5, 5, 5), category) for category in ("gwp_g", "adpe_kgsb"))
    assert gwp.mid == pytest.approx((8 * 250e3 + 3775e3) / 5 / 8760)
    assert adpe.mid == pytest.approx((8 * 5.83e-3 + 0.37) / 5 / 8760)
    assert gwp.method == "declared"


@pytest.mark.parametrize(("text", "says"), [("8 frogs", "hardware '8 frogs': nothing is known"), ("x y", "'x y'")])
def test_hardware_that_is_not_understood(text: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        parse_parts(text)


# Bought, and burnt ------------------------------------------------------------------------------------------------


ASSETS = "asset,hardware,count,purchased,lifetime_years"


def listed(home: Path, name: str, *lines: str) -> None:
    home.mkdir(exist_ok=True)
    (home / name).write_text("\n".join(lines) + "\n")


def test_what_was_bought_counts_whole_in_its_year_and_in_no_other(home: Path) -> None:
    """8 × 250 kg in 2026, whatever its life is; nothing in 2025 and 2027."""
    listed(home, "assets.csv", ASSETS, f"node 1,{H100},8,2026-03-01,5")
    assets = load_assets(home)
    years = [inventory(assets, date(year, 1, 1), date(year + 1, 1, 1), "gwp_g", "g") for year in (2025, 2026, 2027)]
    assert [year.mid for year in years] == [None, pytest.approx(8 * 250e3), None]
    assert ends(years[1]) == about(8 * 130e3, 8 * 250e3, 8 * 575e3)
    assert "no hardware is declared as bought in this time" in (years[0].reason or "")


def test_fuel_is_burnt_on_its_day(home: Path) -> None:
    """100 L × 2705.5 g + 10 kWh × 181.24 g, by EPA's factors with the GWP100 of AR6."""
    listed(home, "fuel.csv", "day,fuel,amount,unit", "2026-05-02,diesel,100,L", "2026-05-03,natural-gas,10,kWh")
    fuel = load_fuel(home)
    assert fuel_g(fuel, date(2026, 5, 1), date(2026, 6, 1)).mid == pytest.approx(100 * 2705.5 + 10 * 181.24)
    assert fuel_g(fuel, date(2026, 5, 3), date(2026, 6, 1)).mid == pytest.approx(10 * 181.24)
    assert not fuel_g(fuel, date(2026, 6, 1), date(2026, 7, 1)).known


@pytest.mark.parametrize(
    ("name", "lines", "says"),
    [
        ("assets.csv", ["a,b"], "assets.csv: the header must be asset,hardware"),
        ("assets.csv", [ASSETS, "x,H100,8,soon,"], "line 2, purchased: 'soon'"),
        ("assets.csv", [ASSETS, "x,frog,8,2026-01-01,"], "line 2, hardware: 'frog'"),
        ("assets.csv", [ASSETS, "x,H100,-8,2026-01-01,"], "line 2, count: '-8'"),
        ("fuel.csv", ["day,fuel,amount,unit", "2026-01-01,coal,1,kg"], "line 2, fuel: 'coal' is not one of diesel"),
        ("fuel.csv", ["day,fuel,amount,unit", "2026-01-01,diesel,1,gal"], "line 2, unit: 'gal' is not L"),
    ],
)  # fmt: skip
def test_a_bad_list_is_told_by_line_and_field(home: Path, name: str, lines: list[str], says: str) -> None:
    listed(home, name, *lines)
    with pytest.raises(InputError, match=says):
        load_assets(home) if name == "assets.csv" else load_fuel(home)


# The commands -----------------------------------------------------------------------------------------------------


def test_impact_of_a_run_in_every_category(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Running: 1000 J × 1.0 at the plug × PUE 1.2 × 300 g/kWh = 0.1 g. Making: an hour of an H100 = 7.13 g."""
    run = gpu_job(home)
    (home / "site.toml").write_text(
        'region = "FR"\nit_overhead = 1.0\npue = 1.2\ncarbon_intensity_g_per_kwh = 300\ncarbon_price_usd_per_t = 100\n'
    )
    assert main(["impact", run, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    rows = {row["category"]: row for row in told["impact"]}
    assert list(rows) == ["gwp_g", "primary_energy_j", "adpe_kgsb", "water_l"]
    running, making = 1000 * 1.2 / 3.6e6 * 300, 250e3 / 4 / 8760
    gwp = rows["gwp_g"]
    assert (gwp["operational"]["mid"], gwp["embodied"]["mid"]) == about(running, making)
    assert gwp["total"]["mid"] == pytest.approx(running + making)
    assert gwp["total"]["low"] <= gwp["total"]["mid"] <= gwp["total"]["high"]
    assert any(name.startswith("hardware/datacentre-gpu/gwp_g/") for name in gwp["factor_ids"])
    assert rows["adpe_kgsb"]["embodied"]["mid"] == pytest.approx(5.83e-3 / 4 / 8760)
    assert rows["primary_energy_j"]["operational"]["mid"] == pytest.approx(1200 / 3.6e6 * 9.3135e6)
    assert rows["water_l"]["embodied"]["mid"] is None
    bounds = {row["category"]: row["energy_j"]["mid"] for row in told["boundaries"]}
    assert bounds == pytest.approx({"device_energy_j": 1000, "it_energy_j": 1000, "facility_energy_j": 1200})
    costs = {row["price"]: row["cost_usd"]["mid"] for row in told["carbon_cost"]}
    assert costs["own"] == pytest.approx((running + making) / 1e6 * 100)
    assert costs["epa"] == pytest.approx((running + making) / 1e6 * 210)
    assert main(["impact", run, "--since", "1d"]) == 2
    assert "--since, --until and --project go with a period" in capsys.readouterr().err


def test_embodied_shows_the_spread_and_what_was_bought(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gpu_job(home)
    listed(home, "assets.csv", ASSETS, f"node 1,{H100},8,2026-03-01,5")
    assert main(["embodied", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    (row,) = told["embodied"]
    assert (row["hardware"], row["taken_as"], row["runs"]) == (H100, "datacentre-gpu", 1)
    assert row["reserved_s"] == pytest.approx(HOUR)
    assert told["bought"][0]["gwp_g"]["mid"] == pytest.approx(8 * 250e3)
    spread = [each["gwp_g"]["mid"] for each in told["published_datacentre-gpu"]]
    assert spread == [250e3, 127_600, 150e3, 164e3, 181e3, 273e3, 318e3, 568e3, 575e3]
    assert main(["embodied"]) == 0
    assert "8 published figures run from 128" in capsys.readouterr().out
