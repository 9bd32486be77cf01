"""Calls of model APIs, observed from where they pass. No SDK is ever patched; no text and no secret is kept.

    a request ─> its answer, teed ─> an attempt: times, status, the numbers of the usage ─> one `call` in the journal

transport, bedrock   where an SDK's requests pass; watch: one attempt under way; answers, streams: what came back
dialects    a span of OpenTelemetry as an attempt; otel: the exporter of a process; receiver: spans that come over HTTP
server_meter   before a local inference server, which is a run; loopback: what listens on this machine
record      one attempt, as the journal has it
"""
