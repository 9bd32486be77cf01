"""What the body of an answer says: its events however they are cut, and of those the usage, at the end and once."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import fake_server
import pytest
from fake_server import ANSWER, ANTHROPIC_USAGE, GEMINI_USAGE, OPENAI_USAGE, RESPONSES_USAGE, WORDS
from hypothesis import given
from hypothesis import strategies as st

from joulebook.collectors.api import answers, streams, watch

STREAMS = {
    "openai": fake_server.stream("/openai/v1/chat/completions", {"stream_options": {"include_usage": True}}, True),
    "responses": fake_server.stream("/openai/v1/responses", {}, True),
    "anthropic": fake_server.stream("/anthropic/v1/messages", {}, True),
    "google": fake_server.stream("/google/v1beta/models/m:streamGenerateContent", {}, True),
    "cohere": fake_server.stream("/cohere/v2/chat", {}, True),
    "converse": fake_server.stream("/bedrock/model/m/converse-stream", {}, True),
    "invoke": fake_server.stream("/bedrock/model/m/invoke-with-response-stream", {}, True),
}
USAGES = {
    "openai": {"usage": OPENAI_USAGE}, "responses": {"usage": RESPONSES_USAGE}, "anthropic": {"usage": ANTHROPIC_USAGE},
    "google": {"usageMetadata": GEMINI_USAGE}, "cohere": {"usage": fake_server.COHERE_USAGE},
    "converse": {"usage": fake_server.BEDROCK_USAGE}, "invoke": {"usage": ANTHROPIC_USAGE},
}  # fmt: skip


def body_of(name: str) -> tuple[str, bytes]:
    content_type, pieces = STREAMS[name]
    kind = streams.kind_of(content_type)
    assert kind is not None
    return kind, b"".join(pieces)


def cut(body: bytes, at: list[int]) -> list[bytes]:
    return [body[start:end] for start, end in pairwise([0, *sorted(at), len(body)])]


def answer_of(*told: Any) -> answers.Answer:
    return answers.read([(number, json.dumps(one).encode()) for number, one in enumerate(told)])


def sse(body: bytes) -> list[bytes | dict[str, Any]]:
    return [data for _, data in streams.events("sse", body)]


@pytest.mark.parametrize("name", STREAMS)
def test_the_usage_of_each_stream(name: str) -> None:
    kind, body = body_of(name)
    events = streams.events(kind, body)
    answer = answers.read(events)
    assert answer.usage == USAGES[name]
    assert answers.chars_received(events) == len(ANSWER) == 39
    assert answer.is_final
    assert not answer.is_beginning


@given(st.sampled_from(sorted(STREAMS)), st.data())
def test_however_a_stream_is_cut_it_says_the_same(name: str, data: st.DataObject) -> None:
    kind, body = body_of(name)
    pieces = cut(body, data.draw(st.lists(st.integers(0, len(body)), max_size=8)))
    observed = watched(kind, pieces)
    assert answers.read(watch._events(observed)) == answers.read(streams.events(kind, body))


def watched(kind: str, pieces: list[bytes]) -> watch.Watch:
    observed = watch.Watch(watch.Client(), watch.Asked("here", "/v1/chat/completions", None))
    observed.kind, observed.is_written = kind, True
    for piece in pieces:
        observed.hear(piece)
    return observed


@given(st.sampled_from(sorted(STREAMS)), st.data())
def test_whatever_is_left_of_a_stream_can_be_read(name: str, data: st.DataObject) -> None:
    kind, body = body_of(name)
    events = streams.events(kind, body[: data.draw(st.integers(0, len(body)))])
    answers.read(events)
    assert 0 <= answers.chars_received(events) <= 39


def test_a_stream_may_end_without_a_blank_line() -> None:
    body = b'data: {"choices":[{"delta":{"content":"a"}}]}'
    end = answers.read(streams.events("sse", body)).first_end
    assert streams.piece_at(end or 0, [len(body)]) == 0


@given(st.lists(st.integers(0, 5), min_size=1, max_size=9), st.data())
def test_a_byte_is_in_the_piece_that_brought_it(sizes: list[int], data: st.DataObject) -> None:
    if sum(sizes):
        end = data.draw(st.integers(1, sum(sizes)))
        piece = streams.piece_at(end, sizes)
        assert sum(sizes[:piece]) < end <= sum(sizes[: piece + 1])


@given(st.binary(max_size=300), st.sampled_from(["sse", "lines", "json", "frames"]))
def test_whatever_comes_can_be_read(body: bytes, kind: str) -> None:
    answers.read(streams.events(kind, body))


def test_server_sent_events_in_all_their_forms() -> None:
    assert sse(b'data: {"a":1}\n\ndata:{"b":2}\n\n') == [b'{"a":1}', b'{"b":2}']
    assert sse(b'event: x\r\ndata: {"a":\r\ndata: 1}\r\n\r\nid: 7\r\n\r\n') == [b'{"a":\n1}']
    assert sse(b': a comment\n\ndata: {"a":1}\rretry: 5\r\rdata: [DONE]\n\n') == [b'{"a":1}', b"[DONE]"]
    assert sse('data: {"a":"é"}'.encode()) == ['{"a":"é"}'.encode()]


def test_a_body_may_begin_with_a_byte_order_mark() -> None:
    assert streams.parsed(b'\xef\xbb\xbf{"usage": {}}') == {"usage": {}}


BLOCKS = (b"data: {}", b"data:[1]", b": ping", b"event: a\ndata: 1\ndata: 2", b"", b"\ndata: 3", b"data: [DONE]")


@given(st.lists(st.sampled_from(BLOCKS), max_size=6), st.booleans())
def test_from_the_end_there_are_the_same_events(blocks: list[bytes], has_an_end: bool) -> None:
    body = b"\n\n".join(blocks) + b"\n\n" * has_an_end
    events = streams.events("sse", body)
    assert [data for _, data in reversed(events)] == [data for _, data in events][::-1]


@pytest.mark.parametrize(
    "after", [b"", b": ping\n\n" * 4, b'data: {"amazon-bedrock-invocationMetrics": {"inputTokenCount": 3}}\n\n']
)
def test_a_usage_is_found_whatever_comes_after_it(after: bytes) -> None:
    text = b'data: {"choices": [{"delta": {"content": "a word"}}]}\n\n'
    told = b'data: {"usage": {"prompt_tokens": 3, "completion_tokens": 1}}\n\n'
    answer = answers.read(streams.events("sse", text * 9 + told + text * 5 + after))
    assert answer.usage == {"usage": {"prompt_tokens": 3, "completion_tokens": 1}}


def test_the_first_text_is_told_by_its_piece() -> None:
    """The pieces of Anthropic's stream: message_start, content_block_start, ping, and only then a text."""
    _, pieces = STREAMS["anthropic"]
    end = answers.read(streams.events("sse", b"".join(pieces))).first_end
    assert end == sum(map(len, pieces[:4]))
    assert streams.piece_at(end, map(len, pieces)) == 3


