"""What a call used, in units that do not overlap.

    the provider's own numbers ─> reported: amounts by unit, the whole and its parts ─> disjoint: parts that add up

The units are those of `genai-prices` (`input_tokens`, `cache_read_tokens`, `cache_write_1h_tokens`, …), and so is what
stands where in an answer. `MORE` has the few fields that it passes over.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, lru_cache
from itertools import combinations
from typing import Any, NamedTuple, cast

from joulebook.accounting.prices.listed import snapshot

MOST = 1e15  # of anything in one call: more is a mistake of who told it, and sums of it would be infinite
CHARS_PER_TOKEN = 4.0  # of English text, for a stream that was left before its usage came

# Where else an answer has a number: (path, unit).
MORE = (
    (("usage", "prompt_cache_hit_tokens"), "cache_read_tokens"),  # DeepSeek
    (("usage", "prompt_audio_seconds"), "input_audio_seconds"),  # Mistral
    (("usage", "prompt_tokens_details", "image_tokens"), "input_image_tokens"),  # OpenAI
    (("usage", "input_token_details", "audio_tokens"), "input_audio_tokens"),  # OpenAI's transcriptions
    (("usage", "output_tokens_details", "thinking_tokens"), "output_reasoning_tokens"),  # Claude, at others
    (("usage", "server_tool_use", "web_search_requests"), "web_searches"),
    (("meta", "billed_units", "search_units"), "rerank_searches"),  # Cohere
)
ALONE = "rerank_searches"  # the one of them that may be all that an answer says
# How an answer without a known provider is read, by a field that only its kind has.
SHAPES = (
    (("usage", "prompt_tokens"), ("openai", "chat")),
    (("usage", "input_tokens_details"), ("openai", "responses")),
    (("usage", "input_tokens"), ("anthropic", "default")),
    (("usageMetadata", "totalTokenCount"), ("google", "default")),
    (("usage", "inputTokens"), ("aws", "default")),
    (("usage", "billed_units"), ("cohere", "default")),
)
# The end of an address, and the flavour of API that it means.
PATHS = (
    ("/responses", "responses"), ("/chat/completions", "chat"), ("/embeddings", "embeddings"), ("/embed", "embeddings"),
    ("/images/generations", "images"), ("/images/edits", "images"), ("/messages", "anthropic"), ("/ocr", "ocr"),
    ("rawpredict", "anthropic"),
)  # fmt: skip


class Unreadable(ValueError):
    """The usage of a call cannot be read: there is none in the answer, or it contradicts itself."""


class Unit(NamedTuple):
    """A unit: its dimensions, e.g. direction input, token_type cache_read. One with more of them is a part."""

    name: str
    dimensions: frozenset[tuple[str, str]]


def reported(answer: Mapping[str, Any], provider_id: str | None, path: str | None) -> dict[str, float]:
    """The amounts that an answer reports, by unit; parts are inside their whole. Raises Unreadable."""
    for extractor in _extractors(answer, provider_id, path):
        try:
            _, usage = extractor.extract(answer)
        except ValueError:
            continue
        amounts = {name: float(value) for name, value in usage._reported_values().items()}
        return _corrected(amounts | _more(answer, amounts), answer)
    alone = _more(answer, {}).get(ALONE)
    if alone is not None:
        return {ALONE: alone}
    raise Unreadable("the answer has no usage that can be read")


def disjoint(amounts: Mapping[str, float]) -> dict[str, float]:
    """The same in parts that do not overlap: `{input: 1000, cache_read: 200}` is 800 of the one and 200 of the other.

    Where two parts may overlap and nobody says by how much (cached and audio tokens), it is by as little as possible.
    Raises Unreadable where parts are more than their whole, and for an amount that no call can have.
    """
    absurd = next((name for name, amount in amounts.items() if not amount <= MOST), None)
    if absurd is not None:
        raise Unreadable(f"{amounts[absurd]:g} of {absurd} is more than a call can have")
    whole = _with_overlaps(_with_wholes(dict(amounts)))
    left = _left(whole, tuple(sorted(whole)))
    for name, amount in left.items():
        if amount < -1e-6:
            inside = whole[name] - amount
            raise Unreadable(f"parts of {name} add up to {inside:g}, more than the {whole[name]:g} of it")
    return {name: left[name] for name in whole if left[name] > 0}


def total(buckets: Mapping[str, float], *dimensions: tuple[str, str]) -> float | None:
    """The sum of the parts with these dimensions; None where there are none."""
    wanted = set(dimensions)
    parts = [amount for name, amount in buckets.items() if wanted <= unit_of(name).dimensions]
    return sum(parts) if parts else None


@cache
def units() -> dict[str, Unit]:
    """All units, by name."""
    from genai_prices.data_units import unit_data

    raw = cast("dict[str, dict[str, Any]]", unit_data)
    return {name: Unit(name, frozenset(unit["dimensions"].items())) for name, unit in raw.items()}


def unit_of(name: str) -> Unit:
    """A unit by its name. Raises Unreadable for an unknown one."""
    try:
        return units()[name]
    except KeyError:
        raise Unreadable(f"unknown unit {name!r}") from None


def _extractors(answer: Mapping[str, Any], provider_id: str | None, path: str | None) -> list[Any]:
    """What can read answers of this provider: first what the address means, else what the answer looks like."""
    by_path = _of_provider(provider_id, path)
    shape = next((found for fields, found in SHAPES if _at(answer, fields) is not None), None)
    return [*by_path, *(() if shape is None else _of_provider(shape[0], None, shape[1]))]


@lru_cache(4096)  # paths are of any number
def _of_provider(provider_id: str | None, path: str | None, flavour: str | None = None) -> tuple[Any, ...]:
    provider = next((one for one in snapshot().providers if one.id == provider_id), None)
    ending = (path or "").lower().rstrip("/")
    wanted = flavour or next((name for end, name in PATHS if ending.endswith(end)), "default")
    extractors = [] if provider is None else list(provider.extractors or ())
    return tuple(sorted(extractors, key=lambda one: (one.api_flavor != wanted, one.api_flavor != "default")))


def _at(value: Any, fields: tuple[str, ...]) -> Any:
    for name in fields:
        value = cast("Mapping[str, Any]", value).get(name) if isinstance(value, Mapping) else None
    return value


def _more(answer: Mapping[str, Any], amounts: Mapping[str, float]) -> dict[str, float]:
    found = {unit: _at(answer, fields) for fields, unit in MORE if unit not in amounts}
    return {unit: float(value) for unit, value in found.items() if isinstance(value, int | float) and value > 0}


def _corrected(amounts: dict[str, float], answer: Mapping[str, Any]) -> dict[str, float]:
    """Gemini's thoughts are beside its candidates, but for the answers whose total says that they are inside."""
    told = answer.get("usageMetadata")
    thoughts, candidates = _at(told, ("thoughtsTokenCount",)), _at(told, ("candidatesTokenCount",))
    prompt = (_at(told, ("promptTokenCount",)) or 0) + (_at(told, ("toolUsePromptTokenCount",)) or 0)
    if thoughts and candidates and prompt + candidates == _at(told, ("totalTokenCount",)):
        amounts["output_tokens"] -= thoughts
    return amounts


