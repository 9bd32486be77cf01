"""Why the numbers can be believed: the provider's bill beside them, the method, every fact behind them."""

from __future__ import annotations

from typing import Any

import streamlit as st

from joulebook.reports.screens.page import Asked, choose, chosen, period_of, show, write_words


def reconcile_page(ledger: Any, what: Asked) -> None:
    from joulebook.reports.views import reconciled

    show(reconciled(ledger, period_of(what)), what, ledger)


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
