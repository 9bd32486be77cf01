"""Spans of OpenTelemetry as calls: three dialects tell one row, agents are none, what was seen twice counts once."""

from __future__ import annotations

import json
import sys

import pytest
from handmade import START_NS
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.trace import Status, StatusCode
from recording import events, fresh_settings, of, span

from joulebook import track
from joulebook.accounting.errors import MissingExtra
from joulebook.accounting.ledger import ingest, open_ledger
from joulebook.accounting.prices.listed import named
from joulebook.accounting.records import uuid7
from joulebook.accounting.usage import disjoint
from joulebook.collectors.api.dialects import UNITS, Told, call_of, with_events
from joulebook.collectors.api.otel import JoulebookSpanExporter, JoulebookSpanProcessor
from joulebook.collectors.api.record import write_call

# One call: 1,200 tokens in, 1,024 of them cached; 300 out, 128 of them reasoning. As three instrumentations tell it.
GENAI = {
    "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-5",
    "gen_ai.response.model": "gpt-5", "gen_ai.response.id": "chatcmpl-1", "gen_ai.response.finish_reasons": ("stop",),
    "gen_ai.usage.input_tokens": 1200, "gen_ai.usage.output_tokens": 300,
    "gen_ai.usage.cache_read.input_tokens": 1024, "gen_ai.usage.reasoning.output_tokens": 128,
    "openai.response.service_tier": "flex", "server.address": "api.openai.com", "server.port": 443,
}  # fmt: skip
OPENINFERENCE = {
    "openinference.span.kind": "LLM", "llm.provider": "openai", "llm.system": "openai", "llm.model_name": "gpt-5",
    "llm.token_count.prompt": 1200, "llm.token_count.completion": 300, "llm.token_count.total": 1500,
    "llm.token_count.prompt_details.cache_read": 1024, "llm.token_count.completion_details.reasoning": 128,
    "input.value": "a secret question", "llm.input_messages.0.message.content": "a secret question",
    "output.value": "a secret answer",
}  # fmt: skip
TRACELOOP = {
    "gen_ai.system": "openai", "llm.request.type": "chat", "gen_ai.request.model": "gpt-5",
    "gen_ai.response.model": "gpt-5", "gen_ai.openai.api_base": "https://api.openai.com/v1/",
    "gen_ai.usage.prompt_tokens": 1200, "gen_ai.usage.completion_tokens": 300, "llm.usage.total_tokens": 1500,
    "gen_ai.usage.cache_read_input_tokens": 1024, "gen_ai.usage.reasoning_tokens": 128, "gen_ai.is_streaming": False,
    "gen_ai.prompt.0.content": "a secret question", "gen_ai.completion.0.content": "a secret answer",
}  # fmt: skip
DIALECTS = {"genai": GENAI, "openinference": OPENINFERENCE, "traceloop": TRACELOOP}
ROW = """select provider, model, operation, input_tokens, output_tokens, cache_read_tokens, reasoning_tokens,
                usage_method, outcome, duration_s, counted from api_call order by call_no"""


@pytest.fixture(autouse=True)
def settings():
    with fresh_settings():
        yield


def told(attributes, **more):
    facts = {"source_id": "trace:1", "started_ns": START_NS, "ended_ns": START_NS + 2_500_000_000, "is_error": False}
    return Told(**{**facts, "attributes": attributes, "resource": {}, **more})


def units_of(attributes):
    return {unit: float(amount) for unit, amount in call_of(told(attributes))["units"]}


def rows(home, sql=ROW):
    ingest(home)
    return [tuple(row.values()) for row in open_ledger(home).rows(sql)]


def tracer(processor):
    provider = TracerProvider(resource=Resource({"service.name": "search"}))
    provider.add_span_processor(processor)
    return provider, provider.get_tracer("test")


def finished(name, tracer, attributes):
    begun = tracer.start_span(name, attributes=attributes, start_time=START_NS)
    begun.end(START_NS + 2_500_000_000)


def test_the_same_call_in_three_dialects_is_the_same_row(home):
    provider, spans = tracer(SimpleSpanProcessor(JoulebookSpanExporter()))
    for attributes in DIALECTS.values():
        finished("chat gpt-5", spans, attributes)
    provider.shutdown()
    # 1,200 in and 300 out are all of them: 1,024 and 128 are parts, not on top
    assert rows(home) == [("openai", "gpt-5", "chat", 1200, 300, 1024, 128, "measured", "ok", 2.5, True)] * 3
    buckets = rows(home, "select unit, sum(amount) from call_bucket group by unit order by unit")
    assert buckets == [("cache_read_tokens", 3 * 1024), ("input_tokens", 3 * 176),
                       ("output_reasoning_tokens", 3 * 128), ("output_tokens", 3 * 172)]  # fmt: skip


