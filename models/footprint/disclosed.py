"""What providers have said themselves, scaled no further than they said it: per prompt, or per output token.

The rows stand in `data/tables/disclosed.csv`. A disclosure is one sum: operational and embodied are not told apart, and
its grid, its year and its contracts are the provider's.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache
from importlib import resources

from joulebook.accounting.estimates import exactly, unknown
from joulebook.accounting.near import near
from joulebook.models.footprint.answer import UNITS, Amounts, Footprint, absent
from joulebook.models.footprint.call import WITH_MANUFACTURE, Absent, Call
from joulebook.models.footprint.place import Place

NAME = "disclosed"
PER = ("prompt", "output token")


@dataclass(frozen=True)
class Disclosure:
    """One row: a provider's `value` of a category for `count` of what it is `per`."""

    provider: str
    model_pattern: str  # fits the whole name, in any case
    category: str
    value: float
    unit: str
    per: str
    count: float
    valid_from: str
    basis: str
    not_compared: str  # why it must not stand beside the other engines; empty when it may
    source: str
    url: str
    licence: str
    retrieved: str

    def fits(self, call: Call) -> bool:
        same = call.provider is None or call.provider.lower() == self.provider
        return same and re.fullmatch(self.model_pattern, call.model, re.IGNORECASE) is not None

    def of(self, call: Call) -> float:
        """What it comes to for a call."""
        return self.value / self.count * (1 if self.per == "prompt" else call.output_tokens)


@cache
def disclosures() -> tuple[Disclosure, ...]:
    text = (resources.files("joulebook.data") / "tables" / "disclosed.csv").read_text(encoding="utf-8")
    numbers = {"value", "count"}
    names = [each.name for each in fields(Disclosure)]
    return tuple(
        Disclosure(**{name: float(row[name]) if name in numbers else row[name] for name in names})  # type: ignore[arg-type]
        for row in csv.DictReader(text.splitlines())
    )


def estimate(call: Call, place: Place) -> Footprint:  # noqa: ARG001 — a disclosure has a grid of its own
    """What the provider of a call has disclosed, or why that does not fit the call."""
    rows = [row for row in disclosures() if row.fits(call)]
    if not rows:
        return absent(NAME, "", _nothing(call))
    if rows[0].per == "output token" and not call.output_tokens:
        return absent(NAME, "", Absent("the disclosure is per output token, and the call has none"))
    apart = "the provider disclosed one sum, operational and embodied together"
    unsplit = {category: unknown(unit, apart) for category, unit in UNITS.items()}
    return Footprint(
        NAME, rows[0].valid_from[:4], _totals(call, rows), unsplit,
        {category: unsplit[category] for category in WITH_MANUFACTURE},
        notes=(_scaled(rows[0]), *(f"{row.category}: {row.basis}." for row in rows)),
        sources=tuple(dict.fromkeys(f"{row.source}, {row.url}" for row in rows)),
        apart={row.category: row.not_compared for row in rows if row.not_compared},
    )  # fmt: skip


def _totals(call: Call, rows: Sequence[Disclosure]) -> Amounts:
    told = {row.category: exactly(row.of(call), row.unit, "declared") for row in rows}
    return {category: told.get(category) or unknown(unit, "not disclosed") for category, unit in UNITS.items()}


def _scaled(row: Disclosure) -> str:
    if row.per == "prompt":
        return (
            "Scaled per prompt: the tokens of this call do not count, because those of the disclosed one are not told."
        )
    return f"Scaled per output token, from {row.count:g}: input and cached tokens do not count."


def _nothing(call: Call) -> Absent:
    known = dict.fromkeys(f"{row.provider} {row.model_pattern}" for row in disclosures())
    reason = f"no provider has disclosed what {call.model!r} uses; there are {', '.join(known)}"
    return Absent(reason, near(call.model, ("gemini", "mistral-large-2407")))