def test_the_last_usage_of_a_stream_holds() -> None:
    growing = [{"choices": [{"delta": {"content": "a"}}], "usage": {"prompt_tokens": 9, "completion_tokens": n}}
               for n in range(1, 60)]  # fmt: skip
    assert answer_of(*growing, "[DONE]").usage == {"usage": {"prompt_tokens": 9, "completion_tokens": 59}}


def test_a_last_chunk_with_a_choice_is_counted_once() -> None:
    """As `transformers serve` sends it: others count its usage for each choice."""
    last = {
        "choices": [{"delta": {}, "finish_reason": "length"}],
        "usage": {"prompt_tokens": 20, "completion_tokens": 40},
    }
    assert answer_of({"choices": [{"delta": {"content": "a"}}]}, last).usage == {"usage": last["usage"]}


def test_anthropics_end_adds_to_its_beginning() -> None:
    """With server tools the end has new totals of the cache, but no split: that of the beginning is kept."""
    start = {"type": "message_start", "message": {"usage": {**ANTHROPIC_USAGE, "output_tokens": 1}}}
    end = {"type": "message_delta", "usage": {"output_tokens": 300, "cache_creation_input_tokens": 2600,
                                              "cache_read_input_tokens": None}}  # fmt: skip
    assert answer_of(start, end).usage == {
        "usage": {**ANTHROPIC_USAGE, "output_tokens": 300, "cache_creation_input_tokens": 2600}
    }
    assert answer_of(start).is_beginning
    assert not answer_of(start, end).is_beginning


