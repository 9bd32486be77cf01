"""The questions, asked of ledgers made by hand: every number is a sum that can be done on paper.

The site declares all it can, so that one watt-hour (900 CPU-seconds × 4 W = 3600 J) is, at PUE 1.5,
200 g/kWh and 0.20 USD/kWh: 0.001 × 1.5 × 200 = 0.3 g and 0.001 × 1.5 × 0.20 = 0.0003 USD. Its low and high are
900 × 2 W = 1800 J with PUE 1 and 100 g/kWh, 0.05 g; and 900 × 8 W = 7200 J with PUE 2 and 400 g/kWh, 1.6 g.
"""

from __future__ import annotations

import fcntl
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from handmade import START_NS, HandmadeJournal
from simulated import Device, Job, Node, Process, Steady, node_cpu

from joulebook.accounting import assess, basis
from joulebook.accounting.errors import InputError, NotFound, SiteError
from joulebook.accounting.estimates import Estimate
from joulebook.accounting.factors import FactorSet, load
from joulebook.accounting.ledger import Ledger, database, ingest, open_ledger
from joulebook.accounting.site import Site, write_site
from joulebook.collectors.sensors import Sensor
from joulebook.reports import as_json, views
from joulebook.reports.view import View
from joulebook.reports.views import period_of
from joulebook.reports.views.common import evidence
from joulebook.reports.views.devices import odd_notes

HERE = Site(
    "FR", None, None, pue=(1, 1.5, 2), wue_l_per_kwh=(0, 0.5, 1), price_usd_per_kwh=(0.1, 0.2, 0.4),
    carbon_intensity_g_per_kwh=(100, 200, 400), cpu_power_w=(2, 4, 8), it_overhead=(1, 1.1, 1.2),
)  # fmt: skip
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
HOUR, DAY = 3600.0, 86_400.0
WH_CPU_S = 900.0  # the CPU-seconds of one watt-hour


def job(
    home: Path, at_s: float, cpu_s: float = WH_CPU_S, name: str = "job", host: str = "testhost", **fields: Any
) -> str:
    """A run of a minute in a process of its own; its id."""
    journal = HandmadeJournal(home, host)
    journal.sensor()
    run = journal.start(at_s, name, counters={"cpu_time": 1.0}, **fields)
    journal.end(at_s + 60, run, counters={"cpu_time": 1.0 + cpu_s})
    journal.write()
    return run


def told(home: Path, site: Site = HERE) -> Ledger:
    write_site(home, site)
    ingest(home)
    return open_ledger(home)


def from_to(start_s: float, end_s: float) -> views.Period:
    return period_of(FIRST + timedelta(seconds=start_s), FIRST + timedelta(seconds=end_s))


def ends(estimate: Estimate) -> tuple[float | None, float | None, float | None]:
    return estimate.low, estimate.mid, estimate.high


def about(*numbers: float) -> object:
    return pytest.approx(numbers, rel=1e-9)


def plain(text: str) -> str:
    return text.replace("\u2009", " ")


def part(view: View, key: str) -> View:
    (found,) = [part for part in view.parts if part.key == key]
    return found


# A period ---------------------------------------------------------------------------------------------------------


def test_overview(home: Path) -> None:
    """Two runs of 1 Wh and 2 Wh: three times the watt-hour of the head of this file."""
    job(home, 0, project="search")
    job(home, DAY, 2 * WH_CPU_S, project="vision")
    view = views.overview(told(home), period_of())
    energy, carbon, water, cost = (tile.value for tile in view.tiles)
    assert ends(energy) == about(5400, 10_800, 21_600)
    assert ends(carbon) == about(0.15, 0.9, 4.8)
    assert ends(cost) == about(0.00015, 0.0009, 0.0048)  # low 1.5 Wh × 1 × 0.1; high 6 Wh × 2 × 0.4
    offsite = load().select("water_intensity", "FR", date(2026, 1, 1)).factor
    low, mid, high = 0.0015 * (0 + offsite.low), 0.003 * (0.5 + 1.5 * offsite.value), 0.006 * (1 + 2 * offsite.high)
    assert ends(water) == about(low, mid, high)
    assert {tile.value.method for tile in view.tiles} == {"modelled"}
    assert plain(view.sentence) == "2 runs used 3.00 Wh (modelled, 1.50–6.00 Wh) and caused 900 mg of CO₂e."
    assert view.tiles[0].caption == ""  # the badge says that all of it is modelled
    assert [part.key for part in view.parts] == ["by_day", "by_project"]


def test_without_a_site_the_world_stands_in_and_it_is_said(home: Path) -> None:
    """100 CPU-seconds with the world's rows, whatever they are today: the sum is done from the rows themselves."""
    job(home, 0, 100.0)
    ingest(home)
    view = views.overview(open_ledger(home), period_of())
    found = {kind: load().find(kind, "WORLD", date(2026, 1, 1)) for kind in assess.KINDS}
    rows = {kind: match.factor for kind, match in found.items() if match}
    assert set(assess.KINDS) - set(rows) == {"electricity_primary_energy"}  # which the world has none of
    watts, pues, grams = (
        (row.low, row.value, row.high) for row in (rows["cpu_power"], rows["pue"], rows["carbon_intensity"])
    )
    assert ends(view.tiles[0].value) == about(*(100 * watt for watt in watts))
    assert ends(view.tiles[1].value) == about(
        *(100 * w / 3.6e6 * p * g for w, p, g in zip(watts, pues, grams, strict=True))
    )
    assert any("joulebook init --region" in note for note in view.notes)
    assert {use.factor_id for use in view.factors} == {
        row.factor_id for kind, row in rows.items() if kind not in ("it_overhead", "dram_power")
    }
    assert {use.match for use in view.factors} == {"world"}


