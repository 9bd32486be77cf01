"""The lists of prices, how models are named in them, and the commands `price` and `reprice`."""

from __future__ import annotations

import csv
import json
from datetime import date, time
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import pytest
from handmade import HandmadeJournal
from hypothesis import given
from hypothesis import strategies as st

from joulebook.accounting import usage
from joulebook.accounting.ledger import ingest, open_ledger, schema
from joulebook.accounting.prices import compiled, fallback, versions
from joulebook.accounting.prices.listed import contexts, named, plain_name, provider_of
from joulebook.accounting.prices.nesting import narrowest
from joulebook.accounting.records import uuid7
from joulebook.cli import main

TABLE = Path(__file__).parents[1] / "data" / "tables" / "prices_fallback.csv"


# Names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("provider", "name", "listed"), [
    ("openai", "gpt-5", ("openai", "gpt-5")),
    ("openai", "ft:gpt-4o-2024-08-06:acme::id", ("openai", "ft:gpt-4o")),
    ("openai", "ft:gpt-4o:acme::id", ("openai", "ft:gpt-4o")),
    ("openai", "ft:gpt-5:acme::id", ("openai", None)),
    ("openai", "openai/gpt-5", ("openai", "gpt-5")),
    ("openai", "azure/gpt-5", ("openai", None)),  # it says that it is another's
    ("azure", "azure/gpt-4o", ("azure", "gpt-4o")),
    ("azure.ai.openai", "gpt-4o", ("azure", "gpt-4o")),
    ("azure", "text-ada-001", ("azure", "openai/ada")),  # Azure has another `ada` itself
    ("aws.bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
     ("aws", "regional.anthropic.claude-sonnet-4-5-20250929-v1:0")),
    ("aws", "arn:aws:bedrock:eu-west-1::foundation-model/amazon.nova-lite-v1:0", ("aws", "amazon.nova-lite-v1:0")),
    ("aws", "arn:aws:bedrock:eu-west-1:1:custom-model/amazon.nova-lite-v1:0:8k/abc", ("aws", None)),
    ("aws", "arn:aws:bedrock:eu-west-1:1:application-inference-profile/abc", ("aws", None)),
    ("gcp.vertex_ai", "publishers/anthropic/models/claude-sonnet-4-5@20250929", ("google", "claude-sonnet-4-5")),
    ("google", "projects/p/locations/us/publishers/google/models/gemini-2.5-pro", ("google", "gemini-2.5-pro")),
    ("google", "models/gemini-2.5-pro", ("google", "gemini-2.5-pro")),
    ("openrouter", "openai/gpt-4o", ("openrouter", "openai/gpt-4o")),
    ("openrouter", "openrouter/openai/gpt-4o", ("openrouter", "openai/gpt-4o")),
    ("litellm", "anthropic/claude-sonnet-4-5", ("anthropic", "claude-sonnet-4-5")),
    (None, "gpt-5", ("openai", "gpt-5")),
    (None, "my-own-model", (None, None)),
    ("ollama", "gpt-oss:20b", (None, None)),
])  # fmt: skip
def test_a_model_is_found_by_what_it_is_called(provider: str | None, name: str, listed: tuple[Any, Any]) -> None:
    assert named(provider, None, None, (name,), ())[:2] == listed


def test_a_server_of_ones_own_is_nobody_elses() -> None:
    assert named(None, "127.0.0.1", "/v1/chat/completions", ("gpt-5",), ()) == (None, None, "{}")


def test_the_context_of_a_price_is_what_changes_it() -> None:
    told = (("processing", "batch"), ("service_tier", "standard"), ("tenant", "a"))
    assert named("openai", None, None, ("gpt-5",), told).price_context == '{"processing": "batch"}'
    assert named("azure", None, None, ("o3",), told).price_context == "{}"  # what is borrowed has standard prices
    assert {"processing", "service_tier", "speed"} <= set(contexts())


def test_a_path_before_a_model_is_no_part_of_its_name() -> None:
    assert plain_name("google", "models/gemini-2.5-pro") == "gemini-2.5-pro"
    assert plain_name("together", "meta-llama/Llama-3.3-70B") == "meta-llama/Llama-3.3-70B"


# The dated list -------------------------------------------------------------------------------------------------


def rows_of(provider: str, model: str, unit: str = "input_tokens", context: str = "{}") -> list[compiled.Price]:
    wanted = (provider, model, context, unit)
    return [row for row in compiled.prices() if (row.provider, row.model, row.context, row.unit) == wanted]


def test_a_price_that_changed_is_a_row_for_each_time() -> None:
    """OpenAI's o3 cost 10 US dollars a million input tokens until 10 June 2025, then 2."""
    found = [(row.valid_from, row.valid_to, row.usd_per_unit) for row in rows_of("openai", "o3")]
    assert found == [(None, date(2025, 6, 10), 10e-6), (date(2025, 6, 10), None, 2e-6)]


