"""Calls of Amazon Bedrock through boto3: by the events of botocore that anybody may listen to.

request-created ─> an attempt begins        response-received ─> it was answered, or not
                                                └─ a stream is teed on its way to who reads it
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from joulebook.accounting.records import uuid7
from joulebook.collectors import sampler
from joulebook.collectors.api import streams
from joulebook.collectors.api.transport import Body, counts_in
from joulebook.collectors.api.watch import PARSED, Asked, Client, Try, Watch

OPERATIONS = ("Converse", "ConverseStream", "InvokeModel", "InvokeModelWithResponseStream")
_KEY = "joulebook"  # where botocore keeps what belongs to a request

Service = TypeVar("Service")


def observe_bedrock(client: Service, *, project: str | None = None, tags: Mapping[str, str] | None = None) -> Service:
    """Records the calls of a client of `bedrock-runtime` from now on, and returns it."""
    said = Client("bedrock", "aws", project, tuple((tags or {}).items()))
    hooks: Any = client
    for operation in OPERATIONS:
        for event, react in (("request-created", _begin), ("response-received", _end)):
            where = f"{event}.bedrock-runtime.{operation}"
            hooks.meta.events.register(where, _guarded(react, said), unique_id=f"joulebook-{where}")
    return client


def _guarded(react: Callable[..., None], said: Client) -> Callable[..., None]:
    def hear(**told: Any) -> None:
        sampler.attempt("call", None, react, said, told)

    return hear


def _begin(said: Client, told: dict[str, Any]) -> None:
    request = told["request"]
    url = urlsplit(request.url)
    body = request.data if isinstance(request.data, bytes) else str(request.data or "").encode()
    before: Watch | None = request.context.get(_KEY)
    which = Try(uuid7(), 1) if before is None else Try(before.which.call_id, before.which.number + 1)
    request.context[_KEY] = Watch(said, Asked(url.netloc.rpartition("@")[2], unquote(url.path), body), which)


def _end(_: Client, told: dict[str, Any]) -> None:
    watch: Watch = told["context"][_KEY]
    if told["exception"] is not None:
        watch.broke(told["exception"])
        return
    answer, parsed = told["response_dict"], told["parsed_response"]
    headers = answer["headers"]
    watch.status = answer["status_code"]
    watch.counts = counts_in(headers)
    for name in ("stream", "body"):
        if watch.status == 200 and name in parsed:
            parsed[name] = _teed(parsed[name], watch, headers.get("content-type", ""))
            return
    watch.kind = "json"
    watch.hear(_as_bytes(answer["body"], parsed))
    watch.end()


def _as_bytes(body: Any, parsed: dict[str, Any]) -> bytes:
    """What came, or of an error in place of a stream only its kind: the rest was read by botocore."""
    return body if isinstance(body, bytes) else json.dumps({"error": {"code": parsed["Error"]["Code"]}}).encode()


def _teed(inner: Any, watch: Watch, content_type: str) -> Any:
    events, body = _classes()
    if not hasattr(inner, "read"):
        watch.kind = PARSED
        return events(inner, watch)
    watch.kind = streams.kind_of(content_type)
    return body(inner, watch)


class _Events(Body):
    """The events of a stream on their way to who reads them, as botocore has parsed them."""

    def get_initial_response(self) -> Any:
        return self._inner.get_initial_response()


class _Body:
    """What of a body is read, on its way to who reads it; botocore's own body is inside."""

    def __init__(self, inner: Any, watch: Watch) -> None:
        super().__init__(inner, None)  # type: ignore[call-arg] - StreamingBody's
        self._inner, self._watch = inner, watch

    def read(self, amt: int | None = None) -> bytes:
        try:
            piece: bytes = self._inner.read(amt)
        except BaseException as error:
            self._watch.broke(error)
            raise
        self._watch.hear(piece)
        if amt is None or (not piece and amt > 0):
            self._watch.end()
        return piece

    def readinto(self, buffer: Any) -> int:
        piece = self.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def readlines(self) -> list[bytes]:
        return self.read().splitlines(keepends=True)

    def set_socket_timeout(self, timeout: float) -> None:
        self._inner.set_socket_timeout(timeout)

    def __enter__(self) -> Any:
        return self

    def close(self) -> None:
        self._inner.close()
        self._watch.finish()

    def __del__(self) -> None:
        self._watch.finish()


@cache
def _classes() -> tuple[Any, Any]:
    """Both as kinds of botocore's own classes."""
    from botocore.eventstream import EventStream
    from botocore.response import StreamingBody

    return type("Events", (_Events, EventStream), {}), type("Body", (_Body, StreamingBody), {})
