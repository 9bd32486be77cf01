"""Views of calls of model APIs, of ledgers made by hand: every number is a sum that can be done on paper.

The prices are agreed ones: of gpt-4o $2 for a million input tokens, $1 where they were cached, $10 for output. So
1,000 input tokens of which 200 were cached, and 50 output tokens, are 800 × 2 + 200 × 1 + 50 × 10 = 2,300 µ$.
"""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from handmade import START_NS, HandmadeJournal
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from joulebook.accounting.errors import InputError, NotFound
from joulebook.accounting.estimates import Estimate
from joulebook.accounting.ledger import Ledger, ingest, open_ledger
from joulebook.accounting.records import uuid7
from joulebook.cli import main
from joulebook.reports import as_json, terminal, views
from joulebook.reports.draw import Shown, csv_of
from joulebook.reports.pdf import pdf_bytes
from joulebook.reports.view import View
from joulebook.reports.views import api_sums, period_of
from joulebook.reports.views.api_usage import GROUPS
from joulebook.reports.views.latency import least_calls

PRICES = """
[[price]]
provider = "openai"
model = "gpt-4o*"
per_million = {input_tokens = 2, cache_read_tokens = 1, output_tokens = 10}
"""
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
DAY_S = 86_400.0
ALL = period_of(FIRST, FIRST + timedelta(days=30))
OPENAI = {"source": "http", "provider": "openai", "host": "api.openai.com", "path": "/v1/chat/completions",
          "request_model": "gpt-4o", "response_model": "gpt-4o", "status": 200, "outcome": "ok"}  # fmt: skip
HOSTILE = "<b>$x$</b> **m** \x1b[31m\u202e =1+1|'/C calc'"


def usage(into: int, out: int, cached: int = 0) -> str:
    return json.dumps({"usage": {"prompt_tokens": into, "completion_tokens": out, "total_tokens": into + out,
                                 "prompt_tokens_details": {"cached_tokens": cached}}})  # fmt: skip


class Calls(HandmadeJournal):
    """A journal of calls; one whose outcome is not told went well, with 1,000 tokens in, 200 of them cached, 50 out."""

    def __init__(self, home: Path) -> None:
        super().__init__(home, version=3)
        home.joinpath("prices.toml").write_text(PRICES)

    def call(self, at_s: float, **fields: Any) -> str:
        about = OPENAI | {"call_id": uuid7(), "duration_s": 2.0} | fields
        if about["outcome"] == "ok":
            about.setdefault("usage_json", usage(1000, 50, 200))
        told = {key: value for key, value in about.items() if value is not None}
        self.event("call", at_s, started_ns=START_NS + round(at_s * 1e9), **told)
        return about["call_id"]

    def told(self) -> Ledger:
        self.write()
        ingest(self.path.parent.parent)
        return open_ledger(self.path.parent.parent)


@pytest.fixture
def calls(home: Path) -> Calls:
    return Calls(home)


def four(calls: Calls) -> str:
    """A call that was retried, and told by OpenTelemetry too; one that was left; one that nobody has a price for."""
    first = calls.call(10, status=429, outcome="error", error="rate_limit_exceeded", duration_s=0.5, project="search")
    calls.call(12, call_id=first, attempt=2, response_id="resp-1", project="search")
    calls.call(12, source="otel", response_id="resp-1")
    calls.call(100, outcome="aborted", sent_chars=4000, received_chars=400, is_stream=True, project="forecast")
    calls.call(200, provider=None, host="llm.internal", request_model="own", response_model="own",
               usage_json=usage(500, 10))  # fmt: skip
    return first


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> tuple[Ledger, str]:
    """A ledger of those four observations, which nobody changes, and the id of the call that was retried."""
    calls = Calls(tmp_path_factory.mktemp("four"))
    call_id = four(calls)
    return calls.told(), call_id


def ends(estimate: Estimate) -> tuple[float | None, float | None, float | None]:
    return estimate.low, estimate.mid, estimate.high


def part(view: View, key: str) -> View:
    (found,) = [part for part in view.parts if part.key == key]
    return found


