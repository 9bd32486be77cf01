"""The factors: those in force at this site today, or all rows of a kind."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

from joulebook.accounting.assess import factors_in_force
from joulebook.accounting.errors import InputError
from joulebook.accounting.estimates import Estimate
from joulebook.accounting.factors import Factor, load
from joulebook.accounting.site import Site
from joulebook.reports.view import Column, View

COLUMNS = (
    Column("kind", "Kind"),
    Column("region", "Region"),
    Column("amount", "Value", "estimate"),
    Column("unit", "Unit"),
    Column("match", "Match", "state"),
    Column("valid", "Holds"),
    Column("source", "Source"),
    Column("factor_id", "Factor"),
)


def factors(site: Site, kind: str | None = None, region: str | None = None) -> View:
    """The factors in force at a site, or every row of a kind and region. Raises InputError for an unknown kind."""
    known = load()
    if kind is None and region is None:
        in_force = factors_in_force(site, known, datetime.now(UTC).date())
        rows = [factor_row(match.factor, match.match) for match in in_force.matches.values()]
        title = f"Factors in force at {site.region}"
    else:
        kinds = sorted({row.kind for row in known.rows})
        if kind is not None and kind not in kinds:
            raise InputError(f"no factors of kind {kind!r}: there are {', '.join(kinds)}")
        place = region and region.upper()
        chosen = [row for row in known.rows if kind in (None, row.kind) and place in (None, row.region.upper())]
        rows = [factor_row(row, "") for row in chosen]
        title = "Factors"
    columns = tuple(column for column in COLUMNS if column.key != "match" or (kind is None and region is None))
    sentence = f"{len(rows)} of {len(known.rows)} rows; factor set {known.set_id}."
    return View(
        "factors", title, sentence, columns=columns, rows=tuple(rows), empty="No factor fits: see `joulebook factors`."
    )


def factor_row(factor: Factor, match: str) -> dict[str, Any]:
    facts = {field.name: getattr(factor, field.name) for field in fields(factor)}
    facts |= {name: str(facts[name]) if facts[name] else None for name in ("valid_from", "valid_to", "retrieved")}
    method = "declared" if match == "declared" else "default"
    amount = Estimate(factor.low, factor.value, factor.high, factor.unit, method)
    return facts | {"factor_id": factor.factor_id, "valid": factor.valid, "match": match or None, "amount": amount}