def test_the_energy_rests_on_its_methods_in_shares(home: Path) -> None:
    """3600 J modelled and 1200 J that the job declared: three quarters and one quarter."""
    journal = HandmadeJournal(home)
    journal.sensor()
    run = journal.start(0, counters={"cpu_time": 0.0})
    journal.event("usage", 5, span_id=run, run_id=run, kind="energy", amount=1.2, unit="kJ", method="declared")
    journal.end(60, run, counters={"cpu_time": WH_CPU_S})
    journal.write()
    view = views.overview(told(home), period_of())
    assert plain(view.tiles[0].caption) == "75 % modelled, 25 % declared"
    assert view.tiles[0].value.method == "declared"
    assert plain(view.sentence).startswith("1 run used 1.33 Wh (75 % modelled, the rest declared; 0.833–2.33 Wh)")
    assert plain(views.run(told(home), run).sentence).startswith(
        "Took 1 min 00 s, used 1.33 Wh (75 % modelled, the rest declared; 0.833–2.33 Wh)"
    )


@pytest.mark.parametrize(
    ("energies_j", "said"),
    [
        ({"measured": 5.0}, ["100 % measured"]),
        ({"attributed": 30.0, "measured": 70.0}, ["70 % measured", "30 % attributed"]),
        ({"measured": 999.0, "modelled": 1.0}, ["over 99 % measured", "under 1 % modelled"]),  # neither is 100 or 0
        ({"measured": 0.0}, []),
    ],
)
def test_a_part_that_is_there_is_never_told_as_nothing(energies_j: dict[str, float], said: list[str]) -> None:
    assert [plain(text) for text in evidence(energies_j)] == said


def test_a_period_is_compared_with_the_one_before(home: Path) -> None:
    """A project each: CPU-seconds of a run before, and of one so many days later."""
    expected = [
        (1800, 900, 2, ", 50.0 % less than in the 2 days before."),
        (900, 1350, 2, ", 50.0 % more than in the 2 days before."),
        (900, 900, 7, ", as much as in the 7 days before."),
        (900, 2700, 1, ", 200 % more than in the 24 hours before."),
        (900, 2700, 0.5, ", 200 % more than in the 12 hours before."),
        (0, 900, 2, "of CO₂e."),  # nothing before: nothing to compare with
    ]
    for number, (before_s, now_s, days, _) in enumerate(expected):
        job(home, 0, before_s, project=str(number))
        job(home, days * DAY, now_s, project=str(number))
    ledger = told(home)
    for number, (*_, days, says) in enumerate(expected):
        view = views.overview(ledger, from_to(days * DAY, 2 * days * DAY), str(number))
        assert view.sentence.endswith(says)


def test_what_went_wrong_is_counted(home: Path) -> None:
    job(home, 0)
    failed_and_lost(home)
    view = views.overview(told(home), period_of())
    assert view.sentence.endswith("Of the runs that began in this time, 1 failed, 1 lost.")


def failed_and_lost(home: Path) -> tuple[str, str]:
    """A run that raised after 10 s, and one whose process was heard of for the last time after 30 s."""
    journal = HandmadeJournal(home)
    journal.sensor()
    failed = journal.start(100, "failed", counters={"cpu_time": 0.0})
    journal.end(110, failed, ok=False, error="ValueError", counters={"cpu_time": 9.0})
    lost = journal.start(200, "lost", counters={"cpu_time": 9.0})
    journal.tick(230, cpu_time=39.0)
    journal.write()
    return failed, lost


# Runs -------------------------------------------------------------------------------------------------------------


def test_each_run_is_a_row_newest_first(home: Path) -> None:
    first = job(home, 0, name="first", project="search", host="alpha")
    second = job(home, HOUR, 0.5 * WH_CPU_S, name="second", host="beta")
    view = views.runs(told(home), period_of())
    assert [row["run_id"] for row in view.rows] == [second, first]
    row = view.rows[1]
    assert (row["name"], row["project"], row["host"], row["ok"], row["state"]) == (
        "first",
        "search",
        "alpha",
        True,
        "ended",
    )
    assert (row["started_at"], row["ended_at"], row["duration_s"]) == (FIRST, FIRST + timedelta(seconds=60), 60.0)
    assert ends(row["energy_j"]) == about(1800, 3600, 7200)
    assert ends(view.rows[0]["carbon_g"]) == about(0.025, 0.15, 0.8)
    assert (row["gaps"], view.rows[0]["project"]) == ([], None)
    assert view.sentence == "2 runs."


def test_the_newest_runs_up_to_a_limit(home: Path) -> None:
    for n in range(3):
        job(home, n * HOUR, name=str(n))
    view = views.runs(told(home), period_of(), limit=2)
    assert [row["name"] for row in view.rows] == ["2", "1"]
    assert view.sentence == "3 runs, the newest 2 shown."


def test_how_a_run_ended_and_what_is_missing_of_it(home: Path) -> None:
    """Failed: 9 CPU-seconds × 4 W = 36 J. Lost: 30 s of CPU time up to the last reading, 120 J, and nothing after."""
    failed, lost = failed_and_lost(home)
    rows = {row["run_id"]: row for row in views.runs(told(home), period_of()).rows}
    assert (rows[failed]["state"], rows[failed]["ok"], rows[failed]["error"]) == ("failed", False, "ValueError")
    assert rows[failed]["energy_j"].mid == pytest.approx(36)
    assert rows[failed]["gaps"] == []
    assert (rows[lost]["state"], rows[lost]["ok"], rows[lost]["ended_at"], rows[lost]["duration_s"]) == (
        "lost",
        None,
        None,
        30.0,
    )
    assert rows[lost]["energy_j"].mid == pytest.approx(120)
    assert rows[lost]["gaps"] == [
        {
            "reason": "ended without a word",
            "sensor": None,
            "from": FIRST + timedelta(seconds=230),
            "to": None,
            "amount": None,
        }
    ]


