"""`joulebook calibrate`: which sizes are probed, how a session goes on, what a server says, and the profile of it."""

from __future__ import annotations

import json
import threading
import time
from http import HTTPStatus

import pytest

from joulebook.accounting.errors import InputError, NotFound
from joulebook.cli import main
from joulebook.cli.probe_arguments import OUTPUTS, PROMPTS
from joulebook.collectors.api.loopback import LoopbackServer, QuietHandler
from joulebook.collectors.probe import Answer, Size, endpoint, plan, session
from joulebook.collectors.probe.endpoint import Endpoint
from joulebook.collectors.probe.plan import Plan
from joulebook.collectors.probe.tiny import Tiny
from joulebook.models.runtime import calibrated, store

TOKEN_S = 0.002  # of the server
GRID = Plan((1, 64, 128, 256), (1, 8, 32), trials=3)
GIVEN = ["--prompts", "1,64,128,256", "--outputs", "1,8,32", "--trials", "3", "--seconds", "0", "--energy-seconds", "0"]


def law_s(prompt_tokens, output_tokens):
    """20 ms, a tenth of one for each token of the prompt, 5 ms for each further one of the answer."""
    return 0.020 + 0.0001 * prompt_tokens + 0.005 * (output_tokens - 1)


@pytest.fixture
def by_law(monkeypatch):
    """The built-in model takes what the law says; what it was asked, one after the other."""
    asked = []

    def ask(_self, prompt_tokens, output_tokens):
        asked.append(Size(prompt_tokens, output_tokens))
        noise = 1.5 if asked.count(asked[-1]) == 2 else 1.0  # the second of each size is disturbed
        return Answer(prompt_tokens, output_tokens, law_s(prompt_tokens, output_tokens) * noise)

    monkeypatch.setattr(Tiny, "ask", ask)
    return asked


