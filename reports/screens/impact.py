"""What running and making caused: all categories, the hardware behind them, the scopes of an inventory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import streamlit as st

from joulebook.accounting.errors import NotFound
from joulebook.reports.screens.page import Asked, choose, chosen, period_of, show
from joulebook.reports.view import View

UNITS = {"runs": "Run", "requests": "Request", "tokens": "Token", "correct_answers": "Correct answer"}


def impacts_page(ledger: Any, what: Asked) -> None:
    from joulebook.reports.views import impact
    from joulebook.reports.views.impact import of_period

    per = chosen("per", UNITS)
    subject = of_period(ledger, period_of(what), what.project)
    view = impact(subject)

    def controls() -> None:
        with st.container(key="choices", horizontal=True):
            choose("Carbon per", "per", UNITS)

    if view.rows:
        view = replace(view, parts=(*view.parts, _score(subject, per)))
    show(view, what, ledger, controls=controls if view.rows else None)


def _score(subject: Any, per: str) -> View:
    """The Software Carbon Intensity per unit, or why there is none."""
    from joulebook.reports.views import sci

    try:
        return sci(subject, per)
    except NotFound as nothing:
        return View("sci", f"Software Carbon Intensity per {UNITS[per].lower()}", empty=f"{nothing}.")


def embodied_page(ledger: Any, what: Asked) -> None:
    from joulebook.reports.views import embodied

    show(embodied(ledger, period_of(what), what.project), what, ledger)


def scopes_page(ledger: Any, what: Asked) -> None:
    from joulebook.reports.views import scopes

    show(scopes(ledger, period_of(what), what.project), what, ledger)
