"""Opening the database: for a moment, for one question, with patience.

DuckDB lets one process write or many read, never both. So nobody keeps it open: the ingest opens it for
milliseconds, a reader for one question, and whoever finds it taken tries again with a little jitter.

A question may have many parts. Who asks them within one `with ledger.reading():` opens the database once, and all
parts see it in the same state.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from joulebook.accounting.errors import LedgerBusy, LedgerError
from joulebook.accounting.ledger import schema

PATIENCE_S = 30.0
# Two connections of one process must agree on the mode, so threads of a dashboard take turns.
_turn = threading.RLock()
# What the thread whose turn it is has open for a question: its parts join it.
_open: dict[Path, duckdb.DuckDBPyConnection] = {}


@dataclass(frozen=True)
class Ledger:
    """A handle on the ledger of a home. Holds no file open."""

    home: Path
    file_name: str = "ledger.duckdb"

    @property
    def path(self) -> Path:
        return self.home / self.file_name

    @property
    def wal_path(self) -> Path:
        return self.home / f"{self.file_name}.wal"

    def query(self, sql: str, params: Sequence[Any] = (), tables: dict[str, pa.Table] | None = None) -> pa.Table:
        """The answer to one question. `tables` are joined to it by name.

        Raises LedgerBusy when another process writes for longer than `PATIENCE_S`.
        """
        with self.reading() as con:
            for name, table in (tables or {}).items():
                con.register(name, table)
            return con.sql(sql, params=list(params)).to_arrow_table()

    def rows(
        self, sql: str, params: Sequence[Any] = (), tables: dict[str, pa.Table] | None = None
    ) -> list[dict[str, Any]]:
        return self.query(sql, params, tables).to_pylist()

    @contextmanager
    def reading(self) -> Generator[duckdb.DuckDBPyConnection]:
        """A read-only connection, with tables of its own. An absent ledger reads as an empty one."""
        with _turn:
            opened = self.path not in _open
            if opened:
                _open[self.path] = _connect(self.path, read_only=True) if self.path.exists() else _empty()
            con = _open[self.path].cursor()
            try:
                con.execute("set TimeZone = 'UTC'")
                yield con
            finally:
                con.close()
                if opened:
                    _open.pop(self.path).close()

    @contextmanager
    def writing(self) -> Generator[duckdb.DuckDBPyConnection]:
        """A connection that may write, with the schema brought up to date."""
        with _turn:
            con = _connect(self.path, read_only=False)
            try:
                con.execute("set TimeZone = 'UTC'")
                con.execute("set checkpoint_threshold = '1GB'")  # once, when it closes, not after every batch
                schema.migrate(con, str(self.path))
                yield con
            finally:
                con.close()


def _empty() -> duckdb.DuckDBPyConnection:
    con = duckdb.connect(":memory:")
    schema.migrate(con, ":memory:")
    return con


def _connect(path: Path, *, read_only: bool) -> duckdb.DuckDBPyConnection:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            con = duckdb.connect(str(path), read_only=read_only)
            if read_only:
                schema.check_version(schema.schema_version(con), str(path))
            return con
        except (duckdb.IOException, duckdb.ConnectionException, duckdb.CatalogException) as error:
            if not _is_taken(error):
                raise LedgerError(
                    f"{path}: cannot be opened ({_first_line(error)}); `joulebook rebuild` makes it anew"
                ) from error
            if time.monotonic() > deadline:
                raise LedgerBusy(
                    f"{path}: still in use after {PATIENCE_S:g} s ({_first_line(error)}); try again"
                ) from error
        time.sleep(random.uniform(0.005, 0.04))  # noqa: S311 — jitter, not a secret


def _is_taken(error: Exception) -> bool:
    text = str(error)
    # a CatalogException: the file exists and its first writer has not made the tables yet
    return isinstance(error, duckdb.CatalogException) or "lock" in text or "different configuration" in text


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0].split(" See also", 1)[0]
