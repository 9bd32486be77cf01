"""What one call would cost: a ledger in memory with one call in it, priced as every call is at ingest."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from joulebook.accounting import usage
from joulebook.accounting.errors import InputError
from joulebook.accounting.ledger import calls, schema
from joulebook.accounting.prices import contract, listed

# Values of a context by which a provider says that nothing is special.
USUAL = {"auto", "default", "standard", "on_demand", "none"}


class Question(NamedTuple):
    """A call that may never have been made. Parts are inside their whole, as providers report usage."""

    provider: str | None
    model: str
    amounts: Mapping[str, float]
    at: datetime
    context: Mapping[str, str]


def quote(home: Path, asked: Question) -> dict[str, Any]:
    """What a call costs, line by line, and what nobody knows the price of; `cost_usd` is None where there is such.

    Raises InputError for units that do not exist or contradict each other, and for a context that no price knows.
    """
    _check_usage(asked.amounts)
    _check_context(asked.context, contract.load(home, contract.read(home)))
    con = duckdb.connect(":memory:")
    try:
        con.execute("set TimeZone = 'UTC'")
        schema.migrate(con, ":memory:")
        con.execute(_CALL, _row(asked))
        calls.refresh(con, home)
        return _answer(con, asked)
    finally:
        con.close()


def _check_usage(amounts: Mapping[str, float]) -> None:
    for unit, amount in amounts.items():
        if unit not in usage.units():
            raise InputError(f"unknown unit {unit!r}{_near(unit, usage.units())}")
        if not 0 <= amount < math.inf:
            raise InputError(f"{unit} must be a number from 0 up, not {amount:g}")
    if not any(amounts.values()):
        raise InputError("no usage to price: write for example input_tokens=1000,output_tokens=50")
    try:
        usage.disjoint(amounts)
    except usage.Unreadable as error:
        raise InputError(f"the usage contradicts itself: {error}; amounts include their parts") from error


def _check_context(context: Mapping[str, str], agreed: contract.Contract) -> None:
    """A typing error here would give the standard price, and nobody would see it."""
    known = {key: set(values) for key, values in listed.contexts().items()}
    for one in (*agreed.prices, *agreed.discounts):
        for key, value in one.scope.context:
            known.setdefault(key, set()).add(value)
    for key, value in context.items():
        if key not in known:
            raise InputError(f"no price depends on {key!r}{_near(key, known)}; there is {', '.join(sorted(known))}")
        if value not in known[key] | USUAL:
            told = ", ".join(sorted(known[key]))
            raise InputError(f"no price depends on {key}={value}{_near(value, known[key])}; {key} may be {told}")


def _near(word: str, known: Collection[str]) -> str:
    near = get_close_matches(word, known, 3)
    return f": did you mean {' or '.join(near)}?" if near else ""


def _row(asked: Question) -> list[Any]:
    at = asked.at.astimezone(UTC).replace(tzinfo=None)
    units = [[unit, repr(amount)] for unit, amount in asked.amounts.items()]
    return [asked.provider, asked.model, at, units, sorted(map(list, asked.context.items()))]


def _answer(con: duckdb.DuckDBPyConnection, asked: Question) -> dict[str, Any]:
    (call,) = con.sql(_ASKED).to_arrow_table().to_pylist()
    lines = con.sql(_LINES).to_arrow_table().to_pylist()
    return {
        "cost_usd": call["cost_usd"],
        "reason": call["reason"] if call["cost_usd"] is None else None,
        "lines": [line for line in lines if line["usd_per_unit"] is not None],
        "unpriced": [_unpriced(line, call) for line in lines if line["usd_per_unit"] is None],
        "basis": call["basis"],
        "price_version": call["version_id"],
        "provider": call["provider"],
        "model": call["model"],
        "context": dict(asked.context),
        "at": asked.at,
        "notes": list(_notes(call, asked)),
    }


def _unpriced(line: Mapping[str, Any], call: Mapping[str, Any]) -> dict[str, Any]:
    who = f"{call['provider']} {call['model']}"
    reason = f"no price of {line['unit']} of {who}" if call["model"] else call["reason"]
    return {"unit": line["unit"], "amount": line["amount"], "reason": reason}


def _notes(call: Mapping[str, Any], asked: Question) -> Iterator[str]:
    """What a reader of the answer should know."""
    if call["basis"] == "fallback":
        yield f"priced {call['reason']}"
    if call["model"] is None and call["cost_usd"] is None:
        near = get_close_matches(asked.model, _models(call["provider"]), 3)
        yield f"{call['reason']}; near it: {', '.join(near)}" if near else str(call["reason"])
    for key, value in asked.context.items():
        is_told = value in USUAL or call["basis"] != "list" or f'"{key}": "{value}"' in call["price_context"]
        if not is_told:
            yield f"{key}={value} changes no price of {call['provider']} {call['model']}: these are its standard prices"


def _models(provider_id: str | None) -> list[str]:
    found = [one for one in listed.snapshot().providers if provider_id in (None, one.id)]
    return [model.id for provider in found for model in (*provider.models, *listed.borrowed(provider))]


_CALL = """
insert into call (journal_id, seq, call_no, attempt, source, provider, request_model, started_at_utc, units, context)
values (uuid(), 0, 1, 1, 'quote', ?, ?, ?, ?, ?)
"""
_ASKED = """
select u.provider, u.model, u.price_context, round(k.cost_usd, 15) as cost_usd, k.basis, k.reason, k.version_id
from call_usage u join call_cost k on k.call_no = u.call_no
"""
_LINES = """
select coalesce(r.unit, l.unpriced_unit) as unit, l.amount, l.usd_per_unit,
       round(l.amount * l.usd_per_unit, 15) as cost_usd, r.list_usd_per_unit, r.tier_start, r.basis, r.source
from priced_line l left join rate r on r.rate_no = l.rate_no
order by l.amount * l.usd_per_unit desc nulls last, 1
"""
