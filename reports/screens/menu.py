"""Which pages there are, in their groups and their order. A path stands in links that people keep: never change one."""

from __future__ import annotations

from dataclasses import dataclass

from joulebook.reports.screens import cost, future, impact, insight, portfolio, projection, runtime, trust
from joulebook.reports.screens.page import Body


@dataclass(frozen=True)
class Screen:
    """One page: its title, its path in the address, a name of Streamlit's own icons, and what draws it."""

    title: str
    path: str
    symbol: str
    body: Body

    @property
    def icon(self) -> str:
        return f":material/{self.symbol}:"


GROUPS: dict[str, tuple[Screen, ...]] = {
    "Cost": (
        Screen("Overview", "overview", "bar_chart", cost.overview_page),
        Screen("Runs", "runs", "table_rows", cost.runs_page),
        Screen("API usage", "api", "api", cost.api_page),
        Screen("Budgets", "budgets", "speed", cost.budgets_page),
    ),
    "Insight": (
        Screen("Explore", "explore", "query_stats", insight.explore_page),
        Screen("Compare", "compare", "compare_arrows", insight.compare_page),
        Screen("Impacts", "impacts", "public", impact.impacts_page),
        Screen("Embodied", "embodied", "memory", impact.embodied_page),
        Screen("Scopes", "scopes", "donut_small", impact.scopes_page),
        Screen("Idealized runtime", "idealized", "timer", runtime.idealized_page),
        Screen("Frontier", "frontier", "trending_up", runtime.frontier_page),
        Screen("Calibration profiles", "profiles", "tune", runtime.profiles_page),
    ),
    "Future": (
        Screen("Portfolio", "portfolio", "folder_copy", portfolio.portfolio_page),
        Screen("Projection", "projection", "show_chart", projection.projection_page),
        Screen("Return on Environment", "roe", "eco", future.roe_page),
        Screen("Claims", "claims", "verified", future.claims_page),
    ),
    "Trust": (
        Screen("Reconcile", "reconcile", "balance", trust.reconcile_page),
        Screen("Assessment", "assessment", "insights", trust.assessment_page),
        Screen("Restatement", "restatement", "history", trust.restatement_page),
        Screen("Method", "method", "functions", trust.method_page),
        Screen("Sources", "sources", "library_books", trust.sources_page),
    ),
}
