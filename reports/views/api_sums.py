"""What calls of model APIs used and cost, summed up: the rows that all Views of calls share.

    api_call, what counts of it ─> used: one row for all calls that are alike ─> sums of a group ─> one row of a table

A call is one request with all its attempts, and stands where its first attempt is. Its cost is that at ingest. Calls
without a price are in no sum of money and are counted beside it (`unpriced_share`). How a cost is known:

    declared   a listed or agreed price of tokens that the provider reported: nobody has seen the bill
    modelled   the same of tokens estimated from the length of texts, e.g. of a stream that was left
    default    an undated price, for want of a better one

A sum carries the weakest of these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from joulebook.accounting.estimates import Estimate, exactly, unknown
from joulebook.accounting.ledger import Ledger
from joulebook.accounting.records import weakest
from joulebook.reports.view import Column
from joulebook.reports.views.common import Period, aware, naive

EVIDENCE = ("declared", "modelled", "default")  # of a cost
NOT_OK = ("error", "timeout", "failed", "aborted", "malformed")  # outcomes of attempts that gave nothing, or not all
SUM_COLUMNS = (
    Column("calls", "Calls", "number"),
    Column("retries", "Retries", "number"),
    Column("wasted_attempts", "Failed", "number"),
    Column("input_tokens", "Input", "number", "token"),
    Column("cache_read_tokens", "Cached", "number", "token"),
    Column("output_tokens", "Output", "number", "token"),
    Column("reasoning_tokens", "Reasoning", "number", "token"),
    Column("cost_usd", "API cost", "estimate", "USD"),
    Column("unpriced_share", "Unpriced", "number", "%"),
)
TOKENS = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens", "tokens")


class Asked(NamedTuple):
    """Which calls are asked about: a condition on `api_call c`, and its parameters."""

    condition: str
    params: tuple[Any, ...]


def in_period(period: Period, project: str | None = None) -> Asked:
    """What counts of the calls of a period."""
    begun = "c.counted and c.started_at_utc >= ? and c.started_at_utc < ?"
    params = (naive(period.start), naive(period.end))
    return Asked(begun, params) if project is None else Asked(f"{begun} and c.of_project = ?", (*params, project))


def in_run(run_id: str) -> Asked:
    """What counts of the calls of a run."""
    return Asked("c.counted and c.run_id = ?::uuid", (run_id,))


def used(ledger: Ledger, asked: Asked) -> pa.Table:
    """What was used, one row for all attempts that are alike in what can be asked for."""
    return ledger.query(_USED_SQL.replace("$asked", asked.condition), asked.params)


def sums(ledger: Ledger, table: pa.Table, keys: Sequence[str] = ()) -> list[dict[str, Any]]:
    """The sums of `used` for each group, the costliest first; days in their order."""
    named = "".join(f"{key}, " for key in keys)
    order = "day, " if "day" in keys else ""
    return ledger.rows(
        f"""select {named}{_SUMS} from used {"group by all" if keys else "having count(*) > 0"}
            order by {order}cost_usd desc nulls last, tokens desc nulls last, {named}calls desc""",
        tables={"used": table},
    )


def row_of(found: Mapping[str, Any], keys: Sequence[str] = ()) -> dict[str, Any]:
    """One group as a row of a table, in stable keys."""
    return {
        **{key: found[key] for key in keys},
        "calls": found["calls"],
        "attempts": found["attempts"],
        "retries": found["retries"],
        **{key: found[key] for key in TOKENS},
        "cost_usd": cost_of(found),
        "unpriced_calls": found["unpriced_calls"],
        "unpriced_share": share(found["unpriced_calls"], found["calls"]),
        "unpriced_tokens": found["unpriced_tokens"],
        "unpriced_token_share": share(found["unpriced_tokens"], found["tokens"]),
        "estimated_token_share": share(found["estimated_tokens"], found["tokens"]),
        "wasted_attempts": found["wasted_attempts"],
        "wasted_tokens": found["wasted_tokens"],
        "wasted_cost_usd": cost_of(found, "wasted"),
        "errors": {kind: found[kind] for kind in NOT_OK if found[kind]},
        "first_call_at": aware(found["first_call_at"]),
        "last_call_at": aware(found["last_call_at"]),
    }


def cost_of(found: Mapping[str, Any], what: str = "cost") -> Estimate:
    """The cost of a group, or of what it wasted; unknown where nothing of it that is billed has a price."""
    parts = cost_parts(found, what)
    if not parts or (found[f"{what}_unpriced"] and not any(parts.values())):
        return unknown("USD", found["reason"] or "nothing of it is billed")
    return exactly(sum(parts.values()), "USD", weakest(list(parts)))


def cost_parts(found: Mapping[str, Any], what: str = "cost") -> dict[str, float]:
    """How much of a cost is known in which way. What is not billed costs nothing, and is told where it is alone."""
    parts = {method: found[f"{what}_{method}"] for method in EVIDENCE}
    known = {method: usd for method, usd in parts.items() if usd is not None}
    return {method: usd for method, usd in known.items() if usd} or known


def cost_method(attempt: Mapping[str, Any]) -> str:
    """How the cost of one attempt is known; `_USED_SQL` says the same."""
    if attempt["basis"] == "fallback":
        return "default"
    return "modelled" if attempt["usage_method"] == "modelled" else "declared"


def share(part: float | None, whole: float | None) -> float | None:
    """A part of a whole; None where there is no whole."""
    return (part or 0) / whole if whole else None


# A request stands where the first of its attempts is, and is unpriced when one of them is. Few have more than one.
_USED_SQL = """
with retried as (
    select c.call_id, min(c.attempt) as first_attempt, bool_or(coalesce(k.basis, 'unpriced') = 'unpriced') as unpriced
    from call c left join call_cost k using (call_no)
    semi join (select call_id from call where attempt > 1) using (call_id)
    group by c.call_id
)
select c.model, c.provider, c.of_project as project, c.started_at_utc::date as day, c.host,
       c.source, c.outcome, c.basis = 'unpriced' as is_unpriced,
       case when c.basis = 'fallback' then 'default' when c.usage_method = 'modelled' then 'modelled'
            else 'declared' end as cost_method,
       c.usage_method = 'modelled' as is_estimated,
       count(*) as attempts, count(*) filter (c.attempt > 1) as retries,
       count(*) filter (coalesce(c.attempt = r.first_attempt, true)) as calls,
       count(*) filter (coalesce(c.attempt = r.first_attempt and r.unpriced, c.basis = 'unpriced')) as unpriced_calls,
       sum(c.input_tokens) as input_tokens, sum(c.output_tokens) as output_tokens,
       sum(c.cache_read_tokens) as cache_read_tokens, sum(c.cache_write_tokens) as cache_write_tokens,
       sum(c.reasoning_tokens) as reasoning_tokens,
       sum(coalesce(c.input_tokens + c.output_tokens, c.input_tokens, c.output_tokens)) as tokens,
       sum(c.cost_usd) as usd, min(c.cost_reason) filter (c.basis = 'unpriced') as reason,
       min(c.started_at_utc) as first_at, max(c.started_at_utc) as last_at
