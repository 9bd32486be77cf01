"""Both sides of a reconciliation: own calls and a provider's bills, summed up by day, model and tier.

bills, named as the price list names them ─────────────┐
calls of those providers and days, by the hour ─> ours ─┴─> cells: one day, one model, both sides
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from joulebook.accounting import usage
from joulebook.accounting.ledger import Ledger
from joulebook.accounting.prices.listed import named
from joulebook.accounting.prices.pricing import NOT_BILLED

LONGEST_DAY = timedelta(hours=26)  # a bucket that is longer is no day
FARTHEST_H = 14  # how far a day can lie from that of UTC
NO_MODEL = "(no model)"
STANDARD = ("default", "standard", "auto", "on_demand")
_TOKENS, _INPUT, _OUTPUT = ("family", "tokens"), ("direction", "input"), ("direction", "output")
# Kinds of tokens; the later ones are parts of the first two.
KINDS = {
    "input": (_TOKENS, _INPUT),
    "output": (_TOKENS, _OUTPUT),
    "cache_read": (_TOKENS, _INPUT, ("token_type", "cache_read")),
    "cache_write": (_TOKENS, _INPUT, ("token_type", "cache_write")),
    "reasoning": (_TOKENS, _OUTPUT, ("token_type", "reasoning")),
}


class Named(NamedTuple):
    """A model as the price list names it, else as it was named."""

    provider: str
    model: str


class Key(NamedTuple):
    """What is compared. `tier`: None where one side does not tell it."""

    day: date
    named: Named
    tier: str | None


@dataclass(frozen=True)
class Bill:
    """A provider's statement for a bucket of time. None: it does not say."""

    named: Named
    tier: str | None
    start: datetime
    end: datetime
    requests: int | None
    units: Mapping[str, float] | None  # that do not overlap
    cost_usd: Decimal | None
    currency: str
    whose: str | None  # project or account, as the provider names it


@dataclass
class Side:
    """What one side says of a day and a model. None: it does not say."""

    is_there: bool = True
    requests: float | None = None
    units: Counter[str] | None = None
    cost_usd: float | None = None
    statements: int = 0  # bills with a cost
    whose: set[str] = field(default_factory=set)
    list_cost_usd: float | None = None
    unpriced: int = 0
    estimated_tokens: float = 0.0
    unanswered: Counter[str] = field(default_factory=Counter)  # attempts that may be billed, by how they ended

    def tokens(self, *kinds: str) -> float:
        """The tokens of some kinds, by default of all."""
        return sum(usage.total(self.units or {}, *KINDS[kind]) or 0.0 for kind in kinds or ("input", "output"))


@dataclass(frozen=True)
class Cell:
    """One day and one model, of both sides."""

    key: Key
    ours: Side
    theirs: Side


class Hour(NamedTuple):
    """Own calls of an hour that are alike."""

    start: datetime
    named: Named
    tier: str | None
    side: Side


# The provider's side ------------------------------------------------------------------------------------------------


def bill_of(told: Mapping[str, Any]) -> Bill:
    """A `bill` as the journal has it. Raises Unreadable where its amounts contradict themselves."""
    context = dict(told.get("context") or ())
    units = {unit: float(amount) for unit, amount in told.get("units") or ()}
    cost = told.get("cost")
    return Bill(
        name_of(told.get("provider"), told.get("model") or told.get("line_item")),
        tier_of(context),
        _instant(told["from_ns"]),
        _instant(told["to_ns"]),
        told.get("requests"),
        usage.disjoint(units) if told.get("units") else None,
        None if cost is None else Decimal(str(cost)),
        (told.get("currency") or "USD").upper(),
        told.get("project") or told.get("account"),
    )


def name_of(provider: str | None, model: str | None) -> Named:
    """A model in the names of the price list, where it knows it."""
    known = named(provider, None, None, (model,) if model else (), ())
    return Named(known.provider or provider or "(no provider)", known.model or model or NO_MODEL)


def tier_of(context: Mapping[str, str]) -> str | None:
    """`batch`, `flex`, `priority`, `standard`; None where nobody says."""
    if context.get("processing") == "batch":
        return "batch"
    tier = context.get("service_tier")
    return "standard" if tier in STANDARD else tier