def drawn(view: View, width: int = 120) -> str:
    out = Console(file=io.StringIO(), width=width, highlight=False, markup=False, emoji=False)
    terminal.draw(view, out)
    return out.file.getvalue()


# Sums -----------------------------------------------------------------------------------------------------------


def test_calls_of_a_period_are_summed_up(known: tuple[Ledger, str]) -> None:
    ledger, _ = known
    (whole,) = views.api_usage(ledger, ALL).totals
    assert (whole["calls"], whole["attempts"], whole["retries"]) == (3, 4, 1)
    # 1,000 + 4,000 ÷ 4 + 500 in, 50 + 400 ÷ 4 + 10 out
    assert (whole["input_tokens"], whole["output_tokens"], whole["tokens"]) == (2500, 160, 2660)
    assert whole["cache_read_tokens"] == 200
    # 2,300 µ$, and 1,000 × 2 + 100 × 10 = 3,000 µ$
    assert ends(whole["cost_usd"]) == pytest.approx((0.0053, 0.0053, 0.0053), rel=1e-9)
    assert whole["estimated_token_share"] == pytest.approx(1100 / 2660)


def test_calls_without_a_price_are_counted_and_are_in_no_sum(known: tuple[Ledger, str]) -> None:
    ledger, _ = known
    view = views.api_usage(ledger, ALL)
    (whole,) = view.totals
    assert (whole["unpriced_calls"], whole["unpriced_tokens"]) == (1, 510)
    assert (whole["unpriced_share"], whole["unpriced_token_share"]) == pytest.approx((1 / 3, 510 / 2660))
    own = next(row for row in view.rows if row["model"] == "own")
    assert not own["cost_usd"].known
    assert "'own'" in own["cost_usd"].reason
    assert view.tiles[3].value.mid == pytest.approx(1 / 3)
    assert any(note.startswith("1 call, 19 % of the tokens, without a price".replace(" %", "\u2009%"))
               for note in view.notes)  # fmt: skip


def test_what_failed_is_waste_with_what_it_burnt(known: tuple[Ledger, str]) -> None:
    ledger, _ = known
    view = views.api_page(ledger, ALL)
    (whole,) = part(view, "calls_by_model").totals
    assert (whole["wasted_attempts"], whole["wasted_tokens"]) == (2, 1100)
    assert whole["errors"] == {"error": 1, "aborted": 1}
    assert (whole["wasted_cost_usd"].mid, whole["wasted_cost_usd"].method) == (pytest.approx(0.003), "modelled")
    rows = {row["outcome"]: row for row in part(view, "failures").rows}
    assert (rows["error"]["status"], rows["error"]["error"]) == (429, "rate_limit_exceeded")
    assert ends(rows["error"]["cost_usd"]) == (0, 0, 0)  # an error is not billed
    assert rows["aborted"]["cost_usd"].method == "modelled"


def test_a_sum_says_how_much_of_it_rests_on_what(known: tuple[Ledger, str]) -> None:
    ledger, _ = known
    view = views.api_usage(ledger, ALL)
    cost = view.tiles[2]
    assert cost.value.method == "declared"
    assert cost.caption.replace("\u2009", " ") == "57 % modelled, 43 % declared"  # 3.0 and 2.3 of 5.3 m$


def test_a_call_with_an_undated_price_rests_on_a_default() -> None:
    of = {"basis": "fallback", "usage_method": "measured"}
    assert [api_sums.cost_method(of), api_sums.cost_method(of | {"basis": "list"})] == ["default", "declared"]
    assert api_sums.cost_method({"basis": "contract", "usage_method": "modelled"}) == "modelled"


def test_a_call_stands_on_the_day_of_its_first_attempt(calls: Calls) -> None:
    call = calls.call(DAY_S - 1, status=503, outcome="error", duration_s=0.5)
    calls.call(DAY_S + 1, call_id=call, attempt=2)
    rows = views.api_usage(calls.told(), ALL, by="day").rows
    assert [(row["day"], row["calls"], row["attempts"]) for row in rows] == [
        (date(2026, 1, 1), 1, 1),
        (date(2026, 1, 2), 0, 1),
    ]


