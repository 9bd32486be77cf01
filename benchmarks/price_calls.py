"""Pricing a million calls in the ledger's SQL, beside `genai_prices.calc_price` for each of some of them.

    .venv/bin/python benchmarks/price_calls.py [--calls 1000000] [--sample 20000] [--json]

The calls are of many models, contexts and days, three parts each. Both must find the same cost for those of the sample.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from decimal import Decimal
from pathlib import Path
from statistics import median
from typing import Any

import duckdb
import pyarrow as pa
from genai_prices import Usage, calc_price

from joulebook.accounting.ledger import schema
from joulebook.accounting.prices import compiled, listed, versions
from joulebook.accounting.prices.pricing import price_calls

PARTS = ("input_tokens", "cache_read_tokens", "output_tokens")
ROUNDS = 5
CACHED, OUT = 300, 120  # tokens of each call
START = "2026-01-01"
# Each call has the model and the context of its number, and is 27 s later than the one before.
CALLS = f"""
insert into call (journal_id, seq, call_no, provider, request_model, context, status, started_at_utc)
select uuid(), r.no, r.no, k.provider, k.model, k.context, 200,
       timestamp '{START}' + to_milliseconds((r.no * 27_000)::bigint)
from range($calls) r(no) join kind k on k.no = r.no % $kinds;
"""
USAGE = f"""
insert into call_usage (call_no, provider, model, price_context, counted, input_tokens, output_tokens, method)
select c.call_no, c.provider, c.request_model, k.price_context, true, 1000 + (c.call_no * 7919) % 300_000, {OUT},
       'measured'
from call c join kind k on k.no = c.call_no % $kinds
"""
BUCKETS = f"""
insert into call_bucket
select call_no, unnest({list(PARTS)}), unnest([input_tokens - {CACHED}, {CACHED}, {OUT}]) from call_usage
"""


def kinds() -> list[dict[str, Any]]:
    """The models with a price of each part that are found by their own name, each with its contexts."""
    units: dict[tuple[str, str, str], set[str]] = {}
    for price in compiled.prices():
        units.setdefault((price.provider, price.model, price.context), set()).add(price.unit)
    whole = [key for key, priced in units.items() if {PARTS[0], PARTS[2]} <= priced]
    found = [
        {"provider": provider, "model": model, "price_context": context, "context": list(json.loads(context).items())}
        for provider, model, context in whole
        if is_found(provider, model)
    ]
    return [{"no": no, **kind} for no, kind in enumerate(found[:: max(1, len(found) // 500)])]


def is_found(provider_id: str, model: str) -> bool:
    """Whether the library finds the model by the name that it has in our rows."""
    providers = listed.snapshot().providers
    provider = next(one for one in providers if one.id == provider_id)
    found = provider.find_model(model, all_providers=providers)
    return found is not None and listed.listed_id(provider, found) == model


def ledger(calls: int, some: list[dict[str, Any]]) -> duckdb.DuckDBPyConnection:
    con = duckdb.connect(":memory:")
    con.execute("set TimeZone = 'UTC'")
    schema.migrate(con, ":memory:")
    text = pa.string()
    columns = [("no", pa.int64()), ("provider", text), ("model", text), ("price_context", text),
               ("context", pa.list_(pa.list_(text)))]  # fmt: skip
    con.register("kind", pa.Table.from_pylist(some, pa.schema(columns)))
    con.execute(CALLS, {"calls": calls, "kinds": len(some)})
    con.execute(USAGE, {"kinds": len(some)})
    con.execute(BUCKETS)
    return con


def by_library(rows: list[tuple[Any, ...]]) -> tuple[float, dict[int, Decimal]]:
    """Seconds and costs, one call after the other, as an application would ask for them."""
    start = time.perf_counter()
    costs = {}
    for no, provider, model, context, at, tokens in rows:
        usage = Usage(input_tokens=tokens, cache_read_tokens=CACHED, output_tokens=OUT)
        told = {"provider_id": provider, "genai_request_timestamp": at, "price_context": dict(context)}
        costs[no] = calc_price(usage, model, **told).total_price
    return time.perf_counter() - start, costs


def some_of(con: duckdb.DuckDBPyConnection, every: int) -> list[tuple[Any, ...]]:
    """What is asked of the library: of every so manieth call."""
    return con.execute(
        """select c.call_no, c.provider, c.request_model, c.context, c.started_at_utc, u.input_tokens::bigint
           from call c join call_usage u using (call_no) where c.call_no % ? = 0""",
        [every],
    ).fetchall()


def wrong(con: duckdb.DuckDBPyConnection, costs: dict[int, Decimal]) -> int:
    ours = dict(con.execute("select call_no, cost_usd from priced_call").fetchall())
    return sum(ours[no] is None or abs(Decimal(repr(ours[no])) - cost) > Decimal("1e-9") for no, cost in costs.items())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--sample", type=int, default=20_000)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    some = kinds()
    con = ledger(args.calls, some)
    version = versions.adopt(con, Path("/nowhere"))
    asked = some_of(con, max(1, args.calls // args.sample))
    sql_s, library_s = [], []
    for _ in range(ROUNDS):  # in turns: what else the machine does is the same for both
        start = time.perf_counter()
        price_calls(con, version)
        sql_s.append(time.perf_counter() - start)
        took_s, costs = by_library(asked)
        library_s.append(took_s / len(asked) * args.calls)
    result = {
        "calls": args.calls, "kinds": len(some), "sql_s": sql_s, "sample": len(asked), "library_s": library_s,
        "ratio": median(library_s) / median(sql_s), "wrong": wrong(con, costs),
    }  # fmt: skip
    if args.json:
        print(json.dumps(result, indent=2))
    else:
        print(f"{args.calls:,} calls of {len(some)} kinds in SQL: {_told(sql_s, '.2f')} s")
        print(f"by the library, as {len(asked):,} of them take: {_told(library_s, '.0f')} s")
        print(f"{result['ratio']:.0f} times as fast; {result['wrong']} of {len(asked):,} costs differ")
    return int(bool(result["wrong"]))


def _told(seconds: list[float], how: str) -> str:
    return f"{median(seconds):{how}} ({min(seconds):{how}} to {max(seconds):{how}})"


if __name__ == "__main__":
    sys.exit(main())
