"""A server that speaks OpenAI's chat API, asked one request at a time, streaming, so that the first token is timed.

How many tokens a prompt has is what the server says it had: the first answers tell how many words make a token here.
The answer is kept at its length with `ignore_eos`, which vLLM and SGLang know; a server that refuses it is asked
without, and answers that end early do not count. Every prompt begins differently, or a cache would answer.

Nothing of the prompts, the answers and the key is kept. The key is read from an environment variable that the user
names, and from nowhere else.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from ipaddress import ip_address
from typing import Any
from urllib.parse import SplitResult, urlsplit

from joulebook.accounting.errors import InputError, NotFound
from joulebook.collectors.probe import About, Answer

TIMEOUT_S = 600.0
TRIES = 4
WAIT_S = 2.0  # before a second try, then twice that
WORDS = ("river", "stone", "light", "paper", "north", "green", "table", "seven", "music", "field", "water", "round")
KEPT_LONG = {"ignore_eos": True}


class Endpoint:
    """A model behind an address such as http://127.0.0.1:8000/v1."""

    def __init__(self, url: str, model: str, key_variable: str | None = None, seed: int | None = None) -> None:
        """Raises InputError for what is no address, or where the variable is not set."""
        self._url = _split(url)
        self._model = model
        self._headers = {"Content-Type": "application/json", "User-Agent": "joulebook calibrate"}
        if key_variable is not None:
            key = os.environ.get(key_variable)
            if not key:
                raise InputError(f"the environment variable {key_variable}, which is to hold the key, is not set")
            self._headers["Authorization"] = f"Bearer {key}"
        self._lot = random.Random(seed)  # noqa: S311 - words, not a secret
        self._words: tuple[float, float] | None = None  # per token, and tokens beside them; measured when first asked
        self._extra: dict[str, Any] = dict(KEPT_LONG)

    def about(self) -> About:
        where = "here" if _is_loopback(self._url.hostname or "") else "elsewhere"
        return About(self._model, "", None, f"server at {self._url.netloc}", {}, where=where)

    def ask(self, prompt_tokens: int, output_tokens: int) -> Answer:
        self._words = self._words or self._measured_words()
        per_token, beside = self._words
        answer = self._ask_words(max(1, round((prompt_tokens - beside) * per_token)), output_tokens)
        if not answer.left_out and answer.output_tokens != output_tokens:
            return answer._replace(left_out=f"ended early or late, after {answer.output_tokens} tokens")
        return answer

    def _measured_words(self) -> tuple[float, float]:
        """How many words a token is, and how many tokens the server counts beside them."""
        few, many = (self._ask_words(count, 1) for count in (20, 220))
        if few.left_out or many.left_out or many.prompt_tokens <= few.prompt_tokens:
            raise NotFound(f"{self._url.geturl()} does not say how many tokens a prompt had: {few.left_out or 'usage'}")
        per_token = 200 / (many.prompt_tokens - few.prompt_tokens)
        return per_token, max(0.0, few.prompt_tokens - 20 / per_token)

    def _ask_words(self, words: int, output_tokens: int) -> Answer:
        prompt = " ".join([str(self._lot.randrange(10**6)), *self._lot.choices(WORDS, k=words - 1)])
        asked = {"model": self._model, "messages": [{"role": "user", "content": prompt}], "max_tokens": output_tokens,
                 "temperature": 0, "stream": True, "stream_options": {"include_usage": True}}  # fmt: skip
        status = 0
        for attempt in range(TRIES):
            status, answer = self._send(asked | self._extra, len(prompt))
            if answer is not None:
                return answer
            if status == 400 and self._extra:
                self._extra = {}  # it does not know that word
            elif status in (429, 500, 502, 503):
                time.sleep(WAIT_S * 2**attempt)
            else:
                raise NotFound(f"{self._url.geturl()} answers with HTTP {status}; is {self._model!r} a model of it?")
        return Answer(0, 0, 0.0, left_out=f"turned away with HTTP {status}")

    def _send(self, asked: dict[str, Any], chars: int) -> tuple[int, Answer | None]:
        """The status, and where it is 200 the answer."""
        kind = HTTPSConnection if self._url.scheme == "https" else HTTPConnection
        try:
            with closing(kind(self._url.hostname or "", self._url.port, timeout=TIMEOUT_S)) as connection:
                connection.connect()
                began_s = time.perf_counter()
                connection.request("POST", f"{self._url.path}/chat/completions", json.dumps(asked), self._headers)
                response = connection.getresponse()
                return response.status, _read(response, began_s, chars) if response.status == 200 else None
        except (OSError, HTTPException) as error:
            raise NotFound(f"{self._url.geturl()} cannot be asked: {error}") from error
        except (ValueError, TypeError, AttributeError, LookupError) as error:
            raise NotFound(f"{self._url.geturl()} does not stream the events of a chat: {error}") from error


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _split(url: str) -> SplitResult:
    try:
        found = urlsplit(url.rstrip("/"))
        if found.scheme in ("http", "https") and found.hostname and found.port != 0 and found.username is None:
            return found
    except ValueError:  # a port that is none
        pass
    raise InputError("the endpoint must be an address such as http://127.0.0.1:8000/v1, without a name or key in it")


def _read(response: HTTPResponse, began_s: float, chars: int) -> Answer:
    """What a stream of events told: the first piece of text, the last usage."""
    first_s, text, usage = None, 0, dict[str, Any]()
    for event in _events(response):
        piece = _text_of(event)
        if piece and first_s is None:
            first_s = time.perf_counter() - began_s
        text += len(piece)
        usage = event.get("usage") or usage
    runtime_s = time.perf_counter() - began_s
    prompt, output = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if not (isinstance(prompt, int) and isinstance(output, int)):
        return Answer(0, 0, runtime_s, left_out="no usage in the answer")
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    why = "a part of the prompt came from a cache" if cached * 10 > prompt else ""
    return Answer(prompt, output, runtime_s, first_s, chars, text, why)


def _text_of(event: dict[str, Any]) -> str:
    choices = event.get("choices") or [{}]
    delta = choices[0].get("delta") or {}
    return str(delta.get("content") or delta.get("reasoning_content") or delta.get("reasoning") or "")


def _events(response: HTTPResponse) -> Iterator[dict[str, Any]]:
    for line in response:
        data = line.decode("utf-8", "replace").strip().removeprefix("data:").strip()
        if data.startswith("{"):
            yield json.loads(data)
