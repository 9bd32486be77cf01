"""The ledger's tables, in ordered steps. A step that has landed is never edited; a change is a new step."""

from __future__ import annotations

from importlib import resources

import duckdb

from joulebook.accounting.errors import NewerSchema

STEPS = ("m001_facts", "m002_views", "m003_nodes", "m004_calls")


def migrate(con: duckdb.DuckDBPyConnection, path: str) -> None:
    """Bring a ledger up to this version, each step in one transaction with its own record.

    Raises NewerSchema when the ledger knows more steps than this joulebook.
    """
    con.execute("create table if not exists schema_version (version integer, applied_at_utc timestamp)")
    version = schema_version(con)
    check_version(version, path)
    for number, name in enumerate(STEPS, start=1):
        if number > version:
            sql = (resources.files("joulebook.accounting.ledger") / f"{name}.sql").read_text(encoding="utf-8")
            con.execute("begin")
            con.execute(sql)
            con.execute("insert into schema_version values (?, (now() at time zone 'UTC'))", [number])
            con.execute("commit")


def schema_version(con: duckdb.DuckDBPyConnection) -> int:
    row = con.execute("select coalesce(max(version), 0) from schema_version").fetchone()
    return int(row[0]) if row else 0


def check_version(version: int, path: str) -> None:
    if version > len(STEPS):
        raise NewerSchema(
            f"{path}: written by a newer joulebook (schema {version}; this one reads up to {len(STEPS)}). "
            "Upgrade joulebook; nothing was changed."
        )
