"""A period under the factors of now and of then: old reports come back byte for byte, and each change has its cause.

One watt-hour (900 CPU-seconds × 4 W) at PUE 1.5 and 200 g/kWh is 0.001 × 1.5 × 200 = 0.3 g.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from handmade import HandmadeJournal
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated import Device, Job, Node, Process, Steady, node_cpu

from joulebook.accounting import basis as bases
from joulebook.accounting import drawn
from joulebook.accounting.assess import CATEGORIES, KINDS, InForce
from joulebook.accounting.assessment import assess, restate
from joulebook.accounting.basis import Basis
from joulebook.accounting.errors import FactorError
from joulebook.accounting.factors import Factor, FactorSet, Match, Series, Spell
from joulebook.accounting.ledger import Ledger, ingest, open_ledger, rebuild
from joulebook.accounting.lines import Held, Lines, Run, Scope, Source
from joulebook.accounting.restate import IDLE, Assessed, apart, caused
from joulebook.accounting.site import Site, write_site
from joulebook.accounting.uncertainty import quantiles
from joulebook.cli import main
from joulebook.collectors.sensors import Sensor
from joulebook.reports import views

BEGIN, FEBRUARY = date(2025, 12, 1), date(2026, 2, 1)
KNOWN, CORRECTED = date(2026, 1, 1), date(2026, 6, 1)
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
DAY = 86_400.0
WH_CPU_S = 900.0


def fact(kind: str, value: float, start: date = BEGIN, end: date | None = None, **said: object) -> Factor:
    told = {"low": value, "high": value, "region": "WORLD", "retrieved": KNOWN, **said}
    return Factor(kind, value, unit=KINDS[kind][1], valid_from=start, valid_to=end, basis="basis", source="source",
                  url="https://a.example", licence="own", **told)  # type: ignore[arg-type]  # fmt: skip


THEN = FactorSet((
    fact("cpu_power", 4, low=2, high=8), fact("dram_power", 0.4), fact("it_overhead", 1.1), fact("pue", 1.5),
    fact("wue", 0.5), fact("water_intensity", 2), fact("electricity_price", 0.1), fact("electricity_adpe", 5e-8),
    fact("carbon_intensity", 480), fact("carbon_intensity", 200, low=100, high=400, region="FR"),
))  # fmt: skip
# Later it was found that France emits 100 g/kWh from February on, and that PUE is 1.2.
NOW = FactorSet((
    *THEN.rows, fact("carbon_intensity", 100, FEBRUARY, region="FR", retrieved=CORRECTED),
    fact("pue", 1.2, retrieved=CORRECTED),
))  # fmt: skip
HERE = Site(region="FR")


@pytest.fixture(autouse=True)
def tables(monkeypatch: pytest.MonkeyPatch) -> dict[str, FactorSet]:
    """The factor tables of joulebook, which a test may replace as a new version would."""
    known = {"now": THEN}
    monkeypatch.setattr(bases, "factor_set", lambda home: known["now"])
    return known


def job(home: Path, at_s: float, watt_hours: float = 1.0, name: str = "job", **fields: object) -> str:
    journal = HandmadeJournal(home)
    journal.sensor()
    run = journal.start(at_s, name, counters={"cpu_time": 1.0}, **fields)
    journal.end(at_s + 60, run, counters={"cpu_time": 1.0 + watt_hours * WH_CPU_S})
    journal.write()
    return run


def two_months(home: Path) -> Ledger:
    """1 Wh in January, 2 Wh in February."""
    job(home, 0, 1, "january", project="search")
    job(home, 40 * DAY, 2, "february")
    write_site(home, HERE)
    ingest(home)
    return open_ledger(home)


def ask(home: Path, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["--home", str(home), *words]) == 0
    return capsys.readouterr().out


# The same again ---------------------------------------------------------------------------------------------------


def test_an_old_report_comes_back_byte_for_byte(home, capsys, tables):
    """Under new tables, another site and with more runs, and from a ledger that was made anew."""
    two_months(home)
    words = ("assess", "--json", "--until", "2026-03-01")
    old = ask(home, capsys, *words)
    assert ask(home, capsys, *words) == old
    named = json.loads(old)["basis"]["basis_id"]
    tables["now"] = NOW
    write_site(home, replace(HERE, wue_l_per_kwh=(0, 0, 0)))
    job(home, 70 * DAY)
    new = ask(home, capsys, *words)
    assert json.loads(new)["totals"] != json.loads(old)["totals"]
    assert ask(home, capsys, *words, "--factor-set", named) == old
    rebuild(home)
    assert ask(home, capsys, *words, "--factor-set", named[:17]) == old
    assert ask(home, capsys, *words) == new


def test_what_the_json_says(home, capsys):
    """3 Wh: 0.9 g at 200 g/kWh; low 1.5 Wh at 100 g/kWh, 0.225 g; high 6 Wh at 400 g/kWh, 3.6 g."""
    two_months(home)
    told = json.loads(ask(home, capsys, "assess", "--json"))
    assert list(told) == ["scope", "basis", "totals", "draws", "data_quality", "runs", "factors"]
    assert list(told["totals"]) == list(CATEGORIES)
    carbon = told["totals"]["carbon_g"]
    assert [carbon[end] for end in ("low", "mid", "high")] == pytest.approx([0.225, 0.9, 3.6])
    assert told["totals"]["primary_energy_j"]["mid"] is None
    assert told["totals"]["primary_energy_j"]["reason"] == "no source has electricity_primary_energy of this place"
    assert [run["carbon_g"]["mid"] for run in told["runs"]] == pytest.approx([0.3, 0.6])
    assert told["basis"]["factor_set"] == THEN.set_id
    assert {factor["kind"] for factor in told["factors"]} == set(KINDS) - {
        "dram_power", "it_overhead", "electricity_primary_energy"}  # fmt: skip


def test_a_day_is_what_was_in_force_on_it(home, capsys, tables):
    """Before the history of the home begins, it is what the tables knew by then."""
    two_months(home)
    tables["now"] = NOW
    told = json.loads(ask(home, capsys, "assess", "--as-of", "2026-05-01", "--json"))
    assert told["basis"]["factor_set"] == THEN.set_id
    assert told["totals"]["carbon_g"]["mid"] == pytest.approx(0.9)
    ask(home, capsys, "assess")  # from now on it is kept
    today = datetime.now(UTC).date()
    tables["now"] = THEN
    assert bases.find(home, today.isoformat()).factors.set_id == NOW.set_id
    kept = json.loads(ask(home, capsys, "assess", "--factor-set", "list", "--json"))
    assert [each["rows"] for each in kept] == [len(NOW.rows)]
    both = ask(home, capsys, "assess", "--factor-set", kept[0]["basis_id"], "--as-of", "2026-05-01", "--json")
    assert json.loads(both)["basis"]["factor_set"] == THEN.set_id


def test_what_was_asked_of_an_earlier_day_comes_back_by_its_id(home, capsys, tables):
    """Also when later tables know nothing of that day any more; it never was in force."""
    two_months(home)
    tables["now"] = NOW
    old = ask(home, capsys, "assess", "--as-of", "2026-05-01", "--json")
    named = json.loads(old)["basis"]["basis_id"]
    restated = ask(home, capsys, "restate", "2026-05-01", "--json")
    tables["now"] = FactorSet(tuple(replace(row, retrieved=CORRECTED) for row in NOW.rows))
    assert ask(home, capsys, "assess", "--factor-set", named, "--json") == old
    now = json.loads(restated)["to"]["basis_id"]
    assert ask(home, capsys, "restate", named, now, "--json") == restated
    assert bases.kept(home) == []


def test_what_is_not_known_has_its_line(home, capsys):
    """These tables have no primary energy: the table of ranges says so, and does not leave it out."""
    told = views.assessment(assess(two_months(home), Scope(), Basis(HERE, THEN)))
    rows = {row["label"]: row for row in told.rows}
    assert list(rows)[-2:] == ["Primary energy", "Minerals"]
    assert (rows["Primary energy"]["amount"].mid, rows["Primary energy"]["tier"]) == (None, None)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("assess", "--factor-set", "abcdef"), 3, "was not kept here"),
        (("assess", "--factor-set", "../../x"), 2, "names no basis"),
        (("assess", "--as-of", "2020-01-01"), 2, "the oldest of this set was retrieved on 2026-01-01"),
        (("assess", "--draws", "1000"), 2, "a power of two"),
        (("assess", "--draws", str(2**34)), 2, "up to 1048576, not 17179869184"),
        (("assess", "--as-of", "2199-01-01"), 2, "2199-01-01 is still to come"),
        (("assess", "--factor-set", ""), 2, "'' names no basis"),
        (("assess", "--since", "2026-02-01", "--until", "2026-01-01"), 2, "is not before"),
        (("restate", "now", "soon"), 2, "names no basis"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(home, capsys, words, code, says):
    two_months(home)
    assert main(["--home", str(home), *words]) == code
    out = capsys.readouterr()
    assert (out.out, out.err.count("\n")) == ("", 1)
    assert says in out.err


def test_a_kept_set_that_was_changed_is_refused(home):
    two_months(home)
    bases.keep(home, Basis(HERE, THEN))
    (path,) = bases.folder(home).glob("factors-*")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(FactorError, match="without it old reports cannot be made again"):
        bases.find(home, THEN.set_id)
    path.write_bytes(bases._packed(NOW))
    with pytest.raises(FactorError, match="does not have the id that it is named by"):
        bases.find(home, THEN.set_id)


def test_a_set_from_before_a_kind_was_thought_of(home, capsys, tables):
    """Its carbon is what it was; its minerals, for which it has no factor, are not known."""
    tables["now"] = FactorSet(tuple(row for row in THEN.rows if row.kind != "electricity_adpe"))
    two_months(home)
    told = json.loads(ask(home, capsys, "assess", "--json"))
    assert told["totals"]["carbon_g"]["mid"] == pytest.approx(0.9)
    assert told["totals"]["adpe_kgsb"]["mid"] is told["draws"]["totals"]["adpe_kgsb"]["p50"] is None
    assert "electricity_adpe" not in {factor["kind"] for factor in told["factors"]}
    tables["now"] = THEN
    (cause,) = json.loads(ask(home, capsys, "restate", told["basis"]["basis_id"], "--json"))["causes"]
    assert (cause["kind"], cause["from"], cause["change"]["adpe_kgsb"]) == ("electricity_adpe", None, None)


def test_a_torn_history_is_mended(home):
    bases.keep(home, Basis(HERE, THEN))
    with (bases.folder(home) / "history.jsonl").open("a") as file:
        file.write('{"at": "2026')
    assert [kept.rows for kept in bases.kept(home)] == [len(THEN.rows)]
    bases.keep(home, Basis(HERE, NOW))  # goes behind the torn line, and is lost with it
    bases.keep(home, Basis(HERE, NOW))
    assert [kept.rows for kept in bases.kept(home)] == [len(NOW.rows), len(THEN.rows)]


def test_nothing_was_used(home, capsys):
    assert "No energy of any run" in ask(home, capsys, "assess")
    told = json.loads(ask(home, capsys, "assess", "--json"))
    assert (told["runs"], told["totals"]["carbon_g"]["reason"]) == ([], "no energy was recorded")
    assert json.loads(ask(home, capsys, "restate", "now", "now", "--json"))["causes"] == []


GPU = Sensor("nvml:gpu-0", "gpu:0", "mJ", "measured", "nvml", max_w=700.0, share_by="reservation")
PACKAGE = Sensor("powercap:package-0", "cpu:0", "uJ", "measured", "energy_uj", max_w=400.0)
MEMORY = Sensor("memory", "dram:model", "GB", "modelled", "/proc/meminfo", accuracy=0.03, share_by="reservation")


def two_jobs_on_a_node(home: Path) -> Ledger:
    """Two jobs on a node with a GPU, a processor and memory, and one that only has CPU time."""
    process = Process((Job(10, 110), Job(50, 4000)), cpu=Steady(1))
    devices = [Device(GPU, Steady(200)), Device(PACKAGE, Steady(100)), Device(MEMORY, Steady(64))]
    Node(home, [*devices, node_cpu([process], Steady(3))]).write([process])
    job(home, 3 * DAY)
    write_site(home, HERE)
    ingest(home)
    return open_ledger(home)


def test_it_says_what_the_summary_says(home):
    """SQL and arrays agree."""
    ledger = two_jobs_on_a_node(home)
    told = assess(ledger, Scope(), Basis(HERE, THEN))
    assert {source.unit for source in told.lines.sources} == {"J", "GB", "s"}
    rows = views.summary(ledger, views.period_of(), "name").rows
    for key, category in (("energy_j", "it_energy_j"), ("carbon_g", "carbon_g"), ("water_l", "water_l")):
        ours = told.assessed.total(category)
        for end in ("low", "mid", "high"):
            assert getattr(ours, end) == pytest.approx(math.fsum(getattr(row[key], end) for row in rows), rel=1e-9)


def test_an_hour_of_a_series_stands_above_the_row(home, capsys, tables):
    """1 Wh at 03:00, where the series has 100 g/kWh, and 1 Wh at 05:00, where it has nothing: 0.15 g and 0.3 g."""
    from_three = (datetime(2026, 1, 1, 3), datetime(2026, 1, 1, 4))  # noqa: DTZ001 - as the ledger has it
    series = Series("carbon_intensity", "FR", "gCO2e/kWh", "hourly", "basis", "source", "https://a.example", "own",
                    KNOWN, (Spell(*from_three, 90.0, 100.0, 120.0),))  # fmt: skip
    tables["now"] = FactorSet(THEN.rows, (series,))
    job(home, 3 * 3600)
    job(home, 5 * 3600)
    write_site(home, HERE)
    told = json.loads(ask(home, capsys, "assess", "--json"))
    assert [run["carbon_g"]["mid"] for run in told["runs"]] == pytest.approx([0.15, 0.3])
    assert 0.45 < told["draws"]["totals"]["carbon_g"]["p95"] < told["totals"]["carbon_g"]["high"]
    tables["now"] = THEN
    again = ask(home, capsys, "assess", "--json", "--factor-set", told["basis"]["basis_id"])
    assert json.loads(again) == told
    changes = json.loads(ask(home, capsys, "restate", told["basis"]["basis_id"], "--json"))
    assert [cause["change"]["carbon_g"] for cause in changes["causes"]] == pytest.approx([0.15])


# What changes, and why --------------------------------------------------------------------------------------------


def test_each_change_has_its_causes(home, tables):
    """January, 1 Wh: 0.001 × 1.5 × 200 = 0.3 g become 0.001 × 1.2 × 200 = 0.24 g: PUE −0.06 g.

    February, 2 Wh: 0.6 g become 0.002 × 1.2 × 100 = 0.24 g. PUE alone: −0.3 × 0.002 g of each g/kWh, which are 200
    before and 100 after: −0.12 and −0.06, on average −0.09 g. The grid: −100 × 0.002 × 1.5 and × 1.2: on average
    −0.27 g. Together −0.36 g; over both months PUE −0.15 g and the grid −0.27 g.
    """
    ledger = two_months(home)
    told = restate(ledger, Scope(), Basis(HERE, THEN), Basis(HERE, NOW))
    before, after = told.before.total("carbon_g"), told.after.total("carbon_g")
    assert (before.mid, after.mid) == pytest.approx((0.9, 0.48))
    causes = {cause.kind: cause for cause in told.caused.causes()}
    assert list(causes) == ["carbon_intensity", "pue"]
    changes = {kind: cause.change["carbon_g"] for kind, cause in causes.items()}
    assert changes == pytest.approx({"carbon_intensity": -0.27, "pue": -0.15})
    assert causes["pue"].change["facility_energy_j"] == pytest.approx(3 * 3600 * -0.3)
    assert causes["carbon_intensity"].change["water_l"] == 0
    assert told.caused.by_run("pue", "carbon_g") == pytest.approx([-0.06, -0.09])
    assert told.caused.by_run("carbon_intensity", "carbon_g") == pytest.approx([0, -0.27])
    grid = causes["carbon_intensity"]
    assert (grid.before.factor.value, grid.after.factor.value) == (200, 100)


def test_the_command_says_why(home, capsys, tables):
    two_months(home)
    old = json.loads(ask(home, capsys, "assess", "--json"))["basis"]["basis_id"]
    tables["now"] = NOW
    told = json.loads(ask(home, capsys, "restate", old, "now", "--json"))
    assert told["totals"]["carbon_g"]["change"] == pytest.approx(-0.42)
    assert [cause["share_of_change"]["carbon_g"] for cause in told["causes"]] == pytest.approx([27 / 42, 15 / 42])
    assert sum(cause["change"]["carbon_g"] for cause in told["causes"]) == pytest.approx(-0.42, rel=1e-12)
    assert [run["causes"]["pue"]["carbon_g"] for run in told["runs"]] == pytest.approx([-0.06, -0.09])
    drawn_text = ask(home, capsys, "restate", old)
    assert "carbon intensity makes 64" in drawn_text
    assert "corrected, known since 2026-06-01" in drawn_text
    one = json.loads(ask(home, capsys, "restate", old, "--project", "search", "--json"))
    assert [run["name"] for run in one["runs"]] == ["january"]
    same = ask(home, capsys, "restate", "now", "now")
    assert "Nothing changes" in same


def test_who_bears_idle_energy_is_a_cause(home):
    """One of eight CPUs is busy for 100 s on a node of 100 W: 10 kJ, of which 1.25 kJ are not idle.

    × 1.1 × 1.5 ÷ 3.6e6 × 200 g/kWh: 0.91667 g become 0.11458 g.
    """
    process = Process((Job(10, 110),), cpu=Steady(1))
    Node(home, [Device(PACKAGE, Steady(100)), node_cpu([process])]).write([process])
    ingest(home)
    told = restate(open_ledger(home), Scope(), Basis(HERE, THEN), Basis(replace(HERE, idle_energy="none"), THEN))
    sums = [side.total("carbon_g").mid for side in (told.before, told.after)]
    assert sums == pytest.approx([0.91667, 0.11458], rel=1e-4)
    (cause,) = told.caused.causes()
    assert (cause.kind, cause.before) == (IDLE, None)
    assert cause.change["carbon_g"] == pytest.approx(sums[1] - sums[0])
    assert "the site says who bears idle energy" in [row["why"] for row in views.restatement(told).parts[0].rows]


def test_each_side_is_what_it_is_alone(home):
    """A share that is whole under one policy and a part under the other: no line is taken for another."""
    ledger = two_jobs_on_a_node(home)
    sides = [Basis(replace(HERE, idle_energy=idle), THEN) for idle in ("reservation", "none")]
    told = restate(ledger, Scope(), *sides)
    for side, basis in zip((told.before, told.after), sides, strict=True):
        alone = assess(ledger, Scope(), basis).assessed
        for category in ("it_energy_j", "carbon_g"):
            ours, theirs = side.total(category), alone.total(category)
            assert (ours.low, ours.mid, ours.high) == pytest.approx((theirs.low, theirs.mid, theirs.high), rel=1e-12)


values = st.floats(0.1, 10)
kinds = ("cpu_power", "pue", "carbon_intensity", "wue", "water_intensity")


def held(told: dict[str, float]) -> Held:
    factors = {kind: Match(fact(kind, told.get(kind, 1.0)), "exact") for kind in KINDS}
    midnight = datetime(2026, 1, 1)  # noqa: DTZ001 - as the ledger has it
    return Held(midnight, midnight + timedelta(days=1), InForce(KNOWN, KNOWN + timedelta(days=1), factors), {})


def lines_of(amounts: list[float], *pieces: dict[str, float]) -> Lines:
    """Runs with CPU-seconds, in one piece of time, under as many bases as told."""
    runs = tuple(Run(f"{place}", "job", None, None, FIRST) for place in range(len(amounts)))
    places, zero = np.arange(len(amounts)), np.zeros(len(amounts), dtype="int64")
    same = (np.array(amounts),) * 3
    source = (Source("cpu-time", "s", "it"),)
    return Lines(runs, (tuple(held(told) for told in pieces),), source, places, zero, zero, zero + 3,
                 (same,) * len(pieces))  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(*[st.fixed_dictionaries(dict.fromkeys(kinds, values))] * 2, st.lists(values, min_size=1, max_size=4))
def test_causes_add_up_to_the_change(before, after, amounts):
    lines = lines_of(amounts, before, after)
    told = caused(lines)
    for category in CATEGORIES:
        change = Assessed(lines, 1).total(category).mid - Assessed(lines, 0).total(category).mid
        parts = [cause.change[category] for cause in told.causes()]
        size = Assessed(lines, 1).total(category).mid + Assessed(lines, 0).total(category).mid
        assert math.fsum(parts) == pytest.approx(change, abs=1e-12 * size)


def test_what_cannot_meet_in_a_category_changes_together():
    """A new edition of all ten kinds, and idle energy: 2⁷ looks at the formulas instead of 2¹¹."""
    groups = apart([*KINDS, IDLE])
    alone = [("cpu_power",), ("dram_power",), ("it_overhead",), ("pue",)]
    assert groups[:4] == alone
    assert groups[4] == (
        "carbon_intensity",
        "wue",
        "electricity_price",
        "electricity_primary_energy",
        "electricity_adpe",
    )
    assert groups[5:] == [("water_intensity",), (IDLE,)]


@settings(max_examples=25)
@given(st.fixed_dictionaries(dict.fromkeys(kinds, values)), st.lists(values, min_size=2, max_size=6))
def test_a_total_is_the_sum_of_its_runs_however_they_are_split(told, amounts):
    """Linear in what was used, and additive over runs."""
    lines, whole = lines_of(amounts, told), lines_of([math.fsum(amounts)], told)
    for category in CATEGORIES:
        runs = [run.mid for run in Assessed(lines).runs(category)]
        total = Assessed(lines).total(category).mid
        assert total == pytest.approx(math.fsum(runs), rel=1e-12)
        assert total == pytest.approx(Assessed(whole).total(category).mid, rel=1e-12)


# Its range, and what it rests on ----------------------------------------------------------------------------------


def test_the_range_of_runs_that_share_a_grid_is_not_narrower_than_theirs(home):
    """Only the grid is unsure, by 100 – 200 – 400 g/kWh: 3 Wh × 1.5 of it are 0.45 – 0.9 – 1.8 g, as 1 and 2 Wh are."""
    ledger = two_months(home)
    sure = FactorSet(tuple(replace(row, low=row.value, high=row.value) if row.kind == "cpu_power" else row
                           for row in THEN.rows))  # fmt: skip
    told = assess(ledger, Scope(), Basis(HERE, sure))
    assert drawn.inputs(told.lines) == ["carbon_intensity"]
    carbon = told.sampled["carbon_g"]
    assert (carbon.low, carbon.mid, carbon.high) == pytest.approx((0.45, 0.9, 1.8), rel=2e-3)
    parts = [assess(ledger, Scope(project=name), Basis(HERE, sure)).sampled["carbon_g"]
             for name in ("search", "(no project)")]  # fmt: skip
    assert carbon.high - carbon.low == pytest.approx(sum(part.high - part.low for part in parts))


def test_independent_inputs_average_out(home):
    """Power and grid may each be off by a factor of two: together by 2^√2 = 2.665, where all low or all high is 4."""
    told = assess(two_months(home), Scope(), Basis(HERE, THEN))
    carbon, widest = told.sampled["carbon_g"], told.assessed.total("carbon_g")
    assert (carbon.high / carbon.mid, carbon.mid / carbon.low) == pytest.approx((2.665, 2.665), rel=5e-3)
    assert widest.high / widest.mid == pytest.approx(4)
    swings = {swing.name: (swing.low["carbon_g"], swing.high["carbon_g"]) for swing in told.swings}
    assert swings == {"carbon_intensity": pytest.approx((0.45, 1.8)), "cpu_power": pytest.approx((0.45, 1.8))}


def test_another_seed_is_another_sample_of_the_same(home):
    lines = assess(two_months(home), Scope(), Basis(HERE, THEN)).lines
    one, other = (quantiles(drawn.drawn(lines, 0, 4096, seed)["carbon_g"]) for seed in (1, 2))
    assert one != other
    assert one == pytest.approx(other, rel=1e-2)