def test_a_run_whose_process_lives_is_running_and_lacks_nothing(home: Path) -> None:
    journal = HandmadeJournal(home)
    journal.sensor()
    run = journal.start(0, counters={"cpu_time": 0.0})
    journal.tick(20, cpu_time=WH_CPU_S)
    with journal.write().open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        ledger = told(home)
        (row,) = views.runs(ledger, period_of()).rows
        assert (row["state"], row["ok"], row["duration_s"], row["gaps"]) == ("running", None, 20.0, [])
        assert row["energy_j"].mid == pytest.approx(3600)
        assert "1 running" in views.overview(ledger, period_of()).sentence
        assert plain(views.run(ledger, run).sentence).startswith("Running for 20.0 s, used 1.00 Wh")


def test_a_gap_is_told_of_the_runs_that_were_open(home: Path) -> None:
    """One process, two runs one after the other, a meter that failed during the second."""
    journal = HandmadeJournal(home)
    journal.sensor()
    early = journal.start(0, "early", counters={"cpu_time": 0.0})
    journal.end(10, early, counters={"cpu_time": 1.0})
    late = journal.start(20, "late", counters={"cpu_time": 1.0})
    span = {"from_ns": START_NS + 22 * 10**9, "to_ns": START_NS + 25 * 10**9}
    journal.event("gap", 25, reason="meter failed: OSError", sensor="cpu-time", amount=3.0, **span)
    journal.event("gap", 26, reason="written for one run", run_id=early)
    journal.end(30, late, counters={"cpu_time": 2.0})
    journal.write()
    ledger = told(home)
    rows = {row["run_id"]: row["gaps"] for row in views.runs(ledger, period_of()).rows}
    when = {"from": FIRST + timedelta(seconds=22), "to": FIRST + timedelta(seconds=25)}
    assert rows[late] == [{"reason": "meter failed: OSError", "sensor": "cpu-time", **when, "amount": 3.0}]
    assert [gap["reason"] for gap in rows[early]] == ["written for one run"]
    assert [row["reason"] for row in part(views.run(ledger, late), "gaps").rows] == ["meter failed: OSError"]


# Which runs, which period -----------------------------------------------------------------------------------------


def test_a_period_begins_with_its_start_and_ends_before_its_end(home: Path) -> None:
    for hour in range(3):
        job(home, hour * HOUR, name=f"{hour} o'clock")
    ledger = told(home)
    assert [row["name"] for row in views.runs(ledger, from_to(HOUR, 2 * HOUR)).rows] == ["1 o'clock"]
    assert [row["name"] for row in views.summary(ledger, from_to(HOUR, 2 * HOUR), "name").rows] == ["1 o'clock"]
    whole, halves = (
        sum(view.tiles[0].value.mid or 0 for view in (views.overview(ledger, period) for period in periods))
        for periods in ([from_to(0, 3 * HOUR)], [from_to(0, HOUR), from_to(HOUR, 3 * HOUR)])
    )
    assert whole == pytest.approx(3 * 3600) == pytest.approx(halves)


def test_a_period_is_named_by_its_first_and_last_day() -> None:
    assert from_to(0, 31 * DAY).label == "1 Jan 2026 – 31 Jan 2026"
    assert period_of(None, FIRST).label == "all time to 31 Dec 2025"


def test_one_project_only(home: Path) -> None:
    """`a` of project search used 3600 J, `b` of none 7200 J."""
    job(home, 0, name="a", project="search")
    job(home, HOUR, 2 * WH_CPU_S, name="b")
    ledger = told(home)
    expected = {"search": (["a"], 3600), "(no project)": (["b"], 7200), None: (["b", "a"], 10_800), "none": ([], None)}
    for project, (names, joules) in expected.items():
        assert [row["name"] for row in views.runs(ledger, period_of(), project).rows] == names
        assert [row["name"] for row in views.summary(ledger, period_of(), "name", project).rows] == names
        tiles = views.overview(ledger, period_of(), project).tiles
        assert [tile.value.mid for tile in tiles[:1]] == ([pytest.approx(joules)] if names else [])
    assert views.projects(ledger) == ["(no project)", "search"]


def test_a_run_is_found_by_what_people_type(home: Path) -> None:
    first, second = job(home, 0), job(home, HOUR)
    ledger = told(home)
    for text in (first, first.upper(), first[:25], first[-12:]):
        assert views.find_run(ledger, text) == first
    assert views.find_run(ledger, "last") == second
    with pytest.raises(InputError, match="fits several runs") as caught:
        views.find_run(ledger, first[:4])
    assert first in str(caught.value)
    assert second in str(caught.value)
    for nobody in ("ffffffff", "%", "' or 1=1 --"):
        with pytest.raises(NotFound, match="joulebook runs lists them"):
            views.find_run(ledger, nobody)


def test_a_span_is_no_run(home: Path) -> None:
    journal = HandmadeJournal(home)
    run = journal.start(0)
    child = journal.start(1, "child", parent=(run, run))
    journal.end(2, child, run)
    journal.end(3, run)
    journal.write()
    with pytest.raises(NotFound):
        views.find_run(told(home), child)


