"""What a report says beyond its inventory: models on the yardstick, and where the portfolio goes.

    idealized    calls beside what the model alone would take, and the home's own profiles
    frontier     quality against what it takes
    portfolio    who asks how often for what
    projection   its fan, drivers and sensitivities

Unless sections are named, each stands there only where the home has something of its own to say: calls with a
yardstick or profiles, recorded quality, a portfolio that it keeps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from joulebook.accounting.ledger import Ledger
from joulebook.models.projection.ask import Asked
from joulebook.models.projection.questionnaire import kept_file
from joulebook.reports.view import View
from joulebook.reports.views.common import Period
from joulebook.reports.views.compare import called_models
from joulebook.reports.views.frontier import frontier
from joulebook.reports.views.idealized import profiles
from joulebook.reports.views.normalised import fitting_mode, normalised, usual_basis
from joulebook.reports.views.portfolio import portfolio
from joulebook.reports.views.projection import projection

# Parts of a projection that are left to the page: how the study was reproduced, and a second way to count manufacture.
LEFT_TO_THE_PAGE = ("study", "bought")


@dataclass(frozen=True)
class Beyond:
    """Which sections (None: those of the home's own); what is asked of the projection, which then stands there."""

    sections: tuple[str, ...] | None = None
    asked: Asked = field(default_factory=Asked)

    def wants(self, name: str, there: bool) -> bool:
        return there if self.sections is None else name in self.sections


USUAL = Beyond()


def yardstick(ledger: Ledger, period: Period, project: str | None, asked: Beyond) -> Iterator[View]:
    """Calls beside what they would have taken, and quality against it."""
    if asked.sections is not None and not {"idealized", "frontier"} & set(asked.sections):
        return
    basis = replace(usual_basis(ledger), mode=fitting_mode(ledger, called_models(ledger, period, project)))
    calls, own = normalised(ledger, period, project, basis), _own_profiles(ledger)
    is_told = any(row["denoised_s"] is not None or row["idealized_s"] is not None for row in calls.rows)
    if asked.wants("idealized", is_told or bool(own)):
        yield replace(calls, title="Idealized runtime", subtitle=_by(basis.mode), parts=(*calls.parts, *own))
    best = frontier(ledger, period, basis=basis)
    if asked.wants("frontier", bool(best.parts)):
        yield replace(best, subtitle="")


def _by(mode: str) -> str:
    return "Of open models by the roofline" if mode == "roofline" else "By profiles that were measured"


def _own_profiles(ledger: Ledger) -> tuple[View, ...]:
    from joulebook.models.runtime.store import local

    own = local(ledger.home)
    return (replace(profiles(own, ()), title="Profiles of this home", sentence=""),) if own else ()


def expected(ledger: Ledger, asked: Beyond) -> Iterator[View]:
    """The portfolio, and where it goes. Raises InputError or NotFound for what cannot be projected."""
    is_kept, is_asked = kept_file(ledger.home).exists(), asked.asked != Asked()
    if asked.wants("portfolio", is_kept) or is_asked:
        yield portfolio(ledger, asked.asked)
    if asked.wants("projection", is_kept) or is_asked:
        told = projection(ledger, asked.asked)
        yield replace(told, parts=tuple(part for part in told.parts if part.key not in LEFT_TO_THE_PAGE))