def _left(amounts: Mapping[str, float], names: tuple[str, ...]) -> dict[str, float]:
    """Of each of these what is in none of its parts."""
    left: dict[str, float] = {}
    for name, parts in _nesting(names):
        left[name] = amounts[name] - sum(left[part] for part in parts)
    return left


def _with_wholes(amounts: dict[str, float]) -> dict[str, float]:
    """With the whole of each part that was reported without it, e.g. input where only cached input is known."""
    for whole, parts in _missing_wholes(tuple(sorted(amounts))):
        amounts[whole] = sum(_left(amounts, parts).values())
    return amounts


def _with_overlaps(amounts: dict[str, float]) -> dict[str, float]:
    """With the overlap of each two parts of one whole that has a unit of its own and was not reported."""
    for both, first, second, whole in _possible_overlaps(tuple(sorted(amounts))):
        least = amounts[first] + amounts[second] - amounts[whole]
        if least > 0:
            amounts[both] = least
    return amounts


# How units nest depends on their names alone, and calls are of few kinds.


@cache
def _nesting(names: tuple[str, ...]) -> list[tuple[str, list[str]]]:
    """Each unit with those that are inside it, the innermost first."""
    ordered = sorted(map(unit_of, names), key=lambda one: -len(one.dimensions))
    return [(one.name, [part.name for part in ordered if one.dimensions < part.dimensions]) for one in ordered]


@cache
def _missing_wholes(names: tuple[str, ...]) -> list[tuple[str, tuple[str, ...]]]:
    """The units that hold some of these and are not among them, the innermost first, with all that each holds."""
    here = [unit_of(name) for name in names]
    wholes = {one for one in units().values() for part in here if one.dimensions < part.dimensions and one not in here}
    found: list[tuple[str, tuple[str, ...]]] = []
    for whole in sorted(wholes, key=lambda one: -len(one.dimensions)):
        found.append((whole.name, tuple(part.name for part in here if whole.dimensions < part.dimensions)))
        here.append(whole)
    return found


@cache
def _possible_overlaps(names: tuple[str, ...]) -> list[tuple[str, str, str, str]]:
    """`(both, first, second, whole)` for each two of them that are parts of one whole and may overlap."""
    by_dimensions = {unit.dimensions: unit.name for unit in units().values()}
    found: list[tuple[str, str, str, str]] = []
    for first, second in combinations(map(unit_of, names), 2):
        joined = first.dimensions | second.dimensions
        both, whole = by_dimensions.get(joined), by_dimensions.get(first.dimensions & second.dimensions)
        is_nested = joined in (first.dimensions, second.dimensions)
        if both and whole in names and both not in names and not is_nested:
            found.append((both, first.name, second.name, whole))
    return found
