"""A View's table as plain cells: what the screen shows and what the CSV holds come from the same place.

    View -> sheet_columns -> screen   (numbers stay numbers, so that they sort; each with how it is written)
                          -> csv_text (comment lines first; text that a spreadsheet would run is made harmless)

One unit a column, chosen from its largest value, stands in the header. A column whose rows have different units is
text, each cell with its own unit.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

from joulebook.accounting.estimates import Estimate
from joulebook.reports import format as fmt
from joulebook.reports.view import METHOD_COLUMNS, Column, View

RUN_ID_CHARS = 13  # the part of a run id that holds its time, enough to tell runs apart
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_UNITS_IN_WORDS = {"", "1", "token", "step", "USD"}  # the label or the cell says it: no unit in the header


@dataclass(frozen=True)
class SheetColumn:
    """One column of plain cells; `write` says how a number is written on the screen, None for text and time."""

    key: str
    header: str
    values: tuple[Any, ...]
    kind: Literal["text", "time", "number"] = "text"
    write: Callable[[float | None], str] | None = None
    right: bool = False


def screen_columns(view: View) -> list[SheetColumn]:
    """The columns of a View's table as they are shown: an estimate with its range beside it."""
    said = any(column.key in METHOD_COLUMNS for column in view.columns)
    return [sheet for column in view.columns for sheet in _on_screen(column, _values(view, column), said)]


def csv_text(view: View, comments: Sequence[tuple[str, str]] = ()) -> str:
    """A View's table as CSV: `# name: text` lines, then the header, then all rows, numbers in full.

    An estimate becomes four columns: its middle, low, high and method.
    """
    columns = [sheet for column in view.columns for sheet in _in_file(column, _values(view, column))]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerows([f"# {name}: {' '.join(text.split())}"] for name, text in comments if text)
    writer.writerow([safe_text(column.header) for column in columns])
    writer.writerows(zip(*([_plain(v) for v in column.values] for column in columns), strict=True))
    return out.getvalue()


def safe_text(text: str) -> str:
    """Text that a spreadsheet shows and does not run."""
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def _values(view: View, column: Column) -> tuple[Any, ...]:
    return tuple(row.get(column.key) for row in view.rows)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return _utc(value).isoformat(sep=" ", timespec="seconds")
    if value is None or isinstance(value, int | float):
        return value
    return safe_text(str(value))


def _utc(when: datetime) -> datetime:
    """The moment in UTC without its zone, which stands in the header."""
    return when.astimezone(UTC).replace(tzinfo=None) if when.tzinfo else when


# One column of a View becomes one or more columns of plain cells.


def _on_screen(column: Column, values: tuple[Any, ...], said: bool) -> list[SheetColumn]:
    """`said`: another column of the table already has the methods."""
    if column.kind == "time":
        return [SheetColumn(column.key, _utc_header(column), tuple(map(_moment, values)), "time")]
    if column.kind == "duration":
        return [SheetColumn(column.key, column.label, values, "number", fmt.duration, right=True)]
    if column.kind == "run":
        return [SheetColumn(column.key, column.label, tuple(v and str(v)[:RUN_ID_CHARS] for v in values))]
    if column.kind in ("number", "estimate"):
        return _amounts(column, values, [] if said else _methods(values))
    if column.kind == "id":
        return [SheetColumn(column.key, column.label, tuple(v and fmt.short_id(str(v)) for v in values))]
    return [SheetColumn(column.key, column.label, tuple(None if v is None else str(v) for v in values))]


def _utc_header(column: Column) -> str:
    return column.label if column.label.endswith("UTC") else f"{column.label}, UTC"


def _moment(value: Any) -> datetime | None:
    return None if value is None else _utc(value)


def _amounts(column: Column, values: tuple[Any, ...], methods: Sequence[str]) -> list[SheetColumn]:
    units = _units(column, values)
    middle = _in_own_units(column, values) if len(units) > 1 else _in_one_unit(column, values, units[0])
    name, size = ("", 1.0) if len(units) > 1 else _scale(units[0], values)
    spans = tuple(_said(v, _span(v, name, size), methods) for v in values)
    method = f" ({methods[0]})" if len(methods) == 1 else ""
    if not any(spans):
        return [replace(middle, header=middle.header + method)]
    return [middle, SheetColumn(f"{column.key} range", f"Range{method}", spans, right=True)]


