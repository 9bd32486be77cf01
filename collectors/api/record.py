"""One attempt of a call, as the journal has it. Nothing here raises into the job.

call_id         the same for all attempts of one request; attempt: 1, 2, …
source          who observed it (http, bedrock, otel, …); source_id: under which id, where it has one
provider        where the user or the source names it; host, path: where it went, without what stands after a `?`
operation       chat, embeddings, …; request_model, response_model, response_id; is_stream
status          of HTTP; outcome: ok · error (status from 400) · timeout · failed (no answer) · aborted (a stream that
                was not read to its end) · malformed (an answer that is none); error: its kind, never its text
started_ns      wall clock; duration_s, first_token_s since then; chunks of a stream, and gap_…_s between them
usage_json      the numbers of the provider's usage, as they came and where they stood: {"usage": {…}}
units           instead, where the source tells them: [["input_tokens", "1200"], …], parts inside their whole
method          how the usage is known: measured (the provider reported it), declared, modelled
context         what prices depend on: [["service_tier", "flex"], ["processing", "batch"], …]
sent_chars      the length of the texts that were sent; received_chars: of those that came, where no usage did
cost, currency  what the source says that it cost, a decimal number as text
project, tags, account   where the source has them; else those of the span around it
run_id, span_id          the span that it is a part of, where the source knows that or knows that it is of none (None);
                         else the span around the writing
"""

from __future__ import annotations

from typing import Any

from joulebook.collectors import sampler
from joulebook.collectors.track import span_around


def write_call(fields: dict[str, Any], recorder: sampler.Recorder | None = None) -> None:
    """Writes an attempt. What is None or empty is left out. `recorder`: the one that it began with, where known."""
    sampler.attempt("call", None, _write, fields, recorder)


def _write(fields: dict[str, Any], known: sampler.Recorder | None) -> None:
    recorder = known or sampler.writer()
    span = None if "run_id" in fields else span_around(recorder)
    about = {} if span is None or span.run_id is None else {"run_id": span.run_id, "span_id": span.span_id}
    told = {key: value for key, value in fields.items() if value or value is False or value == 0}
    recorder.journal.write("call", {**about, **told})


def settle() -> None:
    """Makes durable what was written while no run is open; while one is, the recorder does so by itself."""
    recorder = sampler.recorder()
    if not recorder.tops:
        sampler.attempt("journal", None, recorder.journal.sync)
