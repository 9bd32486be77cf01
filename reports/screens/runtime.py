"""Models on one yardstick: calls beside what they would take alone, and quality against what it takes."""

from __future__ import annotations

from typing import Any

from joulebook.reports.screens.page import Asked, period_of, show


def idealized_page(ledger: Any, what: Asked) -> None:
    from joulebook.reports.views import normalised

    show(normalised(ledger, period_of(what), what.project), what, ledger)


def frontier_page(ledger: Any, what: Asked) -> None:
    from joulebook.reports.views import frontier

    show(frontier(ledger, period_of(what)), what, ledger)