from api_call c left join retried r using (call_id)
where $asked group by all
"""
_SUMS = ", ".join([
    *(f"sum({name})::bigint as {name}" for name in ("calls", "attempts", "retries", "unpriced_calls")),
    *(f"sum({name}) as {name}" for name in TOKENS),
    "sum(tokens) filter (is_unpriced) as unpriced_tokens", "sum(tokens) filter (is_estimated) as estimated_tokens",
    "coalesce(sum(attempts) filter (outcome <> 'ok'), 0)::bigint as wasted_attempts",
    "sum(tokens) filter (outcome <> 'ok') as wasted_tokens",
    *(f"coalesce(sum(attempts) filter (outcome = '{kind}'), 0)::bigint as {kind}" for kind in NOT_OK),
    "sum(usd) as cost_usd", "min(reason) as reason", "count(distinct (provider, model)) as models",
    "coalesce(bool_or(is_unpriced), false) as cost_unpriced",
    "coalesce(bool_or(is_unpriced) filter (outcome <> 'ok'), false) as wasted_unpriced",
    *(f"sum(usd) filter (cost_method = '{method}') as cost_{method}" for method in EVIDENCE),
    *(f"sum(usd) filter (cost_method = '{method}' and outcome <> 'ok') as wasted_{method}" for method in EVIDENCE),
    "min(first_at) as first_call_at", "max(last_at) as last_call_at",
])  # fmt: skip
