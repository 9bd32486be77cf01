"""What the recorded calls of model APIs caused at their providers, for returns: by use case and year, engine by engine.

From the lowest engine to the highest, with the median between.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from joulebook.accounting.ledger import Ledger
from joulebook.accounting.lines import Scope as Window
from joulebook.accounting.returns.causes import Calls
from joulebook.accounting.returns.claims import CRITERIA
from joulebook.accounting.returns.recorded import CALL_IS_UPFRONT_SQL, CALL_USE_CASE_SQL, CALLS_SQL, Scope
from joulebook.accounting.site import Range, Site
from joulebook.models.footprint.recorded import Called, recorded


def calls_of(ledger: Ledger, site: Site, scope: Scope) -> dict[str, list[Calls]]:
    """By use case."""
    condition, params = scope.condition(CALL_USE_CASE_SQL)
    rows = ledger.rows(
        f"""select use_case, year(called_utc) as year, is_upfront,
                   min(first_day) as first_day, max(last_day) as last_day
            from (select {CALL_USE_CASE_SQL} as use_case, {CALL_IS_UPFRONT_SQL} as is_upfront,
                         c.started_at_utc as called_utc,
                         min(called_utc::date) over (partition by use_case) as first_day,
                         max(called_utc::date) over (partition by use_case) as last_day
                  from {CALLS_SQL} where c.counted and c.source != 'server' {condition})
            where called_utc >= ? and called_utc < ? group by all order by all""",
        (*params, scope.start, scope.end),
    )
    found: dict[str, list[Calls]] = {}
    for row in rows:
        start, end = (datetime(row["year"] + more, 1, 1, tzinfo=UTC) for more in (0, 1))
        window = Window(max(start, scope.start.replace(tzinfo=UTC)), min(end, scope.end.replace(tzinfo=UTC)))
        found.setdefault(row["use_case"], []).append(_calls(row, recorded(ledger, window, site, _of(row))))
    return found


def _of(row: Mapping[str, Any]) -> tuple[str, tuple[Any, ...]]:
    """The calls of a row, as a condition."""
    sql = f"select c.call_no from {CALLS_SQL} where {CALL_USE_CASE_SQL} = ? and ({CALL_IS_UPFRONT_SQL}) = ?"
    return f"c.call_no in ({sql})", (row["use_case"], row["is_upfront"])


def _calls(row: Mapping[str, Any], told: list[Called]) -> Calls:
    about = row["year"], row["first_day"], row["last_day"]
    untold = sum(each.untold for each in told)
    told = [each for each in told if each.untold < each.calls]
    if not told:
        return Calls(*about, untold, {}, dict.fromkeys(CRITERIA, "no call tells its tokens"), untold, row["is_upfront"])
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
    return Calls(*about, sum(each.calls for each in told), amounts, unknown, untold, row["is_upfront"])
