"""What an answer of a model's API says of itself: its usage above all. Pure functions, from JSON to fields of `call`.

    events of the body ─> those that tell something ─> Answer: usage where it stood, model, id, context, cost

A stream says its usage once, at its end, or in each of its events, up to there: the last one holds. Anthropic's begins
with one and adds to it. Of a usage only numbers are kept, and the few words that a price depends on.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Reversible, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from joulebook.accounting.journal import as_line
from joulebook.collectors.api.streams import DONE, Event, parsed

Json = dict[str, Any]
Path = tuple[str, ...]

# The end of an address, and what is asked for there. What is asked elsewhere is a call if a usage comes back.
OPERATIONS = (
    (r"/(chat|agents)/completions|/(chat|responses|messages)|:(stream)?rawPredict", "chat"),
    (r"/(converse(-stream)?|invoke(-with-response-stream)?)", "chat"),
    (r"/completions?|/api/generate", "text_completion"),
    (r":(stream)?generateContent", "generate_content"),
    (r"/(embeddings|embed)|:(batch)?embedContents?", "embeddings"),
    (r"/re-?rank", "rerank"),
    (r"/images/(generations|edits|variations)", "image_generation"),
    (r"/audio/(transcriptions|translations)", "transcription"),
    (r"/audio/speech", "speech"),
    (r"/(chat/)?(moderations|classifications)|/classify", "moderation"),
    (r"/ocr", "ocr"),
)  # fmt: skip
_OPERATIONS = [(re.compile(f"(?:{ends})/?$", re.IGNORECASE), name) for ends, name in OPERATIONS]
NOT_JSON = ("speech", "transcription", "image_generation")  # what may be answered with something else
_MODEL_IN_PATH = re.compile(
    r"/(?:models|tunedModels)/([^/]+?):\w+$|/deployments/([^/]+)/|/model/(.+)/(?:converse|invoke)"
)

USAGE_AT: tuple[Path, ...] = (
    ("usage",), ("usageMetadata",), ("meta", "billed_units"), ("usage_info",), ("result", "usage"),
)  # fmt: skip
# Where else in an event of a stream there may be what else stands at its top.
BODIES = ("response", "message", "delta", "metadata", "x_groq")
_BODIES = frozenset(BODIES)
# Counts without a usage around them: Ollama, llama.cpp, Llama and Titan on Bedrock, Bedrock's own.
COUNTS = {
    "prompt_eval_count": "input_tokens", "eval_count": "output_tokens",
    "tokens_evaluated": "input_tokens", "tokens_predicted": "output_tokens",
    "prompt_token_count": "input_tokens", "generation_token_count": "output_tokens",
    "inputTextTokenCount": "input_tokens", "totalOutputTextTokenCount": "output_tokens",
    "inputTokenCount": "input_tokens", "outputTokenCount": "output_tokens",
}  # fmt: skip
METRICS = "amazon-bedrock-invocationMetrics"
FINAL = ("message_stop", "message-end", "response.completed", "response.incomplete", "response.failed")
LAST = 3  # so many of the last events are looked at in any case
_TELLS = re.compile(
    rb'"(?:usage|usageMetadata|billed_units|usage_info|error|metadata|prompt_eval_count|tokens_predicted|'
    rb'generation_token_count|amazon-bedrock-invocationMetrics)"\s*:\s*[{\d]'
)

RECEIVED = frozenset((
    "text", "content", "delta", "thinking", "partial_json", "arguments", "reasoning_content", "reasoning", "refusal",
    "transcript", "response", "generation", "completion", "outputText", "tool_plan",
))  # fmt: skip
SENT = frozenset((
    "text", "content", "prompt", "input", "system", "instructions", "query", "texts", "documents", "message", "inputs",
    "arguments", "thinking", "description", "inputText", "preamble",
))  # fmt: skip
_NO_TEXT = ("metadata", "source", "image_url", "inline_data", "inlineData", "embedding", "embeddings")

WORDS = ("ttl", "modality", "service_tier", "trafficType", "type", "speed", "inference_geo")
_WORD = re.compile(r"[A-Za-z0-9_.-]{1,24}")
_NAME = re.compile(r"[^\s\x00-\x1f]{1,200}")
_KEY = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_KIND = re.compile(r"[A-Za-z_.]{1,64}")
_ASKED = frozenset(("service_tier", "serviceTier", "speed", "inference_geo", "web_search_options", "search_type"))
TIERS = {"ON_DEMAND_FLEX": "flex", "ON_DEMAND_PRIORITY": "priority"}
TICKS_PER_USD = 10**10
MAX_COST = 10**15  # what is more is no cost, and no number that the ledger has room for


class Answer(NamedTuple):
    """What the events of an answer tell together."""

    usage: Json | None = None  # {"usage": {…}}: where it stood
    units: tuple[tuple[str, str], ...] = ()  # instead, where there are only counts
    model: str | None = None
    response_id: str | None = None
    context: Mapping[str, str] = {}
    cost: str | None = None  # in USD
    error: str | None = None  # the kind of the error that it is
    first_end: int | None = None  # where in a stream its first text ends
    is_final: bool = False  # the stream has said that it is over
    is_beginning: bool = False  # its usage was told before the text was written
    is_readable: bool = False


@lru_cache(maxsize=256)
def operation_of(path: str) -> str | None:
    """What is asked for at a path; None where it is nothing that models are asked for."""
    return next((name for ends, name in _OPERATIONS if ends.search(path)), None)


@lru_cache(maxsize=256)
def model_in(path: str) -> str | None:
    """The model, or the deployment, that a path names."""
    found = _MODEL_IN_PATH.search(path)
    return None if found is None else _name(next(filter(None, found.groups())))


def read(events: Reversible[Event], is_error: bool = False) -> Answer:
    """What the events of an answer tell. `is_error`: the status says so."""
    told, first_end = _telling(events)
    bodies = [body for event in told for body in _bodies(event)]
    place, usage, is_beginning = _usage(told)
    units = () if usage else _counts(told)
    return Answer(
        usage=_placed(place, _kept(usage)) if usage else None,
        units=units,
        model=_name(_first(bodies, "model", "modelVersion")),
        response_id=_name(_first(bodies, "id", "responseId", "response_id", "generation_id")),
        context=_context(bodies, usage or {}),
        cost=_cost(usage or {}),
        error=kind_in(told[0]) if is_error and told else error_of(told),
        first_end=first_end,
        is_final=_is_final(events, told),
        is_beginning=is_beginning,
        is_readable=bool(told),
    )


def error_of(told: Sequence[Json]) -> str | None:
    """The kind of the error that an answer is, as one word: never its text."""
    for event in told:
        for body in (event, event.get("response")):
            if isinstance(body, dict) and (body.get("error") or body.get("type") == "error"):
                return kind_in(body) or "error"
    return None


def kind_in(body: Json) -> str | None:
    """The kind of the error that a body tells."""
    for place in (body.get("error"), body):
        for key in ("type", "status", "code", "__type"):
            kind = _at(place, (key,))
            if kind != "error" and isinstance(kind, str) and _KIND.fullmatch(kind):
                return kind
    return None


def request_context(request: Json) -> dict[str, str]:
    """What a price depends on, as it was asked for."""
    if _ASKED.isdisjoint(request):  # most
        return {}
    search = request.get("web_search_options")
    told = {
        "service_tier": request.get("service_tier") or _at(request, ("serviceTier", "type")),
        "speed": request.get("speed"),
        "inference_geo": request.get("inference_geo"),
        "search_type": _at(search, ("search_type",)) or request.get("search_type"),
    }
    return {key: value for key, value in told.items() if _is_word(value) and value != "auto"}


def chars_sent(value: Any, key: str = "") -> int:
    """The length of the texts of a request."""
    return _length(value, key, SENT)


def chars_received(events: Iterable[Event]) -> int:
    """The length of the texts of an answer."""
    return sum(_text(one) for _, data in events if (one := parsed(data)) is not None)


def _telling(events: Reversible[Event]) -> tuple[list[Json], int | None]:
    """The events that tell more than text, parsed: the first, up to the first text, and the last, back to a usage."""
    told: list[Json] = []
    for end, data in events:
        one = parsed(data)
        told += [] if one is None else [one]
        if end is not None and one is not None and _text(one):
            return told + _last(events, end), end
    return told, None


def _last(events: Reversible[Event], first_end: int) -> list[Json]:
    """The last events after the first text, back to one that has a usage."""
    told: list[Json] = []
    for back, (end, data) in enumerate(reversed(events)):
        if end is None or end <= first_end:
            break
        may_tell = isinstance(data, dict) or _TELLS.search(data) is not None
        one = parsed(data) if may_tell or back < LAST else None
        told += [] if one is None else [one]
        if back == LAST - 1 and any(_usage_in(one)[1] for one in told):  # counts alone may stand after a usage
            break
        if may_tell and back >= LAST and any(map(_has_numbers, told)):
            break
    return told[::-1]


def _has_numbers(event: Json) -> bool:
    return _usage_in(event)[1] is not None or bool(_counts([event]))


def _text(event: Json) -> int:
    """The length of the text that an event adds. What says again what was said, at the end of a part, adds none."""
    kind = event.get("type")
    if isinstance(kind, str) and kind != "message" and (not kind.endswith("delta") or "audio" in kind):
        return 0
    return _length(event, "", RECEIVED)


def _length(value: Any, key: str, keys: frozenset[str]) -> int:
    if isinstance(value, str):
        return len(value) if key in keys else 0
    if isinstance(value, dict):
        return sum(_length(inner, name, keys) for name, inner in value.items() if name not in _NO_TEXT)
    if isinstance(value, list):
        return sum(_length(inner, key, keys) for inner in value)
    return 0


def _bodies(event: Json) -> list[Json]:
    if _BODIES.isdisjoint(event):  # most
        return [event]
    return [event, *(body for name in BODIES if isinstance(body := event.get(name), dict))]


def _usage(told: Sequence[Json]) -> tuple[Path, Json | None, bool]:
    """Where the usage stands, the usage, and whether it was told before the text."""
    place, usage, is_beginning = ("usage",), None, False
    for event in told:
        at, found = _usage_in(event)
        if found:
            adds = usage is not None and event.get("type") == "message_delta"
            known = {name: value for name, value in found.items() if value is not None}
            place, usage = at, {**usage, **known} if adds and usage else found
            is_beginning = event.get("type") == "message_start"
    return place, usage, is_beginning


def _usage_in(event: Json) -> tuple[Path, Json | None]:
    for body in _bodies(event):
        for place in USAGE_AT:
            found = _at(body, place)
            if isinstance(found, dict) and found:
                return place, found
    return ("usage",), None


def _counts(told: Sequence[Json]) -> tuple[tuple[str, str], ...]:
    found: dict[str, int] = {}
    for event in told:
        for body in (event, event.get(METRICS)):
            if isinstance(body, dict):
                found |= {COUNTS[key]: value for key, value in body.items() if key in COUNTS and _is_count(value)}
    return tuple((unit, str(amount)) for unit, amount in found.items())


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _kept(value: Any, key: str = "") -> Any:
    """A usage without its texts: numbers, and the words of a few fields."""
    if isinstance(value, dict):
        kept = {}
        for name, one in value.items():
            inner = one if type(one) is int or one is None else _kept(one, name)  # most are numbers
            if inner is not _DROPPED and _is_key(name):
                kept[name] = inner
        return kept
    if isinstance(value, list):
        return [inner for one in value if (inner := _kept(one, key)) is not _DROPPED]
    is_word = isinstance(value, str) and key in WORDS and _WORD.fullmatch(value)
    is_number = value is None or (isinstance(value, int | float) and math.isfinite(value))
    return value if is_word or is_number else _DROPPED


_DROPPED = object()


@lru_cache(maxsize=1024)
def _is_key(name: str) -> bool:
    return _KEY.fullmatch(name) is not None


def _placed(place: Path, usage: Json) -> Json:
    for name in reversed(place):
        usage = {name: usage}
    return usage


def _first(bodies: Sequence[Json], *names: str) -> Any:
    for body in bodies:
        for name in names:
            if body.get(name) and isinstance(body[name], str):
                return body[name]
    return None


def _context(bodies: Sequence[Json], usage: Json) -> dict[str, str]:
    tier = usage.get("service_tier") or TIERS.get(str(usage.get("trafficType"))) or _last_tier(bodies)
    told = {"service_tier": tier, "speed": usage.get("speed"), "inference_geo": usage.get("inference_geo")}
    kept = {name: value for name, value in told.items() if _is_word(value)}
    return kept | ({"processing": "batch"} if tier == "batch" else {})


def _last_tier(bodies: Sequence[Json]) -> Any:
    tiers = (body.get("service_tier") or _at(body, ("serviceTier", "type")) for body in reversed(bodies))
    return next(filter(None, tiers), None)


def _cost(usage: Json) -> str | None:
    """What the provider says that it cost, in USD: OpenRouter, Perplexity, xAI."""
    cost, ticks = usage.get("cost"), usage.get("cost_in_usd_ticks")
    told = ticks if ticks is not None else cost.get("total_cost") if isinstance(cost, dict) else cost
    if isinstance(told, bool) or not isinstance(told, int | float) or not 0 <= told < MAX_COST:
        return None
    from decimal import Decimal  # of use to few

    return f"{Decimal(repr(told)) / (1 if ticks is None else TICKS_PER_USD):f}"


def _is_final(events: Reversible[Event], told: Sequence[Json]) -> bool:
    if next(reversed(events), (None, None))[1] == DONE:
        return True
    last = told[-1] if told else {}
    candidates = last.get("candidates")
    ended = isinstance(candidates, list) and any(_at(one, ("finishReason",)) for one in candidates)
    return last.get("type") in FINAL or ended or "metadata" in last or last.get("done") is True


def _at(value: Any, fields: Path) -> Any:
    for name in fields:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and _WORD.fullmatch(value) is not None


def _name(value: Any) -> str | None:
    return value if isinstance(value, str) and _NAME.fullmatch(value) else None


def name_of(request: Json) -> str | None:
    """The model that a request asks for."""
    return _name(request.get("model")) or _name(request.get("modelId"))


def as_text(usage: Json | None) -> str | None:
    """A usage as the journal has it."""
    return None if usage is None else as_line(usage)
