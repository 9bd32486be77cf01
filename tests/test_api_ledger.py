"""From the wire to the ledger: what an observed call counts as, what is estimated and says so, and nothing secret."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fake_server import API_KEY, PROMPT, FakeServer

import joulebook
from joulebook.accounting.ledger import open_ledger
from joulebook.accounting.ledger.ingestion import ingest

BODY = {"model": "asked", "messages": [{"role": "user", "content": PROMPT}]}
SECRETS = ("PLANTED", "giraffe", "walrus", "sk-", "hotel")
WITHOUT_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
PATHS = {"openai": "v1/chat/completions", "anthropic": "v1/messages", "vllm": "v1/chat/completions"}


def ask(server: FakeServer, vendor: str, events: int | None = None, **body: Any) -> None:
    """Asks and reads the answer: all of it, or so many of its events."""
    provider = None if vendor == "vllm" else vendor
    url = f"{server.url}/{vendor}/{PATHS[vendor]}?key={API_KEY}"
    headers = {"authorization": f"Bearer {API_KEY}"}
    client = joulebook.http_client(provider=provider, verify=WITHOUT_TLS, timeout=0.5)
    with client, client.stream("POST", url, json={**BODY, **body}, headers=headers) as answer:
        for line in answer.iter_lines():
            events = None if events is None else events - line.startswith("data:")
            if events == 0:
                break
    server.release()


def told(home: Path, columns: str) -> list[tuple[Any, ...]]:
    ingest(home)
    rows = open_ledger(home).rows(f"select {columns} from api_call order by started_at_utc")
    return [tuple(row.values()) for row in rows]


def test_a_call_and_its_retries(home: Path, server: FakeServer) -> None:
    """1,200 in, of which 1,024 cached; 300 out, of which 128 reasoning. The refused attempt used nothing."""
    server.then("429", "plain")
    for _ in range(2):
        ask(server, "openai")
    tokens = "input_tokens, cache_read_tokens, output_tokens, reasoning_tokens"
    assert told(home, f"attempt, outcome, {tokens}, usage_method") == [
        (1, "error", None, None, None, None, "unknown"),
        (2, "ok", 1200, 1024, 300, 128, "measured"),
    ]
    assert len(set(told(home, "call_id"))) == 1


def test_a_stream_without_usage_is_estimated_and_says_so(home: Path, server: FakeServer) -> None:
    """29 and 39 characters, four a token: 7.25 and 9.75."""
    server.then("no usage")
    ask(server, "vllm", stream=True)
    ((into, out, method, reason),) = told(home, "input_tokens, output_tokens, usage_method, usage_reason")
    assert (into, out, method) == (7.25, 9.75, "modelled")
    assert "length of the texts" in reason


def test_a_stream_that_was_left_is_estimated_from_what_came(home: Path, server: FakeServer) -> None:
    """Four of eight pieces of the one: 28 characters, 7 tokens. Five of eleven of the other: its input is known."""
    server.then("hold", "hold")
    ask(server, "vllm", events=4, stream=True)
    server.released.clear()
    ask(server, "anthropic", events=5, stream=True)
    other, claude = told(home, "outcome, input_tokens, cache_write_tokens, output_tokens, usage_method")
    assert other == ("aborted", 7.25, None, 7, "modelled")
    assert claude == ("aborted", 10_050, 2000, 21 / 4, "modelled")


def test_what_was_not_answered_is_unknown_and_not_zero(home: Path, server: FakeServer) -> None:
    server.then("malformed", "silent")
    ask(server, "openai")
    with pytest.raises(httpx2.ReadTimeout):
        ask(server, "openai")
    server.release()
    assert told(home, "outcome, output_tokens, usage_method, usage_reason") == [
        ("malformed", None, "unknown", "no usage was reported (malformed)"),
        ("timeout", None, "unknown", "no usage was reported (timeout, ReadTimeout)"),
    ]


def test_nothing_secret_reaches_the_ledger(home: Path, server: FakeServer) -> None:
    for mode in ("429", "plain", "no usage", "malformed"):
        server.then(mode)
        ask(server, "openai", stream=mode == "no usage")
    assert len(told(home, "call_id")) == 4
    for path in home.rglob("*"):
        text = path.read_bytes() if path.is_file() else b""
        assert [secret for secret in SECRETS if secret.encode() in text] == [], path
