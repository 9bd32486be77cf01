"""One attempt under way: what was sent, what comes back, and at the end its line in the journal.

    Watch(…) ─> teed: its pieces, and when they came ─> finish: the answer is read, once ─> a `call`

While an answer comes, a piece costs two appends. The body is a copy of what the job gets; it is read when it is over,
and dropped. Of the request only the body is held, as long as the answer takes.

The attempts of one request share their call_id: those that the SDK numbers (`x-stainless-retry-count`), and those that
send the same body to the same address, from the same thread or task, soon after one that failed.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Reversible, Sequence
from functools import lru_cache
from operator import sub
from typing import Any, NamedTuple

from joulebook.accounting.records import uuid7
from joulebook.collectors import sampler
from joulebook.collectors.api import answers, streams
from joulebook.collectors.api.record import write_call
from joulebook.collectors.track import _strand, span_around

MAX_HELD_BYTES = 16_000_000
PARSED = "parsed"  # a body whose events the SDK has parsed already
TOO_LONG = "longer than 16 MB"
RETRY_WITHIN_S = 180.0
MAX_REMEMBERED = 256
RETRIED = (408, 409, 429)  # and from 500
Json = dict[str, Any]
Decode = Callable[[Sequence[bytes], str], Iterator[tuple[int, bytes]]]


class Client(NamedTuple):
    """What a call is recorded with, whatever it is: who observed it, and what the user said of the client."""

    source: str = "http"
    provider: str | None = None
    project: str | None = None
    tags: tuple[tuple[str, str], ...] = ()


class Asked(NamedTuple):
    """Where a request goes, without what stands after a `?`, and its body, where that is no stream."""

    host: str
    path: str
    body: bytes | None
    retry: str | None = None  # how often the SDK says that it has tried already


class Try(NamedTuple):
    """Which attempt of which request it is."""

    call_id: str
    number: int


# What stands in an address, and is a key: some gateways want it there.
_KEYS = re.compile(r"(?<=/)(?:sk-|gsk_|xai-|hf_|pplx-|AIza)[^/]{8,}")
_failed: dict[tuple[Any, ...], tuple[float, Try]] = {}  # when, and which


class Watch:
    """An attempt. `finish` writes it, once; in a forked child it is the parent's business."""

    def __init__(self, client: Client, asked: Asked, which: Try | None = None) -> None:
        self.pid = os.getpid()
        self.client, self.asked = client, asked
        self.which = which or _which(asked)
        self.is_guessed = which is None  # which attempt it is
        self.recorder = sampler.writer()
        self.span = span_around(self.recorder)
        self.status: int | None = None
        self.kind: str | None = None  # of the body: how it is taken apart
        self.counts: tuple[tuple[str, str], ...] = ()  # what the headers say
        self.encoding = ""
        self.decode: Decode | None = None
        self.pieces: list[Any] = []
        self.times: list[float] = []
        self.room = MAX_HELD_BYTES
        self.error: BaseException | None = None
        self.is_ended = False
        self.is_written = False
        self.started_ns = time.time_ns()
        self.started_s = time.perf_counter()

    def hear(self, piece: bytes) -> None:
        """A piece of the body has come."""
        self.times.append(time.perf_counter())
        if self.kind is not None:
            self.room -= len(piece)
            self.pieces.append(piece)
            if self.room < 0:
                self.pieces = []

    def end(self) -> None:
        """All of the answer has come."""
        self.is_ended = True
        self.finish()

    def broke(self, error: BaseException) -> None:
        """There will be no more of the answer."""
        self.error = error
        self.finish()

    def finish(self) -> None:
        """It is over, or was left by who reads it."""
        if not self.is_written and self.pid == os.getpid():
            self.is_written = True
            sampler.attempt("call", None, _write, self, time.perf_counter())


