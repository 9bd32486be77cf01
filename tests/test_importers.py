"""Imports: what each format says, by hand; a second time adds nothing; a bad row is named and stops no other."""

from __future__ import annotations

import codecs
import csv
import io
import json
import os
import shutil
from contextlib import redirect_stdout
from decimal import Decimal
from itertools import chain
from pathlib import Path

import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from joulebook.accounting.journal import Journal
from joulebook.accounting.ledger import open_ledger
from joulebook.accounting.verify import verify
from joulebook.cli import main
from joulebook.collectors.importers import importer
from joulebook.collectors.importers.entries import Entry
from joulebook.collectors.importers.rows import BadRow, RowError
from joulebook.collectors.importers.tokens import meter, scale
from joulebook.collectors.importers.values import label, moment, number

FIXTURES = Path(__file__).parent / "fixtures" / "imports"
# format, file, rows, added, passed over
ALL = (
    ("openai", "openai_usage.csv", 4, 3, 1),
    ("openai", "openai_costs.csv", 5, 4, 1),
    ("openai", "openai_api.json", 2, 2, 0),
    ("anthropic", "anthropic_usage.json", 2, 2, 0),
    ("anthropic", "anthropic_costs.json", 2, 2, 0),
    ("litellm", "litellm.csv", 4, 3, 1),
    ("langfuse", "langfuse.jsonl", 3, 2, 1),
    ("helicone", "helicone.csv", 3, 3, 0),
    ("helicone", "helicone.jsonl", 1, 1, 0),
    ("codecarbon", "emissions.csv", 3, 2, 1),
    ("claude-code", "claude_code.jsonl", 6, 2, 4),
    ("codex", "codex.jsonl", 7, 2, 5),
    ("aws-cur", "aws_cur.csv", 4, 3, 1),
    ("focus", "focus.csv", 5, 4, 1),
)
HEAD = ["request_id", "startTime", "endTime", "model", "custom_llm_provider", "prompt_tokens", "completion_tokens"]


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """A ledger into which every fixture went twice, and what was said of each."""
    home = tmp_path_factory.mktemp("imported")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JOULEBOOK_HOME", str(home))
        return home, {file: (_said(name, file), _said(name, file)) for name, file, *_ in ALL}


def _said(name, file):
    with redirect_stdout(io.StringIO()) as out:
        code = main(["import", name, str(FIXTURES / file), "--json"])
    return code, json.loads(out.getvalue())


@pytest.fixture
def run(home, capsys):
    """Import files; the exit code and the answer."""

    def do(name, *files, more=()):
        code = main(["import", name, *map(str, files), "--json", *more])
        said = capsys.readouterr()
        return code, json.loads(said.out) if said.out else said.err

    return do


@pytest.fixture
def ask(home):
    return lambda sql, *params: open_ledger(home).rows(sql, params)


def litellm_rows(n):
    return [[f"r{i}", f"2026-11-01T10:{i // 60 % 60:02}:{i % 60:02}Z", "", "gpt-4o", "openai", 100 + i, 10]
            for i in range(n)]  # fmt: skip


def write_csv(path, rows, head=HEAD):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([head, *rows])
    return path


def units_of(row):
    return {unit: Decimal(amount) for unit, amount in row["units"] or ()}


def found(name, path):
    return [one for one in importer(name)(path) if one is not None]


def facts(path, name):
    """The one event of each entry of a file."""
    return [one.events[-1][1] for one in found(name, FIXTURES / path)]


# What each format says --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ALL, ids=[file for _, file, *_ in ALL])
def test_a_second_import_adds_nothing(imported, case):
    _, file, rows, added, passed = case
    (code, first), (code_again, second) = imported[1][file]
    assert (code, first["rows_read"], first["added"], first["passed_over"]) == (0, rows, added, passed)
    assert (code_again, second["added"], second["already_known"], second["quarantined"]) == (0, 0, added, [])


