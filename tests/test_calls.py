"""Calls in the ledger: what they used in parts that add up, which observation counts, and that nothing is lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from handmade import HandmadeJournal

from joulebook.accounting.ledger import ingest, open_ledger, rebuild
from joulebook.accounting.records import uuid7
from joulebook.accounting.verify import verify

OPENAI = {
    "prompt_tokens": 1200,
    "completion_tokens": 300,
    "total_tokens": 1500,
    "prompt_tokens_details": {"cached_tokens": 1024},
    "completion_tokens_details": {"reasoning_tokens": 128},
}
TOO_DEEP = "maximum recursion depth exceeded while decoding a JSON array from a unicode string"
NO_USAGE = '{"usage": {"words": 3}}'
UNREAD = "the usage cannot be read"
NO_JSON = "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"
DERIVED = "select * exclude (journal_id, process_id, call_no, version_id) from api_call order by started_at_utc, source"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def journal_of(home: Path, *calls: dict[str, Any]) -> HandmadeJournal:
    journal = HandmadeJournal(home, version=3)
    for at_s, fields in enumerate(calls, start=1):
        journal.event("call", at_s, **call(**fields))
    journal.write()
    return journal


def call(**fields: Any) -> dict[str, Any]:
    about = {"call_id": uuid7(), "source": "http", "host": "api.openai.com", "path": "/v1/chat/completions"}
    return {**about, "request_model": "gpt-5", "status": 200, "outcome": "ok", **fields}


def chat(response_id: str | None = None, **fields: Any) -> dict[str, Any]:
    named = {} if response_id is None else {"response_id": response_id}
    return {"usage_json": json.dumps({"usage": OPENAI}), **named, **fields}


def known(home: Path, columns: str) -> list[tuple[Any, ...]]:
    ingest(home)
    rows = open_ledger(home).rows(f"select {columns} from api_call order by started_at_utc")
    return [tuple(row.values()) for row in rows]


def test_parts_add_up_to_what_the_provider_counted(home: Path) -> None:
    journal_of(home, chat())
    ingest(home)
    rows = open_ledger(home).rows("select unit, amount from call_bucket order by unit")
    assert {row["unit"]: row["amount"] for row in rows} == {
        "input_tokens": 1200 - 1024,
        "cache_read_tokens": 1024,
        "output_tokens": 300 - 128,
        "output_reasoning_tokens": 128,
    }
    columns = "provider, model, input_tokens, cache_read_tokens, output_tokens, reasoning_tokens, usage_method"
    assert known(home, columns) == [("openai", "gpt-5", 1200, 1024, 300, 128, "measured")]


def test_a_response_that_two_observed_counts_once_and_the_nearest_to_the_wire_does(home: Path) -> None:
    told = {"units": [["input_tokens", "1200"], ["output_tokens", "300"]], "provider": "openai"}
    journal_of(
        home,
        {"source": "otel", "response_id": "chatcmpl-1", **told},
        chat("chatcmpl-1"),
        {"source": "langfuse", "response_id": "chatcmpl-1", **told},
        chat("chatcmpl-2"),
    )
    assert known(home, "source, counted") == [("otel", False), ("http", True), ("langfuse", False), ("http", True)]


def test_the_nearer_observation_may_come_in_a_later_ingest(home: Path) -> None:
    told = {"units": [["input_tokens", "9"]], "provider": "openai", "response_id": "chatcmpl-1"}
    journal_of(home, {"source": "otel", **told})
    assert known(home, "source, counted") == [("otel", True)]
    later = HandmadeJournal(home, host="other", version=3)
    later.event("call", 50, **call(**chat("chatcmpl-1")))
    later.write()
    assert known(home, "source, counted") == [("otel", False), ("http", True)]


def test_one_id_of_two_providers_is_two_responses(home: Path) -> None:
    journal_of(home, chat("1"), chat("1", host="api.mistral.ai"))
    assert known(home, "provider, counted") == [("openai", True), ("mistral", True)]


@pytest.mark.parametrize(
    ("fields", "method", "reason", "tokens"),
    [
        ({"status": 429, "outcome": "error"}, "unknown", "answered with status 429, which is not billed", (None, None)),
        ({"outcome": "timeout", "status": None}, "unknown", "no usage was reported (timeout)", (None, None)),
        (
            {"outcome": "aborted", "sent_chars": 4000, "received_chars": 200},
            "modelled",
            "no usage was reported: tokens from the length of the texts, four characters each",
            (1000, 50),
        ),
        ({"usage_json": NO_USAGE}, "unknown", f"{UNREAD}: the answer has no usage that can be read", (None, None)),
        ({"usage_json": "{"}, "unknown", f"{UNREAD}: {NO_JSON}", (None, None)),
        ({"units": [["input_tokens", "10"], ["cache_read_tokens", "12"]]}, "unknown",
         f"{UNREAD}: parts of input_tokens add up to 12, more than the 10 of it", (None, None)),
        ({"units": [["input_tokens", "1.7e308"]]}, "unknown",
         f"{UNREAD}: 1.7e+308 of input_tokens is more than a call can have", (None, None)),
        ({"usage_json": "[" * 200_000}, "unknown", f"{UNREAD}: {TOO_DEEP}", (None, None)),
        ({"units": [["words", "10"]]}, "unknown", f"{UNREAD}: unknown unit 'words'", (None, None)),
    ],
)  # fmt: skip
def test_what_is_not_known_is_none_with_a_reason(
    home: Path, fields: dict[str, Any], method: str, reason: str, tokens: tuple[float | None, float | None]
) -> None:
    journal_of(home, {key: value for key, value in fields.items() if value is not None})
    assert known(home, "usage_method, usage_reason, input_tokens, output_tokens") == [(method, reason, *tokens)]


def test_the_project_is_the_calls_own_else_that_of_its_span(home: Path) -> None:
    journal = HandmadeJournal(home, version=3)
    run = journal.start(0, "job", project="search")
    journal.event("call", 1, **call(span_id=run, run_id=run))
    journal.event("call", 2, **call(span_id=run, run_id=run, project="other"))
    journal.event("call", 3, **call())
    journal.end(4, run)
    journal.write()
    assert known(home, "of_project") == [("search",), ("other",), ("(no project)",)]


def test_calls_outlive_rebuild_and_sealing(home: Path) -> None:
    journal_of(home, chat("chatcmpl-1", tags=[["team", "nlp"]], context=[["service_tier", "flex"]], duration_s=1.5),
               {"status": 500, "outcome": "error", "error": "server_error", "attempt": 2})  # fmt: skip
    ingest(home, seal_all=True)
    ledger = open_ledger(home)
    assert list((home / "parquet" / "fact=call").rglob("*.parquet"))
    before = ledger.rows(DERIVED)
    assert [row["price_context"] for row in before] == ['{"service_tier": "flex"}', "{}"]
    rebuild(home)
    assert ledger.rows(DERIVED) == before
    assert ingest(home).events_added == 0
    assert [check.violations for check in verify(ledger)] == [()] * len(verify(ledger))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"units": [["input_tokens", "many"]]}, "the amount of a unit is no number from 0 up"),
        ({"units": [["input_tokens"]]}, "a unit is not a pair"),
        ({"cost": "1,5"}, "the cost is no decimal number"),
        ({"duration_s": -1}, "duration_s is negative"),
        ({"call_id": "x"}, "no valid call_id"),
        ({"is_stream": "yes"}, "wrong type: is_stream is not true or false"),
        ({"method": "guessed"}, "unknown method"),
    ],
)
def test_a_call_that_makes_no_sense_is_quarantined(home: Path, fields: dict[str, Any], reason: str) -> None:
    journal_of(home, chat(), fields, chat())
    ingest(home)
    ledger = open_ledger(home)
    assert [row["reason"] for row in ledger.rows("select reason from quarantine")] == [reason]
    assert ledger.rows("select count(*) as n from call_usage") == [{"n": 2}]


def test_verify_finds_buckets_that_do_not_add_up(home: Path) -> None:
    journal_of(home, chat())
    ingest(home)
    ledger = open_ledger(home)
    with ledger.writing() as con:
        con.execute("update call_bucket set amount = amount + 1 where unit = 'cache_read_tokens'")
    (broken,) = [check for check in verify(ledger) if not check.ok]
    assert broken.name == "calls"
    assert broken.violations == ("call 1: 1200.0 tokens in, its parts are 1201.0",)
