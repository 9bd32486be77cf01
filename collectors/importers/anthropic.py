"""Anthropic's usage and cost reports: pages of its Admin API, one or many in a file.

Its `amount` is in cents. Input is counted in parts beside each other: uncached, read from a cache, written to one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from joulebook.collectors.importers import tokens
from joulebook.collectors.importers.bills import bucket, context, times
from joulebook.collectors.importers.entries import Entry, bill, units
from joulebook.collectors.importers.rows import BadRow, Row, each, results, rows
from joulebook.collectors.importers.values import inside, name, needed, number, table_of, whole

NEEDS = ("starting_at", "ending_at", "uncached_input_tokens|amount")


def entries(path: Path) -> Iterator[Entry | BadRow | None]:
    """A bill for each result of a bucket."""
    return each(results(rows(path, NEEDS)), _bill)


def _bill(row: Row) -> Entry:
    told = _cost(row.values) if "amount" in row.values else _usage(row.values)
    source = "anthropic costs" if "amount" in row.values else "anthropic usage"
    about = told | {"provider": "anthropic", "model": name(row.values, "model"), "context": context(row.values),
                    "project": name(row.values, "workspace_id"),
                    "account": name(row.values, "api_key_id", "account_id", "service_account_id")}  # fmt: skip
    return bill(row.line, source, times(row.values, "starting_at", "ending_at"), about, bucket(row.values))


def _usage(values: Mapping[str, Any]) -> dict[str, Any]:
    needed(values.get("uncached_input_tokens"), "uncached_input_tokens")
    written = table_of(values.get("cache_creation")) or {}
    hour = number(written, "ephemeral_1h_input_tokens") or Decimal(0)
    write = hour + (number(written, "ephemeral_5m_input_tokens") or Decimal(0))
    inputs = tokens.anthropic(
        number(values, "uncached_input_tokens"), number(values, "cache_read_input_tokens"), write, hour
    )
    searches = number({"web_search_requests": inside(values, "server_tool_use", "web_search_requests")},
                      "web_search_requests")  # fmt: skip
    amounts = inputs | {"output_tokens": number(values, "output_tokens"), "web_searches": searches}
    return {"operation": "messages", "requests": whole(values, "requests"), "units": units(**amounts)}


def _cost(values: Mapping[str, Any]) -> dict[str, Any]:
    cents = needed(number(values, "amount", signed=True), "amount")
    kinds = [name(values, "cost_type"), name(values, "token_type")]
    return {
        "line_item": name(values, "description") or ", ".join(filter(None, kinds)),
        "operation": name(values, "cost_type"),
        "cost": f"{cents / 100:f}",
        "currency": name(values, "currency") or "USD",
    }