def calibrated_json(capsys, *given):
    assert main(["calibrate", *given, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


# Plans


def test_each_round_has_every_size_once_and_an_order_of_its_own():
    rounds = [plan.shuffled(plan.sizes(GRID), trial, seed=1) for trial in range(3)]
    assert [sorted(one) for one in rounds] == [sorted(plan.sizes(GRID))] * 3
    assert rounds[0] != rounds[1]
    assert rounds[0] == plan.shuffled(plan.sizes(GRID), 0, seed=1)


def test_short_requests_have_more_trials():
    patient = GRID._replace(seconds=0.5)
    # 0.5 s ÷ 0.1 s; a long one has the 3 of the plan, one of next to nothing the most
    assert [plan.trials_of(patient, runtime_s) for runtime_s in (0.1, 2.0, 1e-6, 0.0)] == [5, 3, 60, 60]
    assert plan.trials_of(GRID, 1e-6) == 3


def test_what_is_checked_lies_between_neighbours_and_was_not_fitted():
    # between 1, 64, 128, 256: 32, 96, 192; between 1, 8, 32: 4, 20
    assert set(plan.between(GRID)) == {Size(p, o) for p in (32, 96, 192) for o in (4, 20)}
    assert plan.between(Plan((1, 2), (1, 64), 1)) == []
    # of 6 × 5 sizes between, six that differ in both
    many = plan.between(Plan((1, 16, 64, 128, 256, 512, 1024), (1, 2, 4, 8, 16, 32, 64), 5))
    assert many == [(8, 3), (40, 6), (96, 12), (192, 24), (384, 48), (768, 3)]
    # of 12 × 3, six from the first prompts to the last
    defaults = plan.between(Plan(PROMPTS, OUTPUTS, 5))
    assert defaults == [(2, 2), (24, 40), (80, 10), (224, 10), (448, 2), (896, 40)]


def test_a_model_with_little_room_is_asked_for_what_fits():
    assert plan.fitted(GRID, 160).prompts == (1, 64, 128)
    with pytest.raises(InputError, match="1 size of the prompt that fits into 40 tokens"):
        plan.fitted(GRID, 40)


# Sessions


def test_the_profile_is_the_law_of_the_undisturbed_trials(by_law, capsys, home, tmp_path):
    told = calibrated_json(capsys, "--local", *GIVEN, "--out", str(tmp_path / "out.json"))
    coefficients = told["profile"]["coefficients"]
    assert coefficients["per_output_token_s"]["mid"] == pytest.approx(0.005, rel=1e-6)
    assert coefficients["prompt_s"][-1]["mid"] == pytest.approx(law_s(256, 1), rel=1e-6)
    assert [check["relative_error"] for check in told["check"]] == pytest.approx([0] * 6, abs=1e-6)
    assert told["profile"]["energy"] is None
    (kept,) = store.local(home)
    assert kept == store.read(tmp_path / "out.json")
    assert kept.profile_id == told["profile_id"]


def test_a_session_that_was_broken_off_goes_on_where_it_was(by_law, capsys, home, monkeypatch):
    answers = iter(range(30))
    whole = Tiny.ask

    def breaks(self, prompt_tokens, output_tokens):
        if next(answers, None) is None:
            raise KeyboardInterrupt
        return whole(self, prompt_tokens, output_tokens)

    with monkeypatch.context() as broken:
        broken.setattr(Tiny, "ask", breaks)
        assert main(["calibrate", "--local", *GIVEN, "--json"]) == 130
    (folder,) = (home / "calibrations").iterdir()
    there = len(session.rows(folder / session.SAMPLES))
    assert there == 30 - 4  # the warm-up asked for four
    by_law.clear()
    calibrated_json(capsys, "--local", *GIVEN)
    assert len(by_law) == 4 + (36 + 18 - there)  # 12 sizes of the grid and 6 to check, three times each
    assert len(session.rows(folder / session.SAMPLES)) == 36 + 18


def test_each_size_is_asked_until_it_took_so_long(tmp_path, by_law):
    path, sizes, told = tmp_path / "samples.jsonl", [Size(1, 1), Size(2, 32)], []
    # 20.1 ms but for one of 30 ms: 0.2 s are 10 of them; the other takes 0.18 s and has its 3 trials
    session.times(path, sizes, Plan((1, 2), (1, 32), 3, seconds=0.2), Tiny(), lambda *at: told.append(at))
    asked = [tuple(row["asked"]) for row in session.rows(path)]
    assert (asked.count((1, 1)), asked.count((2, 32))) == (10, 3)
    assert told[-1] == (13, 13)


def test_half_a_line_is_asked_again(tmp_path, by_law):
    path, two = tmp_path / "samples.jsonl", Plan((1, 2), (1,), 1)
    session.times(path, plan.sizes(two), two, Tiny(), lambda *_: None)
    path.write_bytes(path.read_bytes()[:-20])
    session.times(path, plan.sizes(two), two, Tiny(), lambda *_: None)
    assert sorted(row["asked"] for row in session.rows(path)) == [[1, 1], [2, 1]]


def test_another_plan_is_not_mixed_in(by_law, capsys):
    calibrated_json(capsys, "--local", *GIVEN)
    assert main(["calibrate", "--local", *GIVEN, "--outputs", "1,16"]) == 2
    assert "holds probes of another plan" in capsys.readouterr().err
    assert main(["calibrate", "--local", *GIVEN, "--outputs", "1,16,32", "--fresh", "--json"]) == 0


def test_more_trials_go_on_with_what_is_there(by_law, capsys):
    calibrated_json(capsys, "--local", *GIVEN)
    by_law.clear()
    calibrated_json(capsys, "--local", *GIVEN, "--trials", "4")
    assert len(by_law) == 4 + 12 + 6


def test_what_it_will_take_is_said_before(by_law, capsys, home):
    told = calibrated_json(capsys, "--local", *GIVEN, "--dry-run")["estimate"]
    assert told["requests"] == 12 * 3 + 6 * 3
    assert told["prompt_tokens"] == 3 * 3 * (1 + 64 + 128 + 256) + 3 * 2 * (32 + 96 + 192)
    assert told["cost_usd"] is None
    assert not (home / "calibrations").exists()


def test_the_energy_of_a_size_is_that_of_its_run_by_its_requests(by_law, capsys, home):
    given = ["--prompts", "1,8,16", "--outputs", "1,2,4", "--trials", "1", "--seconds", "0",
             "--energy-seconds", "0.02"]  # fmt: skip
    told = calibrated_json(capsys, "--local", *given)["profile"]["energy"]
    assert told["boundary"] == "it"
    (folder,) = (home / "calibrations").iterdir()
    metered = session.rows(folder / session.ENERGY)
    assert sorted(row["asked"] for row in metered) == sorted(map(list, plan.sizes(Plan((1, 8, 16), (1, 2, 4), 1))))
    assert main(["--home", str(folder), "runs", "--json"]) == 0
    runs = {run["run_id"]: run["energy_j"] for run in json.loads(capsys.readouterr().out)}
    assert {runs[row["run_id"]]["method"] for row in metered} == {told["method"]}
    samples = (folder / "samples.csv").read_text().splitlines()
    first = dict(zip(samples[0].split(","), samples[1].split(","), strict=True))
    (row,) = (row for row in metered if row["asked"] == [int(first["prompt_tokens"]), int(first["output_tokens"])])
    assert float(first["energy_j"]) == pytest.approx(runs[row["run_id"]]["mid"] / row["requests"])


def test_the_fastest_third_counts_at_the_size_that_most_had():
    rows = [{"asked": [10, 1], "prompt_tokens": tokens, "output_tokens": 1, "runtime_s": runtime_s}
            for tokens, runtime_s in ((11, 0.3), (12, 0.1), (11, 0.2), (11, 0.4), (11, 0.5))]  # fmt: skip
    assert [(row["prompt_tokens"], row["runtime_s"]) for row in calibrated.kept(rows)] == [(11, 0.1), (11, 0.2)]
    assert calibrated.kept([{"asked": [1, 1], "left_out": "no usage in the answer"}]) == []


# The built-in model


def test_the_tiny_model_says_the_same_with_and_without_its_cache():
    import numpy as np

    tiny = Tiny()
    words = np.array([3, 10, 17, 24, 31])
    shape = (4, 5, 8, 32)
    at_once = tiny._forward(words, 0, np.empty(shape, np.float32), np.empty(shape, np.float32))
    keys, values = np.empty(shape, np.float32), np.empty(shape, np.float32)
    for place in range(5):
        one_by_one = tiny._forward(words[place : place + 1], place, keys, values)
    np.testing.assert_allclose(one_by_one, at_once, rtol=1e-3, atol=1e-4)


# A model of Hugging Face's

LLAMA = {"model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "vocab_size": 256,
         "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64}  # fmt: skip


def test_a_config_is_a_model_of_random_weights(capsys, tmp_path):
    pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'joulebook[huggingface]'")
    pytest.importorskip("transformers", reason="transformers is not installed: pip install 'joulebook[huggingface]'")
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    given = ["--prompts", "1,8,16", "--outputs", "1,4,8", "--trials", "2", "--seconds", "0", "--energy-seconds", "0"]
    told = calibrated_json(capsys, "--local", str(tmp_path / "config.json"), *given)
    assert told["profile"]["software"]["stack"] == "transformers float32"
    assert told["profile"]["measured"] == {"cells": 9, "samples": 9, "longest_output_tokens": 8}
    assert len(told["check"]) == 4  # (4 and 12) × (2 and 6)


# Servers


class _Chat(QuietHandler):
    """A server that counts a word as a token and 4 for its template, and answers as it is told."""

    def do_POST(self):  # noqa: N802 - http.server's name
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, dict(self.headers), asked))
        status = self.server.refusals.pop(0) if self.server.refusals else HTTPStatus.OK
        if status == HTTPStatus.OK and self.server.is_strict and "ignore_eos" in asked:
            status = HTTPStatus.BAD_REQUEST
        self.send_response(status)
        self.end_headers()
        if status != HTTPStatus.OK:
            return
        if self.server.instead:
            self.wfile.write(self.server.instead)
            return
        usage = {"prompt_tokens": len(asked["messages"][0]["content"].split()) + 4,
                 "completion_tokens": min(asked["max_tokens"], self.server.longest)}  # fmt: skip
        for _ in range(usage["completion_tokens"]):
            time.sleep(TOKEN_S)
            self._say({"choices": [{"delta": {"content": "word "}}]})
        self._say({"choices": [], "usage": usage})
        self.wfile.write(b"data: [DONE]\n\n")

    def _say(self, event):
        self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())


