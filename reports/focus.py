"""The calls of a period as a bill in the FinOps Open Cost and Usage Specification (FOCUS).

    calls ─> focus.sql: charges, a row a day, model, unit and price ─> the columns of FOCUS ─> CSV or Parquet, whole

The columns are those of version 1.2, those that 1.3 added, and after them our own, which begin with `x_`. Costs are
decimals from end to end: a price times a quantity is the cost, to its last figure. FOCUS allows no cost that nobody
knows, and 0 would be wrong: calls without a price are left out, and the caller is told how many.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from joulebook.accounting import usage
from joulebook.accounting.errors import InputError
from joulebook.accounting.ledger import Ledger
from joulebook.accounting.prices.listed import provider_of
from joulebook.accounting.records import weakest
from joulebook.reports.focus_energy import energies
from joulebook.reports.sheet import safe_text
from joulebook.reports.views.common import Period, naive

VERSION = "1.2"
ROWS_AT_ONCE = 10_000
COST, PRICE, QUANTITY = pa.decimal128(38, 21), pa.decimal128(20, 17), pa.decimal128(18, 4)
TEXT, MOMENT, NUMBER = pa.string(), pa.timestamp("s", "UTC"), pa.float64()
PAID = ("BilledCost", "ContractedCost", "EffectiveCost")
COLUMNS: dict[str, pa.DataType] = {
    **dict.fromkeys((*PAID, "ListCost"), COST),
    **dict.fromkeys(("BillingAccountId", "BillingAccountName", "BillingAccountType", "BillingCurrency"), TEXT),
    **dict.fromkeys(("BillingPeriodStart", "BillingPeriodEnd", "ChargePeriodStart", "ChargePeriodEnd"), MOMENT),
    **dict.fromkeys(("ChargeCategory", "ChargeClass", "ChargeDescription", "ChargeFrequency",
                     "CommitmentDiscountStatus"), TEXT),
    "ConsumedQuantity": QUANTITY, "ConsumedUnit": TEXT, "ContractedUnitPrice": PRICE, "ListUnitPrice": PRICE,
    **dict.fromkeys(("InvoiceId", "InvoiceIssuerName", "PricingCategory"), TEXT),
    "PricingCurrency": TEXT, "PricingCurrencyContractedUnitPrice": PRICE, "PricingCurrencyEffectiveCost": COST,
    "PricingCurrencyListUnitPrice": PRICE, "PricingQuantity": QUANTITY, "PricingUnit": TEXT,
    **dict.fromkeys(("ProviderName", "PublisherName", "RegionId", "RegionName", "ResourceId", "ResourceName",
                     "ResourceType", "ServiceCategory", "ServiceName", "ServiceSubcategory", "SkuId", "SkuMeter",
                     "SkuPriceDetails", "SkuPriceId", "SubAccountId", "SubAccountName", "SubAccountType",
                     "Tags"), TEXT),
    # since 1.3
    **dict.fromkeys(("AllocatedMethodDetails", "AllocatedMethodId", "AllocatedResourceId", "AllocatedResourceName",
                     "AllocatedTags", "ContractApplied", "HostProviderName", "ServiceProviderName"), TEXT),
    # our own
    "x_CallCount": pa.int64(), "x_Model": TEXT, "x_Unit": TEXT, "x_UsageMethod": TEXT, "x_PriceBasis": TEXT,
    "x_PriceVersion": TEXT, "x_EnergyKwh": NUMBER, "x_Gco2e": NUMBER,
}  # fmt: skip
# How the bill calls a kind of token; a modality stands before it, the time to live of a cache after it.
METERS = {
    ("input", None): "Input", ("input", "cache_read"): "Cached Input", ("input", "cache_write"): "Cache Write",
    ("input", "tool"): "Tool Input", ("output", None): "Output", ("output", "reasoning"): "Reasoning Output",
    ("output", "citation"): "Citation Output",
}  # fmt: skip


@dataclass(frozen=True)
class Exported:
    """What a file holds, and what could not be told in it."""

    path: str
    rows: int
    days: int
    cost_usd: float
    left_out_calls: int
    left_out_tokens: float
    focus_version: str = VERSION


def export(ledger: Ledger, path: Path, period: Period, project: str | None = None, *, force: bool = False) -> Exported:
    """Write the calls of a period to a `.csv` or `.parquet` file: whole, or not at all.

    Raises InputError for another kind of file, or where there is one and `force` is not given.
    """
    write = {".csv": _write_csv, ".parquet": _write_parquet}.get(path.suffix.lower())
    if write is None:
        raise InputError(f"{path}: FOCUS is written as *.csv or *.parquet, not {path.suffix or 'without an ending'}")
    if path.exists() and not force:
        raise InputError(f"{path}: there is a file already; name another one, or give --force to replace it")
    found, left = charges(ledger, period, project), left_out(ledger, period, project)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        write(part, map(row, found))
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    cost = sum((charge["cost"] for charge in found), Decimal())
    return Exported(str(path), len(found), len({charge["day"] for charge in found}), float(cost), **left)


def charges(ledger: Ledger, period: Period, project: str | None = None) -> list[dict[str, Any]]:
    """What is charged for each unit of the calls that have a cost, and the calls behind it."""
    asked, params = _asked(period, project)
    sql = (resources.files("joulebook.reports") / "focus.sql").read_text("utf-8")
    return ledger.rows(sql.format(asked=asked), params, {"call_energy": energies(ledger, asked, params)})


def left_out(ledger: Ledger, period: Period, project: str | None = None) -> dict[str, Any]:
    """The calls that nobody knows the cost of, and as many of their tokens as are known."""
    asked, params = _asked(period, project)
    (told,) = ledger.rows(
        f"""select count(*) as left_out_calls, sum(coalesce(input_tokens, 0) + coalesce(output_tokens, 0)) as tokens
            from api_call c where counted and cost_usd is null and {asked}""", params)  # fmt: skip
    return {"left_out_calls": told["left_out_calls"], "left_out_tokens": told["tokens"] or 0.0}


def _asked(period: Period, project: str | None) -> tuple[str, tuple[Any, ...]]:
    """A condition on calls and its parameters."""
    where, params = "c.started_at_utc >= ? and c.started_at_utc < ?", (naive(period.start), naive(period.end))
    return (where, params) if project is None else (f"{where} and c.of_project = ?", (*params, project))


# A charge as a row of FOCUS -----------------------------------------------------------------------------------------


def row(charge: Mapping[str, Any]) -> dict[str, Any]:
    """A charge in the columns of FOCUS; those that it has nothing to say about are None."""
    return dict.fromkeys(COLUMNS) | _who(charge) | _when(charge["day"]) | _what(charge) | _cost(charge) | _ours(charge)


def _who(charge: Mapping[str, Any]) -> dict[str, Any]:
    provider, project = charge["provider"], charge["project"]
    name = provider_name(provider)
    roles = ("ProviderName", "PublisherName", "InvoiceIssuerName", "ServiceProviderName", "HostProviderName")
    return {
        **dict.fromkeys(roles, name),
        "BillingAccountId": charge["account"] or provider,
        "BillingAccountName": charge["account"] or name,
        "BillingAccountType": "Account",
        "SubAccountId": project,
        "SubAccountName": project,
        "SubAccountType": project and "Project",
        "Tags": _json(_shared_tags(charge["tags"])),
    }


def _when(day: date) -> dict[str, Any]:
    month = day.replace(day=1)
    return {
        "ChargePeriodStart": _midnight(day),
        "ChargePeriodEnd": _midnight(day + timedelta(days=1)),
        "BillingPeriodStart": _midnight(month),
        "BillingPeriodEnd": _midnight((month + timedelta(days=31)).replace(day=1)),
    }


def _what(charge: Mapping[str, Any]) -> dict[str, Any]:
    provider, model, unit = charge["provider"], charge["model"], charge["unit"]
    context = json.loads(charge["context"]) | _size(charge["tier_start"])
    sku = f"{provider}:{model}:{unit}"
    tier = ",".join(f"{key}={value}" for key, value in context.items()) or "standard"
    return {
        "ChargeCategory": "Usage",
        "ChargeFrequency": "Usage-Based",
        "ChargeDescription": f"{model}, {meter(unit)}, {tier}",
        "ServiceCategory": "AI and Machine Learning",
        "ServiceSubcategory": "Generative AI",
        "ServiceName": f"{provider_name(provider)} API",
        "SkuId": sku,
        "SkuMeter": meter(unit),
        "SkuPriceId": f"{sku}:{tier}:{plain(charge['list_price'])}",
        "SkuPriceDetails": _json({"x_Model": model, "x_Unit": unit, **{_pascal(key): context[key] for key in context}}),
        "PricingCategory": "Standard",
    }


def _size(tier_start: float) -> dict[str, str]:
    """For what size of calls a price is, where that matters."""
    return {"input_tokens": f"over {tier_start:.0f}"} if tier_start else {}


def _cost(charge: Mapping[str, Any]) -> dict[str, Any]:
    measure = charge["unit"].rpartition("_")[2].capitalize()
    return {
        **dict.fromkeys((*PAID, "PricingCurrencyEffectiveCost"), charge["cost"]),
        "ListCost": charge["list_cost"],
        **dict.fromkeys(("ContractedUnitPrice", "PricingCurrencyContractedUnitPrice"), charge["price"]),
        **dict.fromkeys(("ListUnitPrice", "PricingCurrencyListUnitPrice"), charge["list_price"]),
        "PricingQuantity": charge["billed_quantity"],
        "ConsumedQuantity": charge["quantity"],
        **dict.fromkeys(("PricingUnit", "ConsumedUnit"), measure),
        **dict.fromkeys(("BillingCurrency", "PricingCurrency"), "USD"),
    }


def _ours(charge: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "x_CallCount": charge["calls"],
        "x_Model": charge["model"],
        "x_Unit": charge["unit"],
        "x_UsageMethod": weakest(charge["methods"]),
        "x_PriceBasis": charge["bases"],
        "x_PriceVersion": charge["versions"],
        "x_EnergyKwh": charge["energy_kwh"],
        "x_Gco2e": charge["gco2e"],
    }


@cache
def provider_name(provider: str) -> str:
    """What a provider is called: `OpenAI`."""
    known = provider_of(provider, None, None)
    return provider if known is None else str(known.name)


@cache
def meter(unit: str) -> str:
    """What a unit measures, as bills call it: `Cached Input`, `Cache Write 1h`, `Audio Output`."""
    dimensions = dict(usage.unit_of(unit).dimensions)
    if dimensions["family"] != "tokens":
        return unit.replace("_", " ").title()
    kind = METERS[dimensions["direction"], dimensions.get("token_type")]
    words = (dimensions.get("modality", "").capitalize(), kind, dimensions.get("cache_ttl", ""))
    return " ".join(filter(None, words))


def _shared_tags(written: Iterable[str]) -> dict[str, str]:
    """The tags that all calls of a charge have."""
    each = [json.loads(tags).items() for tags in written]
    return dict(sorted(set(each[0]).intersection(*each[1:])))


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False)


def _pascal(key: str) -> str:
    """`service_tier` as a key of our own in FOCUS: `x_ServiceTier`."""
    return "x_" + "".join(word.capitalize() for word in key.split("_"))


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


# Files --------------------------------------------------------------------------------------------------------------


def _write_csv(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows([cell(told[name]) for name in COLUMNS] for told in rows)


def cell(value: Any) -> str | None:
    """As FOCUS writes it. Text that a spreadsheet would run has an apostrophe before it."""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, Decimal | float):
        return plain(value)
    return safe_text(value) if isinstance(value, str) else value


def plain(value: Decimal | float) -> str:
    """A number without an exponent, with a decimal point: `0.00000125`, `1200.0`."""
    whole, _, part = f"{Decimal(repr(value)) if isinstance(value, float) else value:f}".partition(".")
    return f"{whole}.{part.rstrip('0') or '0'}"


def _write_parquet(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    schema = pa.schema(list(COLUMNS.items()))
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for some in _batches(rows):
            writer.write_table(pa.Table.from_pylist(some, schema))


def _batches(rows: Iterable[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    each = iter(rows)
    while some := list(islice(each, ROWS_AT_ONCE)):
        yield some
