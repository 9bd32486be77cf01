"""Budgets of carbon, energy, cost, water or tokens: what is burnt, what is to be expected, and whom to tell.

written    a `budgets.toml` as budgets with their rules, or one error before anything is evaluated
periods    the day, week, month, quarter or year of an instant
burn       what was used in a scope day by day: of runs as assessed, of calls as priced
forecast   what the rest of the period may bring, with a band;  anomaly   what an unusual day is
check      each rule of each budget: fine, possible, breached, or why nobody can say
alerts     each breach is told once;  webhook   and how it gets there
regression whether a newer run of a name uses more energy than those before it
"""

from __future__ import annotations

from joulebook.accounting.budgets.check import Checked, Verdict, check
from joulebook.accounting.budgets.written import Budget, Budgets, Rule, load

__all__ = ["Budget", "Budgets", "Checked", "Rule", "Verdict", "check", "load"]