@pytest.fixture
def chat():
    with LoopbackServer(0, _Chat) as server:
        server.asked, server.refusals, server.is_strict, server.longest, server.instead = [], [], False, 10**6, b""
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_prompt_has_as_many_tokens_as_the_server_counts(chat):
    answer = Endpoint(f"{chat.url}/v1", "m").ask(100, 7)
    assert (answer.prompt_tokens, answer.output_tokens, answer.left_out) == (100, 7, "")
    assert 0 < answer.first_token_s <= answer.runtime_s
    assert answer.output_chars == 7 * len("word ")
    path, _, asked = chat.asked[-1]
    assert path == "/v1/chat/completions"
    assert (asked["max_tokens"], asked["ignore_eos"]) == (7, True)
    prompts = [asked["messages"][0]["content"] for _, _, asked in chat.asked]
    assert len(set(prompts)) == len(prompts)


def test_a_server_that_refuses_a_word_is_asked_without(chat):
    chat.is_strict = True
    assert Endpoint(f"{chat.url}/v1", "m").ask(50, 3).output_tokens == 3
    assert "ignore_eos" not in chat.asked[-1][2]


def test_a_server_that_is_busy_is_asked_again(chat, monkeypatch):
    waits = []
    monkeypatch.setattr(endpoint.time, "sleep", waits.append)
    server = Endpoint(f"{chat.url}/v1", "m")
    chat.refusals = [429, 503]
    assert server.ask(50, 3).output_tokens == 3
    assert [wait for wait in waits if wait > TOKEN_S] == [2.0, 4.0]
    chat.refusals = [429] * 4
    assert server.ask(50, 3).left_out == "turned away with HTTP 429"


