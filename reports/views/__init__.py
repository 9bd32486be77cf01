"""The questions that joulebook answers, each by one function that returns a `View`.

    overview, by_day, by_project   a period
    runs, run                      the runs of a period; one run
    summary                        totals by project, day, name or host
    report                         a period, for paper
    factors                        what the numbers rest on

A drawer needs no more than the View.
"""

from __future__ import annotations

from joulebook.reports.views.common import Period, freshness, period_of, projects
from joulebook.reports.views.factors import factors
from joulebook.reports.views.overview import by_day, by_project, overview
from joulebook.reports.views.report import report
from joulebook.reports.views.run import find_run, run
from joulebook.reports.views.runs import runs
from joulebook.reports.views.summary import summary

__all__ = [
    "Period",
    "by_day",
    "by_project",
    "factors",
    "find_run",
    "freshness",
    "overview",
    "period_of",
    "projects",
    "report",
    "run",
    "runs",
    "summary",
]