def test_a_call_whose_first_attempt_was_lost_is_a_call(calls: Calls) -> None:
    calls.call(5, attempt=2)
    (row,) = views.api_usage(calls.told(), ALL).rows
    assert (row["calls"], row["attempts"], row["retries"]) == (1, 1, 1)


def test_a_retried_call_is_unpriced_where_one_attempt_is(calls: Calls) -> None:
    call = calls.call(5, outcome="timeout", status=None)  # what it burnt, nobody knows
    calls.call(9, call_id=call, attempt=2)
    (row,) = views.api_usage(calls.told(), ALL).rows
    assert (row["calls"], row["unpriced_calls"], row["cost_usd"].mid) == (1, 1, pytest.approx(0.0023))


def test_what_is_not_billed_is_no_price_of_what_is(calls: Calls) -> None:
    """A model that no list knows, one of whose calls failed: it is not told to cost nothing."""
    own = {"provider": None, "host": "llm.internal", "request_model": "own", "response_model": "own"}
    first = calls.call(10, status=429, outcome="error", **own)
    calls.call(12, call_id=first, attempt=2, usage_json=usage(500, 10), **own)
    ledger = calls.told()
    (row,) = views.api_usage(ledger, ALL).rows
    assert (row["cost_usd"].mid, row["wasted_cost_usd"].mid, row["unpriced_share"]) == (None, 0.0, 1.0)
    assert row["cost_usd"].reason
    (told,) = views.call(ledger, first).rows
    assert (told["cost_usd"].mid, told["unpriced_reason"]) == (None, told["cost_usd"].reason)


def test_beside_the_price_stands_what_calls_used_elsewhere(calls: Calls) -> None:
    """100 tokens of two calls that were answered: twice what the engines say of one, from the lowest to the highest."""
    first = calls.call(10, status=429, outcome="error")
    calls.call(12, call_id=first, attempt=2)
    calls.call(20)
    calls.call(30, source="server", request_model="own", response_model="own")
    ledger = calls.told()
    (row,) = part(views.api_page(ledger, ALL), "used_elsewhere").rows
    engines = part(views.call(ledger, first), "used_elsewhere").rows
    mids = [engine["energy_j"].mid for engine in engines if engine["engine"] != "disclosed-2025"]
    assert (row["model"], row["calls"], row["calls_without_tokens"]) == ("gpt-4o", 2, 0)
    assert (row["energy_j"].low, row["energy_j"].high) == pytest.approx((2 * min(mids), 2 * max(mids)))
    assert (row["energy_j"].unit, row["energy_j"].method) == ("J", "modelled")
    assert all(engine["gwp_g"].unit == "g" for engine in engines)


def test_a_model_is_asked_for_by_its_name_in_the_calls_too(calls: Calls) -> None:
    mistral = {"provider": "mistral", "host": "api.mistral.ai", "request_model": "mistral-large-latest"}
    call_id = calls.call(10, **mistral, response_model="mistral-large-latest")
    ledger = calls.told()
    (row,) = part(views.api_page(ledger, ALL), "used_elsewhere").rows
    assert (row["model"], row["energy_j"].known) == ("mistral-large", True)
    assert part(views.call(ledger, call_id), "used_elsewhere").rows


def test_the_costliest_come_first_and_a_limit_is_told(calls: Calls) -> None:
    calls.call(1, request_model="gpt-4o-mini", response_model="gpt-4o-mini", usage_json=usage(100, 1))
    calls.call(2)
    view = views.api_usage(calls.told(), ALL, limit=1)
    assert [row["model"] for row in view.rows] == ["gpt-4o"]
    assert "Of 2 rows, the first 1 are shown." in view.sentence
    assert view.totals[0]["calls"] == 2


def test_one_project_is_asked_for(known: tuple[Ledger, str]) -> None:
    ledger, _ = known
    (row,) = views.api_usage(ledger, ALL, "search", "project").rows
    assert (row["project"], row["calls"], row["cost_usd"].mid) == ("search", 1, pytest.approx(0.0023))