def test_openai_usage_has_the_cached_tokens_inside_and_those_of_audio_added_up():
    day, batch, voice = facts("openai_usage.csv", "openai")
    assert units_of(day) == {"input_tokens": 59200, "cache_read_tokens": 20480, "output_tokens": 4100}
    assert (day["requests"], day["model"], day["project"], day["account"]) == (
        12, "gpt-4o-2024-08-06", "proj_search", "key_abc")  # fmt: skip
    assert (day["from_ns"], day["to_ns"]) == (1793491200 * 10**9, 1793577600 * 10**9)
    assert day["context"] == [["service_tier", "default"]]
    assert batch["context"] == [["processing", "batch"]]
    assert units_of(voice) == {  # audio: 1000 uncached + 150 cached
        "input_tokens": 1500, "cache_read_tokens": 200, "input_audio_tokens": 1150, "cache_audio_read_tokens": 150,
        "output_tokens": 500, "output_audio_tokens": 400}  # fmt: skip


def test_openai_costs_are_decimal_and_a_line_counts_what_its_quantity_says():
    fresh, cached, out, search = facts("openai_costs.csv", "openai")
    assert (fresh["cost"], fresh["currency"], fresh["model"]) == ("0.0968", "USD", "gpt-4o-2024-08-06")
    assert units_of(fresh) == {"input_tokens": 38720}
    assert units_of(cached) == {"cache_read_tokens": 20480}  # 20.48 of 1000 tokens
    assert units_of(out) == {"output_tokens": 4100}
    assert (search["cost"], "model" in search, search["line_item"]) == ("0", False, "web search tool calls")  # 0E-6176


def test_openai_pages_are_read_as_the_csv_is():
    usage, costs = facts("openai_api.json", "openai")
    assert (usage["source"], costs["source"]) == ("openai usage", "openai costs")
    assert units_of(usage) == {
        "input_tokens": 5000, "cache_read_tokens": 1000, "cache_write_tokens": 500, "output_tokens": 700}  # fmt: skip
    assert (costs["cost"], usage["context"]) == ("0.06", [["service_tier", "flex"]])


def test_anthropic_usage_counts_beside_each_other_what_we_count_inside():
    plain, batch = facts("anthropic_usage.json", "anthropic")
    assert units_of(plain) == {  # 1500 + 8000 + 1000 + 500
        "input_tokens": 11000, "cache_read_tokens": 8000, "cache_write_5m_tokens": 1000, "cache_write_1h_tokens": 500,
        "output_tokens": 300, "web_searches": 10}  # fmt: skip
    assert plain["context"] == [["context_window", "0-200k"], ["inference_geo", "us"], ["service_tier", "standard"]]
    assert ["processing", "batch"] in batch["context"]
    assert (plain["project"], plain["account"]) == ("wrkspc_01", "apikey_01")


def test_anthropic_costs_are_in_cents():
    tokens, search = facts("anthropic_costs.json", "anthropic")
    assert (tokens["cost"], search["cost"], search["line_item"]) == ("1.2345", "0.1", "Web Search Usage")


def test_litellm_has_the_cached_tokens_inside(imported):
    ledger = open_ledger(imported[0])
    plain, cached, failed = ledger.rows("select * from api_call where source = 'litellm' order by started_at_utc")
    assert (plain["input_tokens"], plain["cache_read_tokens"], plain["output_tokens"], plain["reasoning_tokens"]) == (
        1000, 200, 300, 120)  # fmt: skip
    assert (plain["duration_s"], plain["first_token_s"], plain["cost"]) == (2.5, 0.4, Decimal("0.0045"))
    assert (plain["of_project"], plain["model"], plain["host"]) == ("search", "gpt-4o", "api.openai.com")
    assert plain["response_id"] == "chatcmpl-1"
    assert (cached["input_tokens"], cached["cache_read_tokens"], cached["cache_write_tokens"]) == (10050, 8000, 2000)
    buckets = ledger.rows("select unit, amount from call_bucket where call_no = ?", [cached["call_no"]])
    assert {row["unit"]: row["amount"] for row in buckets} == {  # 10050 = 50 + 8000 + 1500 + 500
        "input_tokens": 50, "cache_read_tokens": 8000, "cache_write_5m_tokens": 1500, "cache_write_1h_tokens": 500,
        "output_tokens": 120}  # fmt: skip
    assert (failed["outcome"], failed["status"], failed["error"], failed["input_tokens"]) == (
        "error", 429, "RateLimitError", None)  # fmt: skip


