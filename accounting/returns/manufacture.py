"""The part of what use cases caused that lies in making the hardware: held by their runs, by time share (SCI's M).

By time share, so that hardware that several use cases hold is given once. Water of making it is not known to any
source here. Where the hardware of a use case is not known, that is said; its minerals are then unknown altogether,
because most of them lie in the making.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

from joulebook.accounting.assess import Assessor
from joulebook.accounting.estimates import Estimate
from joulebook.accounting.factors.hardware import CATEGORIES
from joulebook.accounting.held import Held, embodied, held, lifetime_years
from joulebook.accounting.ledger import Ledger
from joulebook.accounting.returns.recorded import IS_UPFRONT_SQL, USE_CASE_SQL, Scope
from joulebook.accounting.site import Range

MOSTLY_MADE = "adpe_kgsb"  # the criterion of which operation is the small part


class Made(NamedTuple):
    """What making the hardware took of a use case in a year, by criterion; one that is not there is not known."""

    year: int
    is_upfront: bool
    amounts: Mapping[str, Range]
    unknown: Mapping[str, str]  # why


def made(assess: Assessor, scope: Scope) -> dict[str, list[Made]]:
    """By use case."""
    owners = _owners(assess.ledger, scope)
    found: dict[str, list[Made]] = {}
    for start, end in scope.years(assess.ledger):
        parts: defaultdict[tuple[str, bool], list[Held]] = defaultdict(list)
        for each in held(assess.ledger, assess.site, start, end):
            if each.run_id in owners:
                parts[owners[each.run_id]].append(each)
        for (use_case, is_upfront), some in parts.items():
            lifetime = lifetime_years(assess.site, assess.factors, start)
            told = {name: embodied(some, lifetime, name) for name in CATEGORIES}
            found.setdefault(use_case, []).append(_made(start.year, told, is_upfront=is_upfront))
    return found


def _made(year: int, told: Mapping[str, Estimate], *, is_upfront: bool) -> Made:
    amounts = {
        name: (each.low, each.mid, each.high)
        for name, each in told.items()
        if each.low is not None and each.mid is not None and each.high is not None
    }
    return Made(year, is_upfront, amounts, {name: each.reason or "" for name, each in told.items() if not each.known})


def _owners(ledger: Ledger, scope: Scope) -> dict[str, tuple[str, bool]]:
    """Of which use case each run is, and whether it was caused up front."""
    condition, params = scope.condition()
    rows = ledger.rows(
        f"""select w.span_id::varchar as run_id, {USE_CASE_SQL} as use_case, {IS_UPFRONT_SQL} as is_upfront
            from work w where w.parent_id is null and w.seen_until_utc >= ? and w.started_at_utc < ? {condition}""",
        (scope.start, scope.end, *params),
    )
    return {row["run_id"]: (row["use_case"], row["is_upfront"]) for row in rows}