def test_an_empty_ledger_says_what_to_do(home: Path) -> None:
    ledger = told(home)
    january = from_to(0, 31 * DAY)
    record = "is on record for 1 Jan 2026 – 31 Jan 2026. Record one: joulebook run -- your command"
    assert views.runs(ledger, january).empty == f"No run {record}"
    assert views.runs(ledger, january, "search").empty == f"No run of project search {record}"
    for view in (views.overview(ledger, january), views.summary(ledger, january), views.report(ledger, january)):
        assert (view.empty, view.rows, view.tiles, view.parts, view.factors) == (
            f"No energy of any run {record}",
            (),
            (),
            (),
            (),
        )
    assert views.overview(ledger, january, "search").empty == f"No energy of any run of project search {record}"
    assert views.projects(ledger) == []
    assert views.freshness(ledger) == f"No data yet · factors {load().set_id}"
    with pytest.raises(NotFound):
        views.find_run(ledger, "last")


def test_runs_without_energy_are_not_runs_of_zero_joules(home: Path) -> None:
    journal = HandmadeJournal(home)
    run = journal.start(0)
    journal.end(10, run)
    journal.write()
    ledger = told(home)
    assert views.overview(ledger, period_of()).sentence == "1 run on record, none with energy."
    (row,) = views.runs(ledger, period_of()).rows
    assert row["energy_j"] == Estimate(None, None, None, "J", "unknown", "no energy was recorded")
    assert plain(views.run(ledger, run).sentence) == "Took 10.0 s; no energy was recorded."


def test_how_fresh_the_ledger_is(home: Path) -> None:
    """The last event of the run that began with the year came a minute later."""
    job(home, 0)
    assert views.freshness(told(home)) == f"Data through 2026-01-01 00:01 UTC · factors {load().set_id}"


# Sums -------------------------------------------------------------------------------------------------------------


def test_sums_by(home: Path) -> None:
    """The largest first, days in the order of time, and equals (the hosts) in the order of their names."""
    job(home, 0, name="train", project="search", host="alpha")
    job(home, DAY, name="eval", host="alpha")
    job(home, DAY + HOUR, 2 * WH_CPU_S, name="train", project="search", host="beta")
    ledger = told(home)
    expected = {
        "project": [("search", 2, 10_800), ("(no project)", 1, 3600)],
        "name": [("train", 2, 10_800), ("eval", 1, 3600)],
        "host": [("alpha", 2, 7200), ("beta", 1, 7200)],
        "day": [("2026-01-01", 1, 3600), ("2026-01-02", 2, 10_800)],
    }
    for by, rows in expected.items():
        view = views.summary(ledger, period_of(), by)
        found = [(row[by], row["runs"], row["energy_j"].mid) for row in view.rows]
        assert found == [(key, runs, pytest.approx(joules)) for key, runs, joules in rows]
        assert view.sentence == f"2 {by}s with recorded energy."
        assert view.rows[0]["carbon_g"].mid == pytest.approx(rows[0][2] / 3.6e6 * 1.5 * 200)


def test_sums_by_anything_else_are_refused(home: Path) -> None:
    with pytest.raises(InputError, match="cannot sum by 'moon': choose one of project, name, host, day"):
        views.summary(told(home), period_of(), "moon")


def test_a_run_across_midnight_counts_on_both_days(home: Path) -> None:
    """An hour on either side of midnight, 900 CPU-seconds before it and 1800 after it: 1 Wh and 2 Wh."""
    journal = HandmadeJournal(home)
    journal.sensor()
    run = journal.start(DAY - HOUR, counters={"cpu_time": 0.0})
    journal.tick(DAY, cpu_time=900.0)
    journal.end(DAY + HOUR, run, counters={"cpu_time": 2700.0})
    journal.write()
    rows = views.summary(told(home), period_of(), "day").rows
    found = [(row["day"], row["runs"], row["energy_j"].mid) for row in rows]
    assert found == [("2026-01-01", 1, pytest.approx(3600)), ("2026-01-02", 1, pytest.approx(7200))]


def test_a_day_without_runs_is_a_gap_in_the_calendar(home: Path) -> None:
    job(home, 0)
    job(home, 3 * DAY, 2 * WH_CPU_S)
    ledger = told(home)
    figure = views.by_day(ledger, period_of()).figure
    assert figure is not None
    (series,) = figure.series
    assert series.x == tuple(FIRST + timedelta(days=n) for n in range(4))
    assert series.mid == (pytest.approx(0.3), None, None, pytest.approx(0.6))
    assert (series.low[0], series.high[3]) == (pytest.approx(0.05), pytest.approx(3.2))
    assert plain(figure.alt) == "Carbon per day, highest on 4 Jan 2026 with 600 mg."
    assert figure.partial_from is None
    since = views.by_day(ledger, from_to(-2 * DAY + 5, 9 * DAY)).figure
    assert since is not None
    assert since.series[0].x[:3] == tuple(FIRST + timedelta(days=n) for n in (-2, -1, 0))  # from the period's first day


