"""What the recorded calls of a period used: the engines' answers for the mean call of each model, times its calls.

Every engine is linear in tokens, so the mean call times their number is what all of them used (the roofline's rates are
those of the mean call's lengths). Calls to one's own server are not here: their energy is that of its run; nor are
attempts that were refused, which used nothing to speak of. A model that no engine knows by its name in the price list
is asked for by that in the calls (`mistral-large-latest`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from statistics import median
from typing import Any

from joulebook.accounting.budgets.burn import Elsewhere, Estimator
from joulebook.accounting.budgets.forecast import Ends
from joulebook.accounting.errors import InputError
from joulebook.accounting.estimates import Estimate, between, ends_of, unknown
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
           count(*) filter (where input_tokens is null and output_tokens is null) as untold,
           mode(coalesce(response_model, request_model)) as named
    from api_call c where c.counted and c.source != 'server' and c.basis != 'not billed' and {where}
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
        """From the lowest to the highest engine's mid, with the median between; of one engine alone its own range."""
        unit = UNITS[category]
        if self.answer is None:
            return unknown(unit, self.reason or "no engine was asked")
        engines = [engine for engine in self.answer.engines if category not in engine.apart]
        amounts = [ends_of(amount) for engine in engines if (amount := _amount(engine, category)).known]
        if not amounts:
            return unknown(unit, f"no engine knows {self.model}")
        mids, told = [mid for _, mid, _ in amounts], self.calls - self.untold
        ends = amounts[0] if len(amounts) == 1 else (min(mids), median(mids), max(mids))
        return between((each * told for each in ends), unit, "modelled")


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
            answer = answered(Call(used.provider, used.model, *tokens), used.named, site)
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
    provider, told = row["provider"] or None, max(1, row["calls"] - row["untold"])
    tokens = [row[f"{kind}_tokens"] / told for kind in ("input", "output", "cached")]
    answer = reason = None
    try:
        answer = answered(Call(provider, row["model"], *tokens), row["named"], site)
    except InputError as error:
        reason = str(error)
    return Called(row["provider"], row["model"], row["calls"], row["untold"], answer, reason)


def answered(call: Call, named: str | None, site: Site) -> Answer:
    """What the engines say of a call; where none knows its model, of the same call by another name of that."""
    place = place_for(call.provider, None, site)
    answer = footprints(call, place)
    if answer.known or not named or named == call.model:
        return answer
    other = footprints(replace(call, model=named), place)
    return other if other.known else answer
