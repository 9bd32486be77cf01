"""Return on Environment: what use cases caused, what they avoided by evidence, and the one over the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

from joulebook.accounting.ledger import Ledger
from joulebook.accounting.returns.classes import PLAUSIBLE, SUPPORTED
from joulebook.accounting.returns.portfolio import WITH_PLAUSIBLE, Draw, Portfolio, Result, portfolio
from joulebook.accounting.returns.record import versions
from joulebook.accounting.returns.recorded import Scope
from joulebook.accounting.uncertainty import quantiles, sampled
from joulebook.reports.view import Tile, View
from joulebook.reports.views.common import Period, assess_period, capital, naive, of_project, plural
from joulebook.reports.views.roe_calls import calls_of
from joulebook.reports.views.roe_parts import (
    BALANCES,
    alerts,
    balance_rows,
    benefit_method,
    break_evens,
    by_market,
    by_year,
    claims_table,
    drawn,
    factor_uses,
    in_money,
    in_range,
    results,
)

APART = "Avoided emissions stand apart: they reduce no scope 1, 2 or 3 and no SCI. Criteria are never netted."


def weigh(ledger: Ledger, period: Period, project: str | None = None, draw: Draw = Draw()) -> Portfolio:  # noqa: B008
    """Every use case of a period, with the claims in force. Days that have not come yet cause and avoid nothing."""
    scope = Scope(naive(period.start), naive(min(period.end, datetime.now(UTC))), project)
    assess = assess_period(ledger, period)
    return portfolio(assess, scope, versions(ledger.home), draw, calls_of(ledger, assess.site, scope))


def return_on_environment(
    ledger: Ledger, period: Period, project: str | None = None, weighed: Portfolio | None = None
) -> View:
    """Per use case and of all: caused, avoided by supported claims, net, RoE; what claims miss; companions."""
    found = weighed or weigh(ledger, period, project)
    title = View("return_on_environment", "Return on Environment", subtitle=capital(period.label))
    if not found.use_cases:
        looked = f"No run and no call{of_project(project)} is on record for {period.label}."
        return replace(title, empty=f"{looked} Record one: joulebook run -- your command")
    return View(
        title.key, title.title, _sentence(found), title.subtitle, _tiles(found.whole),
        BALANCES, tuple(row for result in results(found) for row in balance_rows(result)),
        parts=tuple(part for part in (_internal(found), claims_table(found.whole.claims), by_market(found),
                                      by_year(found.whole), break_evens(found), in_money(found)) if part.rows),
        notes=tuple(_notes(found)), factors=factor_uses(found.factors), alerts=tuple(alerts(found)),
    )  # fmt: skip


def annex(ledger: Ledger, period: Period, project: str | None = None) -> View:
    """The annex of a report: what may be published only, apart from the inventory."""
    found = weigh(ledger, period, project)
    rows = tuple(row for result in results(found) for row in balance_rows(result))
    published = [each for each in found.whole.claims if each.state == SUPPORTED]
    return View(
        "roe_annex", "Annex: Return on Environment", f"No part of the inventory. {APART} {_sentence(found)}",
        columns=BALANCES, rows=rows,
        parts=tuple(part for part in (claims_table(published), by_market(found)) if part.rows),
        notes=tuple(_notes(found)), factors=factor_uses(found.factors), alerts=tuple(alerts(found)),
    )  # fmt: skip


def _sentence(found: Portfolio) -> str:
    balance = found.whole.balance("gwp_g")
    if balance is None:
        return "Nobody knows what these use cases caused, so there is no return to tell."
    caused, roe = drawn("gwp_g", quantiles(balance.caused)), sampled(balance.roe, "")
    told = f"{plural(len(found.use_cases), 'use case')} caused {in_range(caused)} of CO₂e"
    if not found.whole.claims:
        return f"{told}. No claim counts here, so nothing is avoided by evidence: the return is -1."
    avoided = drawn("gwp_g", quantiles(balance.benefit))
    return (
        f"{told} and avoided {in_range(avoided)} by supported claims: a return of {in_range(roe)}; "
        f"over all criteria: {found.whole.verdict()}."
    )


def _tiles(result: Result) -> tuple[Tile, ...]:
    balance = result.balance("gwp_g")
    if balance is None:
        return ()
    unlike = "P5, P50 and P95 of draws in which both sides meet on the same grid."
    return (
        Tile("Caused", drawn("gwp_g", quantiles(balance.caused), result.method), "carbon", unlike),
        Tile(
            "Avoided",
            drawn("gwp_g", quantiles(balance.benefit), benefit_method(balance)),
            "by supported claims",
            unlike,
        ),
        Tile("Return", sampled(balance.roe, ""), "-1: nothing avoided; 0: break-even", "(A − C) ÷ C, draw by draw."),
    )


def _internal(found: Portfolio) -> View:
    """The same with plausible claims, where there are any."""
    told = [each for each in results(found) if any(PLAUSIBLE in one.classes.values() for one in each.claims)]
    rows = tuple(row for each in told for row in balance_rows(each, WITH_PLAUSIBLE))
    return View("with_plausible", "With plausible claims: for internal use only", columns=BALANCES, rows=rows)


def _notes(found: Portfolio) -> Iterator[str]:
    yield f"Ranges are P5 to P95 of {found.draw.n:,} draws (seed {found.draw.seed}); ratios are made draw by draw."
    yield "A return is (A − C) ÷ C: −1 without evidenced benefit, 0 at break-even; of several use cases, of their sums."
    yield "The definition is ours: joulebook roe --definition."
    yield APART
    yield (
        "Caused, location-based: operation, calls of model APIs by several engines, making the hardware where known; "
        "not networks and storage elsewhere."
    )
    yield "A use case is a project, or the tag use_case= of runs and calls; the tag phase=training means up front."