def test_only_today_is_not_over(home: Path) -> None:
    """A run that began with today, in UTC."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    job(home, (today - FIRST).total_seconds())
    figure = views.by_day(told(home), period_of()).figure
    assert figure is not None
    assert (figure.series[0].x, figure.partial_from) == ((today,), today)


@pytest.mark.parametrize(("count", "last"), [(8, "p7"), (9, "1 other"), (11, "3 others")])
def test_beyond_eight_projects_the_rest_stand_together(home: Path, count: int, last: str) -> None:
    """Project p0 used 20 Wh, p1 19 Wh, and so on; p8 to p10 used 12 + 11 + 10 = 33 Wh, which are 33 × 0.3 = 9.9 g."""
    for n in range(count):
        job(home, n * HOUR, (20 - n) * WH_CPU_S, project=f"p{n}")
    view = views.by_project(told(home), period_of())
    assert view.figure is not None
    (series,) = view.figure.series
    assert series.x == (*(f"p{n}" for n in range(8)), *([last] if count > 8 else []))
    assert sum(mid or 0 for mid in series.mid) == pytest.approx(sum(20 - n for n in range(count)) * 0.3)
    if count == 11:
        assert series.mid[-1] == pytest.approx(9.9)
    assert len(view.rows) == count  # the table has them all
    assert plain(view.figure.alt).startswith("Carbon by project: p0 6.00 g; p1 5.70 g;")


def test_a_report_holds_the_overview_and_every_run(home: Path) -> None:
    job(home, 0, name="a", host="alpha")
    job(home, HOUR, name="b", host="beta")
    ledger = told(home)
    view, overview = views.report(ledger, period_of()), views.overview(ledger, period_of())
    assert [part.key for part in view.parts] == [
        "by_day", "by_project", "by_name", "by_host", "impact", "scopes", "runs"]  # fmt: skip
    assert (view.key, view.title, view.sentence) == ("report", "Energy and carbon of AI work", overview.sentence)
    assert [tile.value for tile in view.tiles] == [tile.value for tile in overview.tiles]
    assert [row["name"] for row in part(view, "runs").rows] == ["b", "a"]
    assert [row["host"] for row in part(view, "by_host").rows] == ["alpha", "beta"]
    assert view.factors == overview.factors


# One run ----------------------------------------------------------------------------------------------------------


class Training(NamedTuple):
    run: str
    child: str
    view: View


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Training:
    """100 s with 900 CPU-seconds: 300 of them before a child that takes 450, and 150 after it."""
    home = tmp_path_factory.mktemp("trained")
    journal = HandmadeJournal(home)
    journal.sensor()
    run = journal.start(
        0, "train", project="search", command="python train.py", tags=[["team", "nlp"]], counters={"cpu_time": 0.0}
    )
    journal.tick(10, cpu_time=100.0)
    child = journal.start(50, "epoch", parent=(run, run), counters={"cpu_time": 300.0})
    ids = {"span_id": child, "run_id": run}
    for tokens in (1000, 24):
        journal.event("usage", 51, **ids, kind="tokens", amount=tokens, unit="token", method="measured")
    journal.event("quality", 52, **ids, kind="accuracy", amount=0.93)
    journal.event("note", 53, **ids, text="seed 0")
    journal.end(90, child, run, counters={"cpu_time": 750.0})
    journal.end(100, run, counters={"cpu_time": 900.0}, exit_code=0)
    journal.write()
    return Training(run, child, views.run(told(home), run[:20]))


def test_one_run(trained: Training) -> None:
    run, child, view = trained
    assert (view.title, view.subtitle) == ("train", "search · 01 Jan 2026 00:00:00 UTC · location-based")
    assert plain(view.sentence) == "Took 1 min 40 s, used 1.00 Wh (modelled, 0.500–2.00 Wh) and caused 300 mg of CO₂e."
    assert [part.key for part in view.parts] == [
        "power",
        "spans",
        "impacts",
        "devices",
        "usage",
        "quality",
        "notes",
        "about",
    ]
    (usage,) = part(view, "usage").rows
    assert usage == {"kind": "tokens", "unit": "token", "method": "measured", "amount": 1024.0, "entries": 2}
    assert part(view, "quality").rows == ({"span": "epoch", "metric": "accuracy", "value": 0.93},)
    assert part(view, "notes").rows == ({"noted_at": FIRST + timedelta(seconds=53), "span": "epoch", "text": "seed 0"},)
    about_it = {row["what"]: row["value"] for row in part(view, "about").rows}
    assert about_it | {"CPU time": plain(about_it["CPU time"])} == {
        "Run": run, "Host": "testhost", "Processor": "Test CPU (8 logical CPUs)", "Command": "python train.py",
        "Exit code": "0", "CPU time": "15 min 00 s", "Tag team": "nlp"}  # fmt: skip
    assert child != run


def test_a_page_with_many_parts_opens_the_ledger_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = job(home, 0)
    ledger, opened, connect = told(home), [], database._connect
    monkeypatch.setattr(database, "_connect", lambda path, **mode: opened.append(path) or connect(path, **mode))
    assert len(views.run(ledger, run).parts) == 5
    assert opened == [ledger.path]
    assert len(views.overview(ledger, period_of()).parts) == 2
    assert opened == [ledger.path] * 2


def test_a_span_is_part_of_its_parent(trained: Training) -> None:
    """The run used 900 CPU-seconds × 4 W = 3600 J, of which its child 450 × 4 W = 1800 J."""
    run, child, view = trained
    spans = part(view, "spans")
    found = [
        (row["span_id"], row["depth"], row["at_s"], row["duration_s"], ends(row["energy_j"])) for row in spans.rows
    ]
    assert found == [(run, 0, 0.0, 100.0, about(1800, 3600, 7200)), (child, 1, 50.0, 40.0, about(900, 1800, 3600))]
    assert {row["energy_j"].method for row in spans.rows} == {"modelled"}
    assert spans.figure is not None
    (series,) = spans.figure.series
    assert (series.x, series.mid, series.low, series.high) == (("train", "epoch"), (0, 1), (0, 50), (100, 90))
    assert plain(spans.figure.alt) == "Spans over time; the longest inside the run is epoch with 40.0 s."


def test_power_is_what_was_used_between_two_readings(trained: Training) -> None:
    """100 CPU-s in 10 s × 4 W = 40 W; 200 in 40 s: 20 W; 450 in 40 s: 45 W; 150 in 10 s: 60 W. All: 3600 J in 100 s."""
    power = part(trained.view, "power")
    assert [row["at_s"] for row in power.rows] == pytest.approx([10, 50, 90, 100])  # the ends of the steps
    assert [row["power_w"].mid for row in power.rows] == pytest.approx([40, 20, 45, 60])
    assert [row["power_w"].high for row in power.rows] == pytest.approx([80, 40, 90, 120])
    assert power.figure is not None
    assert plain(power.figure.alt) == "IT power over 1 min 40 s: about 36.0 W on average, at most 60.0 W at 1 min 40 s."
    steps = (0, 10, 10, 50, 50, 90, 90, 100)  # each mean for as long as it holds
    assert power.figure.series[0].x == pytest.approx(steps)


def test_every_impact_names_its_factors(trained: Training) -> None:
    rows = {row["category"]: row for row in part(trained.view, "impacts").rows}
    kinds = {key: [name.split("/")[0] for name in row["factor_ids"].split(", ")] for key, row in rows.items()}
    assert kinds["carbon_g"] == ["cpu_power", "pue", "carbon_intensity"]
    assert kinds["water_l"] == ["cpu_power", "pue", "wue", "water_intensity"]
    assert {key: row["match"] for key, row in rows.items()} == {
        "device_energy_j": "–", "it_energy_j": "declared", "facility_energy_j": "declared", "carbon_g": "declared",
        "water_l": "exact", "cost_usd": "declared",
        "primary_energy_j": "exact", "adpe_kgsb": "exact"}  # fmt: skip
    assert not rows["device_energy_j"]["amount"].known
    assert ends(rows["facility_energy_j"]["amount"]) == about(1800, 5400, 14_400)


def test_a_run_across_a_change_names_the_factors_of_both_times(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until 1 February 400 g/kWh, from then on 200: 1 Wh × 1.5 × 400 and 1 Wh × 1.5 × 200 = 0.6 + 0.3 = 0.9 g."""
    turn = date(2026, 2, 1)
    base = load().select("carbon_intensity", "FR", date(2025, 1, 1)).factor
    old = replace(base, value=400, low=400, high=400, valid_from=date(2026, 1, 1), valid_to=turn)
    new = replace(base, value=200, low=200, high=200, valid_from=turn, valid_to=None)
    rest = [row for row in load().rows if (row.kind, row.region) != ("carbon_intensity", "FR")]
    monkeypatch.setattr(basis, "factor_set", lambda home: FactorSet((*rest, old, new)))
    journal = HandmadeJournal(home)
    journal.sensor()
    run = journal.start(31 * DAY - HOUR, counters={"cpu_time": 0.0})
    journal.tick(31 * DAY, cpu_time=900.0)
    journal.end(31 * DAY + HOUR, run, counters={"cpu_time": 1800.0})
    journal.write()
    view = views.run(told(home, replace(HERE, carbon_intensity_g_per_kwh=None)), run)
    (carbon,) = [row for row in part(view, "impacts").rows if row["category"] == "carbon_g"]
    assert carbon["amount"].mid == pytest.approx(0.9)
    assert carbon["factor_ids"].split(", ")[-2:] == [old.factor_id, new.factor_id]
    assert {old.factor_id, new.factor_id} <= {use.factor_id for use in view.factors}


