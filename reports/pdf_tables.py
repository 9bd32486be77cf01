"""Tables as cells of text: the rows of a View under one header, for paper (in a type size that fits) and the page.

    values -> one unit for the column -> text, range and mark of each cell -> decimal points under each other -> folds

The unit and the method of a whole column stand in its header. A cell of another method carries a mark, and the key
to the marks stands under the table, with the reasons of what is not known.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from joulebook.accounting.estimates import Estimate
from joulebook.accounting.records import METHODS
from joulebook.reports import format as fmt
from joulebook.reports.view import METHOD_COLUMNS, Column, View

LINE_CHARS = 116  # characters of a table's type that fit across the page
SQUEEZE = 1.2  # how many more of them fit when the type is made smaller
MAX_ROWS = 1000  # about thirty pages; the time to set a table grows with the square of its rows
WRAP_CHARS = 16  # the least width of a text column; longer text goes on in a next line
SHORT_ROWS = 14  # a table as short as this may stand beside another, and is kept on one page
SHORT_LINES = 40  # if it has no more lines than this
FOLD_ROWS = 16  # rows of a narrow table before it goes on beside itself
RUN_ID_CHARS = 13  # the part of a run id that holds its time, enough to find it again
RIGHT = ("number", "estimate", "duration")  # the kinds of column that are compared by size


def table_data(view: View, width: float) -> dict[str, Any]:
    """A table as header, cells and what stands under it, with a type size that fits the width."""
    columns = _table_columns(view)
    fitting = LINE_CHARS * width
    stacked = _needed_chars(columns, stacked=False) > fitting
    needed = _needed_chars(columns, stacked)
    rows = _rows(columns)
    lines = _lines(rows)
    folding = len(rows) > SHORT_ROWS and lines == len(rows) and not view.totals
    beside = max(1, min(3, int(fitting / needed))) if folding else 1
    height = len(rows) if beside == 1 else min(math.ceil(len(rows) / beside), FOLD_ROWS)
    return {
        "columns": [{key: value for key, value in column.items() if key != "cells"} for column in columns],
        "totals": len(view.totals),  # so many rows at the top
        "stacked": stacked,
        "size": round(max(6.0, min(8.0, 8.0 * fitting / needed)), 2),
        "beside": beside,
        "together": beside > 1 or (len(rows) <= SHORT_ROWS and lines <= SHORT_LINES),
        "folds": [rows[start : start + height] for start in range(0, len(rows), height)],
        "notes": [*_cut_note(len(view.rows)), *_table_notes(columns)],
    }


def fits(view: View, width: float) -> bool:
    """Whether the table of a View is short enough, and with smaller type narrow enough, for a part of the page."""
    columns = _table_columns(view)
    short = len(view.rows) <= SHORT_ROWS and _lines(_rows(columns)) <= SHORT_LINES
    return short and _needed_chars(columns, stacked=True) <= SQUEEZE * LINE_CHARS * width


def _rows(columns: Sequence[Mapping[str, Any]]) -> list[list[dict[str, str]]]:
    return [list(row) for row in zip(*(column["cells"] for column in columns), strict=True)]


def _lines(rows: Sequence[Sequence[Mapping[str, str]]]) -> int:
    """How many lines the rows take at most."""
    return sum(max(math.ceil(len(cell["text"]) / WRAP_CHARS) for cell in row) or 1 for row in rows)


def _cut_note(count: int) -> list[str]:
    return [f"The first {MAX_ROWS:,} of {count:,} rows; an export as CSV has all."] if count > MAX_ROWS else []


def _needed_chars(columns: Sequence[Mapping[str, Any]], stacked: bool) -> int:
    """How many characters wide a table must be."""
    return sum(_column_chars(column, stacked) for column in columns)


def _column_chars(column: Mapping[str, Any], stacked: bool) -> int:
    """Text columns may wrap; a range stands beside its value, or under it when the table is stacked."""
    mid = max(len(cell["text"]) + len(cell["pad"]) for cell in column["cells"])
    span = column["longest_range"]
    beside = mid + span + 2 if span else mid
    needed = min(mid, WRAP_CHARS) if column["weight"] else max(mid, span) if stacked else beside
    return max(needed, *(len(word) for word in column["label"].split()), 4) + 3


def _table_columns(view: View) -> list[dict[str, Any]]:
    said = any(column.key in METHOD_COLUMNS for column in view.columns)
    columns = [_column(column, view, said) for column in view.columns]
    if not any(column["weight"] for column in columns):
        columns[0]["weight"] = 1  # something must take the room that is left
    return columns


def _column(column: Column, view: View, said: bool) -> dict[str, Any]:
    """One column: its header, its cells from top to bottom, and its notes; `said`: another column has the methods."""
    sums = [row.get(column.key, "") for row in view.totals]
    values = [row.get(column.key) for row in view.rows[:MAX_ROWS]]
    estimates = [v for v in values if isinstance(v, Estimate)]
    marks = {} if said else _marks(estimates)
    scale = _scale(column, values)
    if column.kind == "time":
        values = _moments(values)
    cells = [_cell(column.kind, value, scale, marks) for value in (*sums, *values)]
    if scale is not None and column.kind != "duration":
        _align_points(cells)
    longest = max(len(cell["text"]) for cell in cells)
    longest_range = max(len(cell["range"] + cell["mark"]) for cell in cells)
    return {
        "key": column.key,
        "label": column.label,
        "kind": column.kind,
        "unit": _unit(column, scale),
        "method": next(iter(marks)) if len(marks) == 1 else "",
        "right": column.kind in RIGHT,
        "weight": 0 if column.kind != "text" else min(longest, 28) + 4,
        "longest": longest,
        "longest_range": longest_range,
        "ranged": longest_range > 0,
        "cells": cells,
        "notes": _column_notes(estimates, marks),
    }


def _moments(values: Sequence[datetime | None]) -> list[str]:
    """Moments as text, or days where all of them are midnights."""
    days = all(value is None or (value.hour, value.minute, value.second) == (0, 0, 0) for value in values)
    return [fmt.day(value) if days else fmt.moment(value) for value in values]


class Scale(NamedTuple):
    """The unit of a whole column: the canonical one, how it is written, and its size; `counts` are whole numbers."""

    unit: str
    written: str
    size: float
    counts: bool

    def text(self, value: float | None) -> str:
        if self.written == "$":
            return fmt.money(value)
        if self.counts:
            return fmt.count(value)
        return fmt.number(None if value is None else value / self.size)


def _scale(column: Column, values: Sequence[Any]) -> Scale | None:
    """One scale for the column, from its largest value; None when its rows have different units or no numbers."""
    told = {value.unit for value in values if isinstance(value, Estimate) and column.unit != "%"}
    units = told or {column.unit or ""}
    if column.kind not in RIGHT or len(units) > 1:
        return None
    mids = [value.mid if isinstance(value, Estimate) else value for value in values]
    known = [mid for mid in mids if mid is not None]
    unit = units.pop()
    counts = unit not in fmt.SCALES and all(float(mid).is_integer() for mid in known)
    return Scale(unit, *fmt.scale_for(unit, max(map(abs, known), default=None)), counts)


def _unit(column: Column, scale: Scale | None) -> str:
    """What stands under the label: the unit of the whole column, unless the label or the values say it."""
    if column.kind == "time":
        return "" if "UTC" in column.label else "UTC"
    if scale is None or column.kind == "duration" or scale.written in ("$", "1", ""):
        return ""
    return "" if column.label.lower() in (scale.written, f"{scale.written}s") else scale.written


def _cell(kind: str, value: Any, scale: Scale | None, marks: Mapping[str, str]) -> dict[str, str]:
    if value == "":
        return {"text": "", "range": "", "mark": "", "pad": ""}
    if isinstance(value, Estimate):
        text, span = (fmt.mid_of(value), fmt.span_of(value)) if scale is None else _in_column(value, scale)
        return {"text": text, "range": span, "mark": marks.get(value.method, ""), "pad": ""}
    return {"text": fmt.MISSING if value is None else _text(kind, value, scale), "range": "", "mark": "", "pad": ""}


def _in_column(value: Estimate, scale: Scale) -> tuple[str, str]:
    """The middle and the range in the unit of the column, which stands in the header."""
    if value.low is None or value.low == value.high:
        return scale.text(value.mid), ""
    return scale.text(value.mid), fmt.between(scale.text(value.low), scale.text(value.high))


def _text(kind: str, value: Any, scale: Scale | None) -> str:
    if kind == "duration":
        return fmt.duration(value)
    if kind in ("number", "estimate") and scale is not None:
        return scale.text(value)
    if kind == "id":
        return fmt.short_id(str(value))
    return str(value)[:RUN_ID_CHARS] if kind == "run" else str(value)


def _align_points(cells: Sequence[dict[str, str]]) -> None:
    """Give each number the empty places that bring the decimal points under each other, unless they are far apart."""
    fractions = [cell["text"].partition(".")[1:] for cell in cells]
    most = max((len(digits) for _, digits in fractions), default=0)
    if most > 4:
        return
    for cell, (point, digits) in zip(cells, fractions, strict=True):
        cell["pad"] = ("" if point or not most else ".") + "0" * (most - len(digits))


def _marks(estimates: Sequence[Estimate]) -> dict[str, str]:
    """Each method of a column with its mark; the most frequent has none."""
    counts = Counter(e.method for e in estimates if e.known)
    ordered = sorted(counts, key=lambda method: (-counts[method], METHODS.index(method)))
    return {method: "" if n == 0 else "abcdef"[n - 1] for n, method in enumerate(ordered)}


def _column_notes(estimates: Sequence[Estimate], marks: Mapping[str, str]) -> list[str]:
    """What a column's marks mean, and why some of its values are not known."""
    notes = []
    if len(marks) > 1:
        first, *others = marks
        notes.append(f"{first}, unless marked {', '.join(f'{marks[m]} ({m})' for m in others)}.")
    reasons = Counter(e.reason for e in estimates if not e.known and e.reason)
    notes += [f"not known in {n} {'row' if n == 1 else 'rows'} ({reason})." for reason, n in reasons.items()]
    return notes


def _table_notes(columns: Sequence[Mapping[str, Any]]) -> list[str]:
    """The notes of all columns, those that say the same put together."""
    labels: dict[str, list[str]] = {}
    for column in columns:
        for note in column["notes"]:
            labels.setdefault(note, []).append(column["label"])
    return [f"{', '.join(names)}: {note}" for note, names in labels.items()]
