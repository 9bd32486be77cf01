"""The questions that joulebook answers, each by one function that returns a `View`.

    overview, by_day, by_project   a period
    runs, run                      the runs of a period; one run
    summary                        totals by project, day, name or host
    report                         a period, for paper; `beyond` its inventory, where the home has something to say
    api_page, api_usage, calls, call, latency   calls of model APIs
    price, reprice                 what a call costs; what calls cost by the prices as of a day
    reconcile, reconciled          own calls beside a provider's export; beside what was imported of it
    compare_periods, compare_runs, compare_models   two of a kind, with the range of their difference
    explore                        one measure by what caused it, in steps of time, and what is behind a bar
    footprint                      what a call used, by every engine that can say
    budgets, checked_budgets       what is burnt of each budget, and which of its rules are breached
    regression                     whether newer runs of a name use more energy
    assessment, kept_bases         a period under one basis, its range and data quality; the bases that were used
    restatement                    what changes from one basis to another, and why
    return_on_environment, annex   what was caused and what was avoided by evidence; the same for a report
    claims, claim                  what is claimed to be avoided, its class and what it lacks
    portfolio, projection, projected   who asks how often for what, and where it goes by 2030 and 2035
    alone                          models side by side on equal hardware
    idealized, profile, profiles, denoised   one request alone; what measurements told of a model or its API
    roofline, roofline_catalogue   a model on hardware that nobody measured; the models, hardware and software it knows
    normalised, frontier           recorded calls beside what they would have taken; quality against what it takes
    factors, method, sources       what the numbers rest on: factors in force, formulas and gaps, every table of facts

A drawer needs no more than the View.
"""

from __future__ import annotations

from joulebook.reports.views.alone import alone
from joulebook.reports.views.api_usage import api_page, api_usage
from joulebook.reports.views.assessment import assessment, kept_bases
from joulebook.reports.views.budgets import budgets, checked_budgets
from joulebook.reports.views.calibration import calibration
from joulebook.reports.views.call import call, calls, find_call
from joulebook.reports.views.claims import claim, claims
from joulebook.reports.views.common import Period, freshness, period_of, projects
from joulebook.reports.views.compare import (
    a_year_before,
    before,
    called_models,
    compare_models,
    compare_periods,
    compare_runs,
    newest_runs,
)
from joulebook.reports.views.embodied import embodied
from joulebook.reports.views.explore import explore
from joulebook.reports.views.explore_cut import Cut
from joulebook.reports.views.factors import cloud_regions, factors, hardware, series
from joulebook.reports.views.footprint import footprint
from joulebook.reports.views.frontier import frontier
from joulebook.reports.views.idealized import denoised, idealized, profile, profiles
from joulebook.reports.views.impact import impact
from joulebook.reports.views.latency import latency
from joulebook.reports.views.method import method
from joulebook.reports.views.normalised import normalised
from joulebook.reports.views.overview import by_day, by_project, overview
from joulebook.reports.views.portfolio import portfolio
from joulebook.reports.views.prices import price, reprice
from joulebook.reports.views.projection import projected, projection
from joulebook.reports.views.reconcile import reconcile, reconciled
from joulebook.reports.views.regression import regression
from joulebook.reports.views.report import report
from joulebook.reports.views.restatement import restatement
from joulebook.reports.views.return_on_environment import annex, return_on_environment
from joulebook.reports.views.roofline import roofline, roofline_catalogue
from joulebook.reports.views.run import find_run, run
from joulebook.reports.views.runs import runs
from joulebook.reports.views.sci import sci
from joulebook.reports.views.scopes import scopes
from joulebook.reports.views.sources import sources, table_names
from joulebook.reports.views.summary import summary

__all__ = [
    "Cut",
    "Period",
    "a_year_before",
    "alone",
    "annex",
    "api_page",
    "api_usage",
    "assessment",
    "before",
    "budgets",
    "by_day",
    "by_project",
    "calibration",
    "call",
    "called_models",
    "calls",
    "checked_budgets",
    "claim",
    "claims",
    "cloud_regions",
    "compare_models",
    "compare_periods",
    "compare_runs",
    "denoised",
    "embodied",
    "explore",
    "factors",
    "find_call",
    "find_run",
    "footprint",
    "freshness",
    "frontier",
    "hardware",
    "idealized",
    "impact",
    "kept_bases",
    "latency",
    "method",
    "newest_runs",
    "normalised",
    "overview",
    "period_of",
    "portfolio",
    "price",
    "profile",
    "profiles",
    "projected",
    "projection",
    "projects",
    "reconcile",
    "reconciled",
    "regression",
    "report",
    "reprice",
    "restatement",
    "return_on_environment",
    "roofline",
    "roofline_catalogue",
    "run",
    "runs",
    "sci",
    "scopes",
    "series",
    "sources",
    "summary",
    "table_names",
]
