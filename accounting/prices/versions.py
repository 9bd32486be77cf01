"""Which lists were in force, and from when on.

    contract  prices.toml of the home           above
    list      the dated list of genai-prices    above
    fallback  undated prices                    for models that the list does not know

Each list has an id made of its content. A version is the lists in force at once; a new one is adopted when one of
them has changed, and no list that a version names is ever changed or removed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from joulebook.accounting.prices import compiled, contract, fallback
from joulebook.accounting.prices.compiled import Price
from joulebook.accounting.prices.contract import Contract

if TYPE_CHECKING:
    import duckdb


class Version(NamedTuple):
    """Lists that are in force at once, and the contract above them."""

    version_id: str
    lists: tuple[str, ...]
    contract: Contract


def adopt(con: duckdb.DuckDBPyConnection, home: Path) -> Version:
    """The version in force now. It and its lists are kept where they are new.

    Raises InputError where prices.toml cannot be used.
    """
    text = contract.read(home)
    agreed = contract.load(home, text)
    lists = (_keep_list(con), _keep(con, "fallback", fallback.list_id(), fallback.prices))
    if text is not None:
        lists = (_keep(con, "contract", contract.list_id(text), content=text), *lists)
    version_id = compiled.digest(lists)
    last = con.execute("select version_id from price_version order by adopted_at_utc desc limit 1").fetchall()
    if not last or last[0][0] != version_id:
        con.execute("insert into price_version values (?, ?, ?)", [version_id, _now(), list(lists)])
    return Version(version_id, lists, agreed)


def known_on(con: duckdb.DuckDBPyConnection, day: date) -> Version | None:
    """The newest version that was adopted by the end of a day, else the first one; None where there is none yet."""
    rows = con.execute(
        """select version_id, lists from price_version
           order by adopted_at_utc::date > $day, if(adopted_at_utc::date > $day, adopted_at_utc, null),
                    adopted_at_utc desc limit 1""",
        {"day": day},
    ).fetchall()
    if not rows:
        return None
    version_id, lists = rows[0]
    text = con.execute(
        "select content from price_list where kind = 'contract' and list_id in (select unnest(?))", [lists]
    ).fetchall()
    return Version(version_id, tuple(lists), contract.parse(text[0][0] if text else ""))


def _keep_list(con: duckdb.DuckDBPyConnection) -> str:
    """The dated list. Its rows are not worked out where it is known what they were made from."""
    mark = compiled.fingerprint()
    known = con.execute("select list_id from price_list where kind = 'list' and content = ?", [mark]).fetchall()
    return str(known[0][0]) if known else _keep(con, "list", compiled.list_id(), compiled.prices, mark)


def _keep(
    con: duckdb.DuckDBPyConnection,
    kind: str,
    list_id: str,
    prices: Callable[[], Sequence[Price]] = tuple,
    content: str = "",
) -> str:
    """A list with its rows, if it is new; what it was made from is brought up to date."""
    if con.execute("select 1 from price_list where list_id = ?", [list_id]).fetchall():
        con.execute("update price_list set content = ? where list_id = ?", [content, list_id])
        return list_id
    name = list_id.rpartition("-")[0]
    con.execute("insert into price_list values (?, ?, ?, ?, ?)", [list_id, kind, name, _now(), content])
    if rows := prices():
        columns = [pa.array(values, of) for values, of in zip(zip(*rows, strict=True), _ROWS.types, strict=True)]
        con.register("new_price", pa.Table.from_arrays(columns, schema=_ROWS))
        con.execute("insert into price by name select ? as list_id, * from new_price", [list_id])
        con.unregister("new_price")
    return list_id


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


_ROWS = pa.schema(
    [*((name, pa.string()) for name in ("provider", "model", "context")),
     ("valid_from", pa.date32()), ("valid_to", pa.date32()), ("daily_from", pa.time64("us")),
     ("daily_to", pa.time64("us")), ("unit", pa.string()), ("tier_start", pa.float64()),
     ("usd_per_unit", pa.float64()), ("least_amount", pa.float64()), ("source", pa.string())]
)  # fmt: skip
