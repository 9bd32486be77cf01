"""Own calls beside a provider's export: what agrees, what does not, and which cause is named. Nothing is written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from handmade import START_NS, HandmadeJournal
from hypothesis import given
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from joulebook.accounting.ledger import Ledger, ingest, open_ledger
from joulebook.accounting.records import uuid7
from joulebook.cli import main
from joulebook.reports.view import View
from joulebook.reports.views import period_of
from joulebook.reports.views.reconcile import reconcile, reconciled, sums

DAY_S, HOUR_S = 86_400, 3_600
CHAT = {"input_tokens": 1200, "cache_read_tokens": 1024, "output_tokens": 300, "output_reasoning_tokens": 128}
CHAT_USD = 0.003348  # of gpt-5: 176 × 1.25 + 1,024 × 0.125 + 300 × 10, per million
CLAUDE = {"input_tokens": 1000, "output_tokens": 100}
CLAUDE_USD = 0.0045  # at list prices: 1,000 × 3 + 100 × 15, per million; 20 % less by contract
AUTUMN = 305  # the list has prices of tiers from October on
PRICES = '[[discount]]\nprovider = "anthropic"\npercent = 20\n'


def call(at_s: float, amounts: Mapping[str, float] | None = None, **fields: Any) -> tuple[float, dict[str, Any]]:
    about = {"call_id": uuid7(), "source": "http", "provider": "openai", "request_model": "gpt-5", "outcome": "ok"}
    used = {} if amounts is None else {"units": _units(amounts), "method": "measured"}
    return at_s, {**about, **used, **fields}


def _units(amounts: Mapping[str, float]) -> list[list[str]]:
    return [[unit, str(amount)] for unit, amount in amounts.items()]


CALLS = (
    # day 0: two calls that are alike
    call(HOUR_S, CHAT),
    call(2 * HOUR_S, CHAT),
    # day 1: one call, two attempts that never got an answer, and one that was refused
    call(DAY_S, CHAT),
    call(DAY_S + 1, outcome="timeout"),
    call(DAY_S + 2, outcome="failed"),
    call(DAY_S + 3, outcome="error", status=429),
    # day 2: a stream that was left: 400 characters in, 80 out, so 100 and 20 tokens
    call(2 * DAY_S, CHAT),
    call(2 * DAY_S + 1, outcome="aborted", sent_chars=400, received_chars=80),
    # days 3 to 5: just before and just after 08:00
    *(call((3 + day) * DAY_S + hour * HOUR_S + 1800, {"input_tokens": tokens})
      for day, hour, tokens in ((0, 7, 100), (0, 8, 200), (1, 7, 400), (1, 8, 800), (2, 7, 1600), (2, 8, 3200))),
    # day 8: by own prices
    call(8 * DAY_S, CLAUDE, provider="anthropic", request_model="claude-sonnet-4-5"),
    # day 9: a model without a price
    call(9 * DAY_S, CLAUDE, request_model="gpt-99"),
    # an autumn day: two tiers
    call(AUTUMN * DAY_S, CHAT, context=[["service_tier", "default"]]),
    call(AUTUMN * DAY_S, CHAT, context=[["service_tier", "flex"]]),
)  # fmt: skip


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    home = tmp_path_factory.mktemp("reconcile")
    (home / "prices.toml").write_text(PRICES)
    journal = HandmadeJournal(home, version=3)
    for at_s, fields in CALLS:
        journal.event("call", at_s, **fields)
    journal.write()
    ingest(home)
    return open_ledger(home)


def bill(day: float, amounts: Mapping[str, float] | None = None, hours: float = 24, **fields: Any) -> dict[str, Any]:
    """A statement for a day, counted from 1 January 2026."""
    start_ns = START_NS + round(day * DAY_S) * 10**9
    times = {"from_ns": start_ns, "to_ns": start_ns + round(hours * HOUR_S) * 10**9}
    told = {} if amounts is None else {"units": _units(amounts)}
    return {"source": "test", "provider": "openai", "model": "gpt-5-2025-08-07", **times, **told, **fields}


def times(amounts: Mapping[str, float], number: float, **other: float) -> dict[str, float]:
    return {unit: amount * number for unit, amount in amounts.items()} | other


def compare(ledger: Ledger, *bills: dict[str, Any]) -> View:
    return reconcile(ledger, bills, period_of())


def told(view: View) -> list[tuple[Any, ...]]:
    return [(row["day"], row["model"], row["verdict"], row["cause"]) for row in view.rows]


def only(view: View) -> Mapping[str, Any]:
    (row,) = view.rows
    return row


def test_tokens_and_costs_that_agree_match(ledger: Ledger) -> None:
    # one file tells tokens, another money
    view = compare(ledger, bill(0, times(CHAT, 2), requests=2), bill(0, cost="0.006696", line_item="gpt-5, input"))
    row = only(view)
    assert told(view) == [("2026-01-01", "gpt-5", "matched", None)]
    assert (row["requests"], row["provider_requests"]) == (2, 2)
    assert (row["tokens"], row["provider_tokens"], row["difference_tokens"]) == (3000, 3000, 0)
    assert (row["cache_read_tokens"], row["provider_reasoning_tokens"]) == (2048, 256)
    assert (row["cost_usd"], row["provider_cost_usd"]) == (pytest.approx(2 * CHAT_USD), 0.006696)
    assert view.sentence == "Both sides agree."


def test_amounts_beside_money_do_not_repeat_those_of_the_usage(ledger: Ledger) -> None:
    # the cost export has quantities, too: 2,400 and 600, which are in the usage export already
    costs = [bill(0, {"input_tokens": 2400}, cost="0.000696"), bill(0, {"output_tokens": 600}, cost="0.006")]
    assert told(compare(ledger, bill(0, times(CHAT, 2)), *costs)) == [("2026-01-01", "gpt-5", "matched", None)]
    assert only(compare(ledger, *costs))["provider_tokens"] == 3000  # alone they are all there is


def test_cents_that_are_rounded_match_and_say_so(ledger: Ledger) -> None:
    # 0.6696 cents are told as 1 cent: half a cent is what two places can hide
    row = only(compare(ledger, bill(0, times(CHAT, 2), cost="0.01")))
    assert (row["verdict"], row["cause"]) == ("matched", "rounding")
    exact = only(compare(ledger, bill(0, times(CHAT, 2), cost="0.0100001")))
    assert exact["verdict"] == "price differs"


def test_what_nothing_here_recorded_is_an_unseen_client(ledger: Ledger) -> None:
    view = compare(ledger, bill(0, times(CHAT, 3), requests=3, project="proj_other"))
    row = only(view)
    assert (row["verdict"], row["cause"]) == ("tokens differ", "unseen client")
    assert row["because"] == "1 request more there than attempts here, of proj_other"
    assert row["difference_tokens"] == -1500
    other = compare(ledger, bill(0, times(CHAT, 2)), bill(0, {"input_tokens": 7}, model="gpt-4o"))
    assert told(other)[0] == ("2026-01-01", "gpt-4o", "missing here", "unseen client")
    whole = sums(other.rows)
    assert (whole["rows_matched"], whole["matched_token_share"]) == (1, pytest.approx(3000 / 3007))


def test_what_the_provider_does_not_have_is_missing_there(ledger: Ledger) -> None:
    view = compare(ledger, bill(0, {"input_tokens": 7}, model="gpt-4o"), bill(1, times(CHAT, 1)))
    assert told(view)[1] == ("2026-01-01", "gpt-5", "missing there", "not in the export")
    assert view.rows[1]["provider_tokens"] is None
    assert view.rows[1]["because"] == "the export has nothing of it: it may be of one project or key only"
    last = compare(ledger, bill(0, {"input_tokens": 7}, model="gpt-4o")).rows[1]
    assert last["because"].endswith("it is the last day of the export, which may not be complete")


def test_an_export_of_a_part_of_the_calls_is_named(ledger: Ledger) -> None:
    row = compare(ledger, bill(0, CHAT, requests=1), bill(1, CHAT)).rows[0]
    assert (row["verdict"], row["cause"], row["difference_tokens"]) == ("tokens differ", "not in the export", 1500)
    assert row["because"] == "1 request more here than there: it may be of one project or key only"


def test_attempts_without_an_answer_that_were_billed_are_retries(ledger: Ledger) -> None:
    # the provider counts three: the call and both attempts that ended without an answer; the 429 is none
    row = only(compare(ledger, bill(1, times(CHAT, 3), requests=3)))
    assert (row["verdict"], row["cause"]) == ("tokens differ", "retries")
    assert row["because"] == "attempts without a usage here, which a provider may bill: 1 failed and 1 timeout"
    more = only(compare(ledger, bill(1, times(CHAT, 5), requests=5)))
    assert more["because"].endswith("; 2 requests more there than attempts here")


def test_estimated_tokens_explain_what_is_less_than_them(ledger: Ledger) -> None:
    # 1,500 + 120 estimated here; the provider counted 90 and 50 for the stream that was left
    row = only(compare(ledger, bill(2, times(CHAT, 1, input_tokens=1290, output_tokens=350), requests=2)))
    assert (row["verdict"], row["cause"], row["difference_tokens"]) == ("tokens differ", "estimated usage", -20)
    assert row["because"].startswith("120 tokens here are estimated")


def test_the_same_input_with_other_cached_tokens_is_a_cache_split(ledger: Ledger) -> None:
    row = only(compare(ledger, bill(0, times(CHAT, 2, cache_read_tokens=1024))))
    assert (row["verdict"], row["cause"]) == ("tokens differ", "cache split")
    assert row["because"] == "the input agrees, and 1,024 fewer of its tokens are read from the cache there"
    assert (row["difference_tokens"], row["difference_cache_read_tokens"]) == (0, 1024)


def test_output_without_its_reasoning_is_named(ledger: Ledger) -> None:
    # 600 of output here, of which 256 are of reasoning; the provider tells 344
    row = only(compare(ledger, bill(0, {"input_tokens": 2400, "cache_read_tokens": 2048, "output_tokens": 344})))
    assert (row["verdict"], row["cause"], row["difference_output_tokens"]) == ("tokens differ", "reasoning", 256)


def test_days_of_another_time_zone_are_found(ledger: Ledger) -> None:
    # days that begin at 08:00 have 200 + 400 and 800 + 1,600 tokens; those of UTC have 300 and 1,200
    view = compare(ledger, bill(3, {"input_tokens": 600}), bill(4, {"input_tokens": 2400}))
    assert [(row["tokens"], row["provider_tokens"], row["cause"]) for row in view.rows] == [
        (300, 600, "time zone"),
        (1200, 2400, "time zone"),
    ]
    assert view.rows[0]["because"] == "this day and 1 other agree if the provider's day begins at 08:00 UTC"


def test_a_time_zone_is_found_beside_other_differences(ledger: Ledger) -> None:
    # day 0 has 4,500 if it takes the call at midnight from day 1; day 5 agrees as it is
    others = (bill(0, times(CHAT, 3)), bill(1, times(CHAT, 3)), bill(5, {"input_tokens": 4800}))
    view = compare(ledger, *others, bill(3, {"input_tokens": 600}), bill(4, {"input_tokens": 2400}))
    causes = {row["day"]: row["cause"] for row in view.rows}
    assert causes == {"2026-01-01": "unseen client", "2026-01-02": "retries", "2026-01-03": "not in the export",
                      "2026-01-04": "time zone", "2026-01-05": "time zone", "2026-01-06": None}  # fmt: skip
    (alone,) = compare(ledger, bill(3, {"input_tokens": 600})).rows  # one day is no pattern
    assert (alone["cause"], alone["because"]) == ("unseen client", "the provider answered what nothing here recorded")


def test_a_cost_of_another_tier_is_named(ledger: Ledger) -> None:
    # both calls in one row, since the bill tells no tier: 3,348 + 1,674 microdollars here, both at half price there
    row = only(compare(ledger, bill(AUTUMN, times(CHAT, 2), cost="0.003348")))
    assert (row["verdict"], row["cause"], row["tier"]) == ("price differs", "tier", None)
    assert row["because"] == "the provider's cost is that of the same tokens in tier batch or flex"
    assert row["difference_usd"] == pytest.approx(0.001674)


def test_where_both_sides_tell_tiers_each_is_a_row(ledger: Ledger) -> None:
    tiers = [("default", "0.003348"), ("flex", "0.001674")]
    bills = [bill(AUTUMN, CHAT, cost=cost, context=[["service_tier", tier]]) for tier, cost in tiers]
    assert [(row["tier"], row["verdict"]) for row in compare(ledger, *bills).rows] == [
        ("flex", "matched"),
        ("standard", "matched"),
    ]


def test_own_prices_that_were_not_applied_are_named(ledger: Ledger) -> None:
    claude = {"provider": "anthropic", "model": "claude-sonnet-4-5"}
    row = only(compare(ledger, bill(8, CLAUDE, cost="0.0045", **claude)))
    assert row["cost_usd"] == pytest.approx(0.8 * CLAUDE_USD)
    assert (row["verdict"], row["cause"]) == ("price differs", "list price")
    assert only(compare(ledger, bill(8, CLAUDE, cost="0.0036", **claude)))["verdict"] == "matched"


def test_a_discount_that_is_not_known_here_is_named(ledger: Ledger) -> None:
    row = only(compare(ledger, bill(0, times(CHAT, 2), cost="0.0060264")))  # 90 % of 0.006696
    assert (row["verdict"], row["cause"]) == ("price differs", "contract price")
    assert row["because"].startswith("billed at 90.0% of the list price")


def test_a_difference_that_nothing_explains_says_so(ledger: Ledger) -> None:
    row = only(compare(ledger, bill(0, times(CHAT, 2), cost="0.0071")))
    assert (row["verdict"], row["cause"]) == ("price differs", "unknown")
    assert row["because"] == "nothing known here explains 404\u2009µ$ more there"  # 0.0071 − 0.006696


def test_money_is_not_compared_where_a_call_has_no_price(ledger: Ledger) -> None:
    view = compare(ledger, bill(9, CLAUDE, model="gpt-99", cost="5.00"))
    row = only(view)
    assert (row["verdict"], row["cause"]) == ("matched", "unpriced")
    assert (row["cost_usd"], row["difference_usd"]) == (None, None)
    assert not view.tiles[1].value.known


def test_what_cannot_be_set_beside_a_day_is_told(ledger: Ledger) -> None:
    odd = [
        bill(0, CHAT, hours=31 * 24),
        bill(0, cost="1.00", currency="EUR"),
        bill(0, {"input_tokens": 1, "cache_read_tokens": 2}),
    ]
    view = compare(ledger, bill(0, times(CHAT, 2)), *odd)
    assert told(view) == [("2026-01-01", "gpt-5", "matched", None)]
    assert view.alerts == (
        "1 statement not compared: the time is longer than a day.",
        "1 statement not compared: the money is in EUR, not in US dollars.",
        "1 statement not compared: the amounts cannot be read.",
    )


def test_hours_without_a_statement_are_part_of_the_day(ledger: Ledger) -> None:
    # buckets of an hour: there is one for the second call only, so the first one is not in the export
    (row,) = compare(ledger, bill(2 / 24, CHAT, hours=1)).rows
    assert (row["tokens"], row["provider_tokens"], row["verdict"]) == (3000, 1500, "tokens differ")


def test_the_period_and_the_project_narrow_it(ledger: Ledger) -> None:
    nothing = reconcile(ledger, [bill(0, CHAT)], period_of(until=_day(0)))
    assert (nothing.rows, nothing.empty) == ((), "The export has no day of all time to 31 Dec 2025.")
    (row,) = reconcile(ledger, [bill(0, CHAT)], period_of(), "another project").rows
    assert row["verdict"] == "missing here"


def _day(number: int) -> Any:
    from datetime import UTC, datetime, timedelta

    return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=number)


# The command, on files as OpenAI writes them --------------------------------------------------------------------------

USAGE_HEADER = (
    "start_time,end_time,start_time_iso,end_time_iso,project_id,num_model_requests,user_id,api_key_id,model,batch,"
    "service_tier,input_tokens,output_tokens,input_cached_tokens"
)


def usage_file(path: Path, *rows: Sequence[Any]) -> Path:
    """Days, requests and amounts (input, output, cached) as the dashboard exports them."""
    lines = [USAGE_HEADER]
    for day, requests, *amounts in rows:
        start = START_NS // 10**9 + day * DAY_S
        told = ",".join(f"{amount}.0" for amount in amounts)
        lines.append(f"{start},{start + DAY_S},,,proj_1,{requests},,key_1,gpt-5-2025-08-07,FALSE,,{told}")
    path.write_text("\n".join(lines) + "\n")
    return path


def run(ledger: Ledger, *arguments: str) -> int:
    return main(["--home", str(ledger.home), "reconcile", *arguments])


def test_the_command_exits_with_0_where_all_agree_and_1_where_not(ledger: Ledger, tmp_path: Path, capsys: Any) -> None:
    same = usage_file(tmp_path / "same.csv", (0, 2, 2400, 600, 2048))
    assert run(ledger, "openai", str(same)) == 0
    assert "Both sides agree." in capsys.readouterr().out
    other = usage_file(tmp_path / "other.csv", (0, 2, 2400, 600, 2048), (1, 3, 3600, 900, 3072))
    assert run(ledger, "openai", str(other)) == 1
    assert "retries" in capsys.readouterr().out
    assert run(ledger, "openai", str(other), "--json") == 1
    answer = json.loads(capsys.readouterr().out)
    assert (answer["ok"], answer["rows_compared"], answer["rows_matched"]) == (False, 2, 1)
    assert [row["cause"] for row in answer["rows"]] == ["retries"]
    assert run(ledger, "openai", str(other), "--json", "--all") == 1
    assert len(json.loads(capsys.readouterr().out)["rows"]) == 2


def test_the_newest_statement_of_a_bucket_counts_and_the_same_one_once(
    ledger: Ledger, tmp_path: Path, capsys: Any
) -> None:
    import os

    half = usage_file(tmp_path / "a.csv", (0, 1, 1200, 300, 1024))
    os.utime(half, (1, 1))  # exported before the day was over
    whole = usage_file(tmp_path / "b.csv", (0, 2, 2400, 600, 2048))
    assert run(ledger, "openai", str(whole), str(half), str(whole)) == 0
    assert "Both sides agree." in capsys.readouterr().out


def test_rows_that_cannot_be_used_are_told(ledger: Ledger, tmp_path: Path, capsys: Any) -> None:
    path = usage_file(tmp_path / "usage.csv", (0, 2, 2400, 600, 2048), (0, 2, "many", 600, 2048))
    assert run(ledger, "openai", str(path)) == 1
    assert "1 row cannot be used; " in capsys.readouterr().err
    bad = usage_file(tmp_path / "bad.csv", (0, 2, "many", 600, 2048))
    assert run(ledger, "openai", str(bad)) == 2
    assert "no row can be used" in capsys.readouterr().err
    assert run(ledger, "openai", str(tmp_path / "none.csv")) == 2
    assert "nothing was compared" in capsys.readouterr().err


def test_nothing_is_written(ledger: Ledger, tmp_path: Path, capsys: Any) -> None:
    path = usage_file(tmp_path / "usage.csv", (0, 3, 3600, 900, 0))
    before = _prints(ledger.home)
    assert run(ledger, "openai", str(path), "--json", "--no-ingest") == 1
    assert _prints(ledger.home) == before


def _prints(home: Path) -> dict[str, str]:
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in home.rglob("*") if path.is_file()}


def test_no_key_and_no_address_of_an_export_is_shown(ledger: Ledger, tmp_path: Path, capsys: Any) -> None:
    path = usage_file(tmp_path / "usage.csv", (0, 3, 3600, 900, 0))
    path.write_text(path.read_text().replace("proj_1", "ada@example.org").replace("key_1", "sk-proj-planted0123456789"))
    run(ledger, "openai", str(path), "--json", "--all")
    assert run(ledger, "openai", str(path)) == 1
    shown = capsys.readouterr()
    for planted in ("ada@example.org", "planted"):
        assert planted not in shown.out + shown.err


def test_our_own_focus_export_agrees_with_the_ledger(ledger: Ledger, tmp_path: Path, capsys: Any) -> None:
    # from calls to charges to bills and back: nothing is lost, and nothing counted twice
    path = tmp_path / "calls.csv"
    assert main(["--home", str(ledger.home), "export", "focus", "--out", str(path)]) == 0
    capsys.readouterr()
    run(ledger, "focus", str(path), "--json", "--all")
    rows = json.loads(capsys.readouterr().out)["rows"]
    others = [(row["model"], row["verdict"]) for row in rows if row["verdict"] != "matched"]
    assert others == [("gpt-99", "missing there")]  # it has no price, so it is not in the file
    assert len(rows) == 10


def test_bills_that_were_imported_are_compared_on_the_page(tmp_path: Path, capsys: Any) -> None:
    home = tmp_path / "home"
    journal = HandmadeJournal(home, version=3)
    journal.event("call", HOUR_S, **call(HOUR_S, CHAT)[1])
    journal.write()
    for rows in ((0, 1, 700, 100, 0), (0, 1, 1200, 300, 1024)):  # the second replaces the first
        assert main(["--home", str(home), "import", "openai", str(usage_file(tmp_path / "usage.csv", rows))]) == 0
    found = open_ledger(home)
    assert told(reconciled(found, period_of())) == [("2026-01-01", "gpt-5", "matched", None)]
    page = AppTest.from_function(_page, kwargs={"home": str(home)}, default_timeout=60).run()
    assert not page.exception
    assert "Both sides agree." in "".join(element.proto.body for element in page.get("html"))
    before = reconciled(found, period_of(until=_day(0)))
    assert before.empty.startswith("No provider's statement of all time to 31 Dec 2025 was imported.")


def _page(home: str) -> None:
    """The page Reconcile of a ledger, of all time."""
    from datetime import UTC, datetime
    from pathlib import Path

    from joulebook.accounting.ledger import open_ledger
    from joulebook.reports.screens import page, trust

    trust.reconcile_page(open_ledger(Path(home)), page.asked("all", None, datetime.now(UTC)))


AMOUNT = st.none() | st.floats(0, 1e12)
ROW = st.fixed_dictionaries(
    {"verdict": st.sampled_from(["matched", "price differs"]),
     **dict.fromkeys(("tokens", "provider_tokens", "cost_usd", "provider_cost_usd"), AMOUNT)}
)  # fmt: skip


@given(st.lists(ROW, max_size=6))
def test_shares_are_between_0_and_1_and_the_same_from_either_side(rows: list[dict[str, Any]]) -> None:
    there = [{**row, "cost_usd": row["provider_cost_usd"], "provider_cost_usd": row["cost_usd"]} for row in rows]
    here, turned = sums(rows), sums(there)
    for key in ("matched_token_share", "matched_cost_share"):
        assert here[key] is None or 0 <= here[key] <= 1
    assert here["matched_cost_share"] == turned["matched_cost_share"]
    assert here["difference_usd"] == (None if turned["difference_usd"] is None else -turned["difference_usd"])
    same = sums([{**row, "provider_cost_usd": row["cost_usd"]} for row in rows])
    assert same["matched_cost_share"] in (None, 1)
    assert same["difference_usd"] in (None, 0)
