"""What was used and what it cost: a period at a glance, its runs, its calls of model APIs."""

from __future__ import annotations

from typing import Any

from joulebook.reports.screens.page import Asked, period_of, show


def overview_page(ledger: Any, what: Asked) -> None:
    from joulebook.reports.views import overview

    show(overview(ledger, period_of(what), what.project), what, ledger)


def runs_page(ledger: Any, what: Asked) -> None:
    from joulebook.reports.views import runs

    show(runs(ledger, period_of(what), what.project), what, ledger)


def api_page(ledger: Any, what: Asked) -> None:
    from joulebook.reports.views import api_page

    show(api_page(ledger, period_of(what), what.project), what, ledger)


def budgets_page(ledger: Any, what: Asked) -> None:
    from joulebook.reports.views import budgets

    show(budgets(ledger), what, ledger)