@pytest.mark.parametrize("kind", ["response.completed", "response.incomplete"])
def test_responses_end_in_more_than_one_way(kind: str) -> None:
    answer = answer_of({"type": "response.created", "response": {"id": "r", "usage": None}},
                       {"type": kind, "response": {"usage": {"input_tokens": 5}, "error": None}})  # fmt: skip
    assert (answer.usage, answer.response_id, answer.error, answer.is_final) == (
        {"usage": {"input_tokens": 5}}, "r", None, True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        ({"type": "error", "error": {"type": "overloaded_error", "message": "PLANTED"}}, "overloaded_error"),
        ({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "PLANTED"}}, "RESOURCE_EXHAUSTED"),
        ({"error": {"code": "rate_limit_exceeded", "type": None}}, "rate_limit_exceeded"),
        ({"error": "PLANTED, in words"}, "error"),
        ({"error": {"code": "sk-PLANTED-0123"}}, "error"),
        ({"type": "response.failed", "response": {"error": {"code": "server_error"}}}, "server_error"),
        ({"choices": [], "error": None}, None),
    ],
)
def test_of_an_error_only_its_kind(told: Any, kind: str | None) -> None:
    assert answer_of(told).error == kind


def test_only_numbers_and_known_words_of_a_usage_are_kept() -> None:
    usage = {
        "prompt_tokens": 5, "text": "PLANTED", "is_byok": False, "none": None, "service_tier": "flex",
        "ttl": "a text with spaces", "PLANTED key": 1, "list": ["PLANTED", 3, float("nan")],
        "details": [{"modality": "TEXT", "tokenCount": 4, "note": "PLANTED"}],
    }  # fmt: skip
    assert answer_of({"usage": usage}).usage == {
        "usage": {
            "prompt_tokens": 5, "is_byok": False, "none": None, "service_tier": "flex",
            "details": [{"modality": "TEXT", "tokenCount": 4}], "list": [3],
        }
    }  # fmt: skip


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        ({"cost": 0.00014}, "0.00014"),
        ({"cost": 1e-7}, "0.0000001"),
        ({"cost": {"total_cost": 0.006}}, "0.006"),
        ({"cost_in_usd_ticks": 37_756_000}, "0.0037756"),  # 10¹⁰ of them are a dollar
        ({"cost": 0}, "0"),
        ({"cost": "PLANTED"}, None),
        ({"cost": float("inf")}, None),
        ({"cost": True}, None),
        ({"prompt_tokens": 3}, None),
    ],
)
def test_what_the_provider_says_that_it_cost(usage: Any, cost: str | None) -> None:
    assert answer_of({"usage": {"prompt_tokens": 1, **usage}}).cost == cost


def test_what_a_price_depends_on() -> None:
    assert answer_of({"usage": {"service_tier": "batch", "input_tokens": 1}}).context == {
        "service_tier": "batch", "processing": "batch",
    }  # fmt: skip
    flex = {**GEMINI_USAGE, "trafficType": "ON_DEMAND_FLEX"}
    assert answer_of({"usageMetadata": flex}).context == {"service_tier": "flex"}
    assert answer_of({"usageMetadata": GEMINI_USAGE}).context == {}
    asked = {"service_tier": "auto", "speed": "fast", "web_search_options": {"search_type": "pro"}}
    assert answers.request_context(asked) == {"speed": "fast", "search_type": "pro"}


