"""Undated prices of models that the dated list does not know: `data/tables/prices_fallback.csv`.

They are what LiteLLM's price map said on one day, so a call of another day may have cost something else. What is
priced by them is marked `fallback`.
"""

from __future__ import annotations

import csv
import hashlib
import io
from functools import cache
from importlib import resources

from joulebook.accounting.prices.compiled import Price
from joulebook.accounting.prices.listed import plain_name

NAME = "litellm-1.106.2"
TABLE = "prices_fallback.csv"


@cache
def prices() -> tuple[Price, ...]:
    """All rows of the table."""
    return tuple(
        Price(row["provider"], row["model"], "{}", None, None, None, None, row["unit"],
              float(row["tier_start"]), float(row["usd_per_unit"]), None, row["source"])
        for row in csv.DictReader(io.StringIO(_text()))
    )  # fmt: skip


def list_id() -> str:
    return f"{NAME}-{hashlib.sha256(_text().encode()).hexdigest()[:12]}"


def keys(provider_id: str | None, told: str | None, models: tuple[str, ...]) -> list[tuple[str, str]]:
    """The (provider, model)s under which the table may have a model, the surest first."""
    provider = provider_id or (told or "").lower().replace("_", "-")
    names = [plain_name(provider_id, name).lower() for name in models]
    made_of = [":".join(name.split(":")[:2]) for name in names if name.startswith("ft:")]
    return [(provider, name) for name in dict.fromkeys([*names, *made_of])]


@cache
def _text() -> str:
    return (resources.files("joulebook.data") / "tables" / TABLE).read_text("utf-8")
