"""Let focus-validator run on Python 3.11: one f-string of it is written in the grammar of 3.12.

Run by the Python of the validator's own environment when that is made (`make conformance`). Nothing else is changed.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

MODULE = "config_objects/focus_to_duckdb_converter.py"
WRITTEN = """+ ", ".join(f"'{k.replace('\\"', '\\"\\"')}'" for k in ignore_keys)"""
MEANT = """+ ", ".join("'" + k.replace('"', '""') + "'" for k in ignore_keys)"""


def main() -> None:
    if sys.version_info >= (3, 12):
        return
    package = importlib.util.find_spec("focus_validator")
    assert package is not None, "focus-validator is not installed here"
    path = Path(package.submodule_search_locations[0]) / MODULE
    text = path.read_text("utf-8")
    assert text.count(WRITTEN) == 1 or MEANT in text, f"{path}: another focus-validator than the one that is pinned?"
    path.write_text(text.replace(WRITTEN, MEANT), "utf-8")


if __name__ == "__main__":
    main()