def test_a_wrong_group_is_said(calls: Calls) -> None:
    with pytest.raises(InputError, match="cannot sum calls by 'colour': choose one of model"):
        views.api_usage(calls.told(), ALL, by="colour")


def test_without_calls_each_view_says_what_to_do(home: Path) -> None:
    ledger = open_ledger(home)
    for view in (views.api_usage(ledger, ALL), views.api_page(ledger, ALL), views.calls(ledger, ALL)):
        assert view.rows == view.parts == view.tiles == ()
        assert view.empty.startswith("No call of a model API is on record for 1 Jan 2026 – 30 Jan 2026.")


ALIKE = st.fixed_dictionaries(
    {
        **{key: st.sampled_from("ab") for key in ("model", "provider", "project", "host", "source")},
        "day": st.dates(date(2026, 1, 1), date(2026, 1, 3)),
        "outcome": st.sampled_from(["ok", "error", "aborted", None]),
        "is_unpriced": st.booleans(),
        "cost_method": st.sampled_from(api_sums.EVIDENCE),
        "is_estimated": st.booleans(),
        **{key: st.integers(0, 9) for key in ("attempts", "retries", "calls", "unpriced_calls")},
        **{key: st.none() | st.integers(0, 10**6) for key in api_sums.TOKENS},
        "usd": st.none() | st.integers(0, 1000),
        "reason": st.none(),
        "first_at": st.just(FIRST.replace(tzinfo=None)),
        "last_at": st.just(FIRST.replace(tzinfo=None)),
    }
)
SCHEMA = pa.schema([
    *((key, pa.string()) for key in ("model", "provider", "project", "host", "source", "outcome", "cost_method")),
    ("day", pa.date32()), ("is_unpriced", pa.bool_()), ("is_estimated", pa.bool_()),
    *((key, pa.int64()) for key in ("attempts", "retries", "calls", "unpriced_calls")),
    *((key, pa.float64()) for key in (*api_sums.TOKENS, "usd")),
    ("reason", pa.string()), ("first_at", pa.timestamp("us")), ("last_at", pa.timestamp("us")),
])  # fmt: skip


@settings(deadline=None, max_examples=12)
@given(rows=st.lists(ALIKE, min_size=1, max_size=12), by=st.sampled_from(list(GROUPS)))
def test_whatever_is_asked_for_adds_up_to_the_same(
    known: tuple[Ledger, str], rows: list[dict[str, Any]], by: str
) -> None:
    ledger, _ = known
    table = pa.Table.from_pylist(rows, SCHEMA)
    (whole,) = api_sums.sums(ledger, table)
    groups = api_sums.sums(ledger, table, GROUPS[by])
    for name in ("calls", "attempts", "retries", "tokens", "unpriced_calls", "wasted_attempts", "cost_usd"):
        known = [row[name] for row in groups if row[name] is not None]
        assert (sum(known) if known else None) == whole[name]
    assert sum(api_sums.cost_parts(whole).values()) == (whole["cost_usd"] or 0)


# Figures --------------------------------------------------------------------------------------------------------


def test_a_figure_says_its_finding(known: tuple[Ledger, str]) -> None:
    ledger, _ = known
    (series,) = views.api_usage(ledger, ALL).figure.series
    assert (series.x, series.mid) == (("gpt-4o",), pytest.approx((0.0053,)))
    by_project = views.api_usage(ledger, ALL, by="project").figure
    assert by_project.alt.replace("\u2009", " ") == (
        "API cost by project, 57 % of it by forecast: forecast 3.00 m$; search 2.30 m$."
    )


def test_without_any_price_tokens_are_drawn(calls: Calls) -> None:
    calls.call(1, provider=None, host="llm.internal", request_model="own", response_model="own")
    figure = views.api_usage(calls.told(), ALL).figure
    assert (figure.title, figure.unit, figure.series[0].mid) == ("Tokens by model", "token", (1050,))


