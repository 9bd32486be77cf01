"""AWS Cost and Usage Reports (CUR 2.0, and CUR with its older names), as CSV or Parquet: the lines of Bedrock.

What a line counts is told by its usage type (`USE1-NovaPro-output-tokens`), how many by its pricing unit or, for models
sold on the Marketplace, by its description. Where neither says what one unit is, the line has a cost and no tokens.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from joulebook.collectors.importers.bills import times
from joulebook.collectors.importers.entries import Entry, bill, pairs, units
from joulebook.collectors.importers.rows import BadRow, Row, each, rows
from joulebook.collectors.importers.tokens import meter, scale
from joulebook.collectors.importers.values import digest, found, inside, name, needed, number

NEEDS = ("line_item_usage_start_date", "line_item_usage_end_date", "line_item_product_code", "line_item_usage_type",
         "line_item_usage_amount", "line_item_unblended_cost")  # fmt: skip
_BUCKET = ("line_item_usage_type", "line_item_operation", "line_item_line_item_type", "line_item_usage_account_id",
           "line_item_resource_id", "line_item_iam_principal", "line_item_line_item_description", "bill_bill_type",
           "bill_payer_account_id", "pricing_term", "resource_tags")  # fmt: skip
# `USE1-Claude4Sonnet-input-tokens`: the place, the model, what is counted.
_MODEL = re.compile(r"^(?:[A-Z]{2,4}\d-)?(?:MP:\w+_)?(.+?)[-_](?:input|output|cache|text|image)", re.IGNORECASE)


def entries(path: Path) -> Iterator[Entry | BadRow | None]:
    """A bill for each line of Bedrock."""
    alike: Counter[str] = Counter()
    return each(rows(path, NEEDS), lambda row: _bill(row, alike))


def _bill(row: Row, alike: Counter[str]) -> Entry | None:
    values = row.values
    if not _is_bedrock(values):
        return None
    kind = name(values, "line_item_usage_type") or ""
    unit, tokens = meter(kind), scale(name(values, "pricing_unit")) or scale(_of_description(values))
    amount = number(values, "line_item_usage_amount", signed=True)
    about = {
        "provider": "aws",
        "model": _model(values, kind),
        "operation": name(values, "line_item_operation"),
        "line_item": kind,
        "units": units(**{unit: amount * tokens}) if unit and tokens and amount and amount > 0 else None,
        "context": pairs(processing="batch" if "batch" in kind.lower() else None),
        "cost": f"{needed(number(values, 'line_item_unblended_cost', signed=True), 'line_item_unblended_cost'):f}",
        "currency": name(values, "line_item_currency_code") or "USD",
        "account": name(values, "line_item_usage_account_id"),
    }
    when = times(values, "line_item_usage_start_date", "line_item_usage_end_date")
    return bill(row.line, "aws-cur", when, about, _bucket(values, when, alike))


def _is_bedrock(values: Mapping[str, Any]) -> bool:
    product = inside(values, "product", "product_name") or found(values, "product_product_name")
    return "bedrock" in f"{found(values, 'line_item_product_code')} {product}".lower()


def _of_description(values: Mapping[str, Any]) -> str | None:
    """`… per 1K input tokens`, `AWS Marketplace software usage|us-east-1|Million Input Tokens`."""
    told = str(found(values, "line_item_line_item_description") or "")
    match = re.search(r"million|thousand|\b1[KM](?= )", told, re.IGNORECASE)
    return None if match is None else f"{match[0]} tokens"


def _model(values: Mapping[str, Any], kind: str) -> str | None:
    resource = name(values, "line_item_resource_id") or ""
    if ":foundation-model/" in resource:
        return resource.rpartition("/")[2]
    product = inside(values, "product", "product_name") or found(values, "product_product_name")
    if product and "edition" in str(product).lower():
        return name({"product": str(product).partition(" (")[0]}, "product")
    match = _MODEL.match(kind)
    return None if match is None else match[1]


def _bucket(values: Mapping[str, Any], when: tuple[int, int], alike: Counter[str]) -> list[str]:
    """By the id that AWS gives a line where it has one; else by all that tells it, and which of those alike it is."""
    own = found(values, "identity_line_item_id")
    if own:
        return [str(own)]
    told = [str(values.get(key, "")) for key in _BUCKET]
    key = digest(*when, *told)
    alike[key] += 1
    return [*told, str(alike[key])]