def teed(pieces: Iterable[Any], watch: Watch) -> Iterator[Any]:
    """The pieces of a body, on their way to who reads it. Who leaves it in the middle closes it, or drops it."""
    try:
        for piece in pieces:
            watch.hear(piece)
            yield piece
    except GeneratorExit:
        raise
    except BaseException as error:
        watch.broke(error)
        raise
    watch.end()


async def teed_async(pieces: AsyncIterable[Any], watch: Watch) -> AsyncIterator[Any]:
    """The same for asyncio."""
    try:
        async for piece in pieces:
            watch.hear(piece)
            yield piece
    except GeneratorExit:
        raise
    except BaseException as error:
        watch.broke(error)
        raise
    watch.end()


def _write(watch: Watch, ended_s: float) -> None:
    events = _events(watch)
    answer = answers.read(events, (watch.status or 0) >= 400)
    request = streams.parsed(watch.asked.body or b"") or {}
    outcome = _outcome(watch, answer, answers.operation_of(watch.asked.path))
    if _is_call(watch, answer):
        told = _of_request(watch, request) | _of_answer(watch, answer, request) | _of_time(watch, answer, ended_s)
        write_call(told | _of_texts(watch, answer, request, events) | {"outcome": outcome}, watch.recorder)
    _remember(watch, outcome)
    watch.pieces = []


def _events(watch: Watch) -> Reversible[streams.Event]:
    if watch.kind is None or watch.room < 0:
        return []
    if watch.kind == PARSED:
        return [(number, streams.of_botocore(piece)) for number, piece in enumerate(watch.pieces)]
    if watch.encoding and watch.decode is not None:
        watch.pieces = _decoded(watch.decode(watch.pieces, watch.encoding), len(watch.pieces))
    return streams.events(watch.kind, b"".join(watch.pieces))


def _decoded(told: Iterator[tuple[int, bytes]], count: int) -> list[bytes]:
    """What each of the pieces was before it was compressed. That may be of any length: no more than may be held."""
    pieces, room = [b""] * count, MAX_HELD_BYTES
    for number, data in told:
        room -= len(data)
        if room < 0:
            break
        pieces[number] += data
    return pieces


def _is_call(watch: Watch, answer: answers.Answer) -> bool:
    """Whether a model was asked for something; a redirection leads to another attempt."""
    if watch.status is not None and 300 <= watch.status < 400:
        return False
    is_known = answers.operation_of(watch.asked.path) is not None
    return is_known or answer.usage is not None or bool(answer.units or watch.counts)


def _outcome(watch: Watch, answer: answers.Answer, operation: str | None) -> str:
    if watch.error is not None and not watch.is_ended:
        return _of_error(watch)
    if (watch.status or 0) >= 400 or answer.error:
        return "error"
    if not watch.is_ended and not answer.is_final:
        return "aborted"
    is_json = operation not in (None, *answers.NOT_JSON)
    return "malformed" if is_json and not answer.is_readable and watch.room >= 0 else "ok"


def _of_error(watch: Watch) -> str:
    names = [kind.__name__ for kind in type(watch.error).__mro__]
    if any("Timeout" in name for name in names):
        return "timeout"
    is_left = watch.status is not None or not isinstance(watch.error, Exception)
    return "aborted" if is_left else "failed"


def _of_request(watch: Watch, request: Json) -> Json:
    asked, client = watch.asked, watch.client
    span = watch.span
    return {
        "call_id": watch.which.call_id,
        "attempt": watch.which.number,
        "run_id": None if span is None else span.run_id,
        "span_id": None if span is None else span.span_id,
        "source": client.source,
        "provider": client.provider,
        "project": client.project,
        "tags": [list(pair) for pair in client.tags],
        "host": asked.host,
        "path": _shown(asked.path),
        "operation": answers.operation_of(asked.path),
        "request_model": answers.name_of(request) or answers.model_in(asked.path),
        "is_stream": watch.kind in ("sse", "lines", "frames", PARSED) or _is_stream(asked, request),
    }


