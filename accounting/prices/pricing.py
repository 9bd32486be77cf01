"""What calls cost by a version of the price lists: all calls at once, in SQL.

    calls ─> combinations of what they say of provider, model and context ─> rates (rates.py), for the few there are
    calls × their parts × rates ─> priced_line: amount × price ─> priced_call: the cost, or why nobody knows it

A call whose every part has a price costs their sum; a part without one makes the whole unknown, with the reason.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from joulebook.accounting.prices import fallback, listed
from joulebook.accounting.prices.compiled import Price
from joulebook.accounting.prices.contract import Called
from joulebook.accounting.prices.rates import DAY_US, Asked, rates
from joulebook.accounting.prices.versions import Version

if TYPE_CHECKING:
    import duckdb

NOT_BILLED = 400  # from this status on a provider answers with an error and bills nothing
WEAKEST_LAST = ("list", "contract", "fallback")  # what a call is priced by is the weakest of what its parts are


class Chosen(NamedTuple):
    """Which calls are priced: a condition on `call` c and `call_usage` u, and its parameters."""

    where: str = "true"
    params: Sequence[Any] = ()


def price_calls(
    con: duckdb.DuckDBPyConnection, version: Version, chosen: Chosen | None = None, as_of: date | None = None
) -> None:
    """The temporary tables `priced_call` (call_no, cost_usd, basis, reason), `priced_line` and `rate`, by a version.

    With `as_of`, a later call is priced as if it had been made on that day, at its own time of day.
    """
    chosen = chosen or Chosen()
    con.execute(_ASKED.format(where=chosen.where), [as_of or date.max, *chosen.params])
    found = [_Combination(**row) for row in con.sql(_COMBINATIONS).to_arrow_table().to_pylist()]
    _register(con, "rate_row", list(_rates(con, version, found)), _RATES)
    _register(con, "remark", [each.remark() for each in found], _REMARKS)
    for sql in (_LINES, _LEAST, _CALLS):
        con.execute(sql)
    con.unregister("remark")
    con.unregister("rate_row")


def _register(con: duckdb.DuckDBPyConnection, name: str, rows: list[dict[str, Any]], schema: pa.Schema) -> None:
    con.register(name, pa.Table.from_pylist(rows, schema))


Key = tuple[str, str, str, str]  # kind of list, provider, model, context


class _Combination(NamedTuple):
    """What some calls have in common that are priced alike."""

    combination: int
    provider: str | None
    model: str | None
    price_context: str
    told: str | None
    host: str | None
    response_model: str | None
    request_model: str | None
    context: list[tuple[str, str]] | None

    def models(self) -> tuple[str, ...]:
        return tuple(name for name in (self.response_model, self.request_model) if name)

    def called(self) -> Called:
        providers = (self.provider, self.told, self.host)
        models = (self.model, *self.models())
        return Called(tuple(filter(None, providers)), tuple(filter(None, models)), dict(self.context or ()))

    def price_keys(self) -> Iterator[Key]:
        """Under which keys its prices may stand."""
        if self.provider and self.model:
            yield "list", self.provider, self.model, self.price_context
        else:
            for provider, model in fallback.keys(self.provider, self.told, self.models()):
                yield "fallback", provider, model, "{}"

    def remark(self) -> dict[str, Any]:
        """What there is to say of a price, or of there being none."""
        who = self.provider or self.told or self.host
        kinds = listed.contexts()
        other = [f"{key}={value}" for key, value in sorted(self.context or ()) if value in kinds.get(key, ())]
        ignored = f", without what {', '.join(other)} changes" if other else ""
        return {
            "combination": self.combination,
            "why_unknown": None if self.model else listed.why_unlisted(self.provider, who, self.models()),
            "whose": " ".join(filter(None, (who, next(iter(self.called().models), None)))),
            "of_fallback": f"by undated standard prices ({fallback.NAME}){ignored}",
        }


def _rates(con: duckdb.DuckDBPyConnection, version: Version, found: Sequence[_Combination]) -> Iterator[dict[str, Any]]:
    """What all units cost that calls of these combinations may have used."""
    units = [*(row[0] for row in con.execute(_UNITS).fetchall()), "requests"]
    known = _prices(con, version, {key for each in found for key in each.price_keys()})
    for each in found:
        key = next((key for key in each.price_keys() if key in known), ("list", "", "", ""))
        asked = Asked(each.combination, each.called(), units, key[0], known.get(key, ()))
        for rate in rates(asked, version.contract):
            yield rate._asdict() | {"rank": WEAKEST_LAST.index(rate.basis)}


def _prices(con: duckdb.DuckDBPyConnection, version: Version, keys: Collection[Key]) -> dict[Key, list[Price]]:
    """The rows that the lists of a version have under some keys."""
    _register(con, "wanted", [dict(zip(_KEYS.names, key, strict=True)) for key in keys], _KEYS)
    rows = con.sql(_WANTED, params=[list(version.lists)]).to_arrow_table().to_pylist()
    con.unregister("wanted")
    known: dict[Key, list[Price]] = {}
    for row in rows:
        kind, price = row.pop("kind"), Price(**row)
        known.setdefault((kind, price.provider, price.model, price.context), []).append(price)
    return known


# A call that was not answered, or of which nobody knows what it used, has no parts to be priced.
# Two of a million combinations have the same hash once in 30 million times.
_ASKED = f"""
create or replace temp table asked_call as
select c.call_no, least(c.started_at_utc::date, ?::date) as day,
       hash(u.provider, u.model, u.price_context, c.provider, c.host, c.response_model, c.request_model, c.context)
           as combination,
       epoch_us(c.started_at_utc) % {DAY_US} as day_us, coalesce(u.input_tokens, 0) as input_tokens,
       case when c.status >= {NOT_BILLED} then 'not billed' when u.method = 'unknown' then 'unpriced' end as basis,
       case when c.status >= {NOT_BILLED} then 'answered with status ' || c.status else u.reason end as reason