def test_a_day_without_calls_is_a_gap(calls: Calls) -> None:
    calls.call(1)
    calls.call(2 * DAY_S)
    figure = views.api_usage(calls.told(), period_of(FIRST, FIRST + timedelta(days=3)), by="day").figure
    assert figure.series[0].mid == (pytest.approx(0.0023), None, pytest.approx(0.0023))


# Latency --------------------------------------------------------------------------------------------------------


def test_quantiles_are_told_where_there_are_calls_enough(calls: Calls) -> None:
    for tenth in range(1, 21):  # 0.1 s, 0.2 s, … 2.0 s, the first token after a tenth of that
        calls.call(tenth, duration_s=tenth / 10, first_token_s=tenth / 100, is_stream=True, gap_p50_s=0.01 * tenth,
                   gap_p95_s=0.5, gap_max_s=float(tenth))  # fmt: skip
    (row,) = views.latency(calls.told(), ALL).rows
    assert (row["provider"], row["model"], row["is_stream"], row["calls"]) == ("openai", "gpt-4o", True, 20)
    # half of 20 lies at 10.5; 95 % of the 19 steps from the first on are 18.05 of them
    assert (row["duration_s_p50"], row["duration_s_p95"]) == pytest.approx((1.05, 1.905))
    assert row["duration_s_p99"] is None
    assert row["missing"]["duration_s_p99"] == "needs 100 calls, there are 20"
    assert row["first_token_s_p50"] == pytest.approx(0.105)
    assert row["per_token_s_p50"] == pytest.approx((1.05 - 0.105) / 49)  # 49 tokens after the first of 50
    assert (row["gap_s_p50"], row["gap_s_p95"], row["gap_s_max"]) == pytest.approx((0.105, 0.5, 20))
    assert row["output_tokens_per_s_p50"] == pytest.approx((50 / 1.0 + 50 / 1.1) / 2)


def test_what_failed_or_was_estimated_has_no_speed(known: tuple[Ledger, str]) -> None:
    ledger, _ = known
    rows = {row["model"]: row for row in views.latency(ledger, ALL).rows}
    assert (rows["gpt-4o"]["calls"], rows["gpt-4o"]["is_stream"]) == (1, False)
    assert (rows["gpt-4o"]["first_token_s_n"], rows["gpt-4o"]["per_token_s_n"]) == (0, 0)


def test_a_call_with_a_time_to_its_first_token_is_a_stream(calls: Calls) -> None:
    for at_s in (1, 2, 3):
        calls.call(at_s, duration_s=2.0, first_token_s=0.5)
    (row,) = views.latency(calls.told(), ALL).rows
    assert (row["is_stream"], row["per_token_s_p50"]) == (True, pytest.approx(1.5 / 49))


def test_a_quantile_needs_a_call_beyond_it() -> None:
    assert [least_calls(quantile) for quantile in (0.5, 0.95, 0.99)] == [2, 20, 100]


# One call -------------------------------------------------------------------------------------------------------


def test_a_call_is_told_attempt_by_attempt(known: tuple[Ledger, str]) -> None:
    ledger, call_id = known
    view = views.call(ledger, call_id)
    (row,) = view.rows
    assert (row["outcome"], row["attempts_n"], row["project"], row["model"]) == ("ok", 2, "search", "gpt-4o")
    assert row["duration_s"] == 4.0  # the second began 2 s after the first and took 2 s
    assert row["cost_usd"].mid == pytest.approx(0.0023)
    assert row["unpriced_reason"] is None
    attempts = part(view, "attempts").rows
    assert [(one["attempt"], one["outcome"], one["status"], one["at_s"], one["basis"]) for one in attempts] == [
        (1, "error", 429, 0.0, "not billed"),
        (2, "ok", 200, 2.0, "contract"),
    ]


def test_the_parts_of_a_call_and_its_price_lines_add_up(calls: Calls) -> None:
    calls.call(1)
    view = views.call(calls.told(), "last")
    used = {row["unit"]: row["amount"] for row in part(view, "usage").rows}
    assert used == {"input_tokens": 800, "cache_read_tokens": 200, "output_tokens": 50}
    lines = {row["unit"]: row for row in part(view, "price_lines").rows}
    assert {unit: line["usd_per_unit"] for unit, line in lines.items()} == pytest.approx(
        {"input_tokens": 2e-6, "cache_read_tokens": 1e-6, "output_tokens": 10e-6}
    )
    assert sum(line["cost_usd"].mid for line in lines.values()) == pytest.approx(0.0023)


