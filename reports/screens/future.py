"""What it gives back: the Return on Environment and its claims. See also `portfolio` and `projection`."""

from __future__ import annotations

from typing import Any

from joulebook.reports.screens.page import Asked, period_of, show


def roe_page(ledger: Any, what: Asked) -> None:
    from joulebook.reports.views import return_on_environment

    show(return_on_environment(ledger, period_of(what), what.project), what, ledger)


def claims_page(ledger: Any, what: Asked) -> None:
    from joulebook.reports.views import claims

    show(claims(ledger), what, ledger)
