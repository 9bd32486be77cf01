"""A receiver of OpenTelemetry traces on this machine: OTLP over HTTP, as protobuf or JSON, gzipped or not.

    POST /v1/traces ─> its spans ─> the calls among them, in the journal ─> the answer

A request is answered when its calls are on file. One that could not be written is answered with 503: whoever sent it
sends it again, and what was written of it already counts once. A span that makes no sense is rejected in the answer
(`partial_success`), and the others are taken. Metrics and logs are taken and dropped: what a call used is not in them.

It listens on loopback alone (`loopback`). Nothing that was sent is repeated in an answer.
"""

from __future__ import annotations

import base64
import threading
import zlib
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from functools import cache
from http import HTTPStatus
from typing import Any, NamedTuple

from joulebook.accounting.errors import MissingExtra
from joulebook.collectors import sampler
from joulebook.collectors.api.dialects import Told, call_of, with_events
from joulebook.collectors.api.loopback import LoopbackServer, QuietHandler, Refused, body_of
from joulebook.collectors.api.record import settle, write_call

MOST_BYTES = 64_000_000  # of a request, also when unpacked
PATIENCE_S = 10.0  # with a sender that stops in the middle
PROTOBUF, JSON = "application/x-protobuf", "application/json"
DROPPED = ("/v1/metrics", "/v1/logs")


class Taken(NamedTuple):
    """What became of the spans of a request."""

    spans: int = 0
    calls: int = 0
    rejected: int = 0


class Receiver(LoopbackServer):
    """The server, and the sums of what it has taken."""

    daemon_threads = False  # whoever closes it waits for the requests that it has begun

    def __init__(self, port: int) -> None:
        super().__init__(port, _Handler)
        self.requests = 0
        self.taken = Taken()
        self._turn = threading.Lock()

    def take(self, request: Any) -> Taken:
        """One request after the other: there is one journal to write."""
        with self._turn:
            taken = take(request)
            self.requests += 1
            self.taken = Taken(*map(sum, zip(self.taken, taken, strict=True)))
        return taken


@contextmanager
def receiving(port: int) -> Generator[Receiver]:
    """A receiver at work. At the end it finishes what it has begun, and all of that is on file.

    Raises InputError where the port is taken, MissingExtra without `opentelemetry-proto`.
    """
    _protobuf()
    with Receiver(port) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="joulebook-receive", daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Handler(QuietHandler):
    """One request, on its own connection: `Connection: close` costs little here and leaves nothing open at the end."""

    server: Any
    timeout = PATIENCE_S

    def do_POST(self) -> None:  # noqa: N802 - http.server's own name
        try:
            self.server.check_host(self.headers.get("Host"))
            kind = self._kind()
            body = unpacked(body_of(self, MOST_BYTES), self.headers.get("Content-Encoding"))
            answer = self._answer(body, kind)
        except Refused as refusal:
            self._send(refusal.status, "text/plain; charset=utf-8", f"{refusal}\n".encode())
        else:
            self._send(HTTPStatus.OK, kind, answer)

    def _answer(self, body: bytes, kind: str) -> bytes:
        if self.path in DROPPED:
            return b"{}" if kind == JSON else b""
        if self.path != "/v1/traces":
            raise Refused(HTTPStatus.NOT_FOUND, "there are /v1/traces, /v1/metrics and /v1/logs")
        return response(self.server.take(read(body, kind)), kind)

    def _kind(self) -> str:
        kind = self.headers.get_content_type()
        if kind not in (PROTOBUF, JSON):
            raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"send {PROTOBUF} or {JSON}")
        return kind

    def _send(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        try:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            self.close_connection = True  # nobody waits for it any more


def unpacked(body: bytes, coding: str | None) -> bytes:
    if (coding or "identity").lower() == "identity":
        return body
    if coding != "gzip":
        raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "pack with gzip or not at all")
    unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        whole = unpacker.decompress(body, MOST_BYTES)
    except zlib.error:
        raise Refused(HTTPStatus.BAD_REQUEST, "the body is no gzip") from None
    if unpacker.unconsumed_tail:
        raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"send at most {MOST_BYTES} bytes, unpacked")
    if not unpacker.eof:
        raise Refused(HTTPStatus.BAD_REQUEST, "the gzip does not end")
    return whole


