"""Other words for the units of usage: names of meters, scales of quantities, and what is inside of what.

Some tools count what came from a cache inside the input, others beside it, and few say which. Where a total is given
it tells; else `whole_input` takes what the tool is known to do.
"""

from __future__ import annotations

import re
from decimal import Decimal

from joulebook.collectors.importers.rows import snake

# The name of a meter, in small letters with _ between words, and the unit that it counts. The first that fits.
_CACHE_WRITE = r"cache_?\w*(write|creat)"
_METERS = (
    (rf"{_CACHE_WRITE}\w*1_?h|1_?h\w*{_CACHE_WRITE}", "cache_write_1h_tokens"),
    (rf"{_CACHE_WRITE}\w*5_?m|5_?m\w*{_CACHE_WRITE}", "cache_write_5m_tokens"),
    (_CACHE_WRITE, "cache_write_tokens"),
    (r"web_?search", "web_searches"),
    (r"reason|thought|thinking", "output_reasoning_tokens"),
    (r"audio\w*(output|completion)|(output|completion)\w*audio", "output_audio_tokens"),
    (r"image\w*(output|completion)|(output|completion)\w*image", "output_image_tokens"),
    (r"output|completion|generated", "output_tokens"),
    (r"cach\w*audio|audio\w*cach", "cache_audio_read_tokens"),
    (r"cach\w*image|image\w*cach", "cache_image_read_tokens"),
    (r"audio", "input_audio_tokens"),
    (r"image", "input_image_tokens"),
    (r"(un|non_?|no_)cache|without_cache", "input_tokens"),
    (r"cache", "cache_read_tokens"),
    (r"input|prompt", "input_tokens"),
)
_SCALES = ((r"million|1?m_tokens?$|1000000", 10**6), (r"thousand|1?k_tokens?$|1000", 1000), (r"^tokens?$", 1))
_MAKERS = (
    (r"gpt|chatgpt|o\d\b|text-embedding|davinci|codex", "openai"),
    (r"claude", "anthropic"),
    (r"gemini", "google"),
    (r"(mi|mini|code|pix)stral|mixtral|magistral|devstral", "mistral"),
    (r"command", "cohere"),
    (r"deepseek", "deepseek"),
    (r"grok", "x-ai"),
)


def meter(name: str | None) -> str | None:
    """The unit that a meter counts, by its name: `ephemeral_1h_input_tokens`, `USE1-NovaPro-output-tokens`."""
    words = snake(name or "")
    return next((unit for pattern, unit in _METERS if re.search(pattern, words)), None)


def scale(unit: str | None) -> int | None:
    """How many tokens one of a unit is: `1K tokens` is 1000. None where the unit does not say."""
    words = snake(unit or "")
    return next((tokens for pattern, tokens in _SCALES if re.search(pattern, words)), None)


def maker_of(model: str | None) -> str | None:
    """Whose model it is, by its name: whose API is assumed where a tool does not say."""
    return next((maker for pattern, maker in _MAKERS if re.match(pattern, (model or "").lower())), None)


def whole_input(counted: Decimal, parts: Decimal, output: Decimal, total: Decimal | None, *, inside: bool) -> Decimal:
    """All input, where `counted` has the cached `parts` in it or beside it; `inside`: which, if nothing tells."""
    if total is not None and total == counted + output and parts <= counted:
        inside = True
    elif parts > counted or (total is not None and total == counted + parts + output):
        inside = False
    return counted if inside else counted + parts


def anthropic(
    uncached: Decimal | None, cache_read: Decimal | None, written: Decimal | None, written_1h: Decimal | None
) -> dict[str, Decimal]:
    """Anthropic counts beside each other what is input, read from a cache and written to one; the rest is of 5 min."""
    fresh, read, write, hour = (amount or Decimal(0) for amount in (uncached, cache_read, written, written_1h))
    write = max(write, hour)
    return {
        "input_tokens": fresh + read + write,
        "cache_read_tokens": read,
        "cache_write_1h_tokens": hour,
        "cache_write_5m_tokens": write - hour,
    }
