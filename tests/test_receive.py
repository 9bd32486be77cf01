"""`joulebook receive`: OTLP over HTTP on loopback, as senders post it, and all that must not come in."""

from __future__ import annotations

import gzip
import http.client
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import json_format
from handmade import START_NS
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from recording import events, fresh_settings, of
from test_otel import DIALECTS, GENAI

from joulebook.accounting.errors import InputError, MissingExtra
from joulebook.accounting.ledger import ingest, open_ledger
from joulebook.accounting.records import uuid7
from joulebook.collectors import sampler
from joulebook.collectors.api import receiver
from joulebook.collectors.api.receiver import JSON, PROTOBUF, receiving

TRACE_ID, SPAN_ID = bytes(range(16)), bytes(range(8))


@pytest.fixture(autouse=True)
def settings():
    with fresh_settings():
        yield


@pytest.fixture
def server():
    with receiving(0) as one:
        yield one


def request_of(*spans, **times):
    """A request for an export, made as a sender makes it: each span from its attributes."""
    request = ExportTraceServiceRequest()
    of_resource = request.resource_spans.add()
    _add(of_resource.resource.attributes, {"service.name": "search"})
    of_scope = of_resource.scope_spans.add()
    for number, attributes in enumerate(spans):
        span = of_scope.spans.add(trace_id=TRACE_ID, span_id=SPAN_ID[:-1] + bytes([number]), name="chat")
        span.start_time_unix_nano = START_NS
        span.end_time_unix_nano = times.get("ended_ns", START_NS + 2_500_000_000)
        _add(span.attributes, attributes)
    return request


def _add(pairs, attributes):
    kinds = {str: "string_value", bool: "bool_value", int: "int_value", float: "double_value"}
    for key, value in attributes.items():
        if type(value) in kinds:
            setattr(pairs.add(key=key).value, kinds[type(value)], value)
        else:
            pairs.add(key=key).value.array_value.values.add(string_value=str(value))


def as_otlp_json(request):
    """As OTLP says it is written: ids in hex, where protobuf's own JSON has base64."""
    body = json_format.MessageToDict(request)
    for span in (span for r in body["resourceSpans"] for s in r["scopeSpans"] for span in s["spans"]):
        number = span["spanId"]
        span |= {"traceId": TRACE_ID.hex(), "spanId": SPAN_ID[:-1].hex() + f"{_last_byte(number):02x}"}
    return json.dumps(body).encode()


def _last_byte(base64_text):
    import base64

    return base64.b64decode(base64_text)[-1]