def test_a_measured_device_is_told_as_measured(home: Path) -> None:
    """500 J of a GPU × 1, 1.1, 1.2 at the plug: the overhead's range makes no model of a measurement."""
    journal = HandmadeJournal(home)
    journal.sensor("gpu-energy", "J", device="gpu", boundary="device")
    run = journal.start(0, counters={"gpu_energy": 0.0})
    journal.end(10, run, counters={"gpu_energy": 500.0})
    journal.write()
    view = views.run(told(home), run)
    (span,) = part(view, "spans").rows
    assert (ends(span["energy_j"]), span["energy_j"].method) == (about(500, 550, 600), "measured")
    impacts = {row["category"]: row for row in part(view, "impacts").rows}
    assert (impacts["device_energy_j"]["amount"].mid, impacts["it_energy_j"]["method"]) == (500, "measured")
    assert impacts["it_energy_j"]["factor_ids"].startswith("it_overhead/SITE/")
    assert not any("modelled" in note for note in view.notes)


def test_a_failed_and_a_lost_run_say_so_first(home: Path) -> None:
    failed, lost = failed_and_lost(home)
    ledger = told(home)
    assert plain(views.run(ledger, failed).sentence).startswith("Failed after 10.0 s (ValueError), used 10.0 mWh")
    view = views.run(ledger, lost)
    assert plain(view.sentence).startswith("Ended without a word, last heard of after 30.0 s, used 33.3 mWh")
    assert [row["reason"] for row in part(view, "gaps").rows] == ["ended without a word"]


# Devices and computation ------------------------------------------------------------------------------------------

UUID = "-d33d-2b2c-524d-9e3d8d2b8a77"
GPU = Sensor("", "", "mJ", "measured", "nvml", "NVIDIA H100 80GB HBM3", max_w=700.0, share_by="reservation")
PACKAGE = Sensor("powercap:package-0", "cpu:0", "uJ", "measured", "energy_uj", max_w=400.0)


def gpu(digits: str, watts: float, **fields: Any) -> Device:
    uuid = f"GPU-{digits}{UUID}"
    return Device(GPU._replace(sensor=f"nvml:{uuid}", device=f"gpu:{uuid}", **fields), Steady(watts))


def on_node(home: Path, *devices: Device, others_cpus: float = 0.0, **usage: float) -> View:
    """What is said of a run on these devices alone."""
    run = written(home, *devices, others_cpus=others_cpus, **usage)
    return views.run(told(home), run)