def _in_own_units(column: Column, values: tuple[Any, ...]) -> SheetColumn:
    return SheetColumn(column.key, column.label, tuple(map(_with_unit, values)), right=True)


def _in_one_unit(column: Column, values: tuple[Any, ...], unit: str) -> SheetColumn:
    name, size = _scale(unit, values)
    scaled = tuple(_over(_mid(v), size) for v in values)
    write = _dollars if unit == "USD" else fmt.count if _are_counts(column, scaled) else fmt.number
    return SheetColumn(column.key, _header(column.label, name), scaled, "number", write, right=True)


def _in_file(column: Column, values: tuple[Any, ...]) -> list[SheetColumn]:
    if column.kind == "time":
        return [SheetColumn(column.key, _utc_header(column), values, "time")]
    if column.kind == "duration":
        return [SheetColumn(column.key, f"{column.label} (s)", values, "number")]
    if column.kind not in ("number", "estimate"):
        return [SheetColumn(column.key, column.label, values)]
    units = _units(column, values)
    if len(units) > 1:
        written = tuple(getattr(v, "unit", None) for v in values)
        unit = SheetColumn(column.key, f"{column.label} unit", written)
        return [*_estimate_parts(column, column.label, 1.0, values), unit]
    name, size = _scale(units[0], values)
    header = column.label if name in _UNITS_IN_WORDS - {"USD"} else f"{column.label} ({name})"
    if not any(isinstance(v, Estimate) for v in values):
        return [SheetColumn(column.key, header, tuple(_over(v, size) for v in values), "number")]
    return _estimate_parts(column, header, size, values)


def _estimate_parts(column: Column, header: str, size: float, values: tuple[Any, ...]) -> list[SheetColumn]:
    parts = []
    for name in ("mid", "low", "high"):
        cells = tuple(_over(getattr(v, name, None), size) for v in values)
        parts.append(SheetColumn(column.key, header if name == "mid" else f"{header} {name}", cells, "number"))
    methods = tuple(getattr(v, "method", None) for v in values)
    return [*parts, SheetColumn(column.key, f"{column.label} method", methods)]


# Small questions about values that may be numbers, estimates or missing.


def _units(column: Column, values: Sequence[Any]) -> list[str]:
    units = dict.fromkeys(v.unit for v in values if isinstance(v, Estimate) and column.unit != "%")
    return list(units) or [column.unit or ""]


def _methods(values: Sequence[Any]) -> list[str]:
    return list(dict.fromkeys(v.method for v in values if isinstance(v, Estimate) and v.known))


def _are_counts(column: Column, values: Sequence[float | None]) -> bool:
    """Whether a column of plain numbers holds whole ones only: those are counted, so all their figures are true."""
    return column.kind == "number" and all(value is None or float(value).is_integer() for value in values)


def _mid(value: Any) -> float | None:
    return value.mid if isinstance(value, Estimate) else value


def _over(value: float | None, size: float) -> float | None:
    return value if value is None or size == 1 else value / size  # a count stays a whole number


def _scale(unit: str, values: Sequence[Any]) -> tuple[str, float]:
    if unit == "USD":
        return unit, 1.0  # each sum of money is written with its own sign
    return fmt.scale_for(unit, max((abs(mid) for v in values if (mid := _mid(v)) is not None), default=None))


def _header(label: str, name: str) -> str:
    return label if name in _UNITS_IN_WORDS else f"{label}, {name}"


def _with_unit(value: Any) -> str:
    return fmt.mid_of(value) if isinstance(value, Estimate) else fmt.MISSING


def _dollars(value: float | None) -> str:
    return fmt.amount(value, "USD")


def _span(value: Any, name: str, size: float) -> str:
    """The range of a value: in the unit of its column, or with its own when the column has none."""
    if not isinstance(value, Estimate) or value.low is None or value.high is None or value.low == value.high:
        return ""
    if name in ("", "USD"):
        return fmt.span_of(value)
    return fmt.between(fmt.number(value.low / size), fmt.number(value.high / size))


def _said(value: Any, span: str, methods: Sequence[str]) -> str:
    """The range, with the method where rows differ in it, or why there is no value."""
    if isinstance(value, Estimate) and not value.known:
        return value.reason or ""
    method = value.method if isinstance(value, Estimate) and len(methods) > 1 else ""
    return " · ".join(text for text in (span, method) if text)
