"""Recorded calls beside what they would have taken; the same text to every model; the frontier of quality."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from handmade import START_NS, HandmadeJournal
from hypothesis import given, settings
from hypothesis import strategies as st

from joulebook.accounting.errors import InputError
from joulebook.accounting.ledger import Ledger, ingest, open_ledger
from joulebook.accounting.records import uuid7
from joulebook.cli import main
from joulebook.models.roofline import catalogue
from joulebook.models.runtime import tables
from joulebook.models.runtime.answer import Request
from joulebook.models.runtime.by_roofline import by_roofline, runtimes_by_roofline
from joulebook.models.runtime.compare import Basis, Mix, compare
from joulebook.models.runtime.frontier import System, beats, frontier
from joulebook.models.runtime.profile import Text
from joulebook.models.runtime.published import published
from joulebook.models.runtime.recorded import recorded
from joulebook.reports import views
from joulebook.reports.views import period_of

FIRST = datetime(2026, 1, 1, tzinfo=UTC)
ALL = period_of(FIRST, FIRST + timedelta(days=30))
PROMPTS, OUTPUTS = (1, 256, 512, 1024, 1536), (1, 4, 16, 64)
CALL = {"source": "http", "provider": "openai", "host": "api.openai.com", "path": "/v1/completions", "status": 200,
        "outcome": "ok", "attempt": 1}  # fmt: skip


class Calls(HandmadeJournal):
    """Calls of models, and runs with a quality."""

    def __init__(self, home: Path) -> None:
        super().__init__(home, version=3)
        self.at_s = 0.0

    def call(self, model: str, prompt: int, output: int, duration_s: float, **fields: object) -> None:
        self.at_s += 1
        told = {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output}
        about = {
            "request_model": model,
            "call_id": uuid7(),
            "duration_s": duration_s,
            "usage_json": json.dumps({"usage": told}),
        }
        self.event("call", self.at_s, started_ns=START_NS + round(self.at_s * 1e9), **(CALL | about | fields))

    def told(self) -> Ledger:
        self.write()
        ingest(self.path.parent.parent)
        return open_ledger(self.path.parent.parent)


def davinci_s(prompt: int, output: int) -> float:
    """Of the published profile: at the profiled sizes 84, 109, 178, 323 and 476 ms, and 81 ms each further token."""
    return dict(zip(PROMPTS, (0.084, 0.109, 0.178, 0.323, 0.476), strict=True))[prompt] + 0.081 * (output - 1)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    """60 calls of davinci that took twice what the model alone would, and 0.1 s; some that do not count."""
    calls = Calls(tmp_path_factory.mktemp("ledger") / "home")
    for _ in range(3):
        for prompt in PROMPTS:
            for output in OUTPUTS:
                calls.call("davinci", prompt, output, 2 * davinci_s(prompt, output) + 0.1, sent_chars=4 * prompt)
    calls.call("davinci", 512, 16, 30.0, attempt=2)
    calls.call("davinci", 512, 16, 0.1, status=429, outcome="error")
    cached = {"prompt_tokens": 512, "completion_tokens": 16, "prompt_tokens_details": {"cached_tokens": 256}}
    calls.call("davinci", 512, 16, 1.0, usage_json=json.dumps({"usage": cached}))
    return calls.told()


def test_the_calls_that_count(ledger):
    (samples,) = recorded(ledger, ALL.start, ALL.end).values()
    assert len(samples) == 60
    assert samples.left_out == {"tried again": 1, "turned away (429)": 1, "read from a cache": 1}
    assert samples.text == Text(4.0)  # four characters were sent for each token
    assert recorded(ledger, FIRST - timedelta(days=9), FIRST) == {}
    assert recorded(ledger, ALL.start, ALL.end, "no such project") == {}


def test_raw_denoised_and_idealized_side_by_side(ledger):
    (one,) = compare(recorded(ledger, ALL.start, ALL.end), Basis(published()))
    # every call took 2 × T + 0.1: nobody waited, so denoised is raw; the median of 20 sizes lies between the 10th and
    # the 11th, and the ratio is 2 + 0.1 ÷ T
    alone = sorted(davinci_s(prompt, output) for prompt in PROMPTS for output in OUTPUTS)
    middle = (alone[9] + alone[10]) / 2
    assert one.took.idealized_s == pytest.approx(middle)
    assert one.took.raw_s == pytest.approx(2 * middle + 0.1)
    assert one.took.denoised_s == pytest.approx(one.took.raw_s, rel=1e-6)
    assert one.took.raw_over_denoised == pytest.approx(1.0)
    ratios = sorted(2 + 0.1 / each for each in alone)
    assert one.took.raw_over_idealized == pytest.approx((ratios[9] + ratios[10]) / 2)


def test_models_are_compared_by_the_same_text(ledger):
    told = Basis(published(), texts={"openai/ada": Text(2.0, 2.0)})
    (one,) = compare(recorded(ledger, ALL.start, ALL.end), told)
    # 2,000 characters are 500 tokens, 250 are 62 (62.5): between 472 (175 ms) and 512 (178 ms) 500 is 177.1 ms
    assert (one.of_text.request.prompt_tokens, one.of_text.request.output_tokens) == (500, 62)
    expected = 0.1755 + (0.178 - 0.1755) * 28 / 40 + 0.081 * 61  # 428 and 472 (176, 175) are mended to 175.5
    assert one.of_text.runtime_s.mid == pytest.approx(expected)
    for name in ("openai/ada", "ada"):  # with its host or without
        (ada,) = compare({"openai/ada": only(ledger)}, replace(told, texts={name: Text(2.0, 2.0)}))
    assert (ada.of_text.request.prompt_tokens, ada.of_text.request.output_tokens) == (1000, 125)


def only(ledger: Ledger):
    return next(iter(recorded(ledger, ALL.start, ALL.end).values()))


def test_what_nobody_knows_is_told(home):
    calls = Calls(home)
    for size in range(1, 13):
        calls.call("davinci", 512, size, 2 * davinci_s(512, size), sent_chars=2048)
    calls.call("gpt-99", 10, 5, 1.0)
    view = views.normalised(calls.told(), ALL)
    row = next(row for row in view.rows if row["model"].endswith("gpt-99"))
    assert row["idealized_s"] is None
    assert "nobody profiled it" in row["why"]["idealized_s"]
    assert "10 requests or more are needed, and there are 1" in row["why"]["denoised_s"]
    assert not row["text_runtime_s"].known
    assert any("gpt-99 has no idealized value" in note for note in view.notes)
    assert "took 2.00 times" in view.sentence
    assert view.parts[1].key == "text"
    assert view.parts[1].rows[0]["text_chars_per_s"] == pytest.approx(250 / view.parts[1].rows[0]["text_runtime_s"].mid)


def test_an_empty_period_says_so(ledger):
    view = views.normalised(ledger, period_of(FIRST - timedelta(days=9), FIRST))
    assert not view.rows
    assert view.empty.startswith("No call of a model API")


# The frontier -----------------------------------------------------------------------------------------------------


def test_who_is_dominated_and_by_whom():
    told = frontier([System("a", 0.9, 10), System("b", 0.8, 5), System("c", 0.7, 6), System("d", 0.9, 12)])
    assert told == {"a": (), "b": (), "c": ("b",), "d": ("a",)}
    assert frontier([System("a", 1, 1), System("twin", 1, 1)]) == {"a": (), "twin": ()}


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12))
def test_every_dominated_system_is_beaten_by_one_on_the_frontier(pairs):
    systems = {f"s{at}": System(f"s{at}", quality, takes) for at, (quality, takes) in enumerate(pairs)}
    told = frontier(systems.values())
    best = {name for name, by in told.items() if not by}
    assert best
    for name, by in told.items():
        assert all(beats(systems[other], systems[name]) for other in by)
        assert not by or best & set(by)


def test_quality_of_runs_and_of_a_table(home, tmp_path, capsys):
    journal = HandmadeJournal(home, begun_s=100)
    run = journal.start(101)
    journal.event("quality", 102, span_id=run, run_id=run, kind="accuracy", amount=0.8)
    journal.end(103, run)
    about = {"request_model": "davinci", "duration_s": 1.0, "call_id": uuid7(), "run_id": run, "span_id": run}
    journal.event("call", 102, started_ns=START_NS + 102 * 10**9, **(CALL | about))
    journal.write()
    table = tmp_path / "quality.csv"
    table.write_text(
        "model,metric,value\nada,accuracy,0.3\nj1-grande,accuracy,0.7\nyalm,accuracy,0.5\ntext-davinci-002,accuracy,0.9\n"
    )
    words = ["frontier", "--quality", str(table), "--since", "2026-01-01", "--until", "2026-02-01"]
    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    by_model = {row["model"]: row for row in told["frontier_runtime_s"]}
    # 512 in, 64 out: ada 0.025 + 63 × 0.019 = 1.222 s; grande 0.097 + 63 × 0.038 = 2.491; davinci 5.281; yalm 4.568
    assert by_model["ada"]["runtime_s"]["mid"] == pytest.approx(1.222)
    assert by_model["yalm"]["dominated_by"] == "j1-grande"
    best = [row["model"] for row in told["frontier_runtime_s"] if row["is_on_frontier"]]
    assert best == ["ada", "j1-grande", "openai/davinci"]
    closed = next(row for row in told["systems"] if row["model"] == "text-davinci-002")
    assert closed["runtime_s"]["mid"] is None
    assert "closed" in closed["why"]
    assert any("same number of tokens" in note for note in told["notes"])
    assert main(words) == 0
    assert "Dominated: yalm (by j1-grande)" in capsys.readouterr().out


def test_the_table_of_the_home_counts_wherever_none_is_named(home, capsys):
    home.mkdir(parents=True, exist_ok=True)
    (home / "quality.csv").write_text("model,metric,value\nada,mmlu,0.3\nj1-grande,mmlu,0.7\n")
    assert main(["--home", str(home), "frontier", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [(row["model"], row["quality"]) for row in told["systems"]] == [("ada", 0.3), ("j1-grande", 0.7)]


def test_by_the_roofline_requests_come_in_a_batch():
    one, eight = (Basis((), "roofline", "H100", Mix(512, 64), batch=batch) for batch in (1, 8))
    view = views.alone(["llama-3.1-8b"], eight)
    assert view.subtitle == "512 tokens in, 64 out; mode roofline, 8 requests at once"
    alone, beside = (views.alone(["llama-3.1-8b"], basis).rows[0] for basis in (one, eight))
    card = catalogue.find("llama-3.1-8b")
    told = by_roofline(Request("llama-3.1-8b", 512, 64, 8, "H100"), card)
    assert beside["runtime_s"] == told.runtime_s
    assert alone["energy_j"].mid > 4 * beside["energy_j"].mid
    many_s = runtimes_by_roofline(card, "H100", 8)(np.array([512.0]), np.array([64.0]))
    assert many_s == pytest.approx([told.runtime_s.mid])


def test_no_quality_is_said(ledger, capsys):
    assert main(["--home", str(ledger.home), "frontier", "--until", "2026-02-01"]) == 0
    assert "No quality of a model is known" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model,metric\na,b\n", "lacks the column value"),
        ("model,metric,value\na,b,x\n", "line 2: value is 'x'"),
        ("model,metric,value\na,b,,0.5\n", "line 2: value is ''"),
    ],
)
def test_a_table_that_cannot_be_used_is_named(tmp_path, text, message):
    path = tmp_path / "table.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        tables.qualities(path)


def test_a_metric_that_nobody_has_is_said(home, tmp_path, capsys):
    path = tmp_path / "quality.csv"
    path.write_text("model,metric,value\nada,mmlu,0.3\nada,boolq,0.4\n")
    assert main(["--home", str(home), "frontier", "--quality", str(path), "--metric", "gsm8k"]) == 0
    assert "No quality 'gsm8k' of a model is known; there are: boolq, mmlu." in capsys.readouterr().out


def test_calls_outside_of_what_was_measured_are_told(home):
    calls = Calls(home)
    for prompt, output in ((512, 16), (1920, 64), (1921, 64), (512, 65)):  # davinci: up to 1920 in, 64 out
        calls.call("davinci", prompt, output, 9.0)
    view = views.normalised(calls.told(), ALL)
    assert view.rows[0]["extrapolated"] == 2
    assert "openai/davinci: 2 of 4 calls are outside of what its profile was measured at." in view.notes


def test_characters_per_token_are_read(tmp_path):
    path = tmp_path / "texts.csv"
    path.write_text("model,chars_per_token\nOpenAI/Ada,4.2\n")
    assert tables.texts(path) == {"openai/ada": Text(4.2, 4.2)}
    path.write_text("model,chars_per_prompt_token,chars_per_output_token\na,4.2,0\n")
    with pytest.raises(InputError, match="more than 0 characters"):
        tables.texts(path)


def test_the_command_as_json(ledger, capsys):
    assert (
        main(["--home", str(ledger.home), "normalised", "--since", "2026-01-01", "--until", "2026-02-01", "--json"])
        == 0
    )
    (row,) = json.loads(capsys.readouterr().out)
    assert row["requests"] == 60
    assert row["mix_runtime_s"]["mid"] == pytest.approx(5.281)
    assert main(["--home", str(ledger.home), "denoise", "--until", "2026-02-01", "--model", "davinci", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["per_output_token_s"]["mid"] == pytest.approx(0.162, rel=1e-6)
    assert row["left_out"] == {"tried again": 1, "turned away (429)": 1, "read from a cache": 1}
    assert main(["--home", str(ledger.home), "denoise", "--model", "nobody"]) == 3
