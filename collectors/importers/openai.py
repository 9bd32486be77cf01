"""OpenAI's exports of usage and of costs: the CSV files of its dashboard, and pages of its Admin API.

`input_tokens` has the cached ones in it. Those of audio and images are told uncached and cached apart; our units have
the cached ones in the whole, so they are added up. A bucket without results is a row of blanks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from joulebook.collectors.importers.bills import bucket, context, times
from joulebook.collectors.importers.entries import Entry, bill, units
from joulebook.collectors.importers.rows import BadRow, Row, each, results, rows
from joulebook.collectors.importers.tokens import meter, scale
from joulebook.collectors.importers.values import inside, name, needed, number, whole

NEEDS = ("start_time", "end_time", "num_model_requests|amount_value|num_requests|num_sessions|usage_bytes")
# Its word for an amount, and our unit for the sum of such amounts.
_UNITS = {
    "input_tokens": ("input_tokens",),
    "cache_read_tokens": ("input_cached_tokens",),
    "cache_write_tokens": ("input_cache_write_tokens",),
    "input_audio_tokens": ("input_audio_tokens", "input_cached_audio_tokens"),
    "cache_audio_read_tokens": ("input_cached_audio_tokens",),
    "input_image_tokens": ("input_image_tokens", "input_cached_image_tokens"),
    "cache_image_read_tokens": ("input_cached_image_tokens",),
    "output_tokens": ("output_tokens",),
    "output_audio_tokens": ("output_audio_tokens",),
    "output_image_tokens": ("output_image_tokens",),
    "input_characters": ("characters",),
    "input_audio_seconds": ("seconds",),
    "code_executions": ("num_sessions",),
}


def entries(path: Path) -> Iterator[Entry | BadRow | None]:
    """A bill for each row, or each result of a bucket."""
    return each(results(rows(path, NEEDS)), _bill)


def _bill(row: Row) -> Entry | None:
    values = _flat(row.values)
    if "amount_value" in values:
        return _costs(row.line, values)
    return _usage(row.line, values) if any(one in values for many in _UNITS.values() for one in many) else None


def _flat(values: dict[str, Any]) -> dict[str, Any]:
    """The API's `amount: {value, currency}` as the two columns of the CSV."""
    value, currency = inside(values, "amount", "value"), inside(values, "amount", "currency")
    told = {"amount_value": value, "amount_currency": currency}
    return values | {key: one for key, one in told.items() if one is not None}


def _usage(line: int, values: dict[str, Any]) -> Entry:
    kind = str(values.get("object", "")).split(".")
    amounts = {unit: _sum(values, names) for unit, names in _UNITS.items()}
    about = _about(values) | {
        "model": name(values, "model"),
        "operation": kind[2] if len(kind) == 4 else "completions",
        "requests": whole(values, "num_model_requests", "num_requests"),
        "units": units(**amounts),
        "context": context(values),
    }
    return bill(line, "openai usage", times(values, "start_time", "end_time"), about, bucket(values))


def _sum(values: Mapping[str, Any], names: tuple[str, ...]) -> Decimal | None:
    amounts = [amount for one in names if (amount := number(values, one)) is not None]
    return sum(amounts, Decimal(0)) if amounts else None


def _costs(line: int, values: dict[str, Any]) -> Entry:
    item = name(values, "line_item")
    model, _, what = (item or "").rpartition(", ")
    quantity, tokens = number(values, "quantity"), scale(name(values, "quantity_unit"))
    unit = meter(what) if tokens else None
    about = _about(values) | {
        "model": model or None,
        "line_item": item,
        "units": units(**{unit: quantity * (tokens or 1)}) if unit and quantity else None,
        "cost": f"{needed(number(values, 'amount_value', signed=True), 'amount'):f}",
        "currency": (name(values, "amount_currency") or "usd").upper(),
    }
    return bill(line, "openai costs", times(values, "start_time", "end_time"), about, bucket(values))


def _about(values: Mapping[str, Any]) -> dict[str, Any]:
    return {"provider": "openai", "project": name(values, "project_id"),
            "account": name(values, "api_key_id", "user_id")}  # fmt: skip