def test_langfuse_kinds_stand_beside_each_other_unless_their_total_says_otherwise():
    beside, inside = facts("langfuse.jsonl", "langfuse")
    assert units_of(beside) == {  # 800 + 200 in, 180 + 120 out
        "input_tokens": 1000,
        "cache_read_tokens": 200,
        "output_tokens": 300,
        "output_reasoning_tokens": 120,
    }
    assert units_of(inside) == {  # the total is 10050 + 120
        "input_tokens": 10050, "cache_read_tokens": 8000, "cache_write_tokens": 2000, "output_tokens": 120}  # fmt: skip
    assert (beside["duration_s"], beside["first_token_s"], beside["cost"]) == (3.0, 0.5, "0.00525")
    assert (beside["provider"], inside["provider"]) == ("openai", "anthropic")
    assert beside["tags"] == [["environment", "production"], ["tags", "a,b"]]


def test_helicone_in_both_of_its_forms():
    plain, limited, cancelled = facts("helicone.csv", "helicone")
    assert units_of(plain) == {"input_tokens": 1000, "output_tokens": 300}
    assert (plain["duration_s"], plain["cost"], plain["tags"]) == (1.8, "0.0055", [["app", "bot"]])
    assert (limited["status"], limited["outcome"], "units" in limited) == (429, "error", False)
    assert ("status" in cancelled, cancelled["outcome"]) == (False, "failed")
    (cached,) = facts("helicone.jsonl", "helicone")
    assert units_of(cached) == {  # 50 + 2000 + 8000
        "input_tokens": 10050, "cache_read_tokens": 8000, "cache_write_tokens": 2000, "output_tokens": 120}  # fmt: skip
    assert (cached["host"], cached["path"], cached["first_token_s"]) == ("api.anthropic.com", "/v1/messages", 0.6)


def test_codecarbon_rows_are_runs_with_the_energy_of_their_devices(imported):
    ledger = open_ledger(imported[0])
    short, long = ledger.rows("select * from work order by started_at_utc")
    assert [(str(row["started_at_utc"]), str(row["ended_at_utc"])) for row in (short, long)] == [
        ("2026-11-01 10:00:00", "2026-11-01 10:00:30"), ("2026-11-01 11:30:00", "2026-11-01 13:00:00")]  # fmt: skip
    assert (short["state"], short["project"], short["host"]) == ("ended", "train", "imported")
    energy = ledger.rows("select *, strftime(at_utc, '%H') as hour from energy_source_hour")
    of = {(row["run_id"], row["device"], row["hour"]): pytest.approx(row["amount"]) for row in energy}
    # kWh × 3.6 MJ; the PUE of 1.2 divided out; 90 minutes from half past eleven
    assert of == {
        (short["run_id"], "cpu", "10"): 1800,
        (short["run_id"], "gpu", "10"): 7200,
        (short["run_id"], "dram", "10"): 360,
        (long["run_id"], "cpu", "11"): 30_000,
        (long["run_id"], "cpu", "12"): 60_000,
        (long["run_id"], "dram", "11"): 6_000,
        (long["run_id"], "dram", "12"): 12_000,
    }
    assert {row["method"] for row in energy} == {"declared"}
    assert [row["text"] for row in ledger.rows("select text from note order by at_utc")] == [
        "CodeCarbon's own figure: 0.0001 kg CO2e",
        "CodeCarbon's own figure: 0.03 kg CO2e, at a PUE of 1.2",
    ]


def test_the_last_line_of_an_answer_of_claude_code_counts():
    first, second = facts("claude_code.jsonl", "claude-code")
    assert units_of(first) == {  # 50 + 2000 + 8000
        "input_tokens": 10050, "cache_read_tokens": 8000, "cache_write_5m_tokens": 1500, "cache_write_1h_tokens": 500,
        "output_tokens": 120, "web_searches": 1}  # fmt: skip
    assert (first["source_id"], first["response_id"], first["project"]) == ("msg_1 req_1", "msg_1", "search")
    assert (first["method"], first["context"]) == ("measured", [["service_tier", "standard"]])
    assert units_of(second) == {"input_tokens": 10010, "cache_read_tokens": 10000, "output_tokens": 30}


