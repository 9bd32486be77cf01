"""What a report on a period holds: the overview, and every run."""

from __future__ import annotations

from dataclasses import replace

from joulebook.accounting.ledger import Ledger
from joulebook.reports.view import View
from joulebook.reports.views.common import Period
from joulebook.reports.views.overview import overview
from joulebook.reports.views.runs import runs
from joulebook.reports.views.summary import summary

MOST_RUNS = 500


def report(ledger: Ledger, period: Period, project: str | None = None) -> View:
    """A period for paper: the overview, sums by name and host, and the newest runs."""
    whole = overview(ledger, period, project)
    title = "Energy and carbon of AI work"
    if not whole.parts:
        return replace(whole, key="report", title=title)
    tables = (summary(ledger, period, "name", project), summary(ledger, period, "host", project))
    listed = runs(ledger, period, project, MOST_RUNS)
    parts = (
        *whole.parts,
        *(replace(table, sentence="", notes=(), factors=()) for table in tables),
        replace(listed, notes=(), factors=()),
    )
    return replace(whole, key="report", title=title, parts=parts)