def test_who_else_observed_a_call_and_which_counts(known: tuple[Ledger, str]) -> None:
    ledger, call_id = known
    rows = part(views.call(ledger, call_id), "observations").rows
    assert [(row["source"], row["is_counted"]) for row in rows] == [("http", "counts"), ("otel", "duplicate")]
    other = views.call(ledger, rows[1]["call_id"])
    assert not other.rows[0]["counted"]
    assert "Another observation of the same response counts; this one is in no sum." in other.notes


def test_what_is_estimated_or_unpriced_says_why(known: tuple[Ledger, str]) -> None:
    ledger, _ = known
    left, own = [row["call_id"] for row in reversed(views.calls(ledger, ALL).rows)][1:]
    assert "four characters each" in views.call(ledger, left).notes[0]
    view = views.call(ledger, own)
    assert not view.rows[0]["cost_usd"].known
    assert "what it cost is unknown. Not all of it has a price: " in view.sentence
    assert view.rows[0]["unpriced_reason"] == view.rows[0]["cost_usd"].reason


def test_a_call_says_the_run_around_it(calls: Calls) -> None:
    run = calls.start(0, "agent", project="search")
    span = calls.start(1, "plan", parent=(run, run), project="search")
    call_id = calls.call(2, run_id=run, span_id=span)
    calls.end(5, span, run)
    calls.end(6, run)
    (row,) = views.call(calls.told(), call_id).rows
    assert (row["run"], row["span"], row["run_id"], row["project"]) == ("agent", "plan", run, "search")


def test_a_call_is_found_by_what_a_user_has_of_it(calls: Calls) -> None:
    first, last = calls.call(1, response_id="resp-1"), calls.call(2)
    ledger = calls.told()
    assert [views.find_call(ledger, text) for text in (first, first[-12:], "resp-1", "last")] == [first] * 3 + [last]
    with pytest.raises(NotFound, match="no call 'zzz'"):
        views.find_call(ledger, "zzz")
    with pytest.raises(InputError, match="fits several calls"):
        views.find_call(ledger, first[:6])
    with pytest.raises(InputError, match="no call named"):
        views.find_call(ledger, "")


def test_the_newest_calls_come_first(known: tuple[Ledger, str]) -> None:
    ledger, _ = known
    rows = views.calls(ledger, ALL).rows
    assert [(row["model"], row["attempts_n"], row["tokens"]) for row in rows] == [
        ("own", 1, 510),
        ("gpt-4o", 1, 1100),
        ("gpt-4o", 2, 1050),
    ]
    assert views.calls(ledger, ALL, limit=1).sentence == "The newest 1 call; there are more."


# Where else calls are shown -------------------------------------------------------------------------------------


def test_a_run_has_its_calls(calls: Calls) -> None:
    calls.sensor()
    run = calls.start(0, "agent", counters={"cpu_time": 0.0})
    calls.call(1, run_id=run, span_id=run)
    calls.end(60, run, counters={"cpu_time": 900.0})
    calls.call(100)  # of no run
    view = views.run(calls.told(), run)
    (row,) = part(view, "calls").rows
    assert (row["calls"], row["cost_usd"].mid, row["unpriced_share"]) == (1, pytest.approx(0.0023), 0)
    assert as_json.run(view)["calls"][0]["cost_usd"].mid == pytest.approx(0.0023)
    assert view.tiles[3].label == "Electricity cost"
    assert "it is not in the cost of electricity" in part(view, "calls").notes[-1]


def test_a_run_without_calls_has_an_empty_list_of_them(calls: Calls) -> None:
    calls.sensor()
    run = calls.start(0, "job", counters={"cpu_time": 0.0})
    calls.end(60, run, counters={"cpu_time": 900.0})
    view = views.run(calls.told(), run)
    assert as_json.run(view)["calls"] == []
    assert "calls" not in [one.key for one in view.parts]


