"""Where joulebook keeps its files.

    <home>/journal/*.jsonl     what jobs wrote and nothing has sealed yet
    <home>/lease/              empty files: who of a node's processes reads which sensor
    <home>/parquet/            sealed journals, one folder per fact and day
    <home>/ledger.duckdb       the ledger, which can be made anew from the two above
    <home>/kept/               factor sets and sites that were used, so that old reports can be made again
    <home>/site.toml           where this machine stands (`joulebook init`)
    <home>/reports/            PDF reports

The home is, in this order: what the caller names, `JOULEBOOK_HOME`, the user's data folder.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # `typing` and `pathlib` would cost a job more than all that it needs of this
if TYPE_CHECKING:
    from pathlib import Path


def home_dir(home: str | os.PathLike[str] | None = None) -> Path:
    """The home folder as an absolute path. It is not created."""
    from pathlib import Path

    return Path(home_path(home))


def home_path(home: str | os.PathLike[str] | None = None) -> str:
    """The same as text."""
    chosen = os.fspath(home or os.environ.get("JOULEBOOK_HOME") or _user_data_dir())
    return os.path.abspath(os.path.expanduser(chosen))  # noqa: PTH100, PTH111 - see above


def journal_dir(home: Path) -> Path:
    return home / "journal"


def _user_data_dir() -> str:
    """As platformdirs has it, which is not free to import: on Linux it is this."""
    if sys.platform == "linux":
        xdg = os.environ.get("XDG_DATA_HOME", "")
        return f"{xdg if xdg.startswith('/') else '~/.local/share'}/joulebook"
    import platformdirs

    return platformdirs.user_data_dir("joulebook", appauthor=False)