def test_no_text_of_a_prompt_or_an_answer_is_written(home):
    provider, spans = tracer(SimpleSpanProcessor(JoulebookSpanExporter()))
    for attributes in DIALECTS.values():
        finished("chat", spans, {**attributes, "gen_ai.input.messages": '[{"content": "a secret question"}]'})
    failed = spans.start_span("chat", attributes=GENAI)
    failed.record_exception(ValueError("a secret answer"))
    failed.set_status(Status(StatusCode.ERROR, "a secret answer"))
    failed.end()
    provider.shutdown()
    assert len(of(events(home), "call")) == 4
    assert "secret" not in json.dumps(events(home))


@pytest.mark.parametrize(
    "attributes",
    [
        {**GENAI, "gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "researcher"},
        {**GENAI, "gen_ai.operation.name": "invoke_workflow"},
        {**GENAI, "gen_ai.operation.name": "execute_tool"},
        {**GENAI, "gen_ai.operation.name": "fetch_response"},
        {**OPENINFERENCE, "openinference.span.kind": "AGENT"},
        {**OPENINFERENCE, "openinference.span.kind": "CHAIN"},
        {**OPENINFERENCE, "openinference.span.kind": "RETRIEVER"},
        {"traceloop.span.kind": "workflow", "gen_ai.system": "openai", "gen_ai.request.model": "gpt-5",
         "gen_ai.usage.input_tokens": 1200},
        {"gen_ai.agent.name": "old", "gen_ai.system": "openai", "gen_ai.request.model": "gpt-5"},
        {"http.request.method": "POST", "url.full": "https://api.openai.com/v1/chat/completions"},
        {},
    ],
)  # fmt: skip
def test_what_stands_around_calls_is_none(attributes):
    assert call_of(told(attributes)) is None


def test_an_agent_and_its_two_calls_are_two_calls(home):
    provider, spans = tracer(SimpleSpanProcessor(JoulebookSpanExporter()))
    with spans.start_as_current_span("invoke_agent") as root:
        for number in (1, 2):
            finished("chat", spans, {**GENAI, "gen_ai.response.id": f"chatcmpl-{number}"})
        root.set_attributes({"gen_ai.operation.name": "invoke_agent", "gen_ai.usage.input_tokens": 2400})
    provider.shutdown()
    assert rows(home, "select sum(input_tokens), count(*) from api_call where counted") == [(2400, 2)]


# What was cached is a part of the input in all three. Anthropic's own numbers: 50 fresh, 8,000 read, 2,000 written.
CACHES = {"gen_ai.usage.cache_read.input_tokens": 8000, "gen_ai.usage.cache_write.input_tokens": 2000}


@pytest.mark.parametrize(
    ("usage", "input_tokens"),
    [
        ({"gen_ai.usage.input_tokens": 10050, **CACHES}, 10050),
        ({"gen_ai.usage.input_tokens": 50, **CACHES}, 10050),  # fewer than its caches: they are on top
        ({"gen_ai.usage.input_tokens": 20000, "gen_ai.usage.output_tokens": 120, "gen_ai.usage.total_tokens": 30120,
          **CACHES}, 30000),  # the total has them on top
        ({"gen_ai.usage.input_tokens": 20000, "gen_ai.usage.output_tokens": 120, "gen_ai.usage.total_tokens": 20120,
          **CACHES}, 20000),
        ({"gen_ai.usage.input_tokens": 20000, **CACHES}, 20000),
    ],
)  # fmt: skip
def test_the_input_includes_its_caches(usage, input_tokens):
    amounts = units_of({**GENAI, **usage})
    assert amounts["input_tokens"] == input_tokens
    assert (amounts["cache_read_tokens"], amounts["cache_write_tokens"]) == (8000, 2000)


def test_each_name_that_an_amount_ever_had_is_understood():
    for unit, names in UNITS.items():
        for name in names:
            assert units_of({"gen_ai.operation.name": "chat", name: 7})[unit] == 7, name


@given(st.dictionaries(st.sampled_from(sorted({name for names in UNITS.values() for name in names})), st.one_of(
    st.integers(-5, 10**12), st.floats(), st.booleans(), st.just("7"), st.none())))  # fmt: skip
def test_whatever_is_told_gives_units_that_the_ledger_reads(attributes):
    fields = call_of(told({"gen_ai.operation.name": "chat", **attributes}))
    amounts = {unit: float(amount) for unit, amount in fields["units"]}
    assert all(0 < amount < float("inf") for amount in amounts.values())
    assert set(amounts) <= set(UNITS)
    assert fields["method"] == ("measured" if amounts else None)


def test_parts_by_modality_add_up():
    # 1,000 in: 900 text, of which 500 cached, and 100 audio; 60 out: 40 text, 20 audio
    amounts = units_of({
        "gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 1000, "gen_ai.usage.output_tokens": 60,
        "gen_ai.usage.text.input_tokens": 900, "gen_ai.usage.audio.input_tokens": 100,
        "gen_ai.usage.cache_read.input_tokens": 500, "gen_ai.usage.text.cache_read.input_tokens": 500,
        "gen_ai.usage.text.output_tokens": 40, "gen_ai.usage.audio.output_tokens": 20,
    })  # fmt: skip
    assert disjoint(amounts) == {"cache_text_read_tokens": 500, "input_text_tokens": 400, "input_audio_tokens": 100,
                                 "output_text_tokens": 40, "output_audio_tokens": 20}  # fmt: skip


def test_an_embedding_that_tells_a_total_alone_is_all_input():
    attributes = {"openinference.span.kind": "EMBEDDING", "embedding.model_name": "text-embedding-3-small",
                  "llm.token_count.total": 12}  # fmt: skip
    fields = call_of(told(attributes))
    assert (fields["operation"], fields["request_model"]) == ("embeddings", "text-embedding-3-small")
    assert fields["units"] == [["input_tokens", "12"]]


def test_a_stream_without_usage_is_a_call_of_unknown_usage(home):
    provider, spans = tracer(SimpleSpanProcessor(JoulebookSpanExporter()))
    no_tokens = {name: value for name, value in GENAI.items() if "usage" not in name}
    finished("chat", spans, {**no_tokens, "gen_ai.request.stream": True, "gen_ai.response.time_to_first_chunk": 0.25})
    provider.shutdown()
    found = rows(home, "select is_stream, first_token_s, input_tokens, usage_method, usage_reason from api_call")
    assert found == [(True, 0.25, None, "unknown", "no usage was reported (ok)")]


@pytest.mark.parametrize(
    ("told_as", "host", "provider"),
    [
        ("aws.bedrock", None, "aws"),
        ("azure.ai.openai", None, "azure"),
        ("gcp.gemini", None, "google"),
        ("gcp.vertex_ai", None, "google"),
        ("gcp.gen_ai", None, "google"),
        ("x_ai", None, "x-ai"),
        ("mistral_ai", None, "mistral"),
        ("Anthropic", None, "anthropic"),
        ("openai", "api.openai.com", "openai"),
        ("openai", "eu.api.openai.com", "openai"),
        ("openai", "api.deepseek.com", "deepseek"),  # OpenAI's SDK, somebody else's server
        ("openai", "127.0.0.1", None),
        ("openai", "notopenai.com", None),
    ],
)
def test_providers_have_the_names_of_the_price_list(told_as, host, provider):
    about = {"gen_ai.provider.name": told_as} | ({} if host is None else {"server.address": host})
    fields = call_of(told({"gen_ai.operation.name": "chat", **about}))
    assert named(fields["provider"], fields["host"], None, (), ()).provider == provider


@pytest.mark.parametrize(
    ("attributes", "end"),
    [
        ({}, (None, "ok", None)),
        ({"error.type": "429"}, (429, "error", "429")),
        ({"error.type": "openai.RateLimitError"}, (429, "error", "openai.RateLimitError")),
        ({"error.type": "RateLimitError", "http.response.status_code": 503}, (503, "error", "RateLimitError")),
        ({"error.type": "APITimeoutError"}, (None, "timeout", "APITimeoutError")),
        ({"error.type": "openai.APIConnectionError"}, (None, "failed", "openai.APIConnectionError")),
        ({"error.type": "asyncio.exceptions.CancelledError"},
         (None, "aborted", "asyncio.exceptions.CancelledError")),
        ({"error.type": "the key sk-1 is wrong"}, (None, "ok", None)),  # a text is no kind
    ],
)  # fmt: skip
def test_how_a_call_ended(attributes, end):
    fields = call_of(told({**GENAI, **attributes}))
    assert (fields["status"], fields["outcome"], fields["error"]) == end


def test_the_kind_of_an_exception_and_the_first_token_come_from_events():
    noted = [("exception", START_NS, {"exception.type": "openai.RateLimitError"}),
             ("First Token Stream Event", START_NS + 500_000_000, {})]  # fmt: skip
    fields = call_of(told(with_events(OPENINFERENCE, START_NS, noted), is_error=True))
    assert (fields["status"], fields["outcome"], fields["first_token_s"]) == (429, "error", 0.5)


@pytest.mark.parametrize(("started_ns", "ended_ns"), [(0, 5), (6, 5), (5, 2**64 - 1)])
def test_a_span_outside_of_time_is_refused(started_ns, ended_ns):
    with pytest.raises(ValueError, match="the span ends before it begins, or outside of time"):
        call_of(told(GENAI, started_ns=started_ns, ended_ns=ended_ns))


def test_a_batch_is_exported_after_its_run_and_belongs_to_it(home):
    provider, spans = tracer(JoulebookSpanProcessor(schedule_delay_millis=3_600_000))
    with track("ask", project="search"), track("retrieve"):
        finished("chat", spans, GENAI)
    assert of(events(home), "call") == []  # the batch waits
    with track("another run"):
        provider.shutdown()
    (call,) = of(events(home), "call")
    start, _ = span(events(home), "retrieve")
    assert (call["run_id"], call["span_id"]) == (start["run_id"], start["span_id"])
    assert call["started_ns"] == START_NS
    assert rows(home, "select input_tokens, of_project, tags from api_call") == [
        (1200, "search", '{"service":"search"}')
    ]


def test_behind_the_processor_of_somebody_else_a_call_belongs_to_no_run_by_guess(home):
    provider, spans = tracer(BatchSpanProcessor(JoulebookSpanExporter()))
    with track("another run"):
        finished("chat", spans, GENAI)
        provider.shutdown()
    (call,) = of(events(home), "call")
    assert "run_id" not in call


def test_within_joulebook_run_it_belongs_to_that_run(home, monkeypatch):
    run_id, span_id = uuid7(), uuid7()
    monkeypatch.setenv("JOULEBOOK_PARENT", f"{run_id}/{span_id}/")
    monkeypatch.setenv("JOULEBOOK_HOME", str(home / "another"))  # another recorder
    provider, spans = tracer(BatchSpanProcessor(JoulebookSpanExporter()))
    finished("chat", spans, GENAI)
    provider.shutdown()
    (call,) = of(events(home / "another"), "call")
    assert (call["run_id"], call["span_id"]) == (run_id, span_id)


def test_ids_that_are_none_are_not_written():
    fields = call_of(told({**GENAI, "joulebook.run_id": "1", "joulebook.span_id": uuid7()}))
    assert (fields["run_id"], fields["span_id"]) == (None, None)


def test_what_transport_and_spans_saw_counts_once_and_so_does_what_a_source_tells_twice(home):
    units = [["input_tokens", "1200"], ["output_tokens", "300"]]
    write_call({"call_id": uuid7(), "source": "http", "provider": "openai", "response_id": "chatcmpl-1",
                "units": units})  # fmt: skip
    write_call(call_of(told(GENAI)))
    once = {name: value for name, value in GENAI.items() if name != "gen_ai.response.id"}
    write_call(call_of(told(once, source_id="trace:2")))
    assert rows(home, "select source, counted from api_call order by call_no") == [
        ("http", True), ("otel", False), ("otel", True)]  # fmt: skip
    write_call(call_of(told(once, source_id="trace:2")))  # the same batch again
    write_call(call_of(told(GENAI)))
    assert rows(home, "select source_id, count(*) from api_call where counted group by 1 order by 1 nulls last") == [
        ("trace:2", 1), (None, 1)]  # fmt: skip
    assert rows(home, "select sum(input_tokens) from api_call where counted") == [(2400,)]


def test_exporting_never_raises(home, caplog):
    class Odd:
        context = None

    assert JoulebookSpanExporter().export([Odd()]).name == "SUCCESS"
    assert "has no attribute" in caplog.text


def test_without_opentelemetry_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    monkeypatch.delitem(sys.modules, "joulebook.collectors.api.otel")
    with pytest.raises(MissingExtra, match=r"joulebook\[otel\]"):
        import joulebook.collectors.api.otel  # noqa: F401