def test_a_continued_session_of_claude_code_repeats_no_answer(run, tmp_path):
    folder = tmp_path / "projects" / "search"
    folder.mkdir(parents=True)
    for name in ("a.jsonl", "b.jsonl"):
        shutil.copy(FIXTURES / "claude_code.jsonl", folder / name)
    (folder / "c.jsonl").touch()
    code, answer = run("claude-code", tmp_path / "projects")
    assert (code, answer["added"], answer["already_known"]) == (0, 2, 2)


def test_an_answer_that_may_still_be_coming_is_left_for_the_next_import(run, tmp_path):
    lines = (FIXTURES / "claude_code.jsonl").read_text().splitlines(keepends=True)
    path = tmp_path / "s.jsonl"
    path.write_text("".join(lines[:3]))  # its first line, of 2 tokens so far
    assert run("claude-code", path)[1]["added"] == 0
    path.write_text("".join(lines))
    assert run("claude-code", path)[1]["added"] == 2
    path.write_text("".join(lines[:3]))
    os.utime(path, (1, 1))  # nobody writes to it any more: it was left
    assert [units_of(one.events[0][1])["output_tokens"] for one in found("claude-code", path)] == [2]


def test_codex_totals_are_taken_apart():
    first, second = facts("codex.jsonl", "codex")
    names = ("input_tokens", "cache_read_tokens", "output_tokens", "output_reasoning_tokens")
    assert units_of(first) == dict(zip(names, (5000, 1000, 400, 256), strict=True))
    # 12000 − 5000, 6000 − 1000, 500 − 400, 300 − 256
    assert units_of(second) == dict(zip(names, (7000, 5000, 100, 44), strict=True))
    assert (first["request_model"], first["provider"], first["project"]) == ("gpt-5", "openai", "search")


def test_aws_lines_of_bedrock_count_what_one_of_their_unit_is():
    fresh, cached, sold = facts("aws_cur.csv", "aws-cur")
    assert (units_of(fresh), fresh["model"], fresh["cost"]) == (
        {"input_tokens": 1_500_000}, "amazon.nova-pro-v1:0", "1.2")  # fmt: skip
    assert (units_of(cached), cached["model"]) == ({"cache_read_tokens": 100_000}, "NovaPro")
    assert (units_of(sold), sold["model"]) == ({"output_tokens": 250_000}, "Claude Sonnet 4.5")  # 0.25 million


def test_focus_rows_alike_are_two_and_a_credit_is_negative(imported):
    rows = open_ledger(imported[0]).rows("select * from latest_bill where source = 'focus' order by cost desc")
    assert [row["cost"] for row in rows] == [Decimal(cost) for cost in ("0.5", "0.1", "0.1", "-0.2")]
    assert [units_of(row) for row in rows] == [
        {"input_tokens": 200_000}, {"cache_read_tokens": 80_000}, {"cache_read_tokens": 80_000}, {}]  # fmt: skip
    assert {row["provider"] for row in rows} == {"openai"}


def test_parquet_says_the_same_as_csv(tmp_path):
    for name, file in (("aws-cur", "aws_cur.csv"), ("focus", "focus.csv")):
        table = pa_csv.read_csv(FIXTURES / file)  # times and numbers become such
        pq.write_table(table, tmp_path / "x.parquet")
        told = [one.events[0][1] for one in found(name, tmp_path / "x.parquet")]
        for one, other in zip(told, facts(file, name), strict=True):
            for key in ("units", "from_ns", "to_ns", "model", "currency"):
                assert one.get(key) == other.get(key), key
            assert Decimal(one["cost"]) == Decimal(other["cost"])


# Rows that cannot be used -----------------------------------------------------------------------------------------


