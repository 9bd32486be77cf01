"""LiteLLM's table `LiteLLM_SpendLogs`, as CSV, JSON or JSON lines: a call for each request.

`prompt_tokens` has what was read from and written to caches in it; how much stands in `metadata.usage_object`. A hit in
LiteLLM's own cache asked no provider and is passed over. The team is the project, the key (a hash) the account.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from joulebook.collectors.importers.entries import Entry, call, pairs, units
from joulebook.collectors.importers.rows import BadRow, Row, each, rows
from joulebook.collectors.importers.tokens import whole_input
from joulebook.collectors.importers.values import (
    flag,
    found,
    inside,
    label,
    listed,
    moment,
    name,
    needed,
    number,
    table_of,
    whole,
)

NEEDS = ("request_id", "start_time", "model", "prompt_tokens", "completion_tokens")
_OPERATIONS = {"completion": "chat", "embedding": "embeddings", "text_completion": "text_completion"}


def entries(path: Path) -> Iterator[Entry | BadRow | None]:
    """A call for each row."""
    return each(rows(path, NEEDS), _call)


def _call(row: Row) -> Entry | None:
    values = row.values
    if flag(values, "cache_hit"):
        return None
    request_id = needed(name(values, "request_id"), "request_id")
    started_ns = needed(moment(values, "start_time"), "startTime")
    metadata = table_of(values.get("metadata")) or {}
    spend = number(values, "spend")
    about = {
        **_what(values, metadata),
        **_outcome(values, metadata),
        **_times(values, started_ns),
        "response_id": request_id,
        "units": _units(values, metadata),
        "context": _context(metadata),
        "cost": None if spend is None else f"{spend:f}",
        "currency": None if spend is None else "USD",
        "project": label(metadata.get("user_api_key_team_alias")) or name(values, "team_id"),
        "account": name(values, "api_key"),
        "tags": _tags(values),
    }
    return call(row.line, "litellm", request_id, started_ns, about)


def _what(values: Mapping[str, Any], metadata: Mapping[str, Any]) -> dict[str, Any]:
    provider, model = name(values, "custom_llm_provider"), name(values, "model")
    asked = (name(values, "call_type") or "").removeprefix("a")
    return {
        "provider": provider,
        "host": urlsplit(str(found(values, "api_base") or "")).hostname,
        "request_model": model.removeprefix(f"{provider}/") if model else None,
        "operation": _OPERATIONS.get(asked, asked),
        "method": "measured" if table_of(metadata.get("usage_object")) else "declared",
    }


def _outcome(values: Mapping[str, Any], metadata: Mapping[str, Any]) -> dict[str, Any]:
    if name(values, "status") != "failure":
        return {"outcome": "ok"}
    code = str(inside(metadata, "error_information", "error_code") or "")
    return {
        "outcome": "error",
        "status": int(code) if code.isdecimal() and len(code) == 3 else None,
        "error": label(inside(metadata, "error_information", "error_class")),
    }


def _times(values: Mapping[str, Any], started_ns: int) -> dict[str, float]:
    """The first token is told of streams alone: else its time is that of the end."""
    end_ns, first_ns = moment(values, "end_time"), moment(values, "completion_start_time")
    told = {} if end_ns is None or end_ns < started_ns else {"duration_s": (end_ns - started_ns) / 1e9}
    if first_ns is not None and end_ns is not None and started_ns < first_ns < end_ns:
        told["first_token_s"] = (first_ns - started_ns) / 1e9
    return told


def _units(values: Mapping[str, Any], metadata: Mapping[str, Any]) -> list[list[str]]:
    prompt, completion = whole(values, "prompt_tokens"), whole(values, "completion_tokens")
    if not prompt and not completion and name(values, "status") == "failure":
        return []
    if prompt is None and completion is None:
        return []
    usage = table_of(metadata.get("usage_object")) or table_of(metadata.get("additional_usage_values")) or {}
    prompted, completed = (table_of(usage.get(f"{one}_tokens_details")) or {} for one in ("prompt", "completion"))
    written = table_of(prompted.get("cache_creation_token_details")) or {}
    read = number(usage, "cache_read_input_tokens") or number(prompted, "cached_tokens") or Decimal(0)
    write = number(usage, "cache_creation_input_tokens") or number(prompted, "cache_creation_tokens") or Decimal(0)
    counted, output = Decimal(prompt or 0), Decimal(completion or 0)
    return units(
        input_tokens=whole_input(counted, read + write, output, number(values, "total_tokens"), inside=True),
        cache_read_tokens=read,
        cache_write_tokens=write,
        cache_write_5m_tokens=number(written, "ephemeral_5m_input_tokens"),
        cache_write_1h_tokens=number(written, "ephemeral_1h_input_tokens"),
        input_audio_tokens=number(prompted, "audio_tokens"),
        output_tokens=output,
        output_audio_tokens=number(completed, "audio_tokens"),
        output_reasoning_tokens=number(completed, "reasoning_tokens"),
    )


def _context(metadata: Mapping[str, Any]) -> list[list[str]]:
    usage = table_of(metadata.get("usage_object")) or {}
    return pairs(service_tier=name(usage, "service_tier"), speed=name(usage, "speed"))


def _tags(values: Mapping[str, Any]) -> list[list[str]]:
    told = sorted(filter(None, map(label, listed(values.get("request_tags")))))
    return pairs(tags=",".join(told)[:200], user=name(values, "user"), end_user=name(values, "end_user"))