def written(home: Path, *devices: Device, others_cpus: float = 0.0, **usage: float) -> str:
    """100 s of a run with one busy CPU on a node with these devices, beside others that keep some CPUs busy too."""
    process = Process((Job(10, 110),), cpu=Steady(1))
    cpus = [node_cpu([process], Steady(others_cpus))] if others_cpus else []
    node = Node(home, [*devices, *cpus])
    (((ran,),)) = node.write([process])
    (journal,) = node.journals
    for kind, flop in usage.items():
        journal.event("usage", 50, span_id=ran.run_id, run_id=ran.run_id, kind=kind, amount=flop, unit="FLOP",
                      method="declared")  # fmt: skip
    journal.write()
    return ran.run_id


def test_devices_of_one_model_have_a_total_and_short_names(home: Path) -> None:
    """Two H100 of 300 W and 200 W: (300 + 200) W × 100 s = 50 kJ; one of eight busy CPUs is the run's."""
    view = on_node(home, gpu("9f3a0000", 200), gpu("9f3a1111", 300), Device(PACKAGE, Steady(100)), others_cpus=7)
    devices = part(view, "devices")
    (total,) = devices.totals
    assert (total["label"], total["tier"]) == ("2 × H100 80GB HBM3", "measured")
    assert total["share"] == pytest.approx(1)
    assert total["energy_j"].mid == pytest.approx(50_000)
    assert total["energy_j"].high == pytest.approx(sum(row["energy_j"].high for row in devices.rows[:2]))
    assert [row["label"] for row in devices.rows] == ["GPU-9f3a0000", "GPU-9f3a1111", "CPU 0"]
    assert devices.rows[0]["sensor"] == f"nvml:GPU-9f3a0000{UUID}"  # in full for who exports it
    assert [row["share"] for row in devices.rows] == pytest.approx([1, 1, 1 / 8])
    assert "The run's share is by CPU time (CPU)." in devices.notes
    assert devices.notes[0].startswith("Evidence: measured, by a counter of the device; attributed, the run's part")


def test_totals_are_not_exported(home: Path) -> None:
    told_in_json = as_json.run(on_node(home, gpu("9f3a0000", 200), gpu("9f3a1111", 300)))["devices"]
    assert [row["sensor"].removesuffix(UUID) for row in told_in_json] == [
        "nvml:GPU-9f3a0000", "nvml:GPU-9f3a1111", "cpu-time"]  # fmt: skip


def test_devices_of_several_kinds_of_evidence_say_all_of_them_in_their_total(home: Path) -> None:
    gauge = {"unit": "mW", "method": "integrated", "window_s": 1.0}
    (total,) = part(on_node(home, gpu("9f3a0000", 200), gpu("9f3a1111", 300, **gauge)), "devices").totals
    assert (total["tier"], total["energy_j"].method) == ("measured, integrated", "integrated")


def test_a_device_has_a_name_for_people(home: Path) -> None:
    """A node each."""
    expected: list[tuple[dict[str, Any], str]] = [
        ({}, "H100 80GB HBM3 · GPU-9f3a0000"),
        ({"reserved": 3 / 7}, "Part of H100 80GB HBM3 · GPU-9f3a0000"),
        ({"model": None, "device": "gpu:0"}, "GPU · GPU 0"),
        ({"device": "dram:model"}, "DRAM"),
        ({"device": "dram:1"}, "DRAM 1"),
        ({"device": f"module:GPU-9f3a0000{UUID}", "counted": False}, "Module GPU-9f3a0000 (not counted)"),
    ]
    sensor = gpu("9f3a0000", 200).sensor
    runs = [written(home, Device(sensor._replace(**fields), Steady(200))) for fields, _ in expected]
    ledger = told(home)
    for run, (_, label) in zip(runs, expected, strict=True):
        labels = [row["label"] for row in part(views.run(ledger, run), "devices").rows]
        assert label in labels
        assert "Server, by CPU time" in labels  # nobody saw the CPU


def test_what_covers_the_whole_server_can_be_compared(home: Path) -> None:
    """psys sees all of the server: 150 W × 100 s, not counted; the run's energy is the model's, 100 s × 4 W."""
    psys = PACKAGE._replace(sensor="powercap:psys", device="platform:0", counted=False, boundary="it")
    view = on_node(home, Device(psys, Steady(150)))
    model, compared = part(view, "devices").rows
    assert (model["energy_j"].mid, compared["energy_j"].mid) == (pytest.approx(400), pytest.approx(15_000))
    assert compared["label"] == "Platform 0 (not counted)"
    assert "What is not counted was read for comparison only." in part(view, "devices").notes


def test_only_a_known_node_has_columns_for_it(home: Path) -> None:
    run = job(home, 0)
    devices = part(views.run(told(home), run), "devices")
    assert [column.key for column in devices.columns] == ["label", "tier", "energy_j", "sensor"]


def test_what_is_modelled_is_said_of_that_alone(home: Path) -> None:
    """A node each."""
    expected: list[tuple[tuple[Device, ...], str]] = [
        ((), "No sensor could be read: this energy is modelled from the CPU time"),
        ((gpu("9f3a0000", 200),), "Where no sensor saw the processor, the server's part is modelled from the CPU time"),
        (
            (Device(PACKAGE, Steady(100)), Device(Sensor("memory", "dram:model", "GB", "modelled", ""), Steady(64))),
            "Where no sensor saw the memory, its energy is modelled from what a run reserved of it",
        ),
    ]
    runs = [written(home, *devices) for devices, _ in expected]
    ledger = told(home)
    for run, (_, begins) in zip(runs, expected, strict=True):
        notes = views.run(ledger, run).notes
        modelled = [note for note in notes if "modelled" in note and not note.startswith("Data behind")]
        assert [note.startswith(begins) for note in modelled] == [True]