def _instant(ns: int) -> datetime:
    """UTC without a zone, as the ledger keeps times."""
    return datetime(1970, 1, 1) + timedelta(microseconds=ns // 1000)  # noqa: DTZ001


def theirs(bills: Iterable[Bill], key_of: Callable[[date, Named, str | None], Key]) -> dict[Key, Side]:
    """The bills summed up. Amounts of bills that tell no cost are preferred: the others would repeat them."""
    groups: dict[Key, list[Bill]] = {}
    for bill in bills:
        groups.setdefault(key_of(bill.start.date(), bill.named, bill.tier), []).append(bill)
    return {key: _sum_of_bills(group) for key, group in groups.items()}


def _sum_of_bills(bills: list[Bill]) -> Side:
    costs = [bill.cost_usd for bill in bills if bill.cost_usd is not None and bill.currency == "USD"]
    counting = [bill for bill in bills if bill.units is not None and bill.cost_usd is None]
    counting = counting or [bill for bill in bills if bill.units is not None]
    requests = [bill.requests for bill in counting or bills if bill.requests is not None]
    return Side(
        requests=sum(requests) if requests else None,
        units=sum((Counter(bill.units) for bill in counting), Counter()) if counting else None,
        cost_usd=float(sum(costs)) if costs else None,
        statements=len(costs),
        whose={bill.whose for bill in bills if bill.whose},
    )


# Our side -----------------------------------------------------------------------------------------------------------


def hours(ledger: Ledger, bills: Sequence[Bill], project: str | None) -> list[Hour]:
    """Own calls of the providers that sent bills, by the hour; also of the hours before and after them."""
    around = timedelta(hours=FARTHEST_H)
    start, end = min(bill.start for bill in bills) - around, max(bill.end for bill in bills) + around
    providers = sorted({bill.named.provider for bill in bills})
    asked = (providers, start, end, project, project)
    units: dict[int, Counter[str]] = defaultdict(Counter)
    for part in ledger.rows(f"{_HOURS_SQL} {_UNITS_SQL}", asked):
        units[part["hour_no"]][part["unit"]] = part["amount"]
    return [_hour(row, units[row["hour_no"]]) for row in ledger.rows(f"{_HOURS_SQL} {_CALLS_SQL}", asked)]


def ours(found: Iterable[Hour], key_of: Callable[[date, Named, str | None], Key]) -> dict[Key, Side]:
    """Own calls summed up by day."""
    sides: dict[Key, Side] = {}
    for hour in found:
        key = key_of(hour.start.date(), hour.named, hour.tier)
        sides[key] = _added(sides[key], hour.side) if key in sides else hour.side
    return sides


def _hour(row: Mapping[str, Any], units: Counter[str]) -> Hour:
    side = Side(
        requests=row["answered"],
        units=units,
        cost_usd=row["cost_usd"],
        list_cost_usd=row["list_cost_usd"],
        unpriced=row["unpriced"],
        estimated_tokens=row["estimated_tokens"] or 0.0,
        unanswered=Counter(row["unanswered"] or ()),
    )
    tier = tier_of(dict(row["context"] or ()))
    return Hour(row["hour"], Named(row["provider"], row["model"] or NO_MODEL), tier, side)


def _added(one: Side, other: Side) -> Side:
    return Side(
        requests=(one.requests or 0) + (other.requests or 0),
        units=(one.units or Counter()) + (other.units or Counter()),
        cost_usd=_sum(one.cost_usd, other.cost_usd),
        list_cost_usd=_sum(one.list_cost_usd, other.list_cost_usd),
        unpriced=one.unpriced + other.unpriced,
        estimated_tokens=one.estimated_tokens + other.estimated_tokens,
        unanswered=one.unanswered + other.unanswered,
    )


def _sum(*amounts: float | None) -> float | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if known else None


_HOURS_SQL = f"""
with asked as (
    select date_trunc('hour', started_at_utc) as hour, provider, model, context, call_no, cost_usd, outcome,
           usage_method, coalesce(input_tokens, 0) + coalesce(output_tokens, 0) as tokens,
           coalesce(status, 0) < {NOT_BILLED} and coalesce(usage_method, '') <> 'measured' as may_be_billed,
           dense_rank() over (order by hour, provider, model, context) as hour_no
    from api_call
    where counted and provider in (select unnest(?)) and started_at_utc >= ? and started_at_utc < ?
      and (?::varchar is null or of_project = ?)
)
"""
_UNITS_SQL = "select hour_no, unit, sum(amount) as amount from asked join call_bucket using (call_no) group by all"
_CALLS_SQL = """
, at_list as (
    select call_no, sum(amount * coalesce(list_usd_per_unit, usd_per_unit)) as usd from call_line group by call_no
)
select hour_no, hour, provider, model, context, count(*) filter (tokens > 0) as answered,
       sum(cost_usd) as cost_usd, sum(coalesce(usd, cost_usd)) as list_cost_usd,
       count(*) filter (tokens > 0 and cost_usd is null) as unpriced,
       sum(tokens) filter (usage_method = 'modelled') as estimated_tokens,
       list(coalesce(outcome, 'unknown')) filter (may_be_billed and coalesce(outcome, '') <> 'ok') as unanswered
from asked left join at_list using (call_no) group by all order by hour_no
"""
