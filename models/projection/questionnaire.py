"""A portfolio as the questionnaire that somebody can fill in, and the one that the home keeps.

    Portfolio ──cells──▶ rows of text, gaps left empty ──as_csv, as_toml──▶ a file to fill in, which `portfolio` reads
    rows of a form, bytes of a file ──checked──▶ <home>/portfolio.csv, whole or not at all

The home's own portfolio counts where nobody names another (`ask`). In CSV a spreadsheet must not run what somebody
wrote: text that begins like a formula has an apostrophe before it, which is taken away where it is read.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from joulebook.models.projection import paper2501
from joulebook.models.projection.portfolio import (
    FIELDS,
    NUMBERS,
    SHARES,
    Portfolio,
    Row,
    UseCase,
    guarded,
    of_bytes,
    portfolio_of,
)

FILE_NAME = "portfolio.csv"
FORM = "the form"
Cells = Mapping[str, str]  # what is written of a use case, by field; empty: nobody filled it in


def kept_file(home: Path) -> Path:
    """Where the portfolio of a home stands, if there is one."""
    return home / FILE_NAME


def checked_form(rows: Iterable[Cells], base_year: int, region: str) -> Portfolio:
    """Rows of a form as a portfolio. Raises InputError that names row and field."""
    return portfolio_of(
        (Row(row, _in_row(number)) for number, row in enumerate(rows, 1)), FORM, base_year, region
    )  # fmt: skip


def checked_file(content: bytes, name: str, base_year: int, region: str) -> Portfolio:
    """A file that somebody handed over. Raises InputError that names line and field."""
    return of_bytes(content, Path(name), base_year, region)


def _in_row(number: int) -> Callable[[str], str]:
    return lambda field: f"{FORM}, row {number}, {field}"


def keep(home: Path, portfolio: Portfolio) -> Path:
    """Write a portfolio into the home in place of the one before, whole or not at all."""
    path = kept_file(home)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        part.write_text(as_csv(cells(portfolio)), encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


# Written ----------------------------------------------------------------------------------------------------------


def cells(portfolio: Portfolio) -> list[dict[str, str]]:
    """What was said of each use case; what is only a default is left empty, and stays one when it is read again."""
    return [_cells(use_case) for use_case in portfolio.use_cases]


def _cells(one: UseCase) -> dict[str, str]:
    told = {"name": one.name, "kind": one.kind, "provider": one.provider or "", "model": one.model or ""}
    told |= {field: repr(getattr(one, field)).removesuffix(".0") for field in NUMBERS}
    told |= {field: _shares(getattr(one, field)) for field in SHARES}
    gaps = set(one.defaults) - {"kind"}
    if one.model and one.model_sizes == paper2501.size_shares():
        gaps.add("model_sizes")  # a named model goes before sizes: nobody has filled them in
    return {field: "" if field in gaps else told[field] for field in FIELDS}


def _shares(parts: Mapping[str, float]) -> str:
    return next(iter(parts)) if len(parts) == 1 else " ".join(f"{name}={share!r}" for name, share in parts.items())


def as_csv(rows: Sequence[Cells]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(FIELDS)
    writer.writerows([guarded(row.get(field, "")) for field in FIELDS] for row in rows)
    return out.getvalue()


def as_toml(rows: Sequence[Cells]) -> str:
    """A table for each use case, with the fields that somebody filled in."""
    return "\n".join(f"[[use_case]]\n{_lines(row)}" for row in rows)


def _lines(row: Cells) -> str:
    return "".join(f"{field} = {_value(field, row[field])}\n" for field in FIELDS if row.get(field))


def _value(field: str, text: str) -> str:
    """A number as it stands, all else as a text: JSON's are TOML's too, but for DEL, which TOML wants escaped."""
    return text if field in NUMBERS else json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
