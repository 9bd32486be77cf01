"""Langfuse's export of observations, as CSV, JSON or JSON lines: a call for each generation or embedding.

The kinds of `usage_details` stand beside each other, as Langfuse prices each by itself, unless their `total` says that
the cached ones are inside the input. Langfuse does not know the provider: the maker of the model is taken for it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from joulebook.collectors.importers.entries import Entry, call, pairs, units
from joulebook.collectors.importers.rows import BadRow, Row, each, rows
from joulebook.collectors.importers.tokens import maker_of, meter
from joulebook.collectors.importers.values import inside, label, listed, moment, name, needed, number, table_of

NEEDS = ("id", "start_time", "model|provided_model_name", "usage_details")
_CALLS = ("GENERATION", "EMBEDDING")
# How the names of the parts of a whole begin.
_PARTS = {"input_tokens": ("input_", "cache_"), "output_tokens": ("output_",)}


def entries(path: Path) -> Iterator[Entry | BadRow | None]:
    """A call for each observation of a model; spans, events and tools are none."""
    return each(rows(path, NEEDS), _call)


def _call(row: Row) -> Entry | None:
    values = row.values
    kind = (name(values, "type") or "GENERATION").upper()
    if kind not in _CALLS:
        return None
    own_id = needed(name(values, "id"), "id")
    started_ns = needed(moment(values, "start_time"), "start_time")
    model = name(values, "model", "provided_model_name")
    cost = number(values, "total_cost", "calculated_total_cost") or _total_cost(values)
    about = {
        "provider": maker_of(model),
        "request_model": model,
        "operation": "embeddings" if kind == "EMBEDDING" else "chat",
        "outcome": "error" if name(values, "level") == "ERROR" else "ok",
        "units": _units(table_of(values.get("usage_details"))),
        "cost": None if cost is None else f"{cost:f}",
        "currency": None if cost is None else "USD",
        "project": name(values, "project_name", "project_id"),
        "account": name(values, "user_id"),
        "tags": _tags(values),
        **_times(values, started_ns),
    }
    return call(row.line, "langfuse", own_id, started_ns, about)


def _total_cost(values: Mapping[str, Any]) -> Decimal | None:
    return number({"total": inside(values, "cost_details", "total")}, "total")


def _units(usage: dict[str, Any] | None) -> list[list[str]]:
    """Each kind under its unit: `input`, `input_cached_tokens`, `cache_creation_input_tokens`, `output_reasoning`, …"""
    amounts: dict[str, Decimal] = defaultdict(Decimal)
    for kind in usage or ():
        unit = meter(kind)
        if unit is not None:
            amounts[unit] += number(usage or {}, kind) or 0
    told = number(usage or {}, "total")
    is_inside = told is not None and told == amounts["input_tokens"] + amounts["output_tokens"]
    for whole, prefixes in _PARTS.items():
        parts = sum(amount for unit, amount in amounts.items() if unit != whole and unit.startswith(prefixes))
        if not is_inside or parts > amounts[whole]:
            amounts[whole] += parts
    return units(**amounts) if usage else []


def _times(values: Mapping[str, Any], started_ns: int) -> dict[str, Any]:
    end_ns, first_ns = moment(values, "end_time"), moment(values, "completion_start_time")
    return {
        "duration_s": None if end_ns is None or end_ns < started_ns else (end_ns - started_ns) / 1e9,
        "first_token_s": None if first_ns is None or first_ns < started_ns else (first_ns - started_ns) / 1e9,
        "is_stream": True if first_ns is not None else None,
    }


def _tags(values: Mapping[str, Any]) -> list[list[str]]:
    told = sorted(filter(None, map(label, listed(values.get("tags")))))
    return pairs(tags=",".join(told)[:200], environment=name(values, "environment"), release=name(values, "release"))