def post(server, body, kind=PROTOBUF, path="/v1/traces", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request("POST", path, body, {"Content-Type": kind, **named})
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found


def rows(home, sql):
    ingest(home)
    return [tuple(row.values()) for row in open_ledger(home).rows(sql)]


def test_a_request_in_protobuf_is_answered_and_in_the_ledger(home, server):
    status, body = post(server, request_of(*DIALECTS.values(), {}).SerializeToString())
    assert status == 200
    assert ExportTraceServiceResponse.FromString(body) == ExportTraceServiceResponse()  # nothing was rejected
    told = rows(home, "select model, input_tokens, output_tokens, cache_read_tokens, duration_s, tags from api_call")
    assert told == [("gpt-5", 1200, 300, 1024, 2.5, '{"service":"search"}')] * 3
    assert server.taken == (4, 3, 0)  # a span that is no call is taken, and none


def test_json_and_gzip_tell_the_same(home, server):
    request = request_of(GENAI)
    assert post(server, as_otlp_json(request), JSON) == (200, b"{}")
    packed = gzip.compress(request.SerializeToString())
    assert post(server, packed, Content_Encoding="gzip")[0] == 200
    calls = of(events(home), "call")
    assert [call["source_id"] for call in calls] == [f"{TRACE_ID.hex()}:{SPAN_ID[:-1].hex()}00"] * 2
    same = ("units", "context", "started_ns", "duration_s", "response_id", "host", "tags")
    assert {name: calls[0][name] for name in same} == {name: calls[1][name] for name in same}


def test_a_batch_that_is_sent_twice_counts_once(home, server):
    no_id = {name: value for name, value in GENAI.items() if name != "gen_ai.response.id"}
    for _ in range(2):
        post(server, request_of(no_id, DIALECTS["openinference"]).SerializeToString())
    counted = "select count(*), sum(input_tokens) from api_call where counted"
    assert rows(home, counted) == [(2, 2400)]  # 2 spans of 1,200 tokens each
    post(server, request_of(no_id).SerializeToString())  # and after the ingest
    assert rows(home, counted) == [(2, 2400)]


def test_the_run_that_a_sender_noted_is_kept(home, server):
    ids = {"joulebook.run_id": uuid7(), "joulebook.span_id": uuid7()}
    post(server, request_of(GENAI | ids, GENAI).SerializeToString())
    first, second = of(events(home), "call")
    assert (first["run_id"], first["span_id"]) == tuple(ids.values())
    assert "run_id" not in second


@pytest.mark.parametrize("kind", [PROTOBUF, JSON])
def test_spans_without_sense_are_rejected_and_the_others_taken(home, server, kind):
    request = request_of(GENAI, GENAI, GENAI)
    for span in request.resource_spans[0].scope_spans[0].spans[:2]:
        span.end_time_unix_nano = 5  # before it began
    body = as_otlp_json(request) if kind == JSON else request.SerializeToString()
    status, answer = post(server, body, kind)
    partial = json_format.Parse if kind == JSON else lambda text, message: message.MergeFromString(text) and message
    message = ExportTraceServiceResponse()
    partial(answer, message)
    assert (status, message.partial_success.rejected_spans) == (200, 2)
    assert len(of(events(home), "call")) == 1


@pytest.mark.parametrize("path", ["/v1/metrics", "/v1/logs"])
def test_metrics_and_logs_are_taken_and_dropped(home, server, path):
    assert post(server, b"whatever", path=path) == (200, b"")
    assert post(server, b"{}", JSON, path=path) == (200, b"{}")
    assert events(home) == []


PLANTED = b"sk-planted-secret"


@pytest.mark.parametrize(
    ("status", "sent", "headers"),
    [
        (415, (b"a=1", "application/x-www-form-urlencoded", "/v1/traces"), {}),
        (415, (b"{}", JSON, "/v1/traces"), {"Content_Encoding": "br"}),
        (400, (PLANTED, PROTOBUF, "/v1/traces"), {}),
        (400, (b'{"resourceSpans": "' + PLANTED + b'"}', JSON, "/v1/traces"), {}),
        (400, (b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "sk"}]}]}]}', JSON, "/v1/traces"), {}),
        (400, (b'{"a":' * 5000, JSON, "/v1/traces"), {}),
        (400, (b"\xff\xfe", JSON, "/v1/traces"), {}),
        (400, (PLANTED, PROTOBUF, "/v1/traces"), {"Content_Encoding": "gzip"}),
        (400, (gzip.compress(b"{}")[:-4], JSON, "/v1/traces"), {"Content_Encoding": "gzip"}),
        (404, (b"{}", JSON, "/../../etc/passwd"), {}),
        (404, (b"{}", JSON, "/v1/traces/../../sk-planted-secret"), {}),
        (403, (b"{}", JSON, "/v1/traces"), {"Host": "evil.example:4318"}),
        (411, (b"{}", JSON, "/v1/traces"), {"Content_Length": "-1"}),
        (413, (b"", JSON, "/v1/traces"), {"Content_Length": "64000001"}),
        (413, (gzip.compress(bytes(64_000_001), 1), PROTOBUF, "/v1/traces"), {"Content_Encoding": "gzip"}),
    ],
)
def test_what_is_wrong_is_refused_without_an_echo(home, server, status, sent, headers):
    found, answer = post(server, *sent, **headers)
    assert found == status
    assert PLANTED not in answer
    assert events(home) == []
    assert post(server, request_of(GENAI).SerializeToString())[0] == 200  # and the server goes on


def test_other_methods_are_none(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.request("GET", "/v1/traces")
    assert connection.getresponse().status == 501


def test_a_sender_that_stops_in_the_middle_is_left(server, monkeypatch):
    monkeypatch.setattr(receiver._Handler, "timeout", 0.1)
    assert post(server, b"{}", JSON, Content_Length="100")[0] == 408


def test_a_journal_that_cannot_be_written_is_told_to_the_sender(home, server, monkeypatch):
    home.parent.mkdir(exist_ok=True)
    home.write_text("no folder")
    with pytest.warns(RuntimeWarning, match="cannot write"):
        status, _ = _warned(server)
    assert status == 503
    home.unlink()
    sampler.recorder().journal._retry_ns = 0  # a second later
    assert post(server, request_of(GENAI).SerializeToString())[0] == 200
    assert len(of(events(home), "call")) == 1


def _warned(server):
    import warnings

    warnings.simplefilter("always")
    return post(server, request_of(GENAI).SerializeToString())


def test_a_port_in_use_is_one_sentence(server):
    with pytest.raises(InputError, match=f"cannot listen on 127.0.0.1:{server.server_port}: .*in use"):
        receiving(server.server_port).__enter__()


def test_without_protobuf_one_sentence_says_what_to_install(monkeypatch):
    receiver._protobuf.cache_clear()
    monkeypatch.setitem(sys.modules, "opentelemetry.proto.collector.trace.v1", None)
    with pytest.raises(MissingExtra, match=r"joulebook\[otel\]"):
        receiving(0).__enter__()


@pytest.mark.parametrize("ends_it", [signal.SIGINT, signal.SIGTERM])
def test_the_command_receives_until_a_signal_and_loses_nothing(home, ends_it):
    command = [Path(sys.executable).with_name("joulebook"), "receive", "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        began = json.loads(process.stdout.readline())
        assert began["url"] == f"http://127.0.0.1:{began['port']}"
        connection = http.client.HTTPConnection("127.0.0.1", began["port"], timeout=10)
        body = request_of(*[GENAI] * 50).SerializeToString()
        connection.request("POST", "/v1/traces", body, {"Content-Type": PROTOBUF})
        assert connection.getresponse().status == 200
        process.send_signal(ends_it)
        ended = json.loads(process.stdout.readline())
    assert (process.returncode, ended) == (0, {"requests": 1, "spans": 50, "calls": 50, "rejected": 0})
    assert len(of(events(home), "call")) == 50
