"""The real SDKs against a server of this machine: what each call used, plain and streaming, with and without asyncio.

What is expected stands beside the usage that the fake server sends, stated by hand.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from pathlib import Path
from typing import Any

import anthropic
import cohere
import httpx
import httpx2
import mistralai.client
import openai
import pytest
from fake_server import ANSWER, API_KEY, EXPECTED, PROMPT, WORDS, FakeServer
from google import genai
from google.genai import types as google_types
from mistralai.client.utils import BackoffStrategy, RetryConfig
from recording import events, of

import joulebook
from joulebook.accounting import usage

MESSAGES = [{"role": "user", "content": PROMPT}]

WITHOUT_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # to load the authorities takes a client most of its time
opened: list[Any] = []


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    for client in opened:
        if not isinstance(client, httpx.AsyncClient | httpx2.AsyncClient):
            client.close()
    opened.clear()


def http(**settings: Any) -> Any:
    opened.append(joulebook.http_client(verify=WITHOUT_TLS, **settings))
    return opened[-1]


def async_http(**settings: Any) -> Any:
    opened.append(joulebook.async_http_client(verify=WITHOUT_TLS, **settings))
    return opened[-1]


def openai_client(server: FakeServer, vendor: str = "openai", **more: Any) -> openai.OpenAI:
    client = http(provider=None if vendor == "vllm" else vendor)
    return openai.OpenAI(base_url=f"{server.url}/{vendor}/v1", api_key=API_KEY, http_client=client, **more)


def openai_async(server: FakeServer) -> openai.AsyncOpenAI:
    client = async_http(provider="openai")
    return openai.AsyncOpenAI(base_url=f"{server.url}/openai/v1", api_key=API_KEY, http_client=client)


def anthropic_client(server: FakeServer) -> anthropic.Anthropic:
    client = http(provider="anthropic")
    return anthropic.Anthropic(base_url=f"{server.url}/anthropic", api_key=API_KEY, http_client=client)


def anthropic_async(server: FakeServer) -> anthropic.AsyncAnthropic:
    client = async_http(provider="anthropic")
    return anthropic.AsyncAnthropic(base_url=f"{server.url}/anthropic", api_key=API_KEY, http_client=client)


def google_client(server: FakeServer) -> genai.Client:
    options = google_types.HttpOptions(
        base_url=f"{server.url}/google",
        httpx_client=http(provider="google"),
        httpx_async_client=async_http(provider="google"),
        retry_options=google_types.HttpRetryOptions(attempts=2, initial_delay=0.001, max_delay=0.001, jitter=0.0),
    )
    return genai.Client(api_key=API_KEY, http_options=options)


def mistral_client(server: FakeServer) -> mistralai.client.Mistral:
    return mistralai.client.Mistral(
        api_key=API_KEY,
        server_url=f"{server.url}/mistral",
        client=http(provider="mistral"),
        async_client=async_http(provider="mistral"),
        retry_config=RetryConfig("backoff", BackoffStrategy(1, 1, 1.0, 10_000), retry_connection_errors=True),
    )


def cohere_client(server: FakeServer) -> cohere.ClientV2:
    client = http(library="httpx", provider="cohere", timeout=300)
    return cohere.ClientV2(api_key=API_KEY, base_url=f"{server.url}/cohere", httpx_client=client)


def cohere_async(server: FakeServer) -> cohere.AsyncClientV2:
    client = async_http(library="httpx", provider="cohere", timeout=300)
    return cohere.AsyncClientV2(api_key=API_KEY, base_url=f"{server.url}/cohere", httpx_client=client)


# One call each: a function of the server that returns the text that the job got.


def chat_of(vendor: str) -> tuple[Callable[[FakeServer], str], Callable[[FakeServer], str]]:
    def plain(server: FakeServer) -> str:
        client = openai_client(server, vendor)
        return client.chat.completions.create(model="asked", messages=MESSAGES).choices[0].message.content

    def streaming(server: FakeServer) -> str:
        options = {"stream_options": {"include_usage": True}} if vendor == "openai" else {}
        client = openai_client(server, vendor)
        chunks = client.chat.completions.create(model="asked", messages=MESSAGES, stream=True, **options)
        return joined(chunk.choices[0].delta.content for chunk in chunks if chunk.choices)

    return plain, streaming


def responses_plain(server: FakeServer) -> str:
    return openai_client(server).responses.create(model="asked", input=PROMPT).output_text


def responses_stream(server: FakeServer) -> str:
    told = openai_client(server).responses.create(model="asked", input=PROMPT, stream=True)
    return joined(event.delta for event in told if event.type == "response.output_text.delta")


def anthropic_plain(server: FakeServer) -> str:
    answer = anthropic_client(server).messages.create(model="asked", max_tokens=500, messages=MESSAGES)
    return answer.content[0].text


def anthropic_stream(server: FakeServer) -> str:
    with anthropic_client(server).messages.stream(model="asked", max_tokens=500, messages=MESSAGES) as stream:
        return joined(stream.text_stream)


def google_plain(server: FakeServer) -> str:
    return google_client(server).models.generate_content(model="asked", contents=PROMPT).text


def google_stream(server: FakeServer) -> str:
    told = google_client(server).models.generate_content_stream(model="asked", contents=PROMPT)
    return joined(chunk.text for chunk in told)


def mistral_plain(server: FakeServer) -> str:
    return mistral_client(server).chat.complete(model="asked", messages=MESSAGES).choices[0].message.content


def mistral_stream(server: FakeServer) -> str:
    with mistral_client(server).chat.stream(model="asked", messages=MESSAGES) as stream:
        return joined(event.data.choices[0].delta.content for event in stream)


def cohere_plain(server: FakeServer) -> str:
    return cohere_client(server).chat(model="asked", messages=MESSAGES).message.content[0].text


def cohere_stream(server: FakeServer) -> str:
    told = cohere_client(server).chat_stream(model="asked", messages=MESSAGES)
    return joined(event.delta.message.content.text for event in told if event.type == "content-delta")


async def openai_async_plain(server: FakeServer) -> str:
    answer = await openai_async(server).chat.completions.create(model="asked", messages=MESSAGES)
    return answer.choices[0].message.content


async def openai_async_stream(server: FakeServer) -> str:
    options = {"stream_options": {"include_usage": True}}
    told = await openai_async(server).chat.completions.create(model="asked", messages=MESSAGES, stream=True, **options)
    return joined([chunk.choices[0].delta.content async for chunk in told if chunk.choices])


async def anthropic_async_plain(server: FakeServer) -> str:
    answer = await anthropic_async(server).messages.create(model="asked", max_tokens=500, messages=MESSAGES)
    return answer.content[0].text


async def anthropic_async_stream(server: FakeServer) -> str:
    async with anthropic_async(server).messages.stream(model="asked", max_tokens=500, messages=MESSAGES) as stream:
        return joined([text async for text in stream.text_stream])


async def google_async_plain(server: FakeServer) -> str:
    return (await google_client(server).aio.models.generate_content(model="asked", contents=PROMPT)).text


async def google_async_stream(server: FakeServer) -> str:
    told = await google_client(server).aio.models.generate_content_stream(model="asked", contents=PROMPT)
    return joined([chunk.text async for chunk in told])


async def mistral_async_plain(server: FakeServer) -> str:
    answer = await mistral_client(server).chat.complete_async(model="asked", messages=MESSAGES)
    return answer.choices[0].message.content


async def mistral_async_stream(server: FakeServer) -> str:
    stream = await mistral_client(server).chat.stream_async(model="asked", messages=MESSAGES)
    return joined([event.data.choices[0].delta.content async for event in stream])


async def cohere_async_plain(server: FakeServer) -> str:
    return (await cohere_async(server).chat(model="asked", messages=MESSAGES)).message.content[0].text


async def cohere_async_stream(server: FakeServer) -> str:
    told: AsyncIterator[Any] = cohere_async(server).chat_stream(model="asked", messages=MESSAGES)
    return joined([event.delta.message.content.text async for event in told if event.type == "content-delta"])


def joined(texts: Iterable[str | None]) -> str:
    return "".join(text or "" for text in texts)


PLAIN: list[tuple[str, Callable[[FakeServer], Any]]] = [
    ("openai chat", chat_of("openai")[0]), ("deepseek", chat_of("deepseek")[0]), ("vllm", chat_of("vllm")[0]),
    ("openai responses", responses_plain), ("anthropic", anthropic_plain), ("google", google_plain),
    ("mistral", mistral_plain), ("cohere", cohere_plain), ("openai chat", openai_async_plain),
    ("anthropic", anthropic_async_plain), ("google", google_async_plain), ("mistral", mistral_async_plain),
    ("cohere", cohere_async_plain),
]  # fmt: skip
STREAMS: list[tuple[str, Callable[[FakeServer], Any]]] = [
    ("openai chat", chat_of("openai")[1]), ("deepseek", chat_of("deepseek")[1]), ("vllm", chat_of("vllm")[1]),
    ("openai responses", responses_stream), ("anthropic", anthropic_stream), ("google", google_stream),
    ("mistral", mistral_stream), ("cohere", cohere_stream), ("openai chat", openai_async_stream),
    ("anthropic", anthropic_async_stream), ("google", google_async_stream), ("mistral", mistral_async_stream),
    ("cohere", cohere_async_stream),
]  # fmt: skip


def done(work: Callable[[FakeServer], Any], server: FakeServer) -> str:
    answer = work(server)
    return asyncio.run(closing(answer)) if asyncio.iscoroutine(answer) else answer


async def closing(work: Coroutine[Any, Any, Any]) -> Any:
    """Runs it and closes the clients that it opened, in their own loop."""
    try:
        return await work
    finally:
        for client in opened:
            if isinstance(client, httpx.AsyncClient | httpx2.AsyncClient):
                await client.aclose()


def only_call(home: Path) -> dict[str, Any]:
    (call,) = of(events(home), "call")
    return call


def buckets(call: dict[str, Any]) -> dict[str, float]:
    return usage.disjoint(usage.reported(json.loads(call["usage_json"]), call.get("provider"), call["path"]))


def named(cases: list[tuple[str, Any]]) -> list[str]:
    return [f"{name}-{'async' if asyncio.iscoroutinefunction(work) else 'sync'}" for name, work in cases]


@pytest.mark.parametrize(("name", "work"), PLAIN, ids=named(PLAIN))
def test_a_plain_call_of_each_sdk(home: Path, server: FakeServer, name: str, work: Any) -> None:
    assert done(work, server) == ANSWER
    call = only_call(home)
    assert (call["outcome"], call["status"], call["attempt"], call["is_stream"]) == ("ok", 200, 1, False)
    assert call["request_model"] == "asked"
    assert buckets(call) == EXPECTED[name]
    assert call["sent_chars"] == len(PROMPT)
    assert "received_chars" not in call


@pytest.mark.parametrize(("name", "work"), STREAMS, ids=named(STREAMS))
def test_a_stream_of_each_sdk_says_the_same(home: Path, server: FakeServer, name: str, work: Any) -> None:
    assert done(work, server) == ANSWER
    call = only_call(home)
    assert (call["outcome"], call["status"], call["attempt"], call["is_stream"]) == ("ok", 200, 1, True)
    assert buckets(call) == EXPECTED[name]
    assert 0 < call["first_token_s"] <= call["duration_s"]
    assert call["gap_p50_s"] <= call["gap_p95_s"] <= call["gap_max_s"]


# Where there may be none; Anthropic and OpenAI's responses always say it.
SILENT = [case for case in STREAMS if case[0] not in ("openai responses", "anthropic")]


@pytest.mark.parametrize(("name", "work"), SILENT, ids=named(SILENT))
def test_a_stream_without_usage_has_the_length_of_its_texts(
    home: Path, server: FakeServer, name: str, work: Any
) -> None:
    server.then("no usage")
    assert done(work, server) == ANSWER
    call = only_call(home)
    assert call["outcome"] == "ok"
    assert "usage_json" not in call
    assert (call["sent_chars"], call["received_chars"]) == (len(PROMPT), len(ANSWER)) == (29, 39)


def test_embeddings(home: Path, server: FakeServer) -> None:
    answer = openai_client(server).embeddings.create(model="text-embedding-3-small", input=PROMPT)
    assert answer.data[0].embedding == [0.25, -0.5]
    call = only_call(home)
    assert (call["operation"], buckets(call)) == ("embeddings", EXPECTED["openai embeddings"])


def test_what_a_price_depends_on(home: Path, server: FakeServer) -> None:
    openai_client(server).chat.completions.create(model="asked", messages=MESSAGES, service_tier="auto")
    anthropic_stream(server)
    chat, message = of(events(home), "call")
    assert chat["context"] == [["service_tier", "flex"]]
    assert message["context"] == [["inference_geo", "us"], ["service_tier", "priority"], ["speed", "fast"]]
    assert (chat["response_model"], chat["response_id"]) == ("gpt-4o-2024-08-06", "chat-1")
    assert (message["response_model"], message["response_id"]) == ("claude-sonnet-4-5-20250929", "msg_1")


RETRYING = [
    ("openai", chat_of("openai")[0]), ("openai stream", chat_of("openai")[1]), ("anthropic", anthropic_plain),
    ("google", google_plain), ("mistral", mistral_plain), ("cohere", cohere_plain), ("openai", openai_async_plain),
    ("google", google_async_plain), ("mistral", mistral_async_plain), ("cohere", cohere_async_plain),
]  # fmt: skip


@pytest.mark.parametrize(("name", "work"), RETRYING, ids=named(RETRYING))
def test_each_attempt_is_a_call_and_they_share_an_id(home: Path, server: FakeServer, name: str, work: Any) -> None:
    server.then("429")
    assert done(work, server) == ANSWER
    refused, answered = of(events(home), "call")
    assert (refused["outcome"], refused["status"], refused["attempt"]) == ("error", 429, 1)
    assert (answered["outcome"], answered["status"], answered["attempt"]) == ("ok", 200, 2)
    assert refused["call_id"] == answered["call_id"]
    assert "usage_json" not in refused


def test_retries_that_fail_are_all_there(home: Path, server: FakeServer) -> None:
    server.then("429", "500", "429", "plain")
    client = openai_client(server, max_retries=2)
    with pytest.raises(openai.RateLimitError):
        client.chat.completions.create(model="asked", messages=MESSAGES)
    client.chat.completions.create(model="asked", messages=MESSAGES)  # the user's own next call is another one
    calls = of(events(home), "call")
    assert [(call["status"], call["attempt"]) for call in calls] == [(429, 1), (500, 2), (429, 3), (200, 1)]
    assert [call.get("error") for call in calls] == ["requests", "server_error", "requests", None]
    assert len({call["call_id"] for call in calls}) == 2


def test_with_raw_response(home: Path, server: FakeServer) -> None:
    raw = openai_client(server).chat.completions.with_raw_response.create(model="asked", messages=MESSAGES)
    assert raw.headers["x-planted"] == "PLANTED-HEADER"
    assert raw.parse().choices[0].message.content == ANSWER
    assert buckets(only_call(home)) == EXPECTED["openai chat"]


def test_a_stream_left_by_its_reader_is_a_call_with_what_is_known(home: Path, server: FakeServer) -> None:
    """OpenAI had said nothing yet, so the texts are measured: of eight events four came, with three words."""
    server.then("hold")
    client = openai_client(server)
    told = client.chat.completions.create(model="asked", messages=MESSAGES, stream=True)
    words = [next(told).choices[0].delta.content for _ in range(4)]
    assert words == ["", *WORDS[:3]]
    told.close()
    server.release()
    call = only_call(home)
    assert (call["outcome"], call["is_stream"]) == ("aborted", True)
    assert "usage_json" not in call
    assert (call["sent_chars"], call["received_chars"]) == (29, 15 + 6 + 7)


def test_anthropic_has_said_before_a_stream_is_left_what_went_in(home: Path, server: FakeServer) -> None:
    """Its input is known, its output is not: `message_start` says 1. Of eleven events five came: two words."""
    server.then("hold")
    with anthropic_client(server).messages.stream(model="asked", max_tokens=500, messages=MESSAGES) as stream:
        texts = stream.text_stream
        assert [next(texts) for _ in range(2)] == list(WORDS[:2])
    server.release()
    call = only_call(home)
    assert (call["outcome"], call["method"], call["received_chars"]) == ("aborted", "modelled", 15 + 6)
    assert json.loads(call["usage_json"])["usage"]["cache_creation_input_tokens"] == 2000


def test_an_answer_that_is_none(home: Path, server: FakeServer) -> None:
    server.then("malformed")
    answer = openai_client(server).chat.completions.create(model="asked", messages=MESSAGES)
    assert isinstance(answer, str)  # what the SDK makes of it
    call = only_call(home)
    assert (call["outcome"], call["status"]) == ("malformed", 200)


def test_a_timeout_is_one(home: Path, server: FakeServer) -> None:
    server.then("silent")
    with pytest.raises(openai.APITimeoutError):
        openai_client(server, max_retries=0, timeout=0.05).chat.completions.create(model="asked", messages=MESSAGES)
    server.release()
    call = only_call(home)
    assert (call["outcome"], call["error"]) == ("timeout", "ReadTimeout")
    assert "status" not in call


def test_a_call_belongs_to_the_span_in_which_it_began(home: Path, server: FakeServer) -> None:
    with joulebook.track("agent", project="search"):
        told = openai_client(server).chat.completions.create(model="asked", messages=MESSAGES, stream=True)
    joined(chunk.choices[0].delta.content for chunk in told)
    found = events(home)
    call, (start,) = of(found, "call")[0], of(found, "span_start")
    assert (call["run_id"], call["span_id"]) == (start["run_id"], start["span_id"])


def test_calls_of_tasks_at_once_are_told_apart(home: Path, server: FakeServer) -> None:
    async def all_at_once() -> list[str]:
        client = openai_async(server)
        asked = [client.chat.completions.create(model=f"model-{n}", messages=MESSAGES) for n in range(8)]
        return [answer.choices[0].message.content for answer in await asyncio.gather(*asked)]

    assert asyncio.run(closing(all_at_once())) == [ANSWER] * 8
    calls = of(events(home), "call")
    assert sorted(call["request_model"] for call in calls) == [f"model-{n}" for n in range(8)]
    assert len({call["call_id"] for call in calls}) == 8


def test_the_request_is_sent_as_the_sdk_made_it(server: FakeServer) -> None:
    chat_of("vllm")[1](server)
    ((path, body),) = server.asked
    assert (path, body) == ("/vllm/v1/chat/completions", {"model": "asked", "messages": MESSAGES, "stream": True})


SYNC = [case for case in (*PLAIN, *STREAMS) if not asyncio.iscoroutinefunction(case[1])]
SECRETS = ("PLANTED", "giraffe", "walrus", "sk-", "hotel")


@pytest.mark.parametrize(("name", "work"), SYNC, ids=named(SYNC))
def test_no_prompt_no_answer_no_header_and_no_key_is_written(
    home: Path, server: FakeServer, name: str, work: Any
) -> None:
    server.then("429", "plain", "no usage")
    for _ in range(2):  # those that do not retry fail once
        with contextlib.suppress(Exception):  # an SDK that does not retry
            done(work, server)
    for path in home.rglob("*"):
        text = path.read_bytes() if path.is_file() else b""
        assert [secret for secret in SECRETS if secret.encode() in text] == [], path
    assert len(of(events(home), "call")) >= 2
