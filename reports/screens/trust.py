"""Why the numbers can be believed: the provider's bill beside them, the method, every fact behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import streamlit as st

from joulebook.reports import format as fmt
from joulebook.reports.screens.page import BEGINNING, Asked, choose, chosen, period_of, show, write_words

if TYPE_CHECKING:
    from joulebook.accounting.basis import Kept
    from joulebook.accounting.lines import Scope


def reconcile_page(ledger: Any, what: Asked) -> None:
    from joulebook.reports.views import reconciled

    show(reconciled(ledger, period_of(what)), what, ledger)


def assessment_page(ledger: Any, what: Asked) -> None:
    """The range of the period's totals, what it comes from, and how good the data is, under one basis."""
    from joulebook.accounting import basis
    from joulebook.accounting.assessment import assess
    from joulebook.reports.views import assessment

    named = {basis.NOW: "Now", **_named(basis.kept(ledger.home))}

    def controls() -> None:
        with st.container(key="choices", horizontal=True):
            choose("Factors and site of", "under", named)

    under = basis.find(ledger.home, chosen("under", named))
    show(assessment(assess(ledger, _scope(what), under)), what, ledger, controls=controls)


def restatement_page(ledger: Any, what: Asked) -> None:
    """The factors that were in force before, against those of now."""
    from joulebook.accounting import basis
    from joulebook.accounting.assessment import restate
    from joulebook.reports.views import kept_bases, restatement

    kept = basis.kept(ledger.home)
    if not kept:
        show(kept_bases(kept), what, ledger)
        return
    named = _named(kept)

    def controls() -> None:
        with st.container(key="choices", horizontal=True):
            choose("From", "from", named, kept[-1].basis_id)
            choose("To", "to", {basis.NOW: "Now", **named})

    before, after = chosen("from", named, kept[-1].basis_id), chosen("to", {basis.NOW: "Now", **named})
    found = [basis.find(ledger.home, name) for name in (before, after)]
    view = restatement(restate(ledger, _scope(what), found[0], found[1]))
    show(replace(view, parts=(*view.parts, kept_bases(kept))), what, ledger, controls=controls)


def _named(kept: Sequence[Kept]) -> dict[str, str]:
    return {each.basis_id: f"{fmt.moment(each.since)} · {each.region} · {each.basis_id[:12]}" for each in kept}


def _scope(what: Asked) -> Scope:
    from joulebook.accounting.lines import Scope

    return Scope(None if what.start == BEGINNING else what.start, what.end, what.project)


def method_page(ledger: Any, what: Asked) -> None:
    from joulebook.reports.views import method

    show(method(ledger, period_of(what), what.project), what, ledger)


def sources_page(ledger: Any, what: Asked) -> None:
    from joulebook.reports.views import sources, table_names

    tables = {name: name.replace("_", " ").capitalize() for name in table_names()}
    first = "carbon_intensity"

    def controls() -> None:
        with st.container(key="choices", horizontal=True, vertical_alignment="bottom"):
            choose("Rows of the table", "table", tables, first)
            write_words("Only rows with", "words", "e.g. FR 2025")

    view = sources(ledger, chosen("table", tables, first), st.query_params.get("words", ""))
    show(view, what, ledger, controls=controls)
