"""Where joulebook keeps its files.

    <home>/journal/*.jsonl     what jobs wrote and nothing has sealed yet
    <home>/parquet/            sealed journals, one folder per fact and day
    <home>/ledger.duckdb       the ledger, which can be made anew from the two above
    <home>/site.toml           where this machine stands (`joulebook init`)
    <home>/reports/            PDF reports

The home is, in this order: what the caller names, `JOULEBOOK_HOME`, the user's data folder.
"""

from __future__ import annotations

import os
from pathlib import Path


def home_dir(home: str | os.PathLike[str] | None = None) -> Path:
    """The home folder as an absolute path. It is not created."""
    chosen = home or os.environ.get("JOULEBOOK_HOME")
    if not chosen:
        import platformdirs  # only when nobody has chosen: it is not free to import

        chosen = platformdirs.user_data_dir("joulebook", appauthor=False)
    return Path(chosen).expanduser().absolute()


def journal_dir(home: Path) -> Path:
    return home / "journal"
