"""A real server: a tiny random Llama under `transformers serve`, behind the meter. Made on the spot, nothing fetched.

It needs PyTorch and `transformers[serving]`, which are no dependencies of joulebook: in this environment, or in another
whose Python JOULEBOOK_SERVE_PYTHON names. `make slow` runs it.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import openai
import pytest

from joulebook.accounting.ledger import ingest, open_ledger
from joulebook.reports import as_json, views

pytestmark = pytest.mark.slow

SERVE_PYTHON = os.environ.get("JOULEBOOK_SERVE_PYTHON", sys.executable)  # before the tests' clean environment
TOKENS = 40
ASKED = {"max_tokens": TOKENS, "messages": [{"role": "user", "content": "count the energy of every token"}]}
MODEL = """
import sys
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

torch.manual_seed(0)
words = Tokenizer(models.BPE(unk_token="<unk>"))
words.pre_tokenizer, words.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
words.train_from_iterator(["the energy of every token is counted once. "] * 50, trainers.BpeTrainer(
    vocab_size=512, special_tokens=["<unk>", "<s>", "</s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>", bos_token="<s>", eos_token="</s>")
tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }}\\n{% endfor %}"
model = LlamaForCausalLM(LlamaConfig(
    vocab_size=512, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=4, max_position_embeddings=512, bos_token_id=1, eos_token_id=2, pad_token_id=2))
model.generation_config.eos_token_id, model.generation_config.do_sample = None, False  # as many tokens as are asked for
model.save_pretrained(sys.argv[1])
tokenizer.save_pretrained(sys.argv[1])
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model of 150,000 random parameters."""
    found = subprocess.run([SERVE_PYTHON, "-c", "import torch, transformers, fastapi, uvicorn"], capture_output=True,
                           check=False)  # fmt: skip
    if found.returncode:
        pytest.skip("no torch and transformers[serving] here (no dependencies): name the Python of an environment that "
                    "has them in JOULEBOOK_SERVE_PYTHON")  # fmt: skip
    folder = tmp_path_factory.mktemp("tiny")
    subprocess.run([SERVE_PYTHON, "-c", MODEL, str(folder)], check=True, capture_output=True)
    return folder


def _free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def served(model, log):
    """The server behind the meter; its address."""
    transformers = Path(SERVE_PYTHON).with_name("transformers")
    joulebook = Path(sys.executable).with_name("joulebook")
    command = [joulebook, "serve-meter", "--name", "tiny", "--json", "--", transformers, "serve", model,
               "--host", "127.0.0.1", "--port", str(_free_port()), "--device", "cpu"]  # fmt: skip
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(log.parent)}
    with log.open("w") as out, subprocess.Popen(
        command, stdout=out, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:  # fmt: skip
        url = json.loads(process.stderr.readline())["url"]
        try:
            _await(url, process)
            yield url
        finally:
            process.send_signal(signal.SIGTERM)
            process.stderr.read()


def _await(url, process):
    end_s = time.monotonic() + 240
    while time.monotonic() < end_s and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5):  # noqa: S310 - our own, on loopback
                return
        except OSError:
            time.sleep(0.5)
    said = "" if process.poll() is None else process.stderr.read()[-2000:]
    raise AssertionError(f"the server did not come up: {said}")


def test_a_real_server_gives_the_same_tokens_streaming_and_not_and_joules_per_token(home, model, tmp_path):
    with served(model, tmp_path / "server.log") as url, \
            openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:  # fmt: skip
        plain = client.chat.completions.create(model=str(model), **ASKED)
        with client.chat.completions.create(model=str(model), stream=True, **ASKED) as stream:
            last = [piece.usage for piece in stream if piece.usage is not None][-1]
    assert plain.usage.completion_tokens == TOKENS
    told = (plain.usage.prompt_tokens, plain.usage.completion_tokens)
    assert (last.prompt_tokens, last.completion_tokens) == told
    ingest(home)
    calls = open_ledger(home).rows("""select run_id::varchar as run_id, is_stream, input_tokens, output_tokens,
        usage_method, outcome from api_call order by started_at_utc""")
    assert [call["is_stream"] for call in calls] == [False, True]
    assert {(call["input_tokens"], call["output_tokens"], call["usage_method"], call["outcome"]) for call in calls} == {
        (*told, "measured", "ok")}  # fmt: skip
    run = as_json.plain(as_json.run(views.run(open_ledger(home), calls[0]["run_id"])))
    served_row, idle = run["served"]
    per_token = served_row["energy_per_token_j"]
    assert per_token["mid"] * 2 * sum(told) == pytest.approx(served_row["energy_j"]["mid"])
    assert served_row["energy_j"]["mid"] + idle["energy_j"]["mid"] == pytest.approx(run["energy_j"]["mid"])
    assert sum(call["energy_j"]["mid"] for call in run["served_calls"]) == pytest.approx(served_row["energy_j"]["mid"])
    assert per_token["method"] == run["energy_j"]["method"]  # measured where a sensor sees the server, else modelled
