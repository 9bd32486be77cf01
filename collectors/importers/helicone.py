"""Helicone's export of requests, as CSV or JSON lines: a call for each.

The CSV has no provider: the maker of the model is taken for it. Where `total_tokens` does not tell whether cached
tokens are inside `prompt_tokens`, they are beside them for Anthropic, as Anthropic counts, and inside for others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from joulebook.collectors.importers.entries import Entry, call, pairs, units
from joulebook.collectors.importers.rows import BadRow, Row, each, rows
from joulebook.collectors.importers.tokens import maker_of, whole_input
from joulebook.collectors.importers.values import found, label, moment, name, needed, number, table_of

NEEDS = ("response_id|request_id", "request_created_at", "model|request_model", "prompt_tokens", "completion_tokens")
_FIRST_STATUS = 100  # Helicone's own states are below


def entries(path: Path) -> Iterator[Entry | BadRow | None]:
    """A call for each row."""
    return each(rows(path, NEEDS), _call)


def _call(row: Row) -> Entry:
    values = row.values
    own_id = needed(name(values, "response_id", "request_id"), "response_id")
    started_ns = needed(moment(values, "request_created_at"), "request_created_at")
    model = name(values, "response_model", "model_override", "request_model", "model")
    provider = (name(values, "provider") or maker_of(model) or "").lower()
    cost = number(values, "cost", "cost_usd")
    url = urlsplit(str(found(values, "request_path") or ""))
    about = {
        "provider": provider,
        "host": url.hostname,
        "path": label(url.path),
        "request_model": name(values, "request_model", "model"),
        "response_model": name(values, "response_model"),
        "units": _units(values, provider),
        "cost": None if cost is None else f"{cost:f}",
        "currency": None if cost is None else "USD",
        "account": name(values, "request_user_id"),
        "tags": _properties(values),
        **_outcome(values),
        **_times(values, started_ns),
    }
    return call(row.line, "helicone", own_id, started_ns, about)


def _units(values: Mapping[str, Any], provider: str) -> list[list[str]]:
    counted, output = number(values, "prompt_tokens"), number(values, "completion_tokens")
    if counted is None and output is None:
        return []
    read = number(values, "prompt_cache_read_tokens") or Decimal(0)
    write = number(values, "prompt_cache_write_tokens") or Decimal(0)
    counted, output, total = counted or Decimal(0), output or Decimal(0), number(values, "total_tokens")
    is_inside = provider != "anthropic"
    return units(
        input_tokens=whole_input(counted, read + write, output, total, inside=is_inside),
        cache_read_tokens=read,
        cache_write_tokens=write,
        output_tokens=output,
    )


def _outcome(values: Mapping[str, Any]) -> dict[str, Any]:
    status = number(values, "response_status", signed=True)
    if status is None or status < _FIRST_STATUS:
        return {"outcome": None if status is None else "failed"}
    return {"status": int(status), "outcome": "error" if status >= 400 else "ok"}


def _times(values: Mapping[str, Any], started_ns: int) -> dict[str, float | None]:
    """Of the two delays in ms; without the first one, from when the answer was noted."""
    delay_ms, first_ms = number(values, "latency", "delay_ms"), number(values, "time_to_first_token")
    ended_ns = moment(values, "response_created_at")
    told_s = None if ended_ns is None or ended_ns < started_ns else (ended_ns - started_ns) / 1e9
    return {
        "duration_s": told_s if delay_ms is None else float(delay_ms / 1000),
        "first_token_s": None if not first_ms else float(first_ms / 1000),
    }


def _properties(values: Mapping[str, Any]) -> list[list[str]]:
    told = table_of(values.get("request_properties")) or {}
    return pairs(**{label(key) or "?": label(value) for key, value in told.items()})
