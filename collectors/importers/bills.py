"""What the importers of bills share: the names of columns that are amounts, and so tell no bucket from another."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from joulebook.collectors.importers.entries import pairs
from joulebook.collectors.importers.values import flag, moment, name, needed

_AMOUNT = re.compile(
    r"(tokens|requests|amount|value|quantity|images|characters|seconds|bytes|sessions|count|cost|price|tool_use"
    r"|cache_creation)$|^(start|end|usage)\w*(time|date|_at|iso)$|_(cost|price)_|^x_|^object$|^organization_"
)


def bucket(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """All that tells a bucket from others of the same time: what a statement is grouped by."""
    return sorted((key, str(value).lower()) for key, value in values.items() if not _AMOUNT.search(key))


def times(values: Mapping[str, Any], begins: str, ends: str) -> tuple[int, int]:
    """From when to when. The end of a bucket that is not over lies in the future, its begin does not."""
    start = needed(moment(values, begins), begins)
    end = needed(moment(values, ends, may_come=True), ends)
    return start, max(start, end)


def context(values: Mapping[str, Any]) -> list[list[str]]:
    """What prices depend on, as the price list calls it. Batches are a tier to Anthropic and a column to OpenAI."""
    tier = name(values, "service_tier")
    is_batch = flag(values, "batch") or tier == "batch"
    return pairs(
        processing="batch" if is_batch else None,
        service_tier=None if tier == "batch" else tier,
        speed=name(values, "speed"),
        inference_geo=name(values, "inference_geo"),
        context_window=name(values, "context_window"),
    )