@pytest.mark.parametrize(
    ("told", "units"),
    [
        ({"message": {"content": "a"}, "done": True, "prompt_eval_count": 26, "eval_count": 290}, ("26", "290")),
        ({"content": "a", "stop": True, "tokens_evaluated": 14, "tokens_predicted": 64}, ("14", "64")),
        ({"generation": "a", "prompt_token_count": 12, "generation_token_count": 7}, ("12", "7")),
        ({"amazon-bedrock-invocationMetrics": {"inputTokenCount": 3, "outputTokenCount": 4}}, ("3", "4")),
    ],
)
def test_counts_without_a_usage(told: Any, units: tuple[str, str]) -> None:
    """Ollama, llama.cpp, and the models of Bedrock that have no usage of their own."""
    assert answer_of(*[{"content": "a"}] * 9, told, {}, {}).units == (
        ("input_tokens", units[0]),
        ("output_tokens", units[1]),
    )


def test_gemini_streams_without_events_are_a_list() -> None:
    told = [{"candidates": [], "usageMetadata": {"totalTokenCount": n}} for n in (3, 9)]
    (first, last) = streams.events("json", json.dumps(told).encode())
    assert first == (None, told[0])
    assert answers.read([first, last]).usage == {"usageMetadata": {"totalTokenCount": 9}}


def test_lines_of_json() -> None:
    body = b'{"message":{"content":"a"}}\n\n{"done":true,"prompt_eval_count":5,"eval_count":1}\n'
    events = streams.events("lines", body)
    assert [end for end, _ in events] == [28, len(body)]
    assert answers.read(events).units == (("input_tokens", "5"), ("output_tokens", "1"))


def test_a_frame_that_is_an_error() -> None:
    frame = fake_server.frame("x", {"message": "PLANTED"}).replace(b":event-type", b":exception-type")
    length = len(frame)
    headers_length = int.from_bytes(frame[4:8], "big") + len("exception") - len("event")
    frame = length.to_bytes(4, "big") + headers_length.to_bytes(4, "big") + frame[8:]
    renamed = frame.replace(b"\x0b:exception-type", b"\x0f:exception-type")
    (event,) = streams.events("frames", renamed)
    assert answers.read([event]).error == "x"


@pytest.mark.parametrize(
    ("path", "operation", "model"),
    [
        ("/v1/chat/completions", "chat", None),
        ("/openai/deployments/my-gpt/chat/completions", "chat", "my-gpt"),
        ("/v1/completions", "text_completion", None),
        ("/v1/responses", "chat", None),
        ("/v1/messages", "chat", None),
        ("/v1beta/models/gemini-2.5-pro:generateContent", "generate_content", "gemini-2.5-pro"),
        ("/v1/projects/p/locations/l/publishers/google/models/gemini-2.5-pro:streamGenerateContent", "generate_content",
         "gemini-2.5-pro"),
        ("/v1/projects/p/locations/l/publishers/anthropic/models/claude-sonnet-4-5@20250929:streamRawPredict", "chat",
         "claude-sonnet-4-5@20250929"),
        ("/v1beta/models/text-embedding-004:batchEmbedContents", "embeddings", "text-embedding-004"),
        ("/model/eu.anthropic.claude-sonnet-4-5-20250929-v1:0/converse-stream", "chat",
         "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("/model/arn:aws:bedrock:eu-west-1:1:application-inference-profile/abc/invoke", "chat",
         "arn:aws:bedrock:eu-west-1:1:application-inference-profile/abc"),
        ("/v2/rerank", "rerank", None),
        ("/v2/embed", "embeddings", None),
        ("/api/generate", "text_completion", None),
        ("/v1/images/generations", "image_generation", None),
        ("/v1/models", None, None),
        ("/v1/messages/batches", None, None),
        ("/v1/responses/resp_1/cancel", None, None),
        ("/v1beta/models/gemini-2.5-pro:countTokens", None, "gemini-2.5-pro"),
    ],
)  # fmt: skip
def test_what_a_path_asks_for(path: str, operation: str | None, model: str | None) -> None:
    assert (answers.operation_of(path), answers.model_in(path)) == (operation, model)


def test_the_length_of_texts_is_that_of_texts_alone() -> None:
    request = {
        "model": "m", "system": "abc", "tools": [{"name": "look_up", "description": "1234"}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "hello"}, {"source": {"text": "of an image"}}]},
            {"role": "assistant", "content": "yes"},
        ],
    }  # fmt: skip
    assert answers.chars_sent(request) == 3 + 4 + 5 + 3
    assert sum(map(len, WORDS)) == 39