def test_three_bad_rows_of_a_thousand_are_named_and_the_others_go_in(run, ask, tmp_path):
    rows = litellm_rows(1000)
    rows[16][5] = "many"
    rows[499][1] = "yesterday-ish"
    rows[998][5] = -1
    path = write_csv(tmp_path / "spend.csv", rows)
    bad = [(18, "prompt_tokens is no number"), (501, "start_time is no time"), (1000, "prompt_tokens is negative")]
    code, answer = run("litellm", path)
    assert (code, answer["rows_read"], answer["added"]) == (1, 1000, 997)
    assert answer["quarantined"] == [{"file": str(path), "line": line, "reason": reason} for line, reason in bad]
    assert run("litellm", path)[1]["added"] == 0
    assert [row["reason"] for row in ask("select reason from gap where sensor = 'import litellm' order by seq")] == [
        f"spend.csv, line {line}: {reason}" for line, reason in bad]  # fmt: skip
    assert ask("select count(*) as n from api_call")[0]["n"] == 997


def test_what_is_said_on_screen(home, capsys, tmp_path):
    rows = litellm_rows(30)
    for row in rows[1:26]:
        row[5] = "x"
    path = write_csv(tmp_path / "s.csv", rows)
    assert main(["import", "litellm", str(path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("5 of 30 rows added in ")
    assert lines[0].endswith("2026-11-01 to 2026-11-01; 0 known already, 0 passed over, 25 quarantined.")
    assert lines[1] == f"  {path}, line 3: prompt_tokens is no number"
    assert (len(lines), lines[-1]) == (22, "  … and 5 more: --json has them all.")


@pytest.mark.parametrize(
    "case",
    [
        ("litellm", b"", "is empty"),
        ("litellm", b"\xef\xbb\xbf \n", "is empty"),
        ("litellm", b"request_id,startTime\nr1,2026-11-01\n", "has no column model, prompt_tokens"),
        ("litellm", "request_id;ü\n".encode("latin-1"), "is not text in UTF-8"),
        ("litellm", "request_id\n".encode("utf-16"), "is not text in UTF-8"),
        ("litellm", b'[{"a": 1}, {"b": 2}]', "has no request_id"),
        ("langfuse", b'{"foo": 1}\n{"foo": 2}\n', "has no id"),
        ("openai", b"start_time,end_time,x\n1,2,3\n", "has no column num_model_requests or amount_value"),
        ("anthropic", b'{"data": "none"}', "none of its rows can be used"),
        ("focus", b"PAR1 and then none of it", "cannot be read as Parquet"),
        ("codex", b"{broken\n{broken\n", "none of its rows can be used"),
        ("nonesuch", b"a\n", "no such format"),
    ],
)
def test_what_is_no_such_file_is_said_in_one_sentence_and_nothing_is_written(run, home, tmp_path, case):
    name, content, says = case
    path = tmp_path / "file"
    path.write_bytes(content)
    good = FIXTURES / "litellm.csv"
    code, said = run(name, *([good] if name == "litellm" else []), path)
    assert code == 2
    assert says in said
    assert said.count("\n") == 1
    assert not home.exists()


def test_a_folder_and_a_file_that_is_not_there(run, tmp_path):
    assert "is a folder" in run("litellm", tmp_path)[1]
    assert "has no transcripts" in run("codex", tmp_path)[1]
    assert run("litellm", tmp_path / "none.csv") == (
        2, f"joulebook: {tmp_path / 'none.csv'}: cannot be read (No such file or directory); nothing was imported\n"
    )  # fmt: skip


def test_a_mark_at_the_begin_crlf_and_line_breaks_in_cells(tmp_path):
    path = tmp_path / "s.csv"
    text = "request_id,startTime,model,prompt_tokens,completion_tokens,messages\r\n"
    text += 'r1,1793527200,gpt-4o,5,1,"a\r\n\r\nb"\r\n'
    text += 'r2,1793527200,gpt-4o,5\r\n\r\nr3,1793527200000,gpt-4o,5,59200.0,\r\nr4,1793527200,gpt-4o,5,1,"open'
    path.write_bytes(codecs.BOM_UTF8 + text.encode())
    one, short, other, torn = found("litellm", path)
    assert (one.line, other.line) == (2, 7)
    assert short == BadRow(5, "has 4 cells where the header has 6")
    assert torn == BadRow(8, "is no row of a CSV file: unexpected end of data")
    assert (one.at_ns, other.at_ns) == (1793527200 * 10**9, 1793527200 * 10**9)
    assert units_of(other.events[0][1])["output_tokens"] == 59200


def test_json_is_read_a_value_at_a_time_and_says_where_it_breaks(tmp_path):
    row = {"request_id": "r", "startTime": 1793527200, "model": "m", "prompt_tokens": 1, "completion_tokens": 1}
    whole = [row | {"request_id": f"r{i}", "metadata": {"pad": "x" * 50_000}} for i in range(50)]
    path = tmp_path / "s.json"
    path.write_text("[\n" + ",\n".join(map(json.dumps, whole)) + ',\n3,\n{"request_id": "torn')
    *good, odd, torn = found("litellm", path)
    assert [one.source_id for one in good] == [f"r{i}" for i in range(50)]
    assert [one.line for one in good] == list(range(2, 52))
    assert odd == BadRow(52, "is no JSON object")
    assert torn == BadRow(53, "the JSON breaks off in what begins here; nothing after it was read")


def test_times_before_1970_and_to_come_are_no_times():
    for value, says in (("1969-12-31T23:59:59Z", "lies before 1970"), (-5, "lies before 1970"),
                        ("2999-01-01", "in the future"), ("soon", "is no time"), ("9" * 30, "future")):  # fmt: skip
        with pytest.raises(RowError, match=says):
            moment({"t": value}, "t")
    assert moment({"t": "2026-11-01T01:00:00.123456+01:00"}, "t") == 1793491200123456000
    assert moment({}, "t") is None


def test_numbers_are_exact_or_none():
    assert number({"n": "0.0000004"}, "n") == Decimal("0.0000004")
    assert number({"n": "59200.0"}, "n") == 59200
    assert number({"n": 0.1}, "n") == Decimal("0.1")
    for value in ("NaN", "1e99", "Infinity", "1,5", True, "12 tokens"):
        with pytest.raises(RowError):
            number({"n": value}, "n")


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("ephemeral_1h_input_tokens_cache_creation", "cache_write_1h_tokens"),
        ("cache_creation.ephemeral_5m_input_tokens", "cache_write_5m_tokens"),
        ("cache_creation_input_tokens", "cache_write_tokens"),
        ("USE1-MP:USE1_CacheReadInputTokenCount-Units", "cache_read_tokens"),
        ("USE1-MP:USE1_CacheWriteInputTokenCount-Units", "cache_write_tokens"),
        ("uncached_input_tokens", "input_tokens"),
        ("cached input", "cache_read_tokens"),
        ("Output", "output_tokens"),
        ("output_reasoning_tokens", "output_reasoning_tokens"),
        ("total", None),
    ],
)
def test_a_meter_is_known_by_its_name(name, unit):
    assert meter(name) == unit


def test_what_one_of_a_unit_is_is_said_or_not_known():
    assert [scale(unit) for unit in ("tokens", "1000_tokens", "1K tokens", "1M Tokens", "Units", None)] == [
        1, 1000, 1000, 10**6, None, None]  # fmt: skip


# The ledger is the same whatever happens --------------------------------------------------------------------------


def test_an_import_that_was_killed_is_finished_by_the_next(run, ask, tmp_path, monkeypatch):
    path = write_csv(tmp_path / "s.csv", litellm_rows(50))
    write = Journal.write

    def killed(self, event, fields):
        if fields.get("source_id") == "r30":
            raise KeyboardInterrupt
        write(self, event, fields)

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "write", killed)
        assert run("litellm", path)[0] == 130
    answer = run("litellm", path)[1]
    assert (answer["already_known"], answer["added"]) == (30, 20)
    assert ask("select count(*) as n, count(distinct source_id) as ids from call") == [{"n": 50, "ids": 50}]


