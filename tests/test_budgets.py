"""Budgets, of ledgers made by hand: every number is a sum that can be done on paper.

A watt-hour is 900 CPU-seconds × 4 W = 3600 J; its low is 900 × 2 W and its high 900 × 8 W. At PUE 1.5 (1 to 2),
200 g/kWh (100 to 400) and 0.20 USD/kWh (0.1 to 0.4) it is 0.3 g of carbon (0.05 to 1.6) and 0.3 m$ (0.05 to 1.6).
"""

from __future__ import annotations

import json
import random
import re
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from handmade import START_NS, HandmadeJournal
from hypothesis import given, settings
from hypothesis import strategies as st
from recording import python

from joulebook.accounting.budgets import Checked, check, forecast
from joulebook.accounting.budgets.alerts import alert_id, sent
from joulebook.accounting.budgets.anomaly import usual_day
from joulebook.accounting.budgets.forecast import Ends, rest_of_period
from joulebook.accounting.budgets.periods import PERIODS, around
from joulebook.accounting.budgets.written import parse
from joulebook.accounting.errors import InputError
from joulebook.accounting.ledger import Ledger, ingest, open_ledger
from joulebook.accounting.records import uuid7
from joulebook.accounting.site import Site, write_site
from joulebook.cli import main
from joulebook.reports import views

HERE = Site(
    "FR", None, None, pue=(1, 1.5, 2), wue_l_per_kwh=(0, 0.5, 1), price_usd_per_kwh=(0.1, 0.2, 0.4),
    carbon_intensity_g_per_kwh=(100, 200, 400), cpu_power_w=(2, 4, 8), it_overhead=(1, 1.1, 1.2),
)  # fmt: skip
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
EARLY, LATE = datetime(1900, 1, 1), datetime(2200, 1, 1)  # noqa: DTZ001 - Hypothesis adds the zone
HOUR, DAY = 3600.0, 86_400.0
WH_CPU_S = 900.0
PRICES = """
[[price]]
provider = "openai"
model = "gpt-4o*"
per_million = {input_tokens = 2, cache_read_tokens = 1, output_tokens = 10}
"""
OPENAI = {"source": "http", "provider": "openai", "host": "api.openai.com", "path": "/v1/chat/completions",
          "request_model": "gpt-4o", "response_model": "gpt-4o", "status": 200, "outcome": "ok",
          "usage_json": json.dumps({"usage": {"prompt_tokens": 1000, "completion_tokens": 50,
                                              "total_tokens": 1050}})}  # fmt: skip
CALL_USD = 1000 * 2e-6 + 50 * 10e-6  # 2.5 m$


class Book(HandmadeJournal):
    """A journal of runs that use CPU time one after the other, and of calls."""

    def __init__(self, home: Path, host: str = "testhost") -> None:
        super().__init__(home, host, version=3)
        self.sensor()
        self.cpu_s = 0.0
        write_site(home, HERE)
        home.joinpath("prices.toml").write_text(PRICES)

    def run(
        self, at_s: float, watt_hours: float = 1.0, name: str = "job", *, lasts_s: float = 60, **fields: Any
    ) -> str:
        run = self.start(at_s, name, counters={"cpu_time": self.cpu_s}, **fields)
        self.cpu_s += watt_hours * WH_CPU_S
        self.end(at_s + lasts_s, run, counters={"cpu_time": self.cpu_s})
        return run

    def call(self, at_s: float, **fields: Any) -> None:
        told = OPENAI | {"call_id": uuid7(), "duration_s": 2.0} | fields
        self.event("call", at_s, started_ns=START_NS + round(at_s * 1e9), **told)


@pytest.fixture
def book(home: Path) -> Book:
    return Book(home)


def checked(book: Book, toml: str, at_s: float) -> list[Checked]:
    book.write()
    ingest(book.path.parent.parent)
    return check(open_ledger(book.path.parent.parent), parse(toml).budgets, at(at_s))


def at(seconds: float) -> datetime:
    return FIRST + timedelta(seconds=seconds)


def budget(limit: str, *lines: str, name: str = "b", period: str = 'period = "month"') -> str:
    return "\n".join(["[[budget]]", f'name = "{name}"', limit, period, *lines, ""])


def ends(estimate: Any) -> tuple[float | None, ...]:
    return estimate.low, estimate.mid, estimate.high


# The file ---------------------------------------------------------------------------------------------------------


