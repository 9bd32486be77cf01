"""What users know of models and no ledger has: their quality, and how much text their tokens stand for.

model,metric,value                                        a quality; more is better
model,chars_per_prompt_token,chars_per_output_token       or `chars_per_token` for both
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from joulebook.accounting.errors import InputError
from joulebook.models.runtime.profile import Text

Row = Mapping[str, str]


def qualities(path: Path) -> list[tuple[str, str, float]]:
    """Model, metric and value of each row. Raises InputError for one that cannot be used."""
    rows = _rows(path, ("model", "metric", "value"))
    return [(row["model"], row["metric"], _number(path, line, row, "value")) for line, row in rows]


def texts(path: Path) -> dict[str, Text]:
    """Characters per token by model, in lower case. Raises InputError for a row that cannot be used."""
    found: dict[str, Text] = {}
    for line, row in _rows(path, ("model",)):
        both = ("chars_per_token", "chars_per_token")
        names = both if "chars_per_token" in row else ("chars_per_prompt_token", "chars_per_output_token")
        sizes = [_number(path, line, row, name) for name in names]
        if min(sizes) <= 0:
            raise InputError(f"{path}, line {line}: a token stands for more than 0 characters")
        found[row["model"].casefold()] = Text(*sizes)
    return found


def _rows(path: Path, needed: Sequence[str]) -> Sequence[tuple[int, Row]]:
    try:
        reader = csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines())
        rows = [(reader.line_num, {key: (row[key] or "").strip() for key in row if key}) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{path} cannot be read: {why}") from error
    missing = [name for name in needed if name not in (reader.fieldnames or ())]
    if missing:
        raise InputError(f"{path} lacks the column {', '.join(missing)}")
    return rows


def _number(path: Path, line: int, row: Row, name: str) -> float:
    try:
        value = float(row[name])
    except (KeyError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{path}, line {line}: {name} is {row.get(name, '')!r}, not a number")
    return value
