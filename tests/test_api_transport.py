"""What passes through our transports: unchanged to its reader, and an attempt in the journal. With httpx and httpx2."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import ssl
import sys
import threading
import zlib
from pathlib import Path
from typing import Any

import anthropic
import cohere
import httpx
import httpx2
import openai
import pytest
from fake_server import ANSWER, API_KEY, OPENAI_USAGE, PROMPT, FakeServer
from recording import events, of, python

import joulebook
from joulebook.accounting.errors import InputError
from joulebook.collectors.api import transport, watch

WITHOUT_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
LIBRARIES = {"httpx": httpx, "httpx2": httpx2}
BODY = {"model": "asked", "messages": [{"role": "user", "content": PROMPT}]}
both = pytest.mark.parametrize("library", LIBRARIES)


def client(library: str, **settings: Any) -> Any:
    return joulebook.http_client(library=library, verify=WITHOUT_TLS, **settings)


def async_client(library: str, **settings: Any) -> Any:
    return joulebook.async_http_client(library=library, verify=WITHOUT_TLS, **settings)


def answering(library: str, **answer: Any) -> Any:
    """A client whose every request is answered so, as one piece or, with `pieces`, as several."""
    module = LIBRARIES[library]
    pieces: list[bytes] = answer.pop("pieces", [])
    status = answer.pop("status", 200)

    def handler(_: Any) -> Any:
        more = {"content": iter(pieces)} if pieces else {}
        return module.Response(status, **answer, **more)

    return client(library, transport=module.MockTransport(handler))


def calls(home: Path) -> list[dict[str, Any]]:
    return of(events(home), "call") if home.exists() else []


@both
def test_what_is_read_is_what_came(home: Path, server: FakeServer, library: str) -> None:
    url = f"{server.url}/openai/v1/chat/completions"
    with LIBRARIES[library].Client(verify=WITHOUT_TLS) as bare, client(library) as ours:
        for body in (BODY, {**BODY, "stream": True, "stream_options": {"include_usage": True}}):
            with bare.stream("POST", url, json=body) as one, ours.stream("POST", url, json=body) as other:
                assert b"".join(other.iter_raw()) == b"".join(one.iter_raw())
    plain, stream = calls(home)
    assert json.loads(plain["usage_json"]) == json.loads(stream["usage_json"]) == {"usage": OPENAI_USAGE}
    assert (plain["host"], plain["path"]) == (server.url[7:], "/openai/v1/chat/completions")
    assert (plain["is_stream"], stream["is_stream"]) == (False, True)


@both
def test_asyncio(home: Path, server: FakeServer, library: str) -> None:
    async def read() -> list[bytes]:
        async with async_client(library) as ours, ours.stream("POST", url, json={**BODY, "stream": True}) as answer:
            return [piece async for piece in answer.aiter_bytes()]

    url = f"{server.url}/vllm/v1/chat/completions"
    assert b"".join(asyncio.run(read())).endswith(b"data: [DONE]\n\n")
    (call,) = calls(home)
    assert json.loads(call["usage_json"])["usage"]["completion_tokens"] == 21


@both
@pytest.mark.parametrize("is_stream", [False, True])
def test_compressed_answers_are_read_from_a_copy(home: Path, server: FakeServer, library: str, is_stream: bool) -> None:
    server.then("gzip")
    body = {**BODY, "stream": is_stream, "stream_options": {"include_usage": True}}
    with client(library) as ours, ours.stream("POST", f"{server.url}/openai/v1/chat/completions", json=body) as answer:
        raw = b"".join(answer.iter_raw())
    assert b"usage" in zlib.decompress(raw, wbits=31)
    (call,) = calls(home)
    assert (call["outcome"], json.loads(call["usage_json"])) == ("ok", {"usage": OPENAI_USAGE})
    assert not is_stream or call["first_token_s"] <= call["duration_s"]


@both
def test_a_compressed_answer_that_is_broken_costs_nothing_but_its_usage(home: Path, library: str) -> None:
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    broken = answering(library, headers=headers, pieces=[b"\x1f\x8b", b"no gzip at all"])
    with broken as ours, pytest.raises(LIBRARIES[library].DecodingError):
        ours.post("http://here/v1/chat/completions", json=BODY)
    (call,) = calls(home)
    assert (call["outcome"], "usage_json" in call) == ("aborted", False)


@both
@pytest.mark.parametrize(
    ("asked", "answer", "is_call"),
    [
        ("GET /v1/models", {"data": [], "usage": {"prompt_tokens": 1}}, False),
        ("POST /v1/files", {"id": "file-1", "bytes": 3}, False),
        ("POST /v1/messages/count_tokens", {"input_tokens": 14}, False),
        ("POST /v1/messages/batches", {"id": "batch-1"}, False),
        ("POST /v1/conversations", {"usage": {"prompt_tokens": 3, "completion_tokens": 4}}, True),
        ("POST /v1/chat/completions", {"choices": []}, True),
        ("POST /v1/moderations", {"id": "modr-1", "results": []}, True),
    ],
)
def test_only_what_a_model_was_asked_is_a_call(
    home: Path, library: str, asked: str, answer: Any, is_call: bool
) -> None:
    method, path = asked.split()
    with answering(library, json=answer) as ours:
        assert ours.request(method, f"http://here{path}").json() == answer
    assert [call["path"] for call in calls(home)] == ([path] if is_call else [])


@both
def test_files_pass_unread_and_unkept(home: Path, library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[int] = []
    finish = watch.Watch.finish
    monkeypatch.setattr(watch.Watch, "finish", lambda self: (kept.append(len(self.pieces)), finish(self)))
    headers = {"content-type": "audio/mpeg"}
    with answering(library, headers=headers, pieces=[b"sound"] * 3) as ours:
        assert (
            ours.post("http://here/v1/audio/speech", json={"model": "tts-1", "input": PROMPT}).content == b"sound" * 3
        )
    assert set(kept) == {0}
    (call,) = calls(home)
    assert (call["operation"], call["request_model"], call["outcome"]) == ("speech", "tts-1", "ok")


@both
def test_a_request_that_is_a_stream_is_not_read(home: Path, library: str) -> None:
    with answering(library, json={"text": "hello", "usage": {"input_tokens": 5, "output_tokens": 2}}) as ours:
        ours.post("http://here/v1/audio/transcriptions", files={"file": b"sound"}, data={"model": "whisper"})
    (call,) = calls(home)
    assert (call["operation"], "request_model" in call) == ("transcription", False)


@both
def test_an_answer_too_long_to_hold(home: Path, library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "MAX_HELD_BYTES", 1000)
    pieces = [b'{"padding": "', b"x" * 2000, b'", "usage": {"prompt_tokens": 3, "completion_tokens": 4}}']
    with answering(library, headers={"content-type": "application/json"}, pieces=pieces) as ours:
        assert len(ours.post("http://here/v1/chat/completions", json=BODY).content) == sum(map(len, pieces))
    (call,) = calls(home)
    assert (call["outcome"], call["error"], "usage_json" in call) == ("ok", "longer than 16 MB", False)


@both
def test_a_stream_that_is_closed_early(home: Path, server: FakeServer, library: str) -> None:
    server.then("hold")
    url = f"{server.url}/vllm/v1/chat/completions"
    with client(library) as ours, ours.stream("POST", url, json={**BODY, "stream": True}) as answer:
        lines = answer.iter_lines()
        read = "".join(next(lines) for _ in range(5))  # three events with a blank line after each but the last
    server.release()
    assert "amber" in read
    (call,) = calls(home)
    assert (call["outcome"], "usage_json" in call, call["sent_chars"]) == ("aborted", False, len(PROMPT))
    assert call["received_chars"] >= 15 + 6


@both
def test_a_stream_that_nobody_holds_any_more(home: Path, server: FakeServer, library: str) -> None:
    ours = client(library)
    answer = ours.send(ours.build_request("POST", f"{server.url}/vllm/v1/chat/completions", json=BODY), stream=True)
    assert answer.status_code == 200
    assert calls(home) == []
    del answer
    gc.collect()
    ours.close()
    (call,) = calls(home)
    assert call["outcome"] == "aborted"


@both
def test_a_stream_that_breaks_off(home: Path, server: FakeServer, library: str) -> None:
    server.then("cut")
    url = f"{server.url}/vllm/v1/chat/completions"
    with client(library) as ours, pytest.raises(LIBRARIES[library].RemoteProtocolError):
        ours.post(url, json={**BODY, "stream": True})
    (call,) = calls(home)
    assert (call["outcome"], call["error"], call["status"]) == ("aborted", "RemoteProtocolError", 200)
    assert call["received_chars"] == 15 + 6 + 7  # of eight pieces four came: the first has no text


@both
def test_a_task_that_is_cancelled(home: Path, server: FakeServer, library: str) -> None:
    async def cancelled() -> None:
        async with async_client(library) as ours:
            url = f"{server.url}/vllm/v1/chat/completions"
            work = asyncio.ensure_future(ours.post(url, json={**BODY, "stream": True}))
            while not server.asked:
                await asyncio.sleep(0.005)
            await asyncio.sleep(0.05)
            work.cancel()
            with pytest.raises(asyncio.CancelledError):
                await work

    server.then("hold")
    asyncio.run(cancelled())
    server.release()
    (call,) = calls(home)
    assert (call["outcome"], call["error"]) == ("aborted", "CancelledError")


@both
def test_no_answer_at_all(home: Path, library: str) -> None:
    with client(library) as ours, pytest.raises(LIBRARIES[library].ConnectError):
        ours.post("http://127.0.0.1:9/v1/chat/completions", json=BODY)
    (call,) = calls(home)
    assert (call["outcome"], call["error"], call["request_model"]) == ("failed", "ConnectError", "asked")


@both
def test_a_silence_is_a_timeout(home: Path, server: FakeServer, library: str) -> None:
    server.then("silent")
    with client(library, timeout=0.05) as ours, pytest.raises(LIBRARIES[library].ReadTimeout):
        ours.post(f"{server.url}/vllm/v1/chat/completions", json=BODY)
    server.release()
    (call,) = calls(home)
    assert call["outcome"] == "timeout"


@both
def test_the_same_request_soon_after_a_failure_is_its_next_attempt(
    home: Path, server: FakeServer, library: str
) -> None:
    server.then("429", "500", "plain", "429", "plain", "plain")
    with client(library) as ours:
        for body in (BODY, BODY, BODY, BODY, {**BODY, "model": "another"}, BODY):
            ours.post(f"{server.url}/openai/v1/chat/completions?key={API_KEY}", json=body)
    told = [(call["status"], call["attempt"], call["request_model"]) for call in calls(home)]
    assert told == [(429, 1, "asked"), (500, 2, "asked"), (200, 3, "asked"), (429, 1, "asked"),
                    (200, 1, "another"), (200, 2, "asked")]  # fmt: skip
    first, second, third, fourth, fifth, sixth = (call["call_id"] for call in calls(home))
    assert first == second == third
    assert fourth == sixth
    assert len({third, fourth, fifth}) == 3


@both
def test_a_failure_of_another_thread_is_another_request(home: Path, server: FakeServer, library: str) -> None:
    server.then("429", "plain")
    with client(library) as ours:
        for _ in range(2):
            asked = threading.Thread(target=ours.post, args=(f"{server.url}/openai/v1/chat/completions",),
                                     kwargs={"json": BODY})  # fmt: skip
            before = threading.active_count()
            asked.start()
            asked.join()
            assert threading.active_count() <= before + 1
    ours_too = calls(home)
    assert [call["status"] for call in ours_too] == [429, 200]


@both
def test_a_redirection_is_followed_and_only_its_end_is_a_call(home: Path, library: str) -> None:
    module = LIBRARIES[library]

    def handler(request: Any) -> Any:
        if request.url.path == "/v1/chat/completions":
            return module.Response(307, headers={"location": "http://here/eu/v1/chat/completions"})
        return module.Response(200, json={"usage": {"prompt_tokens": 3, "completion_tokens": 4}})

    with client(library, transport=module.MockTransport(handler)) as ours:
        assert ours.post("http://here/v1/chat/completions", json=BODY).status_code == 200
    (call,) = calls(home)
    assert call["path"] == "/eu/v1/chat/completions"


@both
def test_what_the_user_says_of_a_client(home: Path, server: FakeServer, library: str) -> None:
    said = {"provider": "openai", "project": "search", "tags": {"team": "nlp"}}
    with client(library, **said) as ours:
        ours.post(f"{server.url}/proxy/../openai/v1/chat/completions", json=BODY)
    (call,) = calls(home)
    assert (call["provider"], call["project"], call["tags"]) == ("openai", "search", [["team", "nlp"]])


@both
def test_a_child_that_was_forked_does_not_tell_its_parents_calls(home: Path, server: FakeServer, library: str) -> None:
    ours = client(library)
    answer = ours.send(ours.build_request("POST", f"{server.url}/vllm/v1/chat/completions", json=BODY), stream=True)
    child = os.fork()
    if child == 0:
        answer.close()
        os._exit(0)
    os.waitpid(child, 0)
    assert calls(home) == []
    answer.read()
    ours.close()
    assert len(calls(home)) == 1


def test_what_fails_in_us_does_not_fail_the_job(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("ours")

    for name in ("_events", "_which"):
        with monkeypatch.context() as patch:
            patch.setattr(watch, name, broken)
            with answering("httpx2", json={"usage": {"prompt_tokens": 3}}) as ours:
                assert ours.post("http://here/v1/chat/completions", json=BODY).json() == {"usage": {"prompt_tokens": 3}}
                patch.setenv("JOULEBOOK_STRICT", "1")
                with pytest.raises(RuntimeError, match="ours"):
                    ours.post("http://here/v1/chat/completions", json=BODY)
    assert calls(home) == []


def test_a_transport_of_ones_own_is_inside(home: Path) -> None:
    inner = httpx2.MockTransport(lambda _: httpx2.Response(200, json={"usage": {"prompt_tokens": 3}}))
    with httpx2.Client(transport=transport.transport(inner, library="httpx2")) as ours:
        ours.post("http://here/v1/chat/completions", json=BODY)
    assert len(calls(home)) == 1


def test_the_transport_of_asyncio_is_for_a_client_of_ones_own_too(home: Path) -> None:
    inner = httpx2.MockTransport(lambda _: httpx2.Response(200, json={"usage": {"prompt_tokens": 3}}))

    async def asked() -> None:
        async with httpx2.AsyncClient(transport=transport.async_transport(inner)) as ours:
            await ours.post("http://here/v1/chat/completions", json=BODY)

    asyncio.run(asked())
    assert [call["usage_json"] for call in calls(home)] == ['{"usage":{"prompt_tokens":3}}']


class Noted(Exception):
    """Ends a request with the time-outs that it was given."""


def noting(library: str) -> Any:
    def handler(request: Any) -> Any:
        raise Noted(request.extensions["timeout"])

    return client(library, transport=LIBRARIES[library].MockTransport(handler))


def timeouts(ask: Any) -> dict[str, float]:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - each SDK has its own
        ask()
    error: BaseException | None = caught.value
    while not isinstance(error, Noted):
        assert error is not None
        error = error.__cause__ or error.__context__
    return error.args[0]


def test_the_sdks_keep_their_own_time_outs(home: Path) -> None:
    """600 s to answer and 5 s to connect with OpenAI and Anthropic; Cohere's 300 s have to be said."""
    own = {"connect": 5.0, "read": 600, "write": 600, "pool": 600}
    chat = {"model": "m", "messages": BODY["messages"]}
    gpt = openai.OpenAI(api_key=API_KEY, max_retries=0, http_client=noting("httpx2"))
    assert timeouts(lambda: gpt.chat.completions.create(**chat)) == own
    claude = anthropic.Anthropic(api_key=API_KEY, max_retries=0, http_client=noting("httpx2"))
    assert timeouts(lambda: claude.messages.create(max_tokens=5, **chat)) == own
    other = cohere.ClientV2(api_key=API_KEY, timeout=300, max_retries=0, httpx_client=noting("httpx"))
    assert timeouts(lambda: other.chat(**chat)) == dict.fromkeys(own, 300)