def test_the_overview_shows_calls_beside_energy_and_never_in_one_sum(calls: Calls) -> None:
    calls.sensor()
    run = calls.start(0, "job", counters={"cpu_time": 0.0})
    calls.end(60, run, counters={"cpu_time": 900.0})
    ledger = calls.told()
    before = views.overview(ledger, ALL)
    four(other := Calls(ledger.home))
    after = views.overview(other.told(), ALL)
    assert [tile.value for tile in after.tiles] == [tile.value for tile in before.tiles]
    assert [tile.label for tile in part(after, "calls").tiles] == ["Calls", "Tokens", "API cost", "Unpriced"]
    assert "calls" not in [one.key for one in before.parts]


def test_calls_are_shown_where_no_run_has_energy(known: tuple[Ledger, str]) -> None:
    ledger, _ = known
    assert [one.key for one in views.overview(ledger, ALL).parts] == ["calls"]
    report = views.report(ledger, ALL)
    assert [one.key for one in report.parts] == ["api"]
    assert "newest_calls" not in [one.key for one in report.parts[0].parts]


# Hostile names are data -----------------------------------------------------------------------------------------


def test_a_hostile_model_is_text_everywhere(calls: Calls) -> None:
    calls.call(1, provider=HOSTILE, host=HOSTILE, request_model=HOSTILE, response_model="=1+1", response_id=HOSTILE,
               error=HOSTILE, project=HOSTILE, tags=[["=k", HOSTILE]])  # fmt: skip
    ledger = calls.told()
    pages = [views.api_page(ledger, ALL), views.call(ledger, "last"), views.calls(ledger, ALL)]
    for view in pages:
        assert not {"\x1b", "\u202e"} & set(drawn(view))
        assert pdf_bytes(view, prepared_at=FIRST).startswith(b"%PDF")
    lines = list(csv.reader(io.StringIO(csv_of(pages[2], Shown("calls")))))
    assert lines[-1][1] == "'=1+1"


@pytest.mark.parametrize("width", [80, 140])
def test_no_number_breaks_in_a_terminal(known: tuple[Ledger, str], width: int) -> None:
    ledger, _ = known
    told = drawn(views.api_usage(ledger, ALL), width)
    assert all(len(line) <= width for line in told.splitlines())
    row = next(line for line in told.splitlines() if line.startswith(" All"))
    assert row.split()[-2:] == ["5.30", "33.3"]  # m$, and a third without a price


# The command ----------------------------------------------------------------------------------------------------


def asked(capsys: pytest.CaptureFixture[str], *args: str) -> Any:
    assert main(["calls", *args, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_command_answers_in_stable_keys(
    known: tuple[Ledger, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, call_id = known
    monkeypatch.setenv("JOULEBOOK_HOME", str(ledger.home))
    rows = asked(capsys, "--by", "source")
    assert list(rows[0]) == [
        "source", "calls", "attempts", "retries", "input_tokens", "cache_read_tokens", "cache_write_tokens",
        "output_tokens", "reasoning_tokens", "tokens", "cost_usd", "unpriced_calls", "unpriced_share",
        "unpriced_tokens", "unpriced_token_share", "estimated_token_share", "wasted_attempts", "wasted_tokens",
        "wasted_cost_usd", "errors", "first_call_at", "last_call_at",
    ]  # fmt: skip
    assert (rows[0]["source"], rows[0]["first_call_at"]) == ("http", "2026-01-01T00:00:10Z")
    assert [row["call_id"] for row in asked(capsys, "--by", "call")][-1] == call_id
    assert {row["model"] for row in asked(capsys, "--latency")} == {"gpt-4o", "own"}
    one = asked(capsys, call_id[-12:])
    assert [len(one[key]) for key in ("attempts", "usage", "price_lines", "observations")] == [2, 3, 3, 2]


def test_the_command_says_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calls", "--limit", "0"]) == 2
    assert main(["calls", "nope"]) == 3
    assert "joulebook: no call 'nope'" in capsys.readouterr().err
