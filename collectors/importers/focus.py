"""FOCUS 1.0 to 1.3, as CSV or Parquet, from any provider: the rows of AI services.

A row counts what its meter says (`SkuMeter`, else `x_TokenType` in `SkuPriceDetails`, else its description), as many as
`ConsumedQuantity` of its `ConsumedUnit` are. Its cost is the billed one. Rows of another service category are passed
over; where a file has no such column all of its rows are taken.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from joulebook.collectors.importers.bills import bucket, times
from joulebook.collectors.importers.entries import Entry, bill, pairs, units
from joulebook.collectors.importers.rows import BadRow, Row, each, rows
from joulebook.collectors.importers.tokens import meter, scale
from joulebook.collectors.importers.values import digest, found, inside, name, needed, number

NEEDS = ("billed_cost", "billing_currency", "charge_period_start", "charge_period_end")
_PROVIDERS = {"amazon web services": "aws", "amazon": "aws", "microsoft": "azure", "google cloud": "google",
              "xai": "x-ai", "mistral ai": "mistral"}  # fmt: skip
_TIMES = ("charge_period_start", "charge_period_end", "billing_period_start", "billing_period_end")


def entries(path: Path) -> Iterator[Entry | BadRow | None]:
    """A bill for each row of an AI service."""
    alike: Counter[str] = Counter()
    return each(rows(path, NEEDS), lambda row: _bill(row, alike))


def _bill(row: Row, alike: Counter[str]) -> Entry | None:
    values = row.values
    category = found(values, "service_category")
    if category is not None and str(category) != "AI and Machine Learning":
        return None
    about = {
        "provider": _provider(values),
        "model": name(values, "x_model") or _detail(values, "x_Model") or name(values, "resource_name", "sku_id"),
        "operation": (name(values, "charge_category") or "").lower(),
        "line_item": name(values, "sku_meter", "charge_description"),
        "units": _units(values),
        "context": _context(values),
        "cost": f"{needed(number(values, 'billed_cost', signed=True), 'billed_cost'):f}",
        "currency": needed(name(values, "billing_currency"), "billing_currency"),
        "project": name(values, "sub_account_name", "sub_account_id"),
        "account": name(values, "billing_account_id"),
    }
    when = times(values, "charge_period_start", "charge_period_end")
    return bill(row.line, "focus", when, about, _bucket(values, when, alike))


def _provider(values: Mapping[str, Any]) -> str | None:
    told = name(values, "service_provider_name", "provider_name", "publisher_name")
    return None if told is None else _PROVIDERS.get(told.lower(), told.lower())


def _detail(values: Mapping[str, Any], key: str) -> str | None:
    return name({key: inside(values, "sku_price_details", key)}, key)


def _units(values: Mapping[str, Any]) -> list[list[str]]:
    meters = (_detail(values, "x_TokenType"), name(values, "sku_meter"), name(values, "charge_description"))
    unit = next((found for told in meters if (found := meter(told))), None)
    quantity = number(values, "consumed_quantity", signed=True)
    tokens = scale(name(values, "consumed_unit"))
    return units(**{unit: quantity * tokens}) if unit and tokens and quantity and quantity > 0 else []


def _context(values: Mapping[str, Any]) -> list[list[str]]:
    tier = _detail(values, "x_ServiceTier") or name(values, "x_service_tier")
    processing = _detail(values, "x_Processing") or name(values, "x_processing")
    return pairs(service_tier=tier, processing="batch" if tier == "batch" else processing)


def _bucket(values: Mapping[str, Any], when: tuple[int, int], alike: Counter[str]) -> list[str]:
    """FOCUS gives a row no id: all that tells it, and which of those alike it is."""
    told = [f"{key}={value}" for key, value in bucket(values) if key not in _TIMES]
    key = digest(*when, *told)
    alike[key] += 1
    return [*told, str(alike[key])]