def test_a_bucket_that_fills_up_is_stated_anew_and_the_last_statement_counts(run, ask, tmp_path):
    text = (FIXTURES / "openai_usage.csv").read_text()
    run("openai", FIXTURES / "openai_usage.csv")
    later = tmp_path / "later.csv"
    later.write_text(text.replace("12.0,,key_abc", "15.0,,key_abc").replace("59200.0", "60000.0"))
    answer = run("openai", later)[1]
    assert (answer["added"], answer["already_known"]) == (1, 2)
    assert ask("select count(*) as n from bill") == [{"n": 4}]
    rows = ask("select requests, units from latest_bill order by requests")
    assert [row["requests"] for row in rows] == [2, 3, 15]
    assert units_of(rows[-1])["input_tokens"] == 60000
    assert run("openai", FIXTURES / "openai_usage.csv", later)[1]["added"] == 0


def test_the_project_of_rows_that_name_none(run, ask):
    run("helicone", FIXTURES / "helicone.csv", more=["--project", "mine"])
    run("litellm", FIXTURES / "litellm.csv", more=["--project", "mine"])
    rows = ask("select source, project, count(*)::int as n from call group by all order by source, project")
    assert [(row["source"], row["project"], row["n"]) for row in rows] == [
        ("helicone", "mine", 3), ("litellm", "mine", 2), ("litellm", "search", 1)]  # fmt: skip