from call c join call_usage u on u.call_no = c.call_no
where {{where}}
"""
_COMBINATIONS = """
with first as (select combination, min(call_no) as call_no from asked_call group by combination)
select f.combination, u.provider, u.model, u.price_context, c.provider as told, c.host, c.response_model,
       c.request_model, c.context
from first f join call c on c.call_no = f.call_no join call_usage u on u.call_no = f.call_no
"""
_WANTED = """
select l.kind, p.* exclude (list_id) from price p join price_list l on l.list_id = p.list_id
join wanted w on w.kind = l.kind and w.provider = p.provider and w.model = p.model and w.context = p.context
where p.list_id in (select unnest(?))
"""
_UNITS = """
select distinct unit from call_bucket
where unit <> 'requests' and call_no >= (select min(call_no) from asked_call) order by unit
"""
# The unit of a line stands in its rate.
_LINES = """
create or replace temp table rate as select row_number() over () as rate_no, * from rate_row;
create or replace temp table priced_line as
with part as (
    select a.*, b.unit, b.amount from asked_call a join call_bucket b on b.call_no = a.call_no
    where a.basis is null and b.unit <> 'requests'
    union all
    select a.*, 'requests', 1 from asked_call a
    where a.basis is null and a.combination in (select combination from rate where unit = 'requests')
)
select p.call_no, case when r.rate_no is null then p.unit end as unpriced_unit, p.amount, r.rate_no, r.usd_per_unit,
       r.rank
from part p left join rate r
  on r.combination = p.combination and r.unit = p.unit and p.day >= r.from_day and p.day < r.to_day
 and p.day_us >= r.from_us and p.day_us < r.to_us
 and (r.tier_start = 0 or p.input_tokens > r.tier_start) and p.input_tokens <= r.tier_end
"""
# A smaller amount than the least is billed as the least: its parts grow alike.
_LEAST = """
update priced_line set amount = amount * l.billed / l.used
from (select call_no, sum(amount) as used, greatest(sum(amount), max(r.least_amount)) as billed
      from priced_line join rate r using (rate_no) where r.least_amount is not null group by call_no) l
where l.call_no = priced_line.call_no and l.billed > l.used
  and priced_line.rate_no in (select rate_no from rate where least_amount is not null)
"""
_CALLS = f"""
create or replace temp table priced_call as
with total as (
    select call_no, sum(amount * usd_per_unit) as usd, min(unpriced_unit) as without, max(rank) as rank
    from priced_line group by call_no
), known as (
    select a.*, t.without, t.usd, ['{"', '".join(WEAKEST_LAST)}'][t.rank + 1] as priced_by, r.* exclude (combination),
           a.basis is null and t.without is null and (t.usd is not null or r.why_unknown is null) as is_known
    from asked_call a left join total t on t.call_no = a.call_no join remark r on r.combination = a.combination
)
select call_no, case when basis = 'not billed' then 0.0 when is_known then coalesce(usd, 0.0) end as cost_usd,
       coalesce(basis, case when is_known then coalesce(priced_by, 'list') else 'unpriced' end) as basis,
       case when basis is not null then reason
            when not is_known and priced_by is null and why_unknown is not null then why_unknown
            when not is_known then 'no price of ' || without || ' of ' || whose
            when priced_by = 'fallback' then of_fallback end as reason
from known
"""
_KEYS = pa.schema([(name, pa.string()) for name in ("kind", "provider", "model", "context")])
_RATES = pa.schema(
    [("combination", pa.uint64()), ("unit", pa.string()), ("from_day", pa.date32()), ("to_day", pa.date32()),
     ("from_us", pa.int64()), ("to_us", pa.int64()),
     *((name, pa.float64())
       for name in ("tier_start", "tier_end", "usd_per_unit", "list_usd_per_unit", "least_amount")),
     ("basis", pa.string()), ("source", pa.string()), ("rank", pa.int8())]
)  # fmt: skip
_REMARKS = pa.schema(
    [("combination", pa.uint64()), *((name, pa.string()) for name in ("why_unknown", "whose", "of_fallback"))]
)
