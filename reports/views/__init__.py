"""The questions that joulebook answers, each by one function that returns a `View`.

    overview, by_day, by_project   a period
    runs, run                      the runs of a period; one run
    summary                        totals by project, day, name or host
    report                         a period, for paper
    api_page, api_usage, calls, call, latency   calls of model APIs
    price, reprice                 what a call costs; what calls cost by the prices as of a day
    reconcile, reconciled          own calls beside a provider's export; beside what was imported of it
    footprint                      what a call used, by every engine that can say
    factors                        what the numbers rest on

A drawer needs no more than the View.
"""

from __future__ import annotations

from joulebook.reports.views.api_usage import api_page, api_usage
from joulebook.reports.views.call import call, calls, find_call
from joulebook.reports.views.common import Period, freshness, period_of, projects
from joulebook.reports.views.factors import factors
from joulebook.reports.views.footprint import footprint
from joulebook.reports.views.latency import latency
from joulebook.reports.views.overview import by_day, by_project, overview
from joulebook.reports.views.prices import price, reprice
from joulebook.reports.views.reconcile import reconcile, reconciled
from joulebook.reports.views.report import report
from joulebook.reports.views.run import find_run, run
from joulebook.reports.views.runs import runs
from joulebook.reports.views.summary import summary

__all__ = [
    "Period",
    "api_page",
    "api_usage",
    "by_day",
    "by_project",
    "call",
    "calls",
    "factors",
    "find_call",
    "find_run",
    "footprint",
    "freshness",
    "latency",
    "overview",
    "period_of",
    "price",
    "projects",
    "reconcile",
    "reconciled",
    "report",
    "reprice",
    "run",
    "runs",
    "summary",
]