def test_an_answer_that_ends_early_does_not_count(chat):
    chat.longest = 5
    assert Endpoint(f"{chat.url}/v1", "m").ask(50, 8).left_out == "ended early or late, after 5 tokens"


def test_the_key_comes_from_the_variable_that_is_named_and_is_kept_nowhere(chat, home, monkeypatch, capsys):
    monkeypatch.setenv("MY_KEY", "sk-planted")
    given = ["--endpoint", f"{chat.url}/v1", "--model", "m", "--software", "vllm 0.11", "--api-key-env", "MY_KEY"]
    told = calibrated_json(capsys, *given, *GIVEN)
    assert chat.asked[-1][1]["Authorization"] == "Bearer sk-planted"
    assert told["profile"]["software"]["stack"] == "vllm 0.11"
    assert told["profile"]["text"]["chars_per_output_token"] == pytest.approx(5.0)
    kept = [path.read_bytes() for path in home.rglob("*") if path.is_file()]
    assert [data for data in kept if b"sk-planted" in data or b"river" in data] == []
    assert main(["calibrate", *given[:-1], "NO_SUCH_KEY"]) == 2
    assert "NO_SUCH_KEY" in capsys.readouterr().err


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://here/v1", "http://", "http://me:secret@127.0.0.1/v1"])
def test_what_is_no_address_is_refused_and_not_said_again(url):
    with pytest.raises(InputError, match="must be an address") as refused:
        Endpoint(url, "m")
    assert "secret" not in str(refused.value)


def test_a_server_that_is_not_there_and_a_model_it_does_not_have(chat):
    chat.refusals = [404]
    with pytest.raises(NotFound, match="HTTP 404; is 'm' a model of it"):
        Endpoint(f"{chat.url}/v1", "m").ask(50, 3)
    with pytest.raises(NotFound, match="cannot be asked"):
        Endpoint("http://127.0.0.1:1/v1", "m").ask(50, 3)


@pytest.mark.parametrize("instead", [b'{\n  "choices": []\n}', b"data: {", b'data: {"choices": ["x"]}', b"<html>"])
def test_a_server_that_streams_no_events_is_said(chat, instead):
    chat.instead = instead
    with pytest.raises(NotFound, match=r"does not stream the events of a chat|does not say how many tokens"):
        Endpoint(f"{chat.url}/v1", "m").ask(50, 3)


def test_what_may_cost_money_begins_only_with_a_yes(chat, monkeypatch, capsys):
    monkeypatch.setattr(endpoint, "_is_loopback", lambda _: False)
    given = ["--endpoint", f"{chat.url}/v1", "--model", "gpt-4o", *GIVEN]
    assert main(["calibrate", *given]) == 2
    assert "may cost money" in capsys.readouterr().err
    # 3 × 3 × 449 + 3 × 2 × 320 tokens in, 3 × 4 × 41 + 3 × 3 × 24 out, at 2.50 and 10 USD a million
    told = calibrated_json(capsys, *given, "--dry-run")["estimate"]
    assert (told["prompt_tokens"], told["output_tokens"]) == (5961, 708)
    assert told["cost_usd"] == pytest.approx(5961 * 2.5e-6 + 708 * 10e-6)
    assert chat.asked == []  # nothing is sent before the yes
    assert calibrated_json(capsys, *given, "--yes")["profile"]["model"] == "gpt-4o"


def test_a_folder_that_is_none_is_not_fetched(capsys):
    assert main(["calibrate", "--local", "meta-llama/Llama-3.1-8B"]) == 2
    assert "nothing is fetched" in capsys.readouterr().err
