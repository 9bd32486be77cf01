"""Where it goes, and what it gives back: the portfolio, its projection, the Return on Environment and its claims."""

from __future__ import annotations

from typing import Any

import streamlit as st

from joulebook.reports.screens.page import Asked, choose, chosen, period_of, show

UNTIL = {"2030": "2030", "2035": "2035"}


def portfolio_page(ledger: Any, what: Asked) -> None:
    from joulebook.reports.views import portfolio

    show(portfolio(ledger), what, ledger)


def projection_page(ledger: Any, what: Asked) -> None:
    from joulebook.models.projection import ask
    from joulebook.models.projection.engines import engines
    from joulebook.models.projection.scenarios import PRESETS
    from joulebook.reports.views import projection

    scenarios = {name: name.capitalize() if len(name) > 3 else name.upper() for name in PRESETS}
    named = {name: name for name in engines()}
    asked = ask.Asked(
        scenario=chosen("scenario", scenarios),
        engine=chosen("engine", named, ask.EVIDENCE),
        until=int(chosen("until", UNTIL)),
    )

    def controls() -> None:
        with st.container(key="choices", horizontal=True):
            choose("Scenario", "scenario", scenarios)
            choose("Engine", "engine", named, ask.EVIDENCE)
            choose("Until", "until", UNTIL)

    show(projection(ledger, asked), what, ledger, controls=controls)


def roe_page(ledger: Any, what: Asked) -> None:
    from joulebook.reports.views import return_on_environment

    show(return_on_environment(ledger, period_of(what), what.project), what, ledger)


def claims_page(ledger: Any, what: Asked) -> None:
    from joulebook.reports.views import claims

    show(claims(ledger), what, ledger)
