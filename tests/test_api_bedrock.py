"""Bedrock through boto3: every way to ask a model, by botocore's own events; its streams are read in between."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.eventstream import EventStream
from botocore.exceptions import ClientError, ConnectTimeoutError, ReadTimeoutError
from botocore.response import StreamingBody
from fake_server import ANSWER, EXPECTED, PROMPT, WORDS, FakeServer
from recording import events, of

import joulebook
from joulebook.accounting import usage

MODEL = "anthropic.claude-sonnet-4-5-20250929-v1:0"
MESSAGES = [{"role": "user", "content": [{"text": PROMPT}]}]
NATIVE = json.dumps({"max_tokens": 500, "messages": [{"role": "user", "content": PROMPT}]})
SECRETS = ("PLANTED", "giraffe", "walrus")


@pytest.fixture
def bedrock(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    keys = {"aws_access_key_id": "PLANTED-ID", "aws_secret_access_key": "PLANTED-SECRET", "region_name": "eu-west-1"}
    settings = Config(retries={"total_max_attempts": 2, "mode": "standard"}, read_timeout=0.5)
    client = boto3.client("bedrock-runtime", endpoint_url=f"{server.url}/bedrock", config=settings, **keys)
    assert joulebook.observe_bedrock(client, project="search") is client
    yield client
    client.close()


def calls(home: Path) -> list[dict[str, Any]]:
    for path in home.rglob("*.jsonl"):
        assert [secret for secret in SECRETS if secret in path.read_text()] == []
    return of(events(home), "call")


def buckets(call: dict[str, Any]) -> dict[str, float]:
    return usage.disjoint(usage.reported(json.loads(call["usage_json"]), "aws", call["path"]))


def test_converse(home: Path, bedrock: Any) -> None:
    answer = bedrock.converse(modelId=MODEL, messages=MESSAGES)
    assert answer["output"]["message"]["content"] == [{"text": ANSWER}]
    (call,) = calls(home)
    assert (call["source"], call["provider"], call["operation"], call["project"]) == (
        "bedrock",
        "aws",
        "chat",
        "search",
    )
    assert (call["request_model"], call["path"]) == (MODEL, f"/bedrock/model/{MODEL}/converse")
    assert (call["outcome"], call["status"], call["context"]) == ("ok", 200, [["service_tier", "priority"]])
    assert buckets(call) == EXPECTED["bedrock"]


def test_converse_stream(home: Path, bedrock: Any) -> None:
    stream = bedrock.converse_stream(modelId=MODEL, messages=MESSAGES)["stream"]
    assert isinstance(stream, EventStream)
    texts = [event["contentBlockDelta"]["delta"]["text"] for event in stream if "contentBlockDelta" in event]
    assert texts == list(WORDS)
    (call,) = calls(home)
    assert (call["outcome"], call["is_stream"], call["chunks"]) == ("ok", True, 8)  # start, five words, stop, metadata
    assert 0 < call["first_token_s"] <= call["duration_s"]
    assert buckets(call) == EXPECTED["bedrock"]


@pytest.mark.parametrize("how", ["read", "chunks", "lines", "with", "into"])
def test_invoke_however_its_body_is_read(home: Path, bedrock: Any, how: str) -> None:
    body = bedrock.invoke_model(modelId=MODEL, body=NATIVE)["body"]
    assert isinstance(body, StreamingBody)
    if how == "with":
        with body as inside:
            data = inside.read()
    elif how == "into":
        buffer = bytearray(10_000)
        data = bytes(buffer[: body.readinto(buffer)])
        assert body.read() == b""
    else:
        ways = {"read": body.read, "chunks": lambda: b"".join(body.iter_chunks(100)), "lines": body.readlines}
        data = ways[how]()
    data = b"".join(data) if isinstance(data, list) else data
    assert json.loads(data)["content"][0]["text"] == ANSWER
    (call,) = calls(home)
    assert (call["outcome"], call["is_stream"], call["response_id"]) == ("ok", False, "msg_1")
    assert buckets(call) == EXPECTED["anthropic"]


def test_invoke_with_response_stream(home: Path, bedrock: Any) -> None:
    stream = bedrock.invoke_model_with_response_stream(modelId=MODEL, body=NATIVE)["body"]
    told = [json.loads(event["chunk"]["bytes"]) for event in stream]
    assert told[-1]["type"] == "message_stop"
    (call,) = calls(home)
    assert (call["outcome"], call["is_stream"], call["response_model"]) == ("ok", True, "claude-sonnet-4-5-20250929")
    assert buckets(call) == EXPECTED["anthropic"]


def test_a_stream_that_is_left(home: Path, server: FakeServer, bedrock: Any) -> None:
    """Of eight frames four came: the start and three words."""
    server.then("hold")
    stream = bedrock.converse_stream(modelId=MODEL, messages=MESSAGES)["stream"]
    told = iter(stream)
    assert len([next(told) for _ in range(4)]) == 4
    stream.close()
    server.release()
    (call,) = calls(home)
    assert (call["outcome"], "usage_json" in call) == ("aborted", False)
    assert (call["sent_chars"], call["received_chars"]) == (len(PROMPT), 15 + 6 + 7)


def test_a_stream_that_falls_silent(home: Path, server: FakeServer, bedrock: Any) -> None:
    server.then("hold")
    stream = bedrock.converse_stream(modelId=MODEL, messages=MESSAGES)["stream"]
    with pytest.raises(Exception, match="timed out"):
        list(stream)
    server.release()
    (call,) = calls(home)
    assert (call["outcome"], call["received_chars"]) == ("timeout", 15 + 6 + 7)


def test_a_stream_without_usage(home: Path, server: FakeServer, bedrock: Any) -> None:
    server.then("no usage")
    list(bedrock.converse_stream(modelId=MODEL, messages=MESSAGES)["stream"])
    (call,) = calls(home)
    assert (call["outcome"], call["sent_chars"], call["received_chars"]) == ("ok", 29, 39)


@pytest.mark.parametrize("operation", ["converse", "converse_stream"])
def test_attempts_share_an_id(home: Path, server: FakeServer, bedrock: Any, operation: str) -> None:
    server.then("429")
    answer = getattr(bedrock, operation)(modelId=MODEL, messages=MESSAGES)
    list(answer.get("stream", ()))
    refused, answered = calls(home)
    assert (refused["outcome"], refused["status"], refused["attempt"]) == ("error", 429, 1)
    assert (answered["outcome"], answered["status"], answered["attempt"]) == ("ok", 200, 2)
    assert refused["error"] == "ThrottlingException"
    assert refused["call_id"] == answered["call_id"]


def test_an_error_stays_one(home: Path, server: FakeServer, bedrock: Any) -> None:
    server.then("429", "429", "plain")
    with pytest.raises(ClientError, match="ThrottlingException"):
        bedrock.converse(modelId=MODEL, messages=MESSAGES)
    bedrock.converse(modelId=MODEL, messages=MESSAGES)
    assert [(call["status"], call["attempt"]) for call in calls(home)] == [(429, 1), (429, 2), (200, 1)]
    assert len({call["call_id"] for call in calls(home)}) == 2


def test_no_answer(home: Path, server: FakeServer, bedrock: Any) -> None:
    server.then("silent", "silent")
    with pytest.raises((ReadTimeoutError, ConnectTimeoutError)):
        bedrock.converse(modelId=MODEL, messages=MESSAGES)
    server.release()
    assert [(call["outcome"], call["attempt"]) for call in calls(home)] == [("timeout", 1), ("timeout", 2)]


def test_what_fails_in_us_does_not_fail_the_job(home: Path, bedrock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("joulebook.collectors.api.bedrock.Watch", None)
    assert bedrock.converse(modelId=MODEL, messages=MESSAGES)["stopReason"] == "end_turn"