@lru_cache(maxsize=256)
def _shown(path: str) -> str:
    """A path without the keys in it."""
    return _KEYS.sub("(key)", path)


def _is_stream(asked: Asked, request: Json) -> bool:
    return request.get("stream") is True or ":stream" in asked.path or asked.path.endswith("-stream")


def _of_answer(watch: Watch, answer: answers.Answer, request: Json) -> Json:
    context = answers.request_context(request) | dict(answer.context)
    units = () if answer.usage else answer.units or watch.counts
    is_estimate = not watch.is_ended and not answer.is_final and bool(answer.usage or units)
    return {
        "status": watch.status,
        "error": _error(watch, answer),
        "response_model": answer.model,
        "response_id": answer.response_id,
        "usage_json": answers.as_text(answer.usage),
        "units": [list(pair) for pair in units],
        "method": "modelled" if is_estimate else "measured" if units else None,
        "context": [list(pair) for pair in sorted(context.items())],
        "cost": answer.cost,
        "currency": answer.cost and "USD",
    }


def _error(watch: Watch, answer: answers.Answer) -> str | None:
    if watch.error is not None and not watch.is_ended:
        return type(watch.error).__name__
    if watch.room < 0:
        return TOO_LONG
    return answer.error


def _of_texts(watch: Watch, answer: answers.Answer, request: Json, events: Iterable[streams.Event]) -> Json:
    """The length of the texts: of what was sent, and of what came where its tokens are not known."""
    if (watch.status or 400) >= 400:
        return {}
    sent = {"sent_chars": answers.chars_sent(request)}
    if answer.units or watch.counts:
        return sent
    if answer.usage is not None and not (answer.is_beginning and not watch.is_ended):
        return sent
    return {**sent, "received_chars": answers.chars_received(events)}


def _of_time(watch: Watch, answer: answers.Answer, ended_s: float) -> Json:
    told: Json = {"started_ns": watch.started_ns, "duration_s": round(ended_s - watch.started_s, 6)}
    if watch.kind not in (None, "json"):
        told["chunks"] = len(watch.times)
        if answer.first_end is not None:
            told["first_token_s"] = round(watch.times[_piece_at(watch, answer.first_end)] - watch.started_s, 6)
        told |= _gaps(watch.times)
    return told


def _piece_at(watch: Watch, end: int) -> int:
    return end if watch.kind == PARSED else streams.piece_at(end, map(len, watch.pieces))


def _gaps(times: Sequence[float]) -> dict[str, float]:
    """The time between two pieces: median, 95th percentile (nearest rank) and longest."""
    gaps = sorted(map(sub, times[1:], times))
    if not gaps:
        return {}
    at = {"gap_p50_s": (len(gaps) + 1) // 2, "gap_p95_s": -(-95 * len(gaps) // 100), "gap_max_s": len(gaps)}
    return {name: round(gaps[rank - 1], 6) for name, rank in at.items()}


def _which(asked: Asked) -> Try:
    """A new request, or the next attempt of one that failed."""
    told = int(asked.retry) if asked.retry is not None and asked.retry.isdecimal() else None
    before = _failed.pop(_key(asked), None) if _failed and told != 0 else None
    if before is not None and time.monotonic() - before[0] <= RETRY_WITHIN_S:
        return Try(before[1].call_id, before[1].number + 1)
    return Try(uuid7(), 1 + (told or 0))


def _remember(watch: Watch, outcome: str) -> None:
    """A failure that an SDK may answer with another attempt."""
    status = watch.status or 0
    may_retry = status in RETRIED or status >= 500 or isinstance(watch.error, Exception)
    if watch.is_guessed and may_retry and outcome != "ok":
        while len(_failed) >= MAX_REMEMBERED:
            _failed.pop(next(iter(_failed)), None)
        _failed[_key(watch.asked)] = time.monotonic(), watch.which


def _key(asked: Asked) -> tuple[Any, ...]:
    return (*_strand(), asked.host, asked.path, hash(asked.body))