def test_power_is_of_all_devices_at_once_whatever_pieces_the_run_has(home: Path) -> None:
    """A GPU of 200 W at the plug × 1.1, and one busy CPU × 4 W: 224 W, all the time and never two at a time."""
    ((ran,),) = Node(home, [gpu("9f3a0000", 200)]).write([Process((Job(10, 110, ((30.5, 60.2),)),), cpu=Steady(1))])
    power = part(views.run(told(home), ran.run_id), "power")
    assert [row["power_w"].mid for row in power.rows] == pytest.approx([224] * len(power.rows), rel=1e-3)
    assert power.figure is not None
    assert list(power.figure.series[0].x) == sorted(power.figure.series[0].x)


def test_the_strange_is_told_once_for_all_sensors_and_steps() -> None:
    """Two GPUs, three steps of 36 J, 72 J and 36 J of width: 144 J = 40 mWh."""
    steps = [
        {"sensor": f"nvml:GPU-{digits}{UUID}:instant", "what": "unseen", "low": 36.0, "high": high}
        for digits, high in (("9f3a0000", 72.0), ("9f3a1111", 108.0), ("9f3a1111", 72.0))
    ]
    (note,) = odd_notes(steps)
    assert plain(note) == (
        "Power is seen only in part by nvml:GPU-9f3a0000:instant and 1 more: what it did between its readings is "
        "anything up to its limit. This widens the range by 40.0 mWh."
    )
    assert "was reset 2 times: " in odd_notes([{"sensor": "a", "what": "reset", "low": 0, "high": 1}] * 2)[0]
    assert "was reset: " in odd_notes([{"sensor": "a", "what": "reset", "low": 0, "high": 1}])[0]


def test_what_cannot_be_true_is_said_first(home: Path) -> None:
    """Two H100 do at most 2 × 989.4 TFLOP/s × 100 s = 198 PFLOP: 79.2 are 40 %, 990 cannot be."""
    view = on_node(home, gpu("9f3a0000", 200), gpu("9f3a1111", 300), model_flop=0.4 * 1.9788e17, hardware_flop=9.9e17)
    computed = part(view, "flops")
    assert [(row["kind"], row["verdict"]) for row in computed.rows] == [("hardware", "impossible"), ("model", None)]
    assert [plain(alert) for alert in computed.alerts] == [
        "Impossible: 990 PFLOP (hardware) in 1 min 40 s is more than the peak of 2 × H100 SXM5 (bf16, dense) allows."
    ]
    assert computed.rows[1]["mfu"].mid == pytest.approx(0.4, rel=1e-3)
    assert "verdict" in [column.key for column in computed.columns]
    assert computed.alerts[0] in as_json.run(view)["remarks"]


def test_a_plausible_amount_needs_no_verdict(home: Path) -> None:
    computed = part(on_node(home, gpu("9f3a0000", 200), model_flop=1e15), "flops")
    assert computed.alerts == ()
    assert [column.key for column in computed.columns] == [
        "kind", "amount", "method", "coverage", "flop_per_j", "utilization"]  # fmt: skip


# Factors ----------------------------------------------------------------------------------------------------------


def test_the_factors_in_force_here() -> None:
    view = views.factors(Site(region="FR", pue=(1.1, 1.2, 1.3)))
    rows = {row["kind"]: row for row in view.rows}
    assert list(rows) == [*assess.KINDS, "upstream_share"]
    assert (rows["pue"]["match"], rows["pue"]["amount"]) == ("declared", Estimate(1.1, 1.2, 1.3, "1", "declared"))
    assert (rows["cpu_power"]["match"], rows["cpu_power"]["region"]) == ("world", "WORLD")
    assert rows["carbon_intensity"]["region"] == "FR"
    assert view.sentence == f"11 of {len(load().rows)} rows; factor set {load().set_id}."


@pytest.mark.parametrize("region", ["FR", "fr"])
def test_all_rows_of_a_kind_and_a_region(region: str) -> None:
    view = views.factors(Site(), "carbon_intensity", region)
    assert {(row["kind"], row["region"]) for row in view.rows} == {("carbon_intensity", "FR")}
    years = [row["valid_from"] for row in view.rows]
    assert "2023-01-01" in years
    assert years == sorted(years)
    assert "match" not in [column.key for column in view.columns]


def test_an_unknown_kind_is_refused_and_an_unknown_region_found_nowhere() -> None:
    with pytest.raises(InputError, match="no factors of kind 'magic': there are carbon_intensity, cpu_power"):
        views.factors(Site(), "magic")
    view = views.factors(Site(), "pue", "atlantis")
    assert (view.rows, view.empty) == ((), "No factor fits: see joulebook factors.")


def test_periods_cut_within_an_hour_add_up(home: Path) -> None:
    """One CPU-second a second for an hour, cut at minute 20: 1,200 s and 2,400 s, and nothing twice."""
    journal = HandmadeJournal(home)
    journal.sensor()
    run = journal.start(0, counters={"cpu_time": 0.0})
    for minute in range(1, 60):
        journal.tick(minute * 60, cpu_time=minute * 60.0)
    journal.end(3600, run, counters={"cpu_time": 3600.0})
    journal.write()
    ledger = told(home)
    pieces = [from_to(0, 1200), from_to(1200, 2 * HOUR)]
    mids = [views.summary(ledger, period, "host").rows[0]["energy_j"].mid for period in pieces]
    assert mids == pytest.approx([1200 * 4, 2400 * 4])


def test_a_region_that_nobody_knows_is_refused(home: Path) -> None:
    home.mkdir(exist_ok=True)
    (home / "site.toml").write_text('region = "FRA"\n')
    with pytest.raises(SiteError, match=r"site\.toml: the region 'FRA' is not known; did you mean FR"):
        views.summary(open_ledger(home), period_of())
