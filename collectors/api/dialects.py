"""A span of OpenTelemetry as a call of a model: three dialects, one table of names.

    a span's attributes ─> is it a call at all? ─> who and what, how it ended, its usage ─> the fields of a `call`

The dialects are the GenAI conventions (the names of today and those before them), OpenInference (`llm.token_count.…`)
and Traceloop's OpenLLMetry (the GenAI names of its time, and `llm.request.type`). They agree in what matters: the input
tokens include what was read from a cache and written to it. A span in which they do not (an old instrumentation of an
API that counts them apart) shows it, by caches that are more than the input or by a total that has them on top; they
are then added.

What calls a model and is billed is a call. The spans around it (an agent, a workflow, a chain, a tool, a retriever, a
response that was fetched again) repeat the sums of what is inside them and are none.

Tokens are what the provider reported, as the span tells them: no dialect says so where somebody counted by himself. A
span without tokens (a stream without usage) is a call of unknown usage. Of the texts that some dialects carry nothing
is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from joulebook.accounting.records import uuid7

NANOSECONDS = 10**9
LONGEST_TEXT = 200  # of a name or an id
LATEST_NS = 2**63
ABSURD = 1e15  # of tokens, or seconds: a mistake of who told it

# Unit -> where the dialects have it, the newest name first. Parts are inside their whole.
UNITS = {
    "input_tokens": ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt",
                     "llm.usage.prompt_tokens"),
    "output_tokens": ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.token_count.completion",
                      "llm.usage.completion_tokens"),
    "cache_read_tokens": ("gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens",
                          "llm.token_count.prompt_details.cache_read", "llm.token_count.prompt_details.cache_input"),
    "cache_write_tokens": ("gen_ai.usage.cache_write.input_tokens", "gen_ai.usage.cache_creation.input_tokens",
                           "gen_ai.usage.cache_creation_input_tokens", "llm.token_count.prompt_details.cache_write"),
    "output_reasoning_tokens": ("gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens",
                                "llm.usage.reasoning_tokens", "llm.token_count.completion_details.reasoning"),
    "input_audio_tokens": ("gen_ai.usage.audio.input_tokens", "llm.token_count.prompt_details.audio"),
    "output_audio_tokens": ("gen_ai.usage.audio.output_tokens", "llm.token_count.completion_details.audio"),
    "cache_audio_read_tokens": ("gen_ai.usage.audio.cache_read.input_tokens",),
    "input_text_tokens": ("gen_ai.usage.text.input_tokens",),
    "output_text_tokens": ("gen_ai.usage.text.output_tokens",),
    "cache_text_read_tokens": ("gen_ai.usage.text.cache_read.input_tokens",),
    "input_image_tokens": ("gen_ai.usage.image.input_tokens",),
    "output_image_tokens": ("gen_ai.usage.image.output_tokens",),
    "cache_image_read_tokens": ("gen_ai.usage.image.cache_read.input_tokens",),
}  # fmt: skip
TOTALS = ("gen_ai.usage.total_tokens", "llm.usage.total_tokens", "llm.token_count.total")

PROVIDER = ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system")
REQUEST_MODEL = ("gen_ai.request.model", "llm.request.model", "llm.model_name", "embedding.model_name",
                 "reranker.model_name")  # fmt: skip
RESPONSE_MODEL = ("gen_ai.response.model", "llm.response.model")
SERVICE_TIER = ("openai.response.service_tier", "gen_ai.openai.response.service_tier")
IS_STREAM = ("gen_ai.request.stream", "gen_ai.is_streaming", "llm.is_streaming")
COST_USD = ("llm.cost.total", "gen_ai.usage.cost")

# Where the price list has another name.
PROVIDERS = {
    "aws.bedrock": "aws", "az.ai.openai": "azure", "azure.ai.openai": "azure", "az.ai.inference": "azure",
    "azure.ai.inference": "azure", "gcp.gen_ai": "google", "gcp.gemini": "google", "gcp.vertex_ai": "google",
    "vertexai": "google", "mistral_ai": "mistral", "mistralai": "mistral", "together_ai": "together", "x_ai": "x-ai",
    "xai": "x-ai", "moonshot": "moonshotai",
}  # fmt: skip

# How each dialect says what a span does, and what of that is billed. The first that is there decides.
OPERATIONS = (
    ("openinference.span.kind", {"LLM": "chat", "EMBEDDING": "embeddings", "RERANKER": "rerank"}),
    ("gen_ai.operation.name", {name: name for name in ("chat", "generate_content", "text_completion", "embeddings")}),
    ("llm.request.type", {"chat": "chat", "completion": "text_completion", "embedding": "embeddings",
                          "rerank": "rerank"}),
    ("traceloop.span.kind", {}),
    ("gen_ai.agent.name", {}),
)  # fmt: skip

# The status behind the errors of the SDKs, by the name of their class.
STATUS_OF = {
    "BadRequestError": 400, "AuthenticationError": 401, "PermissionDeniedError": 403, "NotFoundError": 404,
    "ConflictError": 409, "UnprocessableEntityError": 422, "RateLimitError": 429, "InternalServerError": 500,
    "OverloadedError": 529,
}  # fmt: skip
ENDS = (("aborted", ("cancel", "generatorexit")), ("timeout", ("timeout",)), ("failed", ("connect",)))
_KIND = re.compile(r"[\w.:-]{1,100}")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Told(NamedTuple):
    """A span, whoever carried it here. `source_id`: its trace and its own id, in hex."""

    source_id: str
    started_ns: int
    ended_ns: int
    is_error: bool
    attributes: Mapping[str, Any]
    resource: Mapping[str, Any]


def call_of(span: Told) -> dict[str, Any] | None:
    """The fields of the call that a span tells of, or None. Raises ValueError where its times make no sense."""
    told = span.attributes
    operation = _operation(told)
    if operation is None:
        return None
    if not 0 < span.started_ns <= span.ended_ns < LATEST_NS:
        raise ValueError("the span ends before it begins, or outside of time")
    tier, units, service = _text(told, *SERVICE_TIER), _units(told, operation), _text(span.resource, "service.name")
    return {
        "call_id": uuid7(),
        "source": "otel",
        "source_id": span.source_id,
        **_whose(told),
        **_names(told),
        "operation": operation,
        "is_stream": next((told[name] for name in IS_STREAM if isinstance(told.get(name), bool)), None),
        **_end(told, span.is_error),
        "started_ns": span.started_ns,
        "duration_s": (span.ended_ns - span.started_ns) / NANOSECONDS,
        "first_token_s": _number(told, "gen_ai.response.time_to_first_chunk"),
        "units": units,
        "method": "measured" if units else None,
        "context": [["service_tier", tier]] if tier else None,
        **_cost(told),
        "project": _text(span.resource, "openinference.project.name"),
        "tags": [["service", service]] if service else None,
    }


def with_events(attributes: Mapping[str, Any], started_ns: int, events: list[tuple[str, int, Any]]) -> dict[str, Any]:
    """Attributes, with what events of the span say in their place: the kind of an error, when the first token came."""
    more: dict[str, Any] = {}
    for name, at_ns, about in events:
        if name == "exception":
            more["exception.type"] = about.get("exception.type")
        elif name == "First Token Stream Event":  # OpenInference
            more.setdefault("gen_ai.response.time_to_first_chunk", (at_ns - started_ns) / NANOSECONDS)
    return more | dict(attributes)


def _operation(told: Mapping[str, Any]) -> str | None:
    for name, billed in OPERATIONS:
        if name in told:
            return billed.get(told[name])
    is_old = _text(told, "gen_ai.request.model") and _text(told, *PROVIDER)  # before there were operations
    return "chat" if is_old else None


def _names(told: Mapping[str, Any]) -> dict[str, Any]:
    """Who was called, and which model."""
    host = _text(told, "server.address") or _host(_text(told, "gen_ai.openai.api_base"))
    name = (_text(told, *PROVIDER) or "").lower()
    provider = PROVIDERS.get(name, name)
    if provider == "openai" and host and not f".{host}".endswith(".openai.com"):
        provider = ""  # its SDK calls many a server that speaks as OpenAI does: the address knows better
    return {
        "provider": provider,
        "host": host,
        "request_model": _text(told, *REQUEST_MODEL),
        "response_model": _text(told, *RESPONSE_MODEL),
        "response_id": _text(told, "gen_ai.response.id"),
    }


def _host(address: str | None) -> str | None:
    try:
        return urlsplit(address).hostname if address else None
    except ValueError:
        return None


def _whose(told: Mapping[str, Any]) -> dict[str, str | None]:
    """The span of ours that it was made in, as our processor noted it: both ids or neither."""
    ids = {name: _text(told, f"joulebook.{name}") for name in ("run_id", "span_id")}
    return ids if all(_UUID.fullmatch(value or "") for value in ids.values()) else dict.fromkeys(ids)


def _end(told: Mapping[str, Any], is_error: bool) -> dict[str, Any]:
    """How it ended: status, outcome, and the kind of its error, which is no more than a name."""
    kind = next((text for name in ("error.type", "exception.type") if (text := _text(told, name))), None)
    kind = kind if kind and _KIND.fullmatch(kind) else None
    last = (kind or "").rpartition(".")[2]
    status = _number(told, "http.response.status_code") or (int(last) if last.isdecimal() else STATUS_OF.get(last))
    outcome = next((end for end, words in ENDS if any(word in last.lower() for word in words)), None)
    if outcome is None or (status or 0) >= 400:
        outcome = "error" if kind or is_error else "ok"
    return {"status": None if status is None else int(status), "outcome": outcome, "error": kind}


def _units(told: Mapping[str, Any], operation: str) -> list[list[str]]:
    amounts = {unit: amount for unit, names in UNITS.items() if (amount := _number(told, *names))}
    total = _number(told, *TOTALS)
    if total and operation == "embeddings":
        amounts.setdefault("input_tokens", total)
    if "input_tokens" in amounts:
        amounts["input_tokens"] += _apart(amounts, total)
    return [[unit, f"{amount:.15g}"] for unit, amount in amounts.items()]


def _apart(amounts: Mapping[str, float], total: float | None) -> float:
    """What was cached, where the span shows that its input does not include that."""
    cached = amounts.get("cache_read_tokens", 0.0) + amounts.get("cache_write_tokens", 0.0)
    without = amounts["input_tokens"] + amounts.get("output_tokens", 0.0)
    return cached if cached > amounts["input_tokens"] or total == without + cached else 0.0


def _cost(told: Mapping[str, Any]) -> dict[str, str]:
    cost_usd = _number(told, *COST_USD)
    return {"cost": f"{cost_usd:.12f}", "currency": "USD"} if cost_usd else {}


def _text(told: Mapping[str, Any], *names: str) -> str | None:
    """The first of some attributes that is a text."""
    found = (told[name] for name in names if isinstance(told.get(name), str) and told[name])
    return next((text[:LONGEST_TEXT] for text in found), None)


def _number(told: Mapping[str, Any], *names: str) -> float | None:
    """The first of some attributes that is a number from 0 up, and one that may be a count or a time."""
    for name in names:
        value = told.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < ABSURD:
            return float(value)
    return None
