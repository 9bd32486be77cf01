"""Every shape of every API, asked by a bare client of either library: the usage, however the answer comes."""

from __future__ import annotations

import json
import ssl
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import httpx2
import pytest
from fake_server import ANSWER, EXPECTED, PROMPT, FakeServer
from recording import events, of

import joulebook
from joulebook.accounting import usage

LIBRARIES = {"httpx": httpx, "httpx2": httpx2}
WITHOUT_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
BODY = {"model": "asked", "messages": [{"role": "user", "content": PROMPT}]}
STREAM = {"stream": True, "stream_options": {"include_usage": True}}


class Shape(NamedTuple):
    """Where to ask, how a stream is asked for, which usage comes, and the text in the first half of a stream."""

    provider: str | None
    path: str
    stream: str | dict[str, Any]
    expected: str
    half: int


SHAPES = {
    "openai chat": Shape("openai", "/openai/v1/chat/completions", STREAM, "openai chat", 15 + 6 + 7),
    "openai responses": Shape("openai", "/openai/v1/responses", STREAM, "openai responses", 15 + 6 + 7),
    "anthropic": Shape("anthropic", "/anthropic/v1/messages", STREAM, "anthropic", 15 + 6),
    "gemini": Shape("google", "/google/v1beta/models/asked:generateContent",
                    "/google/v1beta/models/asked:streamGenerateContent", "google", 15 + 6),
    "bedrock converse": Shape("aws", "/bedrock/model/asked/converse", "/bedrock/model/asked/converse-stream",
                              "bedrock", 15 + 6 + 7),
    "bedrock invoke": Shape("aws", "/bedrock/model/asked/invoke",
                            "/bedrock/model/asked/invoke-with-response-stream", "anthropic", 15 + 6),
    "mistral": Shape("mistral", "/mistral/v1/chat/completions", STREAM, "mistral", 15 + 6 + 7),
    "cohere": Shape("cohere", "/cohere/v2/chat", STREAM, "cohere", 15 + 6),
    "deepseek": Shape("deepseek", "/deepseek/v1/chat/completions", STREAM, "deepseek", 15 + 6 + 7),
    "vllm": Shape(None, "/vllm/v1/chat/completions", STREAM, "vllm", 15 + 6 + 7),
}  # fmt: skip
TOLD_BEFORE = ("anthropic", "gemini", "bedrock invoke")  # in a stream: what went in, or all so far
every = pytest.mark.parametrize("name", SHAPES)
both = pytest.mark.parametrize("library", LIBRARIES)


class Asking:
    """A client of a library that asks an API, and what the journal then has of that."""

    def __init__(self, library: str, server: FakeServer, name: str) -> None:
        self.server, self.shape = server, SHAPES[name]
        self.errors = LIBRARIES[library]
        self.client = joulebook.http_client(library=library, provider=self.shape.provider, verify=WITHOUT_TLS)

    def __enter__(self) -> Asking:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def plain(self, mode: str = "plain") -> Any:
        self.server.then(mode)
        return self.client.post(self.server.url + self.shape.path, json=BODY)

    def stream(self, mode: str = "plain") -> Any:
        self.server.then(mode)
        how = self.shape.stream
        path, body = (how, BODY) if isinstance(how, str) else (self.shape.path, {**BODY, **how})
        return self.client.post(self.server.url + path, json=body)


def calls(home: Path) -> list[dict[str, Any]]:
    return of(events(home), "call")


def buckets(call: dict[str, Any]) -> dict[str, float]:
    return usage.disjoint(usage.reported(json.loads(call["usage_json"]), call.get("provider"), call["path"]))


@both
@every
def test_plain_and_as_a_stream_the_usage_is_the_same(home: Path, server: FakeServer, library: str, name: str) -> None:
    with Asking(library, server, name) as asking:
        asking.plain()
        asking.stream()
    plain, stream = calls(home)
    assert (plain["outcome"], plain["is_stream"]) == ("ok", False)
    assert (stream["outcome"], stream["is_stream"]) == ("ok", True)
    assert plain["request_model"] == stream["request_model"] == "asked"
    assert buckets(plain) == buckets(stream) == EXPECTED[SHAPES[name].expected]


@both
@pytest.mark.parametrize("name", [name for name in SHAPES if name != "bedrock invoke"])
def test_without_usage_the_texts_are_measured(home: Path, server: FakeServer, library: str, name: str) -> None:
    with Asking(library, server, name) as asking:
        asking.plain("no usage")
        asking.stream("no usage")
    for call in calls(home):
        assert (call["outcome"], "usage_json" in call) == ("ok", False)
        assert (call["sent_chars"], call["received_chars"]) == (len(PROMPT), len(ANSWER)) == (29, 39)


@both
@every
def test_a_stream_that_breaks_off_has_what_came(home: Path, server: FakeServer, library: str, name: str) -> None:
    with Asking(library, server, name) as asking, pytest.raises(asking.errors.RemoteProtocolError):
        asking.stream("cut")
    (call,) = calls(home)
    assert call["outcome"] == "aborted"
    assert ("usage_json" in call, call.get("method")) == (
        (True, "modelled") if name in TOLD_BEFORE else (False, None)
    )  # fmt: skip
    if name == "gemini":  # its usage counts what was written so far: two fifths of 80
        assert json.loads(call["usage_json"])["usageMetadata"]["candidatesTokenCount"] == 32
    else:
        assert call["received_chars"] == SHAPES[name].half


@both
@every
def test_refused_then_answered(home: Path, server: FakeServer, library: str, name: str) -> None:
    with Asking(library, server, name) as asking:
        asking.stream("429")
        asking.stream()
    refused, answered = calls(home)
    assert (refused["outcome"], refused["status"], refused["attempt"]) == ("error", 429, 1)
    assert (answered["outcome"], answered["status"], answered["attempt"]) == ("ok", 200, 2)
    assert refused["call_id"] == answered["call_id"]
    assert not {"usage_json", "sent_chars", "received_chars"} & refused.keys()


@both
@every
def test_an_answer_that_is_none(home: Path, server: FakeServer, library: str, name: str) -> None:
    with Asking(library, server, name) as asking:
        assert b"hotel" in asking.plain("malformed").content
    (call,) = calls(home)
    assert (call["outcome"], call["status"], "usage_json" in call) == ("malformed", 200, False)
