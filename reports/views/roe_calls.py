"""What the recorded calls of model APIs caused at their providers, for returns: by project and year, engine by engine.

A use case's calls are those of the project of its name. From the lowest engine to the highest, with the median between.
"""

from __future__ import annotations

from datetime import UTC, date, datetime

from joulebook.accounting.ledger import Ledger
from joulebook.accounting.lines import Scope as Window
from joulebook.accounting.returns.causes import Calls
from joulebook.accounting.returns.claims import CRITERIA
from joulebook.accounting.returns.recorded import Scope
from joulebook.accounting.site import Range, Site
from joulebook.models.footprint.recorded import Called, recorded


def calls_of(ledger: Ledger, site: Site, scope: Scope) -> dict[str, list[Calls]]:
    """By project."""
    rows = ledger.rows(
        """select of_project as project, year(started_at_utc) as year,
                  min(started_at_utc)::date as first_day from api_call
           where counted and source != 'server' and started_at_utc >= ? and started_at_utc < ?
                 and (?::varchar is null or of_project = ?) group by all order by all""",
        (scope.start, scope.end, scope.project, scope.project),
    )
    found: dict[str, list[Calls]] = {}
    for row in rows:
        start, end = (datetime(row["year"] + more, 1, 1, tzinfo=UTC) for more in (0, 1))
        window = Window(
            max(start, scope.start.replace(tzinfo=UTC)), min(end, scope.end.replace(tzinfo=UTC)), row["project"]
        )
        told = _calls(row["year"], row["first_day"], recorded(ledger, window, site))
        found.setdefault(row["project"], []).append(told)
    return found


def _calls(year: int, first_day: date, told: list[Called]) -> Calls:
    untold = sum(each.untold for each in told)
    told = [each for each in told if each.untold < each.calls]
    if not told:
        return Calls(year, first_day, untold, {}, dict.fromkeys(CRITERIA, "no call tells its tokens"), untold)
    amounts: dict[str, Range] = {}
    unknown: dict[str, str] = {}
    for criterion in CRITERIA:
        estimates = [each.of(criterion) for each in told]
        reasons = [f"calls to {each.model or 'a model without a name'}: {estimate.reason}"
                   for each, estimate in zip(told, estimates, strict=True) if not estimate.known]  # fmt: skip
        if reasons:
            unknown[criterion] = reasons[0]
        else:
            low, mid, high = (sum(getattr(each, end) for each in estimates) for end in ("low", "mid", "high"))
            amounts[criterion] = low, mid, high
    return Calls(year, first_day, sum(each.calls for each in told), amounts, unknown, untold)
