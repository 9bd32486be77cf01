"""Explore and Compare, of ledgers made by hand: 900 CPU-seconds are 1 Wh, 0.3 g from 0.05 to 1.6 (see test_views)."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from handmade import HandmadeJournal
from hypothesis import given
from hypothesis import strategies as st
from test_views import DAY, FIRST, HOUR, WH_CPU_S, about, ends, from_to, job, part, plain, told

from joulebook.accounting.errors import InputError, NotFound
from joulebook.accounting.estimates import Estimate, exactly, unknown
from joulebook.accounting.ledger import Ledger
from joulebook.accounting.records import uuid7
from joulebook.accounting.site import load_site
from joulebook.cli import main
from joulebook.models.footprint.call import Call
from joulebook.models.footprint.recorded import answered
from joulebook.reports import views
from joulebook.reports.views import period_of
from joulebook.reports.views.compare_sides import mean_of
from joulebook.reports.views.difference import difference, likely, ratio, verdict
from joulebook.reports.views.explore_cut import step_after, step_of, steps_of

JANUARY = from_to(0, 31 * DAY)
SECOND = FIRST + timedelta(days=1)


def three_jobs(home: Path) -> None:
    """On the first day 1 Wh of search and 3 Wh of forecast, on the second 2 Wh of search."""
    job(home, HOUR, WH_CPU_S, "train", project="search")
    job(home, 2 * HOUR, 3 * WH_CPU_S, "train", project="forecast")
    job(home, DAY + HOUR, 2 * WH_CPU_S, "check", host="other", project="search")


@pytest.fixture(scope="module")
def january(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    """The ledger of the three jobs, only read."""
    home = tmp_path_factory.mktemp("january")
    three_jobs(home)
    return told(home)


def calls(home: Path, *told_of: tuple[float, str, int, float]) -> None:
    """A run of January whose calls are (at, model, output tokens, seconds)."""
    journal = HandmadeJournal(home, version=3)
    run = journal.start(0, "agent", project="search")
    for at_s, model, tokens, duration_s in told_of:
        units = [["input_tokens", "1000"], ["output_tokens", str(tokens)]]
        journal.event("call", at_s, call_id=uuid7(), run_id=run, span_id=run, units=units, duration_s=duration_s,
                      source="http", provider="openai", response_model=model, status=200, outcome="ok")  # fmt: skip
    journal.end(20 * DAY, run)
    journal.write()


# Explore.


def test_a_measure_is_cut_by_part_and_step(january):
    view = views.explore(january, JANUARY)
    rows = [(row["at"], row["part"], row["amount"].mid, row["count"]) for row in view.rows]
    assert rows == [
        (FIRST, "forecast", pytest.approx(0.9), 1),
        (FIRST, "search", pytest.approx(0.3), 1),
        (SECOND, "search", pytest.approx(0.6), 1),
    ]
    # 0.3 + 0.9 + 0.6 = 1.8 g; each series has its value on each day of the calendar, and a gap where there is none
    assert (
        plain(view.sentence)
        == "Carbon, CO₂e: 1.80 g (modelled, 0.300–9.60 g). 50 % of it is forecast, the largest of 2."
    )
    assert view.figure is not None
    assert [(s.name, s.mid) for s in view.figure.series] == [
        ("forecast", (pytest.approx(0.9), None)),
        ("search", (pytest.approx(0.3), pytest.approx(0.6))),
    ]
    assert view.factors


def test_the_parts_have_their_range_and_their_share(january):
    rows = part(views.explore(january, JANUARY, None, views.Cut("energy")), "explore_parts").rows
    assert [(row["part"], ends(row["amount"]), row["share"]) for row in rows] == [
        ("forecast", about(5400, 10800, 21600), 0.5),
        ("search", about(5400, 10800, 21600), 0.5),
    ]


def test_behind_a_bar_are_its_runs_the_largest_first(january):
    ledger = january
    behind = part(views.explore(ledger, JANUARY), "behind")
    assert [row["amount"].mid for row in behind.rows] == about(0.9, 0.6, 0.3)
    assert [row["share"] for row in behind.rows] == about(1 / 2, 1 / 3, 1 / 6)
    one = part(views.explore(ledger, JANUARY, None, views.Cut(at=SECOND, of="search")), "behind")
    assert (one.title, [row["name"] for row in one.rows]) == ("The runs behind search, 2 Jan 2026", ["check"])
    assert part(views.explore(ledger, JANUARY, None, views.Cut(of="<b>nobody")), "behind").rows == ()


def test_a_part_that_is_small_is_among_the_others_and_can_be_chosen_with_them(home):
    for n in range(8):
        job(home, n * HOUR, (8 - n) * WH_CPU_S, f"job-{n}")
    view = views.explore(told(home), JANUARY, None, views.Cut("carbon", "name", of="(others)"))
    assert view.figure is not None
    # 8 … 4 Wh have their own hue; 3 + 2 + 1 = 6 Wh are 1.8 g
    assert [s.name for s in view.figure.series] == [*(f"job-{n}" for n in range(5)), "(others)"]
    assert view.figure.series[-1].mid == about(1.8)
    assert [row["name"] for row in part(view, "behind").rows] == ["job-5", "job-6", "job-7"]


def test_energy_is_split_by_what_caused_it(january):
    for split, parts in {
        "host": {"testhost": 4, "other": 2},
        "evidence": {"modelled": 6},
        "sensor": {"cpu-time": 6},
        "name": {"train": 4, "check": 2},
        "none": {"all": 6},
    }.items():
        view = views.explore(january, JANUARY, None, views.Cut("energy", split, "month"))
        assert {row["part"]: row["amount"].mid / 3600 for row in view.rows} == pytest.approx(parts), split


@given(st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)))  # noqa: DTZ001 - made aware below
def test_each_moment_is_in_one_step_of_each_length(when):
    when = when.replace(tzinfo=UTC)
    for grain in ("day", "week", "month"):
        step = step_of(grain, when)
        assert step <= when < step_after(grain, step)
        assert steps_of(grain, [step, step_after(grain, step)]) == [step, step_after(grain, step)]


def test_weeks_begin_on_monday_and_months_on_the_first():
    # 2026-11-26 is a Thursday
    assert step_of("week", datetime(2026, 11, 26, 9, tzinfo=UTC)) == datetime(2026, 11, 23, tzinfo=UTC)
    assert step_after("month", datetime(2026, 12, 1, tzinfo=UTC)) == datetime(2027, 1, 1, tzinfo=UTC)


def test_calls_are_cut_too_and_behind_a_bar_are_calls(home):
    calls(home, (HOUR, "gpt-4o", 50, 1.0), (2 * HOUR, "gpt-4o", 150, 1.0), (8 * DAY, "gpt-4o-mini", 500, 1.0))
    ledger = told(home)
    view = views.explore(ledger, JANUARY, None, views.Cut("tokens", "model", "week", of="gpt-4o"))
    monday = datetime(2025, 12, 29, tzinfo=UTC)  # of the week of 1 January 2026
    # 1050 + 1150 = 2200 and, in the week after, 1500
    assert [(row["at"], row["part"], row["amount"].mid, row["count"]) for row in view.rows] == [
        (monday, "gpt-4o", 2200, 2),
        (monday + timedelta(weeks=1), "gpt-4o-mini", 1500, 1),
    ]
    assert len(part(view, "behind").rows) == 2
    first = views.Cut("calls", "model", "day", at=FIRST)
    assert len(part(views.explore(ledger, JANUARY, None, first), "behind").rows) == 2


def test_a_cut_that_there_is_not_is_refused_in_a_sentence(home):
    ledger = told(home)
    for cut, said in (
        (views.Cut("heat"), "there is no measure 'heat'"),
        (views.Cut("tokens", "sensor"), "tokens is not split by 'sensor': by model,"),
        (views.Cut(grain="hour"), "there is no step 'hour': choose one of day, week, month"),
    ):
        with pytest.raises(InputError, match=said):
            views.explore(ledger, JANUARY, None, cut)
    assert views.explore(ledger, JANUARY).empty.startswith("No energy of any run is on record")
    assert views.explore(ledger, JANUARY, "x", views.Cut("calls", "model")).empty.startswith(
        "No call of a model API of"
    )


# Differences.

LESS, MORE = Estimate(1.0, 2.0, 3.0, "g", "measured"), Estimate(3.5, 4.0, 5.0, "g", "modelled")
WIDE = Estimate(2.0, 3.0, 6.0, "g", "modelled")


def test_a_difference_is_sure_only_where_the_ranges_do_not_meet():
    apart = difference(LESS, MORE)
    assert (ends(apart), apart.method) == ((0.5, 2.0, 4.0), "modelled")  # 3.5 − 3, 4 − 2, 5 − 1
    assert (verdict(LESS, MORE), verdict(MORE, LESS)) == ("more", "less")
    assert verdict(LESS, WIDE) == "not surely different"
    assert verdict(exactly(2, "call", "measured"), exactly(2, "call", "measured")) == "equal"
    assert verdict(unknown("g", "no sensor"), MORE) == "not known"
    assert difference(LESS, unknown("g", "no sensor")).reason == "no sensor"


def test_with_the_same_factors_the_ratio_is_what_is_left():
    twice = Estimate(2.0, 4.0, 6.0, "g", "modelled")
    assert ends(ratio(LESS, twice)) == (2.0, 2.0, 2.0)
    assert (likely(ratio(LESS, twice)), likely(ratio(LESS, LESS)), likely(ratio(twice, LESS))) == ("more", "", "less")
    assert ratio(Estimate(0, 0, 0, "g", "measured"), LESS).reason == "the first is zero"


amounts = st.lists(st.floats(0.01, 1e6), min_size=3, max_size=3).map(lambda v: Estimate(*sorted(v), "J", "measured"))


@given(amounts, amounts)
def test_the_other_way_round_a_difference_is_the_same_with_its_sign(one, other):
    there, back = difference(one, other), difference(other, one)
    assert ends(there) == tuple(-end for end in reversed(ends(back)))
    assert there.low <= there.mid <= there.high
    opposite = {"more": "less", "less": "more"}
    assert verdict(other, one) == opposite.get(verdict(one, other), verdict(one, other))


def test_the_mean_of_calls_has_the_interval_that_their_number_allows():
    found = {"x_n": 4, "x": 10.0, "x_sd": 2.0}
    # 1.96 × 2 ÷ √4 = 1.96
    assert ends(mean_of(found, "x", "s", "measured")) == pytest.approx((8.04, 10, 11.96), abs=1e-3)
    assert mean_of({"x_n": 1, "x": 1.0, "x_sd": None}, "x", "s", "measured").reason == "one call alone has no range"
    assert mean_of({"x_n": 0, "x": None, "x_sd": None}, "x", "s", "measured").reason == "no call has it on record"


# Compare.


def compared(view, quantity: str) -> dict:
    (row,) = [row for row in view.rows if row["quantity"] == quantity]
    return row


def test_two_periods_stand_beside_each_other(january):
    second = from_to(DAY, 2 * DAY)
    view = views.compare_periods(january, second, views.before(second))
    carbon = compared(view, "carbon_g")
    # 0.3 + 0.9 = 1.2 g against 0.6 g: half of it at each end, but from 0.2 to 6.4 and from 0.1 to 3.2 g they meet
    assert (carbon["before"].mid, carbon["after"].mid) == about(1.2, 0.6)
    assert ends(carbon["difference"]) == about(0.1 - 6.4, -0.6, 3.2 - 0.2)
    assert (carbon["verdict"], ends(carbon["ratio"])) == ("not surely different", about(0.5, 0.5, 0.5))
    assert plain(view.sentence) == (
        "Carbon, CO₂e: 1.20 g and 600 mg, not surely different; with the same factors on both sides 0.500 times as "
        "much. Surely different: Runs."
    )
    assert compared(view, "runs")["verdict"] == "less"  # two runs and one


def test_a_period_against_nothing_says_what_is_not_known(january):
    first = from_to(0, DAY)
    view = views.compare_periods(january, first, views.before(first))
    assert compared(view, "carbon_g")["difference"].reason == "nothing is on record"
    assert compared(view, "carbon_g")["verdict"] == "not known"
    assert views.compare_periods(january, period_of(), first).empty.startswith("All time has no time before it")
    nothing = from_to(-9 * DAY, -8 * DAY)
    assert views.compare_periods(january, nothing, views.before(nothing)).empty.startswith("Neither time has")


def test_the_same_weekdays_are_a_year_apart():
    period = from_to(0, 7 * DAY)
    earlier = views.a_year_before(period)
    assert (period.start - earlier.start, earlier.end - earlier.start) == (timedelta(days=364), timedelta(days=7))


def test_two_runs_with_exact_energy_differ_surely(home):
    ids = []
    for n, wh in enumerate((1.0, 3.0)):
        journal = HandmadeJournal(home, f"host-{n}")
        run = journal.start(n * HOUR, f"run-{n}")
        journal.event(
            "usage", n * HOUR + 1, run_id=run, span_id=run, kind="energy", amount=wh, unit="Wh", method="measured"
        )
        journal.event("usage", n * HOUR + 2, run_id=run, span_id=run, kind="tokens", amount=100, unit="token",
                      method="measured")  # fmt: skip
        journal.end(n * HOUR + 60, run)
        journal.write()
        ids.append(run)
    view = views.compare_runs(told(home), *ids)
    energy = compared(view, "it_energy_j")
    assert (ends(energy["difference"]), energy["verdict"]) == (about(7200, 7200, 7200), "more")
    assert compared(view, "energy_j_per_token")["after"].mid == 108  # 3 Wh ÷ 100
    assert compared(view, "duration_s")["verdict"] == "equal"
    with pytest.raises(NotFound):
        views.compare_runs(told(home), ids[0], "nope")


def test_two_models_are_compared_by_the_call(home):
    quick = [(n * HOUR, "gpt-4o-mini", 100 + n, 1.0 + n / 10) for n in range(4)]
    slow = [(n * HOUR, "gpt-4o", 900 + n, 9.0 + n / 10) for n in range(4, 8)]
    calls(home, *quick, *slow)
    ledger = told(home)
    assert views.called_models(ledger, JANUARY, None) == ["gpt-4o", "gpt-4o-mini"]
    view = views.compare_models(ledger, JANUARY, ("gpt-4o-mini", "gpt-4o"))
    tokens = compared(view, "output_tokens_per_call")
    # (100 + 101 + 102 + 103) ÷ 4 = 101.5; (904 + … + 907) ÷ 4 = 905.5; s = √(5/3), 1.96 × s ÷ 2 = 1.265
    assert ends(tokens["before"]) == pytest.approx((100.235, 101.5, 102.765), abs=1e-3)
    assert (tokens["difference"].mid, tokens["verdict"]) == (804, "more")
    assert compared(view, "input_tokens_per_call")["verdict"] == "equal"
    asked = Call("openai", "gpt-4o", compared(view, "input_tokens_per_call")["after"].mid, 905.5)
    engines = answered(asked, None, load_site(home)).engines
    mids = [engine.total["energy_wh"].mid for engine in engines if engine.known and "energy_wh" not in engine.apart]
    energy = compared(view, "energy_j_per_1000_calls")
    assert ends(energy["after"])[::2] == pytest.approx((3.6e6 * min(mids), 3.6e6 * max(mids)))
    assert (energy["after"].method, energy["after"].unit) == ("modelled", "J")
    assert compared(view, "carbon_g_per_1000_calls")["before"].known
    assert energy["verdict"] == "not surely different"
    assert any(note.startswith("Elsewhere: from the lowest") for note in view.notes)
    assert views.compare_models(ledger, JANUARY, ("a", "b")).empty.startswith("Neither a nor b was called")


def test_the_runs_that_can_be_compared_are_the_newest(january):
    assert [run["name"] for run in views.newest_runs(january, JANUARY, "search", 1)] == ["check"]


# The command line.


def asked(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict]:
    assert main([*words, "--json", "--no-ingest"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_commands_say_what_the_pages_say(january, capsys):
    home = ("--home", str(january.home))
    rows = asked(capsys, "explore", *home, "--measure", "energy", "--by", "host", "--per", "month")
    # 1 + 3 Wh here and 2 Wh there
    assert {row["part"]: row["amount"]["mid"] for row in rows} == pytest.approx({"testhost": 14400, "other": 7200})
    (carbon,) = [
        row
        for row in asked(capsys, "compare", *home, "--since", "2026-01-02", "--until", "2026-01-03")
        if row["quantity"] == "carbon_g"
    ]
    assert (carbon["verdict"], carbon["difference"]["mid"]) == ("not surely different", pytest.approx(-0.6))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("explore", "--by", "model"), "carbon is not split by 'model': by project, name"),
        (("compare",), "compare needs --since"),
        (("compare", "one"), "compare needs two runs"),
        (("compare", "--models"), "compare --models needs two models"),
    ],
)
def test_what_makes_no_sense_is_wrong_input(home, capsys, words, said):
    assert main([*words, "--no-ingest"]) == 2
    assert said in capsys.readouterr().err