def test_a_price_of_a_time_of_day_is_a_row_for_each() -> None:
    rows = rows_of("deepseek", "deepseek-flash")
    found = [(row.daily_from, row.daily_to, round(row.usd_per_unit * 1e6, 3)) for row in rows]
    assert [(start, end) for start, end, _ in found] == [
        (time(0), time(1)), (time(1), time(4)), (time(4), time(6)), (time(6), time(10)), (time(10), None),
    ]  # fmt: skip
    assert [usd for *_, usd in found] == [0.15, 0.3, 0.15, 0.3, 0.15]


def test_the_rows_of_a_unit_neither_overlap_nor_leave_a_gap_in_time() -> None:
    by_stretch: dict[tuple[Any, ...], list[tuple[date, date]]] = {}
    for row in compiled.prices():
        key = (row.provider, row.model, row.context, row.unit, row.tier_start, row.daily_from)
        by_stretch.setdefault(key, []).append((row.valid_from or date.min, row.valid_to or date.max))
    for key, stretches in by_stretch.items():
        assert all(end <= start for (_, end), (start, _) in pairwise(sorted(stretches))), key
    assert len(by_stretch) > 9000


def test_what_is_listed_as_free_costs_nothing_and_what_has_no_price_is_not_free() -> None:
    assert {row.usd_per_unit for row in rows_of("openrouter", "qwen/qwen3-coder:free")} == {0.0}
    assert rows_of("cerebras", "qwen-3-coder-480b") == []


def test_a_list_is_stored_once_and_known_again_without_working_it_out(monkeypatch: pytest.MonkeyPatch) -> None:
    con = duckdb.connect(":memory:")
    schema.migrate(con, ":memory:")
    first = versions.adopt(con, Path("/nowhere"))
    monkeypatch.setattr(compiled, "prices", lambda: pytest.fail("worked out again"))
    assert versions.adopt(con, Path("/nowhere")) == first
    kinds = con.execute("select kind, name from price_list order by kind desc").fetchall()
    assert kinds == [("list", "genai-prices-0.2.3"), ("fallback", "litellm-1.106.2")]
    assert con.execute("select count(*) from price_version").fetchall() == [(1,)]


# The undated table ----------------------------------------------------------------------------------------------


def test_the_undated_table_is_whole() -> None:
    with TABLE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["provider", "model", "unit", "tier_start", "usd_per_unit", "source"]
    assert all(value for row in rows for value in row.values())
    keys = [(row["provider"], row["model"], row["unit"], int(row["tier_start"])) for row in rows]
    assert keys == sorted(set(keys))
    assert {row["unit"] for row in rows} <= set(usage.units())
    assert all(0 <= float(row["usd_per_unit"]) < 100 for row in rows)
    assert TABLE.stat().st_size < 410_000


def test_the_undated_table_has_only_what_the_dated_list_does_not_know() -> None:
    for provider, model in {(row.provider, row.model) for row in fallback.prices()}:
        if provider_of(provider, None, None) is not None:
            assert named(provider, None, None, (model,), ()).model is None, (provider, model)


# Which price a part has -----------------------------------------------------------------------------------------


@given(st.sampled_from(sorted(usage.units())), st.sets(st.sampled_from(sorted(usage.units()))))
def test_a_part_has_the_price_of_the_narrowest_unit_around_it(unit: str, priced: set[str]) -> None:
    found = narrowest(unit, frozenset(priced))
    known = usage.units()
    around = {name for name in priced if known[name].dimensions <= known[unit].dimensions}
    assert (found is None) == (not around)
    assert found is None or not any(known[found].dimensions < known[name].dimensions for name in around)


# The commands ---------------------------------------------------------------------------------------------------

GPT_5 = ("price", "--provider", "openai", "--model", "gpt-5", "--at", "2026-11-01")


