"""A report on a period: the overview, impacts, scopes, calls, budgets, every run; apart: avoided emissions.

Sections beyond the inventory (`beyond`) stand in it where the home has something of its own to say, or where asked for.
"""

from __future__ import annotations

from dataclasses import replace

from joulebook.accounting.basis import current
from joulebook.accounting.budgets.written import FILE_NAME
from joulebook.accounting.ledger import Ledger
from joulebook.accounting.returns.record import versions
from joulebook.reports.view import View
from joulebook.reports.views.api_usage import api_page
from joulebook.reports.views.beyond import USUAL, Beyond, expected, yardstick
from joulebook.reports.views.budgets import budgets
from joulebook.reports.views.common import Period
from joulebook.reports.views.embodied import embodied
from joulebook.reports.views.impact import impact, of_period
from joulebook.reports.views.overview import overview
from joulebook.reports.views.quality import basis_in_words
from joulebook.reports.views.return_on_environment import annex
from joulebook.reports.views.runs import runs
from joulebook.reports.views.scopes import scopes
from joulebook.reports.views.summary import summary

MOST_RUNS = 500
LONG = ("calls_by_model_project_day", "newest_calls")


def report(ledger: Ledger, period: Period, project: str | None = None, asked: Beyond = USUAL) -> View:
    """A period for paper: the overview, sums by name and host, calls of model APIs, budgets at its end, newest runs."""
    whole = overview(ledger, period, project)
    whole = replace(whole, key="report", title="Energy and carbon of AI work")
    shown = tuple(part for part in whole.parts if part.key != "calls")
    calls = () if shown == whole.parts else (_calls(ledger, period, project),)
    measured = (*calls, *yardstick(ledger, period, project, asked))
    if not whole.tiles:
        return replace(whole, parts=(*measured, *expected(ledger, asked)))
    whole = replace(whole, notes=(*whole.notes, basis_in_words(current(ledger.home))))
    tables = (summary(ledger, period, "name", project), summary(ledger, period, "host", project))
    listed = runs(ledger, period, project, MOST_RUNS)
    parts = (
        *shown,
        *(replace(table, sentence="", notes=(), factors=()) for table in tables),
        *_impacts(ledger, period, project),
        *measured,
        *((budgets(ledger, period.end),) if (ledger.home / FILE_NAME).exists() else ()),
        replace(listed, notes=(), factors=()),
        *expected(ledger, asked),
        *((annex(ledger, period, project),) if versions(ledger.home) else ()),
    )
    return replace(whole, parts=parts)


def _impacts(ledger: Ledger, period: Period, project: str | None) -> tuple[View, ...]:
    """Every category with manufacture, the scopes, and the hardware where some is known."""
    parts = (
        impact(of_period(ledger, period, project)),
        scopes(ledger, period, project),
        embodied(ledger, period, project),
    )
    return tuple(replace(part, subtitle="", tiles=(), factors=()) for part in parts if part.rows)


def _calls(ledger: Ledger, period: Period, project: str | None) -> View:
    """The page of calls without its long tables."""
    page = api_page(ledger, period, project)
    return replace(page, subtitle="", parts=tuple(part for part in page.parts if part.key not in LONG))