def essence(entries):
    """What of entries reaches the ledger, whatever their order: one of each name."""
    return {(one.source, one.source_id): one.events for one in entries if isinstance(one, Entry)}


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
@pytest.mark.parametrize(("name", "file"), [("litellm", "litellm.csv"), ("openai", "openai_usage.csv"),
                                            ("openai", "openai_costs.csv"), ("aws-cur", "aws_cur.csv"),
                                            ("helicone", "helicone.csv")])  # fmt: skip
def test_rows_mean_the_same_in_any_order_and_any_files(tmp_path, name, file, data):
    head, *rows = list(csv.reader(io.StringIO((FIXTURES / file).read_text("utf-8"))))
    mixed = data.draw(st.permutations(rows))
    cuts = data.draw(st.lists(st.integers(1, len(rows)), max_size=3).map(sorted))
    pieces = [mixed[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(rows)], strict=True) if begin < end]
    files = [write_csv(tmp_path / f"{at}.csv", piece, head) for at, piece in enumerate(pieces)]
    assert essence(chain(*(found(name, path) for path in files))) == essence(found(name, FIXTURES / file))


def test_two_orders_make_the_same_ledger(tmp_path, capsys):
    rows = litellm_rows(40)
    halves = (write_csv(tmp_path / "a.csv", rows[::-2]), write_csv(tmp_path / "b.csv", rows[::2] + rows[1:9:2]))
    whole = write_csv(tmp_path / "whole.csv", rows)
    told = []
    for at, files in enumerate(([whole], halves, [halves[1], whole])):
        assert main(["--home", str(tmp_path / f"h{at}"), "import", "litellm", *map(str, files)]) == 0
        told.append(open_ledger(tmp_path / f"h{at}").rows("""
            select call_id, source_id, started_at_utc, input_tokens, output_tokens, cost_usd, basis
            from api_call order by source_id"""))  # fmt: skip
    assert told[0] == told[1] == told[2]
    assert len(told[0]) == 40


# What is never kept -----------------------------------------------------------------------------------------------


def test_no_prompt_no_key_no_query_and_no_address_of_a_person_is_kept(imported, capsys):
    home = imported[0]
    assert [check.violations for check in verify(open_ledger(home)) if not check.ok] == []
    assert main(["--home", str(home), "ingest", "--seal"]) == 0
    kept = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    assert b"PLANTED" not in kept
    assert b"ann@example.com" not in kept
    assert b"claude-sonnet-4-5" in kept  # it can be found, if it is there


@pytest.mark.parametrize(
    "text",
    [
        "sk-proj-abcdefgh1234567890",
        "sk-ant-api03-abcDEF123",
        "AKIAIOSFODNN7EXAMPLE",
        "Bearer abc.def",
        "ann@example.com",
        "hf_abcdefghij1234567890",
        "eyJhbGciOiJIUzI1.eyJzdWIi",
    ],
)
def test_a_key_or_an_address_becomes_a_hash(text):
    kept = label(f"by {text}")
    assert text not in kept
    assert kept == label(f"by {text}")
    assert len(kept) == len("by user-") + 12 - ("key-" in kept)


def test_names_stay_as_they_are():
    hashed = "88dc28d0f030c55ed4ab77ed8faf098196cb1c05df778539800c9f1243fe6b4b"
    for text in ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "key_AbCdEf0123456789", "apikey_01Rj2N8SVvo6", hashed):
        assert label(text) == text
    assert label("a\nb\0" + "x" * 500) == "a b " + "x" * 196