def read(body: bytes, kind: str) -> Any:
    """The request for an export. Raises Refused for what is none."""
    protobuf = _protobuf()
    request = protobuf.service.ExportTraceServiceRequest()
    try:
        if kind == JSON:
            protobuf.json.Parse(body, request, ignore_unknown_fields=True)
            _from_hex(request)
        else:
            request.ParseFromString(body)
    except (protobuf.json.ParseError, protobuf.DecodeError, ValueError, RecursionError):
        raise Refused(HTTPStatus.BAD_REQUEST, "the body is no ExportTraceServiceRequest") from None
    return request


def take(request: Any) -> Taken:
    """Writes the calls of a request. Raises Refused when they are not on file."""
    spans = calls = rejected = 0
    journal = sampler.recorder().journal
    lost_before = journal.lost
    for told in _spans(request):
        spans += 1
        try:
            fields = call_of(told)
        except ValueError:
            rejected += 1
            continue
        if fields is not None:
            calls += 1
            write_call(fields)
    settle()
    if journal.lost > lost_before:
        raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "the journal cannot be written: send it again later")
    return Taken(spans, calls, rejected)


def response(taken: Taken, kind: str) -> bytes:
    """What is answered: nothing but what was rejected."""
    protobuf = _protobuf()
    answer = protobuf.service.ExportTraceServiceResponse()
    if taken.rejected:
        answer.partial_success.rejected_spans = taken.rejected
        answer.partial_success.error_message = "their time makes no sense"
    return protobuf.json.MessageToJson(answer).encode() if kind == JSON else answer.SerializeToString()


def _spans(request: Any) -> Iterable[Told]:
    for of_resource in request.resource_spans:
        resource = _values(of_resource.resource.attributes)
        for of_scope in of_resource.scope_spans:
            for span in of_scope.spans:
                yield _told(span, resource)


def _told(span: Any, resource: dict[str, Any]) -> Told:
    started_ns = span.start_time_unix_nano
    events = [(event.name, event.time_unix_nano, _values(event.attributes)) for event in span.events]
    return Told(
        source_id=f"{span.trace_id.hex()}:{span.span_id.hex()}",
        started_ns=started_ns,
        ended_ns=span.end_time_unix_nano,
        is_error=span.status.code == 2,
        attributes=with_events(_values(span.attributes), started_ns, events),
        resource=resource,
    )


def _values(pairs: Any) -> dict[str, Any]:
    """Attributes of plain values; lists and maps hold nothing that is looked at."""
    plain = ("string_value", "bool_value", "int_value", "double_value")
    kinds = ((pair, pair.value.WhichOneof("value")) for pair in pairs)
    return {pair.key: getattr(pair.value, kind) for pair, kind in kinds if kind in plain}


def _from_hex(request: Any) -> None:
    """In JSON ids are hex, where protobuf's own reader takes them for base64."""
    for of_resource in request.resource_spans:
        for of_scope in of_resource.scope_spans:
            for span in of_scope.spans:
                span.trace_id, span.span_id = map(_unhex, (span.trace_id, span.span_id))


def _unhex(taken_for_base64: bytes) -> bytes:
    return bytes.fromhex(base64.b64encode(taken_for_base64).decode())


class _Protobuf(NamedTuple):
    service: Any
    json: Any
    DecodeError: Any


@cache
def _protobuf() -> _Protobuf:
    """What reads and writes the messages: loaded by those who receive."""
    try:
        from google.protobuf import json_format
        from google.protobuf.message import DecodeError
        from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
    except ModuleNotFoundError as error:
        raise MissingExtra("receiving OpenTelemetry", "otel") from error
    return _Protobuf(trace_service_pb2, json_format, DecodeError)
