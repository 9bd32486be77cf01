"""Sources: every table of facts with its rows, sources, licences and dates; and the rows of one of them.

tables of factors       read as factors: value and range, place, time, what it is in force for here
catalogues              read as they stand, each with columns of its own
series of this home     hourly or monthly factors that were imported
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import Any

from joulebook.accounting.assess import factors_in_force
from joulebook.accounting.errors import InputError
from joulebook.accounting.factors import CATALOGUES, factor_set, load
from joulebook.accounting.ledger import Ledger
from joulebook.accounting.site import load_site
from joulebook.reports.view import Column, View
from joulebook.reports.views.common import plural
from joulebook.reports.views.factors import factor_row

COLUMNS = (
    Column("table", "Table"),
    Column("kind", "Kind"),
    Column("rows", "Rows", "number"),
    Column("places", "Places", "number"),
    Column("in_force", "In force here"),
    Column("sources", "Sources", "number"),
    Column("licences", "Licences"),
    Column("newest", "Newest, read on"),
)
ROW_COLUMNS = (
    Column("region", "Region"),
    Column("amount", "Value", "estimate"),
    Column("unit", "Unit"),
    Column("match", "Match here", "state"),
    Column("valid", "Holds"),
    Column("source", "Source"),
    Column("licence", "Licence"),
    Column("retrieved", "Read on"),
    Column("url", "Page"),
    Column("basis", "What it is"),
    Column("factor_id", "Factor"),
)


def table_names() -> list[str]:
    """The tables of facts, in the order of their names."""
    return sorted(_texts())


def sources(ledger: Ledger, table: str | None = None, words: str = "") -> View:
    """All tables, and below them the rows of one in which all `words` stand. Raises InputError for another table."""
    if table is not None and table not in _texts():
        raise InputError(f"there is no table {table!r}: there are {', '.join(table_names())}")
    known = factor_set(ledger.home)
    matches = _matches(ledger)
    rows = tuple(_table_row(name, matches) for name in table_names())
    facts = sum(row["rows"] for row in rows)
    shown = _rows_of(table, words, matches) if table else None
    series = f" {plural(len(known.series), 'imported series')}." if known.series else ""
    return View(
        "sources", "Sources", f"{facts:,} facts in {plural(len(rows), 'table')}; each says whose it is.{series}",
        f"factor set {known.set_id}", columns=COLUMNS, rows=rows, parts=(shown,) if shown else (),
        notes=("A fact without a source, a licence and a date is refused when the tables are read.",),
    )  # fmt: skip


@cache
def _texts() -> Mapping[str, str]:
    folder = resources.files("joulebook.data") / "tables"
    return {
        entry.name.removesuffix(".csv"): entry.read_text(encoding="utf-8")
        for entry in folder.iterdir()
        if entry.name.endswith(".csv")
    }


@cache
def _facts(table: str) -> tuple[Mapping[str, str], ...]:
    return tuple(csv.DictReader(io.StringIO(_texts()[table])))


def _matches(ledger: Ledger) -> dict[str, str]:
    """The factors in force at the site today, each with how well it fits."""
    in_force = factors_in_force(load_site(ledger.home), factor_set(ledger.home), datetime.now(UTC).date())
    return {match.factor.factor_id: match.match for match in in_force.matches.values()}


def _table_row(name: str, matches: Mapping[str, str]) -> dict[str, Any]:
    facts = _facts(name)
    is_catalogue = f"{name}.csv" in CATALOGUES
    places = {fact["region"] for fact in facts if "region" in fact}
    used = [f"{each.split('/')[1]} ({match})" for each, match in matches.items() if each.split("/")[0] == name]
    return {
        "table": name,
        "kind": "catalogue" if is_catalogue else "factors",
        "rows": len(facts),
        "places": len(places) or None,
        "in_force": ", ".join(used) or None,
        "sources": len({fact["source"] for fact in facts if fact.get("source")}),
        "licences": "; ".join(_told(facts, "licence")) or None,
        "newest": max(_told(facts, "retrieved"), default=None),
    }


def _told(facts: Sequence[Mapping[str, str]], column: str) -> list[str]:
    return list(dict.fromkeys(fact[column] for fact in facts if fact.get(column)))


def _rows_of(table: str, words: str, matches: Mapping[str, str]) -> View:
    view = _catalogue(table) if f"{table}.csv" in CATALOGUES else _factors(table, matches)
    asked = words.lower().split()
    kept = tuple(row for row in view.rows if all(word in _said(row) for word in asked))
    told = f"{len(kept):,} of {plural(len(view.rows), 'row')}" + (f" with {words!r}." if asked else ".")
    return replace(view, rows=kept, sentence=told, empty=f"No row of {table} has {words!r} in it.")


def _said(row: Mapping[str, Any]) -> str:
    return " ".join(str(value) for value in row.values() if value is not None).lower()


def _factors(table: str, matches: Mapping[str, str]) -> View:
    found = [row for row in load().rows if row.kind == table]
    rows = tuple(factor_row(row, matches.get(row.factor_id, "")) for row in found)
    return View("source_rows", f"Table {table}", columns=ROW_COLUMNS, rows=rows)


def _catalogue(table: str) -> View:
    facts = _facts(table)
    columns = tuple(Column(name, name.replace("_", " ").capitalize()) for name in (facts[0] if facts else ()))
    rows = tuple({name: value or None for name, value in fact.items()} for fact in facts)
    return View("source_rows", f"Table {table}", columns=columns, rows=rows)