def test_a_file_as_budgets() -> None:
    whole = parse("""
        [[budget]]
        name = "search"
        carbon_kg = 20
        period = "month"
        project = "search"
        tags = {team = "nlp"}
        alerts = [{threshold = 0.8, fails = false}, {forecast = true}, {anomaly = 7}]
        [[budget]]
        name = "one provider"
        api_usd = 500
        model = "gpt-5*"
        from = 2026-07-01
        until = 2027-01-01
        [notify]
        webhook = "https://example.com/hook"
        must_arrive = true
    """)
    search, provider = whole.budgets
    assert (search.measure.name, search.limit, search.whose) == ("carbon", 20_000, "project search, tag team=nlp")
    assert [(rule.label, rule.fails) for rule in search.rules] == [
        ("limit", True), ("burnt 0.8", False), ("forecast 1", True), ("anomaly 7×", True),
    ]  # fmt: skip
    assert search.window(at(40 * DAY)) == (datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC))
    assert provider.window(at(0)) == (datetime(2026, 7, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
    assert (whole.notify.webhook, whole.notify.must_arrive, whole.notify.timeout_s) == (
        "https://example.com/hook", True, 10,
    )  # fmt: skip


@pytest.mark.parametrize(("key", "limit"), [
    ("carbon_t", 2e6), ("energy_kwh", 7.2e6), ("energy_wh", 7200), ("water_m3", 2000), ("cost_usd", 2), ("tokens", 2),
])  # fmt: skip
def test_a_limit_in_the_unit_of_its_key(key: str, limit: float) -> None:
    assert parse(budget(f"{key} = 2")).budgets[0].limit == pytest.approx(limit)


@pytest.mark.parametrize(("toml", "says"), [
    ("[[budget]]\nname = b", "this is no TOML: .*line 2"),
    ("", r"there is no \[\[budget\]\]"),
    ("[[budgets]]", "the file: unknown key 'budgets', did you mean 'budget'?"),
    (budget("carbon_kg = 1", "projct = 'a'"), r"\[\[budget\]\] 1: unknown key 'projct', did you mean 'project'?"),
    (budget("carbon_kg = 1", "energy_kwh = 1"), "needs one limit, of .*; there is carbon_kg and energy_kwh"),
    (budget(""), "needs one limit, of carbon_g, .*; there is none"),
    (budget("carbon_kg = 0"), "'b': carbon_kg must be more than 0"),
    (budget("carbon_kg = true"), r"carbon_kg must be a number from 0 to 1e\+15, not True"),
    (budget("tokens = 1" + "0" * 400), "tokens must be a number"),
    (budget("carbon_t = 1e308"), r"carbon_t must be a number from 0 to 1e\+15, not 1e\+308"),
    (budget("carbon_kg = 1", "alerts = [{threshold = 1e300}]"), r"threshold must be a number from 0 to 1e\+15"),
    (budget("carbon_kg = 1", period="from = 0001-01-01\nuntil = 2026-01-01"), "or begins before 1970"),
    (budget("carbon_kg = 1", period="from = 2000-01-01\nuntil = 2011-01-01"), "is longer than ten years"),
    (budget("carbon_kg = 1", "model = 'gpt'"), "carbon is of runs, which have no model; leave model out"),
    (budget("carbon_kg = 1", period="period = 'moon'"), "period must be one of day, week, .*, not 'moon'"),
    (budget("carbon_kg = 1", period=""), 'needs period = "month"'),
    (budget("carbon_kg = 1", period="from = 2026-02-01\nuntil = 2026-01-01"), "2026-02-01 is not before until 2026-01"),
    (budget("carbon_kg = 1", "from = 2026-01-01"), "has a period and from or until"),
    (budget("carbon_kg = 1", period='from = "2026-01-01"\nuntil = 2026-02-01'), "from must be a day such as 2026"),
    (budget("carbon_kg = 1", "alerts = [{treshold = 1}]"), "alert 1: unknown key 'treshold', did you mean 'thres"),
    (budget("carbon_kg = 1", "alerts = [{fails = true}]"), "alert 1: needs one of threshold, forecast, anomaly"),
    (budget("carbon_kg = 1", "alerts = [{forecast = 0}]"), "forecast must be more than 0"),
    (budget("carbon_kg = 1", "alerts = [{forecast = 1}, {forecast = 1.0}]"), "two alerts have forecast = 1"),
    (budget("cost_usd = 1", "apis = true"), "apis goes with a limit of carbon or water, not of cost"),
    (budget("carbon_kg = 1") * 2, "2 budgets are called 'b': give each a name of its own"),
    (budget("carbon_kg = 1") + "[notify]\nurl = 'x'", r"\[notify\]: unknown key 'url'"),
])  # fmt: skip
def test_what_is_wrong_with_a_file_is_named(toml: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        parse(toml)


def test_the_file_in_the_guide() -> None:
    guide = (Path(__file__).parents[1] / "docs/budgets.md").read_text("utf-8")
    whole = parse("[[budget]]" + guide.split("```toml\n[[budget]]")[1].split("```")[0])
    assert [(one.name, one.limit) for one in whole.budgets] == [("search", 20_000), ("one provider", 500)]
    assert [rule.label for rule in whole.budgets[0].rules] == ["limit", "burnt 0.8", "forecast 1", "anomaly 5×"]


def test_the_limit_may_warn_only_and_stands_once() -> None:
    (rule,) = parse(budget("carbon_kg = 1", "alerts = [{threshold = 1.0, fails = false}]")).budgets[0].rules
    assert (rule.kind, rule.value, rule.fails) == ("threshold", 1.0, False)


@given(st.sampled_from(PERIODS), st.datetimes(EARLY, LATE, timezones=st.just(UTC)))
@settings(max_examples=60)
def test_periods_hold_their_instants_and_leave_no_gap(period: str, when: datetime) -> None:
    start, end = around(period, when)
    assert start <= when < end
    assert around(period, end)[0] == end
    assert around(period, start) == (start, end)


@pytest.mark.parametrize(("period", "start", "end"), [
    ("day", date(2026, 11, 26), date(2026, 11, 27)), ("week", date(2026, 11, 23), date(2026, 11, 30)),
    ("month", date(2026, 11, 1), date(2026, 12, 1)), ("quarter", date(2026, 10, 1), date(2027, 1, 1)),
    ("year", date(2026, 1, 1), date(2027, 1, 1)),
])  # fmt: skip
def test_periods_of_the_calendar(period: str, start: date, end: date) -> None:
    found = around(period, datetime(2026, 11, 26, 23, 59, tzinfo=UTC))
    assert tuple(edge.date() for edge in found) == (start, end)


# Forecast and anomaly, by hand ------------------------------------------------------------------------------------


def days(*amounts: float) -> list[Ends]:
    return [Ends(amount / 2, amount, amount * 3) for amount in amounts]


def test_even_use_goes_on() -> None:
    """10 a day: 4.5 days more are 45, of which nothing is unsure but the measurement."""
    assert rest_of_period(days(*[10.0] * 21), [0.5, 1, 1, 1, 1]) == pytest.approx((22.5, 45, 135))


def test_a_weekday_stands_for_itself() -> None:
    """The day after the last is a day of 100, the one after that never has any."""
    behind = days(*[100.0, 0, 0, 0, 0, 0, 0] * 3)
    assert rest_of_period(behind, [1]).mid == 100
    assert rest_of_period(behind, [0.25, 1, 1]).mid == 25
    assert rest_of_period(behind, [1.0] * 8).mid == 200


def test_the_band_by_hand() -> None:
    """Weeks of 70, 70, 140 and 140: a week ahead is 105, from 70 to 140, widened by √(5 ÷ 3) × 1.431 = 1.8474."""
    behind = [Ends(amount, amount, amount) for amount in [10.0] * 14 + [20.0] * 14]
    low, mid, high = rest_of_period(behind, [1.0] * 7)
    assert (low, mid, high) == pytest.approx((105 - 35 * 1.8474, 105, 105 + 35 * 1.8474), rel=1e-4)


def test_the_newest_eight_weeks_count() -> None:
    assert rest_of_period(days(*[1000.0] * 20, *[10.0] * 56), [1.0] * 3).mid == 30


@given(st.lists(st.floats(0, 1e9), min_size=21, max_size=70), st.floats(1e-3, 1e3), st.integers(1, 20))
@settings(max_examples=15, deadline=None)
def test_a_forecast_is_ordered_seeded_and_scales(amounts: list[float], times: float, ahead: int) -> None:
    parts = [1.0] * ahead
    low, mid, high = rest_of_period(days(*amounts), parts)
    assert 0 <= low <= mid <= high
    scaled = rest_of_period(days(*(amount * times for amount in amounts)), parts)
    assert scaled == pytest.approx((low * times, mid * times, high * times), rel=1e-6, abs=1e-6)


def test_the_band_holds_what_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Busy weekdays, quiet weekends, days that vary by half: of 100 times about 90 are inside."""
    monkeypatch.setattr(forecast, "DRAWS", 400)
    chance, held = random.Random(1), 0  # noqa: S311 - a simulation
    for _ in range(100):
        drawn = [(0.2 if day % 7 > 4 else 1.0) * chance.gammavariate(4, 0.25) for day in range(56 + 15)]
        low, _, high = rest_of_period([Ends(day, day, day) for day in drawn[:56]], [1.0] * 15)
        held += low <= sum(drawn[56:]) <= high
    assert 82 <= held <= 97


def test_an_unusual_day_by_hand() -> None:
    """Four weeks of 10, 12, 8, 10 on its weekday: usual 10; distances 0, 0.2, 0.2, 0 and others' 0: the median is 0.

    So the spread is a twentieth of the median day (10): 0.5, and 5 × 0.5 above 10 is the limit.
    """
    weeks = [[10.0] * 7, [12.0, *[10.0] * 6], [8.0, *[10.0] * 6], [10.0] * 7]
    assert usual_day([day for week in weeks for day in week], 5) == (10, 12.5)


def test_the_spread_of_usual_days_by_hand() -> None:
    """Every weekday has 8, 10, 10, 12: usual 10, distances 0.2, 0, 0, 0.2, their median 0.1: 10 × 1.4826 × 0.1."""
    amounts = [amount for amount in (8.0, 10.0, 10.0, 12.0) for _ in range(7)]
    assert usual_day(amounts, 5) == pytest.approx((10, 10 + 5 * 1.4826))


def test_where_nothing_is_usual_nothing_is_unusual() -> None:
    assert usual_day([1.0] * 27, 5) == "needs 28 whole days before it, there are 27"
    assert usual_day([0.0, 0, 0, 0, 9, 9, 9] * 4, 5) == "on most days nothing is used, so no day is usual"


# Against the ledger -----------------------------------------------------------------------------------------------


def test_what_is_burnt_and_which_end_decides(book: Book) -> None:
    """2 Wh in January (2 × 0.3 g, 0.1 to 3.2 g) and one in February, which does not count."""
    book.run(0)
    book.run(10 * DAY)
    book.run(32 * DAY)
    toml = "".join(budget(f"carbon_g = {limit}", name=f"{limit}") for limit in (4, 3, 0.5, 0.05))
    found = checked(book, toml, 20 * DAY)
    for one in found:
        assert ends(one.burnt) == pytest.approx((0.1, 0.6, 3.2))
        assert one.burnt.method == "modelled"
    told = [(one.state, one.verdicts[0].decides, one.fails) for one in found]
    assert told == [
        ("fine", "", False),
        ("possible", "high", False),
        ("breached", "mid", True),
        ("breached", "low", True),
    ]
    one = found[0]
    assert (one.elapsed_days, one.days_left) == (20, 11)
    assert one.run_rate.mid == pytest.approx(0.6 / 20)
    assert found[1].used_up_at is None  # at 0.03 g a day the 2.4 g that are left last longer than January
    assert {match.factor.kind for match in one.matches} == {"cpu_power", "pue", "carbon_intensity"}


def test_when_it_is_used_up_at_this_rate(book: Book) -> None:
    """0.6 g in 10 days, of 0.9 g: 0.3 g more take 5 days."""
    book.run(0, 2)
    (one,) = checked(book, budget("carbon_g = 0.9"), 10 * DAY)
    assert one.used_up_at == at(15 * DAY)


def test_what_is_burnt_is_what_the_other_pages_say(book: Book) -> None:
    for day in range(5):
        book.run(day * DAY, day + 0.5, project="search" if day % 2 else "vision")
        book.call(day * DAY, project="search")
    runs, calls = checked(book, budget("energy_kwh = 9", "project = 'search'")
                          + budget("api_usd = 9", "project = 'search'", name="c"), 9 * DAY)  # fmt: skip
    ledger, january = open_ledger(book.path.parent.parent), views.period_of(FIRST, at(31 * DAY))
    (row,) = [row for row in views.summary(ledger, january).rows if row["project"] == "search"]
    assert ends(runs.burnt) == pytest.approx(ends(row["energy_j"]))
    (row,) = views.api_usage(ledger, january, "search").rows
    assert (calls.burnt.mid, calls.burnt.method) == (pytest.approx(row["cost_usd"].mid), row["cost_usd"].method)


@pytest.fixture(scope="module")
def january(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    """One after the other, each in a project of its own."""
    home = tmp_path_factory.mktemp("january") / "home"
    book = Book(home)
    book.run(0, project="both")
    book.call(5, project="both")
    book.run(HOUR / 2, 2, lasts_s=HOUR, project="hour")
    book.run(2 * HOUR, project="gap")
    book.end(3 * HOUR + 5, book.start(3 * HOUR, project="gap"))  # no counter was read
    book.call(4 * HOUR, project="prices")
    book.call(4 * HOUR + 5, request_model="unheard-of", response_model="unheard-of", project="prices")
    book.write()
    ingest(home)
    return open_ledger(home)


def of(ledger: Ledger, project: str, at_s: float, *limits: str) -> list[Checked]:
    toml = "".join(budget(limit, f"project = '{project}'", name=limit) for limit in limits)
    return check(ledger, parse(toml).budgets, at(at_s))


def test_every_measure(january: Ledger) -> None:
    burnt = {
        "energy_wh": (1800, 3600, 7200),
        "electricity_usd": (0.00005, 0.0003, 0.0016),
        "cost_usd": (0.00005 + CALL_USD, 0.0003 + CALL_USD, 0.0016 + CALL_USD),
        "api_usd": (CALL_USD,) * 3,
        "tokens": (1050,) * 3,
    }
    found = of(january, "both", DAY, *(f"{key} = 9000" for key in burnt))
    assert [ends(one.burnt) for one in found] == [pytest.approx(amounts) for amounts in burnt.values()]
    assert {one.state for one in found} == {"fine"}


def test_a_period_without_use_has_burnt_nothing(january: Ledger) -> None:
    (one,) = of(january, "both", 40 * DAY, "energy_wh = 9")
    assert (ends(one.burnt), one.burnt.method, one.state) == ((0, 0, 0), "modelled", "fine")


def test_an_instant_within_an_hour_counts_its_minutes(january: Ledger) -> None:
    """A run of an hour from half past: of its 60 minutes 15 are over at a quarter to."""
    (one,) = of(january, "hour", HOUR * 0.75, "energy_wh = 9")
    assert one.burnt.mid == pytest.approx(7200 / 4)


def test_what_has_no_price_may_be_any_amount(january: Ledger) -> None:
    within, above = of(january, "prices", DAY, "api_usd = 9", "api_usd = 0.001")
    assert (within.burnt.mid, within.missing) == (pytest.approx(CALL_USD), "1 call without a price")
    assert (within.state, within.verdicts[0].reason) == ("possible", "1 call without a price, not in it")
    assert above.state == "breached"  # with what is known alone


def test_what_calls_used_elsewhere_is_in_it_where_the_budget_says_so(book: Book) -> None:
    """A run of 1 Wh (0.3 g) and two calls of 1,050 tokens, each 1 to 3 g, to a server elsewhere; one to our own."""
    book.run(HOUR)
    for at_s in (HOUR, 2 * HOUR):
        book.call(at_s)
    book.call(3 * HOUR, source="server")
    book.call(3 * HOUR, usage_json=None)
    book.write()
    ingest(book.path.parent.parent)
    asked: list[Any] = []

    def estimate(used: Any, category: str) -> Ends:
        asked.append((used, category))
        return Ends(1.0 * used.calls, 2.0 * used.calls, 3.0 * used.calls)

    toml = budget("carbon_g = 10") + budget("carbon_g = 10", "apis = true", name="with calls")
    without, beside = check(open_ledger(book.path.parent.parent), parse(toml).budgets, at(DAY), estimate)
    assert ends(without.burnt) == pytest.approx((0.05, 0.3, 1.6))
    assert ends(beside.burnt) == pytest.approx((2.05, 4.3, 7.6))
    assert (beside.burnt.method, beside.missing) == ("modelled", "1 call or run without energy")
    assert beside.budget.whose == "everything, with API calls"
    assert asked == [(("openai", "gpt-4o", "gpt-4o", 2, 2000, 100, 0), "gwp_g")]


def test_the_engines_say_what_calls_used(book: Book, capsys: pytest.CaptureFixture[str]) -> None:
    book.call(HOUR)
    book.call(HOUR, request_model="nobody-knows-it", response_model="nobody-knows-it")
    book.write()
    home = book.path.parent.parent
    (home / "budgets.toml").write_text(budget("carbon_g = 1000", "apis = true", period='period = "year"'))
    assert main(["--home", str(home), "check", "--as-of", "2026-01-02", "--json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)["budgets"]
    call = ["--provider", "openai", "--model", "gpt-4o", "--input-tokens", "1000", "--output-tokens", "50", "--json"]
    assert main(["--home", str(home), "footprint", *call]) == 0
    engines = json.loads(capsys.readouterr().out)["engines"]
    mids = [engine["operational"]["gwp_g"]["mid"] for engine in engines if "gwp_g" not in engine["not_compared"]]
    told = sorted(mid for mid in mids if mid is not None)
    assert (one["burnt"]["low"], one["burnt"]["high"]) == pytest.approx((told[0], told[-1]))
    assert one["missing"] == "1 call or run without energy"


def test_a_run_without_energy_is_missing(january: Ledger) -> None:
    (one,) = of(january, "gap", DAY, "energy_wh = 9")
    assert (one.state, one.missing, one.burnt.mid) == ("possible", "1 run without energy", pytest.approx(3600))


def test_scopes_of_runs(book: Book) -> None:
    """A pattern is data: no SQL, and no `like` of its own."""
    other = Book(book.path.parent.parent, host="other")
    book.run(0, 1, "train", project="search", tags=[["team", "nlp"]])
    book.run(HOUR, 2, "train-2", tags=[["team", "cv"], ["a/b~c", "x_y"]])
    book.run(2 * HOUR, 8, "100%_of")
    other.run(2 * HOUR, 4, "eval", project="search")
    other.write()
    scopes = {"project = 'search'": 5, "project = '(no project)'": 10, "run = 'TRAIN*'": 3, "run = 'train-?'": 2,
              "run = '*'": 15, "host = 'other'": 4, "tags = {team = 'nlp'}": 1, "tags = {'a/b~c' = 'x_y'}": 2,
              "project = 'search'\nrun = 'train'": 1, "run = '100%_of'": 8, "run = '100xyof'": None, "run = '%'": None,
              'run = "\' or true --"': None}  # fmt: skip
    toml = "".join(budget("energy_wh = 9", scope, name=f"{n}") for n, scope in enumerate(scopes))
    found = checked(book, toml, DAY)
    assert [one.burnt.mid for one in found] == [hours and pytest.approx(3600 * hours) for hours in scopes.values()]
    assert found[10].burnt.reason == "nothing of run 100xyof is on record"
    assert (found[10].state, found[10].fails) == ("unknown", False)


def test_scopes_of_calls(book: Book) -> None:
    """A call has the tags and the name of the run around it, and tags of its own above those."""
    run = book.start(0, "agent", project="search", tags=[["team", "nlp"], ["step", "a"]])
    book.call(1, run_id=run, span_id=run, tags=[["step", "b"]])
    book.end(9, run)
    book.call(20, response_model="gpt-4o-mini", request_model="gpt-4o-mini")
    scopes = {"model = 'gpt-4o'": 1, "model = 'gpt-4o*'": 2, "provider = 'openai'": 2, "run = 'agent'": 1,
              "project = 'search'": 1, "tags = {team = 'nlp'}": 1, "tags = {step = 'b'}": 1,
              "host = 'testhost'": 2}  # fmt: skip
    toml = "".join(budget("tokens = 9e9", scope, name=f"{n}") for n, scope in enumerate(scopes))
    found = checked(book, toml, DAY)
    assert [one.burnt.mid for one in found] == [1050 * calls for calls in scopes.values()]


@pytest.fixture(scope="module")
def six_weeks(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    """A run of 1 Wh a day in project `even`; in project `odd` 3 Wh on the 36th day."""
    home = tmp_path_factory.mktemp("six") / "home"
    book = Book(home)
    for day in range(42):
        book.run(day * DAY, project="even")
        book.run(day * DAY + HOUR, 3 if day == 35 else 1, project="odd")
    book.write()
    ingest(home)
    return open_ledger(home)


def test_a_forecast_from_the_days_before_the_period(six_weeks: Ledger) -> None:
    """On 11 February at noon 11 runs of the month are burnt, and 17.5 days are to come."""
    rules = ("alerts = [{forecast = 1.0}]", 'project = "even"')
    toml = budget("energy_wh = 28", *rules) + budget("energy_wh = 70", *rules, name="more")
    tight, wide = check(six_weeks, parse(toml).budgets, at(41.5 * DAY))
    assert tight.expected.mid == pytest.approx((11 + 17.5) * 3600)
    assert (tight.expected.low, tight.expected.high) == pytest.approx((28.5 * 1800, 28.5 * 7200))
    assert [verdict.state for verdict in tight.verdicts] == ["fine", "breached"]
    assert [verdict.state for verdict in wide.verdicts] == ["fine", "fine"]
    assert tight.verdicts[1].decides == "mid"


def test_the_way_to_what_is_expected_is_drawn(six_weeks: Ledger) -> None:
    (one,) = check(six_weeks, parse(budget("energy_wh = 28", 'project = "even"')).budgets, at(41.5 * DAY))
    figure = views.checked_budgets([one]).parts[1].figure
    assert figure is not None
    assert (figure.partial_from, figure.series[0].x[-1]) == (at(41.5 * DAY), datetime(2026, 3, 1, tzinfo=UTC))
    assert figure.series[0].mid[-2:] == pytest.approx((11 * 3600, 28.5 * 3600))


def test_a_short_history_has_no_forecast_and_says_so(book: Book) -> None:
    book.run(0)
    (one,) = checked(book, budget("energy_wh = 9", "alerts = [{forecast = true}, {anomaly = true}]"), 10.5 * DAY)
    states = [(verdict.state, verdict.reason) for verdict in one.verdicts]
    assert states == [
        ("fine", ""),
        ("unknown", "a forecast needs 21 whole days since the first use, there are 10"),
        ("unknown", "needs 28 whole days before it, there are 9"),  # before yesterday
    ]
    assert not one.fails


def test_a_day_out_of_the_ordinary(six_weeks: Ledger) -> None:
    """1 Wh a day, and 3 on the 36th: usual 3600 J, limit 3600 + 5 × 180; told on that day and on the next."""
    toml = budget("energy_kwh = 9", "alerts = [{anomaly = 5}]", 'project = "odd"')
    told = [check(six_weeks, parse(toml).budgets, at(day * DAY))[0].verdicts[1] for day in (34.5, 35.5, 36.5, 37.5)]
    assert [verdict.state for verdict in told] == ["fine", "breached", "breached", "fine"]
    assert {verdict.day for verdict in told[1:3]} == {date(2026, 2, 5)}
    assert (told[1].value.mid, told[1].allowed) == (pytest.approx(3 * 3600), pytest.approx(3600 + 5 * 180))
    by_day = parse(toml.replace("month", "day")).budgets
    then, next_day = (check(six_weeks, by_day, at(day * DAY))[0] for day in (35.5, 36.5))
    assert (next_day.verdicts[1].state, next_day.verdicts[1].day) == ("breached", date(2026, 2, 5))
    assert alert_id(then, then.verdicts[1]) == alert_id(next_day, next_day.verdicts[1])  # told once, in two periods


def test_a_period_of_ones_own(six_weeks: Ledger) -> None:
    """Before it begins nothing can be said; when it is over what is burnt is what was to be expected."""
    rules = ("alerts = [{forecast = 1.0}]", 'project = "even"')
    (own,) = parse(budget("energy_wh = 4", *rules, period="from = 2026-01-11\nuntil = 2026-01-16")).budgets
    before, during, after = (check(six_weeks, [own], at(day * DAY))[0] for day in (5, 12, 29))
    assert (before.state, before.burnt.reason) == ("unknown", "its period has not begun")
    assert during.burnt.mid == pytest.approx(2 * 3600)
    assert after.burnt.mid == after.expected.mid == pytest.approx(5 * 3600)
    assert [verdict.state for verdict in after.verdicts] == ["breached", "breached"]


# The command ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("once") / "home"
    book = Book(home)
    book.run(0, 2, project="search")
    book.write()
    ingest(home)
    return home


@pytest.fixture
def spent(once: Path, home: Path) -> Path:
    """A home in which 2 Wh were used, and so 0.6 g of carbon (0.1 to 3.2 g), on 1 January."""
    return Path(shutil.copytree(once, home))


def run(home: Path, capsys: pytest.CaptureFixture[str], toml: str, *words: str) -> tuple[int, str, str]:
    path = home / "b.toml"
    path.write_text(toml)
    code = main(["--home", str(home), "check", "--budget", str(path), "--as-of", "2026-01-02T12:00", *words])
    out = capsys.readouterr()
    return code, out.out.replace("\u2009", " "), out.err


TIGHT = budget("carbon_g = 0.5", "project = 'search'", "alerts = [{threshold = 0.8, fails = false}]", name="search")


def test_a_pipeline_passes_or_fails(spent: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(spent, capsys, TIGHT)
    assert (code, err) == (1, "")
    assert "1 budget, 1 breached: search." in out
    assert re.search(
        r"search +1 Jan – 31 Jan 2026 +limit +600 mg  100–3,200 mg +500 mg +120 +breached +mid is above", out
    )
    assert out.count("Budget  ") == 1  # one table
    code, out, _ = run(spent, capsys, budget("carbon_kg = 1"))
    assert (code, "1 budget, none breached." in out) == (0, True)
    code, out, _ = run(spent, capsys, budget("carbon_g = 1"))
    assert (code, "none breached; possibly b." in out) == (0, True)


def test_a_rule_that_only_warns_does_not_fail(spent: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(spent, capsys, budget("carbon_g = 0.7", "alerts = [{threshold = 0.8, fails = false}]"))
    assert code == 0
    assert re.search(r"burnt 0.8 .* breached +mid is above; no failure", out)


def test_the_answer_as_json(spent: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(spent, capsys, TIGHT, "--json")
    told = json.loads(out)
    (one,) = told["budgets"]
    assert (code, told["ok"], told["as_of"], told["alerts"]) == (1, False, "2026-01-02T12:00:00Z", [])
    assert {key: one[key] for key in ("budget", "measure", "unit", "whose", "from", "until", "state", "days_left")} == {
        "budget": "search", "measure": "carbon", "unit": "g", "whose": "project search", "from": "2026-01-01T00:00:00Z",
        "until": "2026-02-01T00:00:00Z", "state": "breached", "days_left": 29.5,
    }  # fmt: skip
    assert one["burnt"] == {"low": pytest.approx(0.1), "mid": pytest.approx(0.6), "high": pytest.approx(3.2),
                            "unit": "g", "method": "modelled"}  # fmt: skip
    assert (one["burnt_share"], one["run_rate_per_day"]["mid"]) == (pytest.approx(1.2), pytest.approx(0.4))
    limit, warning = one["rules"]
    assert (limit["rule"], limit["state"], limit["decides"], limit["fails"]) == ("limit", "breached", "mid", True)
    assert (warning["rule"], warning["allowed"]["mid"], warning["fails"]) == ("burnt 0.8", pytest.approx(0.4), False)
    assert one["expected"]["mid"] is None
    assert one["expected"]["reason"].startswith("a forecast needs 21 whole days")
    assert len(one["factor_ids"]) == 3


def test_wrong_input_is_one_sentence_and_nothing_is_checked(spent: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(spent, capsys, TIGHT + budget("carbon_kg = 1", "projct = 'a'"))
    assert (code, out) == (2, "")
    assert err.startswith(f"joulebook: {spent / 'b.toml'}: [[budget]] 2: unknown key 'projct', did you mean 'project'?")
    assert err.count("\n") == 1
    assert main(["--home", str(spent), "check"]) == 2
    assert f"write {spent / 'budgets.toml'}" in capsys.readouterr().err
    assert main(["--home", str(spent), "check", "--budget", str(spent / "none.toml")]) == 2
    assert "none.toml: cannot be read (No such file" in capsys.readouterr().err
    code, out, err = run(spent, capsys, TIGHT, "--notify")
    assert (code, out) == (2, "")
    assert "nobody to tell" in err
    code, out, err = run(spent, capsys, TIGHT, "--as-of", "2199-01-01")
    assert (code, out) == (2, "")
    assert "--as-of 2199-01-01 00:00 is still to come" in err


def test_names_are_data(spent: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(spent, capsys, budget("carbon_g = 0.5", name="\\u001b[31m[bold]=1+1"))
    assert code == 1
    assert "\x1b" not in out
    assert "\\x1b[31m[bold]=1+1" in out


def test_the_page_and_an_empty_home(spent: Path) -> None:
    ledger = open_ledger(spent)
    assert "There are no budgets yet" in views.budgets(ledger).empty
    (spent / "budgets.toml").write_text(TIGHT + budget("tokens = 1") + budget("carbon_kg = 9", name="wide"))
    page = views.budgets(ledger, at(DAY * 1.5))
    assert [part.key for part in page.parts] == ["rules", "budget_1", "budget_3"]  # of no calls there is no figure
    figure = page.parts[1].figure
    assert figure is not None
    burnt, limit = figure.series
    assert burnt.x == (at(0), at(DAY), at(DAY * 1.5))
    assert burnt.mid == pytest.approx((0, 0.6, 0.6))
    assert (burnt.low[1], burnt.high[1], limit.mid) == (pytest.approx(0.1), pytest.approx(3.2), (0.5, 0.5))
    assert {use.kind for use in page.factors} == {"cpu_power", "pue", "carbon_intensity"}


# Alerts -----------------------------------------------------------------------------------------------------------


class Hook:
    """A server of this machine that keeps what it is sent, and answers when and how the test says."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.status, self.after_s, self.location = 204, 0.0, ""
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                time.sleep(hook.after_s)
                hook.got.append(json.loads(body))
                self.send_response(hook.status)
                self.send_header("Content-Length", "0")
                if hook.location:
                    self.send_header("Location", hook.location)
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    @property
    def port(self) -> int:
        return self.server.server_address[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/secret"

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hook]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    hook = Hook()
    monkeypatch.setenv("JOULEBOOK_WEBHOOK", hook.url)
    yield hook
    hook.close()


STRICT = budget("carbon_g = 0.5", name="search")


def test_an_alert_is_told_once(spent: Path, hook: Hook, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(spent, capsys, STRICT, "--notify")
    assert (code, err) == (1, "")
    assert f"Alert sent: search, limit, to http://127.0.0.1:{hook.port}" in out
    assert "secret" not in out
    (facts,) = hook.got
    assert {key: facts[key] for key in ("type", "budget", "rule", "state", "decides", "unit", "from")} == {
        "type": "joulebook.budget", "budget": "search", "rule": "limit", "state": "breached", "decides": "mid",
        "unit": "g", "from": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    assert facts["burnt"]["mid"] == pytest.approx(0.6)
    assert facts["text"].startswith("search: 600")
    code, out, _ = run(spent, capsys, STRICT, "--notify")
    assert (code, len(hook.got)) == (1, 1)
    assert "Alert sent before: search" in out
    run(spent, capsys, STRICT.replace("0.5", "0.4"), "--notify")  # another limit is another budget
    assert len(hook.got) == 2
    assert [row["text"] for row in views.checked_budgets(at_now(spent), sent(spent)).parts[-1].rows] == [
        hook.got[1]["text"], hook.got[0]["text"],
    ]  # fmt: skip


def at_now(home: Path) -> list[Checked]:
    return check(open_ledger(home), parse(STRICT).budgets, at(DAY))


def test_nothing_is_sent_unasked_or_where_nothing_is_breached(
    spent: Path, hook: Hook, capsys: pytest.CaptureFixture[str]
) -> None:
    run(spent, capsys, STRICT)
    code, _, _ = run(spent, capsys, budget("carbon_g = 1"), "--notify")  # possible
    assert (code, hook.got) == (0, [])


def test_two_checks_at_the_same_moment_tell_it_once(spent: Path, hook: Hook) -> None:
    """The second begins while the server has not answered the first one yet."""
    hook.after_s = 0.5
    (spent / "budgets.toml").write_text(STRICT)
    words = ["--home", str(spent), "check", "--as-of", "2026-01-02", "--notify", "--no-ingest", "--json"]
    code = f"import sys; from joulebook.cli import main; sys.exit(main({words!r}))"
    with ThreadPoolExecutor() as pool:
        both = [job.result() for job in [pool.submit(python, code, check=False) for _ in range(2)]]
    assert [done.returncode for done in both] == [1, 1]
    outcomes = sorted(json.loads(done.stdout)["alerts"][0]["outcome"] for done in both)
    assert (outcomes, len(hook.got)) == (["sent", "sent before"], 1)


def test_what_did_not_arrive_is_sent_by_the_next_check(
    spent: Path, hook: Hook, capsys: pytest.CaptureFixture[str]
) -> None:
    hook.status = 503
    code, _, err = run(spent, capsys, STRICT, "--notify")
    assert code == 1
    assert f"an alert was not sent to http://127.0.0.1:{hook.port}: it answered 503" in err
    warns = budget("carbon_g = 0.5", "alerts = [{threshold = 1.0, fails = false}]", name="warns")
    assert run(spent, capsys, warns, "--notify")[0] == 0  # the sending fails nothing
    assert run(spent, capsys, warns + "[notify]\nmust_arrive = true", "--notify")[0] == 1  # unless it is asked to
    hook.status, hook.got = 200, []
    run(spent, capsys, STRICT, "--notify")
    assert [facts["budget"] for facts in hook.got] == ["search"]


def test_who_cannot_note_what_was_told_tells_nothing(
    spent: Path, hook: Hook, capsys: pytest.CaptureFixture[str]
) -> None:
    (spent / "alerts").write_text("no folder")
    code, _, err = run(spent, capsys, STRICT, "--notify")
    assert (code, hook.got) == (1, [])
    assert f"an alert was not sent to http://127.0.0.1:{hook.port}: {spent / 'alerts'}: File exists" in err


def test_no_redirect_is_followed_and_no_answer_is_waited_for(
    spent: Path, hook: Hook, capsys: pytest.CaptureFixture[str]
) -> None:
    hook.status, hook.location = 307, hook.url
    assert "it answered 307" in run(spent, capsys, STRICT, "--notify")[2]
    assert len(hook.got) == 1
    hook.after_s = 0.3
    assert "cannot be reached (timed out)" in run(spent, capsys, STRICT + "[notify]\ntimeout_s = 0.1", "--notify")[2]


def test_an_address_that_cannot_be_one(home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    home.mkdir()
    for url in ("file:///etc/passwd", "example.com/hook", "http://", "https://[x", "https://h:x/"):
        monkeypatch.setenv("JOULEBOOK_WEBHOOK", url)
        code, out, err = run(home, capsys, STRICT, "--notify")
        assert (code, out) == (2, "")
        assert err.startswith("joulebook: the webhook is no address")


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")  # Apprise imports it where it is still there
def test_through_apprise(
    spent: Path, hook: Hook, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JOULEBOOK_WEBHOOK")
    toml = STRICT + f'[notify]\napprise = ["json://127.0.0.1:{hook.port}/secret"]'
    code, out, err = run(spent, capsys, toml, "--notify")
    assert (code, err) == (1, "")
    assert "Alert sent: search, limit, to json (Apprise)" in out
    (told,) = hook.got
    assert told["message"].replace("\u2009", " ").startswith("search: 600 mg (100–3,200 mg) of carbon burnt")
    run(spent, capsys, toml, "--notify")
    assert len(hook.got) == 1
    hook.status = 500
    err = run(spent, capsys, toml.replace("carbon_g = 0.5", "carbon_g = 0.4"), "--notify")[2]
    assert "an alert was not sent to json (Apprise): Apprise could not deliver it" in err


def test_without_apprise_the_sentence_says_what_to_install(
    spent: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    monkeypatch.setenv("JOULEBOOK_APPRISE", "json://127.0.0.1:9/")
    code, _, err = run(spent, capsys, STRICT, "--notify")
    assert code == 1
    assert "pip install 'joulebook[alerts]'" in err
