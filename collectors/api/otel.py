"""Spans of OpenTelemetry, made in this process, as calls in the journal.

    a span ─> JoulebookSpanProcessor: notes the span of ours around it ─> a batch, on its thread ─> exporter ─> calls

    provider = TracerProvider()
    provider.add_span_processor(JoulebookSpanProcessor())

The processor is a `BatchSpanProcessor` with the exporter inside. It notes on each span, when that begins, whose run it
is part of, as `joulebook.run_id` and `joulebook.span_id`: when the batch is exported the run may be over. Other
exporters see these too, and `joulebook receive` reads them. The exporter alone, behind a processor of somebody else,
writes calls that belong to the run around this process (`joulebook run`) or to none. It never raises into the job.

Which spans are calls: `dialects`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from joulebook.accounting.errors import MissingExtra
from joulebook.collectors import sampler
from joulebook.collectors.api.dialects import Told, call_of, with_events
from joulebook.collectors.api.record import settle, write_call
from joulebook.collectors.track import span_around

try:
    from opentelemetry.sdk.trace import ReadableSpan, Span
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
except ModuleNotFoundError as error:
    raise MissingExtra("the exporter of OpenTelemetry spans", "otel") from error


class JoulebookSpanExporter(SpanExporter):
    """Writes the calls among the spans that it is given."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        for span in spans:
            sampler.attempt("otel", None, _record, span)
        sampler.attempt("otel", None, settle)
        return SpanExportResult.SUCCESS


class JoulebookSpanProcessor(BatchSpanProcessor):
    """Notes on each span the span of ours around it, and exports in batches. Takes the settings of its parent."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(JoulebookSpanExporter(), **settings)

    def on_start(self, span: Span, parent_context: Any = None) -> None:
        super().on_start(span, parent_context)
        sampler.attempt("otel", None, _note, span)


def _note(span: Span) -> None:
    around = span_around(sampler.recorder())
    if around is not None and around.run_id is not None and around.span_id is not None:
        span.set_attributes({"joulebook.run_id": around.run_id, "joulebook.span_id": around.span_id})


def _record(span: ReadableSpan) -> None:
    fields = call_of(_told(span))
    if fields is None:
        return
    parent = sampler.recorder().parent
    if fields["run_id"] is None and parent is not None:
        fields |= {"run_id": parent.run_id, "span_id": parent.span_id}
    write_call(fields)


def _told(span: ReadableSpan) -> Told:
    about, started_ns = span.context, span.start_time or 0
    events = [(event.name, event.timestamp, event.attributes or {}) for event in span.events]
    return Told(
        source_id="" if about is None else f"{about.trace_id:032x}:{about.span_id:016x}",
        started_ns=started_ns,
        ended_ns=span.end_time or 0,
        is_error=not (span.status.is_ok or span.status.is_unset),
        attributes=with_events(span.attributes or {}, started_ns, events),
        resource=span.resource.attributes,
    )
