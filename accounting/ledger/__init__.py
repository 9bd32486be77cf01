"""The ledger: what journals told, in DuckDB, with a history that can be rebuilt.

database   open for a moment, ask, close
schema     tables, in ordered steps
journals   journal files: whose, how much is new, is the writer alive
parse      bytes to rows; bad lines apart
ingestion  rows and watermarks in one transaction; rebuild
calls      what calls mean, and which count
costs      what they cost at ingest; quote: what one would cost
rollup     minutes and hours, sums exact
segments   sealed journals as Parquet
verify     the invariants, checked
"""

from __future__ import annotations

from pathlib import Path

from joulebook.accounting.errors import MissingExtra

try:
    from joulebook.accounting.ledger.database import Ledger
    from joulebook.accounting.ledger.ingestion import Ingested, ingest, rebuild
except ModuleNotFoundError as error:
    if error.name not in {"duckdb", "pyarrow"}:
        raise
    raise MissingExtra("the ledger", "ledger") from error

__all__ = ["Ingested", "Ledger", "ingest", "open_ledger", "rebuild"]


def open_ledger(home: Path) -> Ledger:
    """A handle on the ledger of a home; cheap, and it holds no file open."""
    return Ledger(home)