def typed(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    code = main(argv)
    done = capsys.readouterr()
    return code, done.out, done.err


def test_price_answers_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    told = "input_tokens=1000,cache_read_tokens=200,output_tokens=50"
    code, out, _ = typed(capsys, *GPT_5, "--usage", told, "--json")
    found = json.loads(out)
    assert code == 0
    assert found["cost_usd"] == pytest.approx((800 * 1.25 + 200 * 0.125 + 50 * 10) / 1e6)
    assert found["cost_usd"] == pytest.approx(sum(line["cost_usd"] for line in found["lines"]))
    assert {line["unit"]: line["amount"] for line in found["lines"]} == {
        "input_tokens": 800, "cache_read_tokens": 200, "output_tokens": 50,
    }  # fmt: skip
    keys = {"unit", "amount", "usd_per_unit", "cost_usd", "tier_start", "basis", "source"}
    assert all(keys <= set(line) for line in found["lines"])
    assert (found["provider"], found["model"], found["at"]) == ("openai", "gpt-5", "2026-11-01T00:00:00Z")
    assert (found["unpriced"], found["notes"], found["context"]) == ([], [], {})


def test_price_without_a_price_is_null_and_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = typed(capsys, *GPT_5, "--usage", "input_tokens=1000,input_audio_seconds=2", "--json")
    found = json.loads(out)
    assert (code, found["cost_usd"]) == (0, None)
    reason = "no price of input_audio_seconds of openai gpt-5"
    assert found["unpriced"] == [{"unit": "input_audio_seconds", "amount": 2.0, "reason": reason}]
    assert [line["unit"] for line in found["lines"]] == ["input_tokens"]
    code, out, _ = typed(capsys, "price", "--provider", "openai", "--model", "gpt-4oo", "--usage", "input_tokens=1")
    assert code == 0
    assert "Nobody knows what this costs: no price list knows the model 'gpt-4oo' of openai." in out
    assert "near it: gpt-4o" in out


def test_price_tells_of_a_context_that_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    batch, flex = ("--context", "processing=batch"), ("--context", "service_tier=flex")
    asked = ("price", "--provider", "openai", "--usage", "input_tokens=1000000", "--at", "2026-11-01", "--json")
    found = json.loads(typed(capsys, *asked, "--model", "gpt-5", *batch)[1])
    assert (found["cost_usd"], found["notes"]) == (pytest.approx(0.625), [])
    found = json.loads(typed(capsys, *asked, "--model", "gpt-4o-mini", *flex)[1])
    assert found["cost_usd"] == pytest.approx(0.15)
    assert found["notes"] == ["service_tier=flex changes no price of openai gpt-4o-mini: these are its standard prices"]


@pytest.mark.parametrize(("more", "says"), [
    (("--usage", "input_token=1"), "unknown unit 'input_token': did you mean input_tokens"),
    (("--usage", "input_tokens=-1"), "input_tokens must be a number from 0 up, not -1"),
    (("--usage", "input_tokens=nan"), "input_tokens must be a number from 0 up, not nan"),
    (("--usage", "input_tokens=0"), "no usage to price"),
    (("--usage", "input_tokens=1,cache_read_tokens=2"), "parts of input_tokens add up to 2, more than the 1 of it"),
    (("--usage", "input_tokens=1", "--context", "service_teir=flex"), "'service_teir': did you mean service_tier"),
    (("--usage", "input_tokens=1", "--context", "service_tier=flx"), "service_tier=flx: did you mean flex?"),
])  # fmt: skip
def test_price_refuses_what_it_cannot_understand(
    capsys: pytest.CaptureFixture[str], more: tuple[str, ...], says: str
) -> None:
    code, out, err = typed(capsys, *GPT_5, *more)
    assert (code, out) == (2, "")
    assert says in err


def test_reprice_sets_a_second_column_beside_the_cost_at_ingest(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """1 M tokens of GPT-5 are 1.25 US dollars; at half price from the second version on, 0.625."""
    journal = HandmadeJournal(home, version=3)
    for number, model in enumerate(("gpt-5", "gpt-5", "gpt-9"), start=1):
        about = {"call_id": uuid7(), "source": "import", "provider": "openai", "request_model": model, "status": 200}
        journal.event("call", number, **about, units=[["input_tokens", "1000000"]])
    journal.event("call", 4, **about | {"status": 429, "attempt": 2})  # of gpt-9: it costs nothing, and is no price
    journal.write()
    ingest(home)
    (home / "prices.toml").write_text('[[discount]]\nprovider = "openai"\npercent = 50\n')
    before = open_ledger(home).path.read_bytes()
    code, out, _ = typed(capsys, "reprice", "--as-of", "now", "--no-ingest", "--json")
    assert code == 0
    assert [row["difference_usd"] for row in json.loads(out)] == [0.0, None]  # gpt-9 has no price, then as now
    assert open_ledger(home).path.read_bytes() == before
    code, out, _ = typed(capsys, "reprice", "--as-of", "now", "--json")
    gpt_5, gpt_9 = json.loads(out)
    assert gpt_5 == {
        "model": "gpt-5", "calls": 2, "cost_at_ingest_usd": 2.5, "cost_as_of_usd": 1.25, "difference_usd": -1.25,
        "unpriced_at_ingest": 0, "unpriced_as_of": 0,
        "price_versions_at_ingest": gpt_5["price_versions_at_ingest"],
        "price_version_as_of": gpt_5["price_version_as_of"],
    }  # fmt: skip
    assert gpt_5["price_version_as_of"] not in gpt_5["price_versions_at_ingest"]
    assert (gpt_9["cost_as_of_usd"], gpt_9["unpriced_at_ingest"], gpt_9["unpriced_as_of"]) == (None, 1, 1)
    first = json.loads(typed(capsys, "reprice", "--as-of", "2025-09-01", "--by", "project", "--json")[1])
    assert [(row["project"], row["cost_as_of_usd"]) for row in first] == [("(no project)", 2.5)]  # the first one known
    out = typed(capsys, "reprice", "--as-of", "now")[1]
    assert "3 calls: $2.50 at ingest, $1.25 by the prices as of then." in out


def test_reprice_of_nothing_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = typed(capsys, "reprice", "--as-of", "2026-01-02")
    assert code == 0
    assert "No call is on record" in out
