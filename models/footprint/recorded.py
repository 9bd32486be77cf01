"""What the recorded calls of a period used: the engines' answers for the mean call of each model, times its calls.

Every engine is linear in tokens, so the mean call times their number is what all of them used (the roofline's rates are
those of the mean call's lengths). Calls to one's own server are not here: their energy is that of its run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import Any

from joulebook.accounting.budgets.burn import Elsewhere, Estimator
from joulebook.accounting.budgets.forecast import Ends
from joulebook.accounting.errors import InputError
from joulebook.accounting.estimates import Estimate, between, unknown
from joulebook.accounting.ledger import Ledger
from joulebook.accounting.lines import Scope
from joulebook.accounting.site import Site
from joulebook.models.footprint.answer import UNITS
from joulebook.models.footprint.call import Call
from joulebook.models.footprint.engines import footprints, place_for
from joulebook.models.footprint.spread import Answer

_SQL = """
    select coalesce(provider, '') as provider, coalesce(model, '') as model, count(*) as calls,
           sum(coalesce(input_tokens, 0)) as input_tokens, sum(coalesce(output_tokens, 0)) as output_tokens,
           sum(coalesce(cache_read_tokens, 0)) as cached_tokens,
           count(*) filter (where input_tokens is null and output_tokens is null) as untold
    from api_call c where c.counted and c.source != 'server' and {where}
    group by all order by calls desc, provider, model
"""


@dataclass(frozen=True)
class Called:
    """All calls to one model, of how many nobody knows the tokens, and what the engines say of the mean call."""

    provider: str
    model: str
    calls: int
    untold: int
    answer: Answer | None
    reason: str | None

    def of(self, category: str) -> Estimate:
        """From the lowest to the highest engine's mid, with the median between; ranges within an engine are apart."""
        unit = UNITS[category]
        if self.answer is None:
            return unknown(unit, self.reason or "no engine was asked")
        told = {engine.name: engine for engine in self.answer.engines if category not in engine.apart}
        mids = [amount.mid for engine in told.values() if (amount := _amount(engine, category)).mid is not None]
        if not mids:
            return unknown(unit, f"no engine knows {self.model}")
        return between((each * self.calls for each in (min(mids), median(mids), max(mids))), unit, "modelled")


def _amount(engine: Any, category: str) -> Estimate:
    """Both parts where both are known, else operation alone: an engine without manufacture is a lower bound."""
    whole: Estimate = engine.total[category]
    return whole if whole.known else engine.operational[category]


def recorded(ledger: Ledger, scope: Scope, site: Site, only: tuple[str, Sequence[Any]] = ("true", ())) -> list[Called]:
    """The calls of a scope by model, the most frequent first. `only`: a condition on `c` in SQL, and its parameters."""
    where, params = _where(scope)
    sql = _SQL.format(where=f"{where} and {only[0]}")
    return [_called(row, site) for row in ledger.rows(sql, [*params, *only[1]])]


def estimator(site: Site) -> Estimator:
    """What calls used in operation, from the lowest to the highest engine's mid, with the median between."""

    def told(used: Elsewhere, category: str) -> Ends | None:
        tokens = (each / used.calls for each in (used.input_tokens, used.output_tokens, used.cached_tokens))
        try:
            answer = footprints(Call(used.provider, used.model, *tokens), place_for(used.provider, None, site))
        except InputError:
            return None
        amounts = (engine.operational[category] for engine in answer.engines if category not in engine.apart)
        mids = [amount.mid * used.calls for amount in amounts if amount.mid is not None]
        return Ends(min(mids), median(mids), max(mids)) if mids else None

    return told


def _where(scope: Scope) -> tuple[str, Sequence[Any]]:
    told = {
        "c.started_at_utc >= ?": _naive(scope.since),
        "c.started_at_utc < ?": _naive(scope.until),
        "c.of_project = ?": scope.project,
    }
    kept = {condition: value for condition, value in told.items() if value is not None}
    return " and ".join(["true", *kept]), list(kept.values())


def _naive(when: datetime | None) -> datetime | None:
    return when.astimezone(UTC).replace(tzinfo=None) if when else None


def _called(row: Mapping[str, Any], site: Site) -> Called:
    provider, calls = row["provider"] or None, row["calls"]
    try:
        tokens = (row[f"{kind}_tokens"] / calls for kind in ("input", "output", "cached"))
        call = Call(provider, row["model"], *tokens)
        answer = footprints(call, place_for(provider, None, site))
    except InputError as error:
        return Called(row["provider"], row["model"], calls, row["untold"], None, str(error))
    return Called(row["provider"], row["model"], calls, row["untold"], answer, None)