def test_proxies_of_the_environment_hold(home: Path, server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTP_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", server.url[7:])
    with client("httpx2") as ours:
        ours.post("http://api.example/openai/v1/chat/completions", json=BODY)  # a name that nobody looks up
    assert server.asked[0][0].endswith("/openai/v1/chat/completions")
    assert calls(home)[0]["host"] == "api.example"
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost,::1,.inside,example.org,10.0.0.0/8")
    assert transport._proxies() == {
        "http://": server.url, "all://127.0.0.1": None, "all://localhost": None, "all://[::1]": None,
        "all://*.inside": None, "all://*example.org": None,
    }  # fmt: skip
    monkeypatch.setenv("no_proxy", "*")
    assert transport._proxies() == {}


def test_a_library_that_nobody_knows_is_refused() -> None:
    with pytest.raises(InputError, match="the library is 'requests', which is none of httpx2, httpx"):
        joulebook.http_client(library="requests")


def test_neither_library_is_loaded_before_it_is_asked_for() -> None:
    code = """
import sys
import joulebook
made = joulebook.http_client
print(*(name for name in ("httpx", "httpx2") if name in sys.modules))
made(library="httpx").close()
print(*(name for name in ("httpx", "httpx2") if name in sys.modules))
"""
    assert python(code).stdout.split("\n")[:2] == ["", "httpx"]


def test_the_newer_library_is_taken_where_both_are() -> None:
    with joulebook.http_client(verify=WITHOUT_TLS) as ours:
        assert isinstance(ours, httpx2.Client)
    assert ANSWER
    assert sys.modules["httpx2"] is httpx2


def test_a_key_in_an_address_is_not_kept(home: Path) -> None:
    told = [json.dumps({"id": "x", "usage": OPENAI_USAGE}).encode()]
    with answering("httpx2", headers={"content-type": "application/json"}, pieces=told) as ours:
        ours.post("http://here/v1/sk-PLANTED-0123456789/chat/completions", json=BODY)
    (call,) = calls(home)
    assert call["path"] == "/v1/(key)/chat/completions"
