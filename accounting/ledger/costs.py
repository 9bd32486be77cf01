"""What calls cost when they were ingested: worked out once, by the prices known then, and never again.

    new calls ─> prices.pricing, by the version of prices in force ─> call_cost, call_line

A rebuilt ledger takes these, and the history of prices, from the one that it replaces.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from joulebook.accounting.prices import versions
from joulebook.accounting.prices.pricing import Chosen, price_calls

HISTORY = ("price", "price_list", "price_version")
ANEW = "priced at a rebuild: what it cost at ingest could not be read from the ledger before"


def refresh(con: duckdb.DuckDBPyConnection, home: Path, before: int) -> None:
    """What the calls after `before` cost. Part of the ingest's transaction.

    Raises InputError where the prices.toml of the home cannot be used.
    """
    version = versions.adopt(con, home)
    price_calls(con, version, Chosen("c.call_no > ?", [before]))
    con.execute(_COSTS, [version.version_id])
    con.execute(_LINES)


def adopt(con: duckdb.DuckDBPyConnection, home: Path) -> None:
    """Take note of prices that have changed, where there are calls at all."""
    if con.execute("select 1 from call limit 1").fetchall():
        versions.adopt(con, home)


def take_history(con: duckdb.DuckDBPyConnection, old: Path) -> bool:
    """Bring over the price history of a ledger; False where there is none that can be read."""
    if not old.exists():
        return False
    try:
        con.execute(f"attach '{_quoted(old)}' as old (read_only)")
        for table in HISTORY:
            con.execute(f"insert into {table} by name select * from old.{table}")
        con.execute("create temp table old_cost as select * from old.call_cost")
        con.execute("create temp table old_line as select * from old.call_line")
    except duckdb.Error:
        for table in HISTORY:
            con.execute(f"delete from {table}")
        return False
    finally:
        con.execute("detach database if exists old")
    return True


def take_costs(con: duckdb.DuckDBPyConnection, *, is_known: bool) -> None:
    """Put what calls cost at ingest back in its place; what is new to the ledger keeps the cost of now."""
    if is_known:
        for sql in _TAKE:
            con.execute(sql)
    else:
        con.execute("update call_cost set reason = concat_ws('; ', reason, ?)", [ANEW])


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


_COSTS = """
insert into call_cost
select c.journal_id, c.seq, c.call_no, p.cost_usd, p.basis, p.reason, ?
from priced_call p join call c on c.call_no = p.call_no
"""
_LINES = """
insert into call_line
select l.call_no, r.unit, l.amount, r.usd_per_unit, r.list_usd_per_unit, r.tier_start, r.basis, r.source
from priced_line l join rate r on r.rate_no = l.rate_no
join priced_call p on p.call_no = l.call_no and p.cost_usd is not null
"""
_TAKE = (
    """create temp table kept as select c.call_no as new_no, k.*
       from old_cost k join call c on c.journal_id = k.journal_id and c.seq = k.seq""",
    "delete from call_cost where call_no in (select new_no from kept)",
    "delete from call_line where call_no in (select new_no from kept)",
    "insert into call_cost by name select k.* exclude (new_no) replace (new_no as call_no) from kept k",
    """insert into call_line by name select l.* replace (k.new_no as call_no)
       from old_line l join kept k on k.call_no = l.call_no""",
)
