"""Views in a terminal, drawn with rich. Names are data: no markup, no control characters reach the screen."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any
from unicodedata import category

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from joulebook.accounting.estimates import Estimate
from joulebook.reports.format import MISSING, amount, count, duration, mid_of, moment, number, scale_for, span_of
from joulebook.reports.view import Column, View

PIPE_WIDTH = 500  # a pipe has no width of its own; a name must not be cut or folded for it
NARROW = 132
LESS_NEEDED = ("host", "water_l", "cost_usd", "factor_id", "unit")
MOST_ROWS = {"power": 0, "spans": 25, "about": 50}
_STYLES = {"failed": "red", "lost": "red", "running": "yellow", "fail": "red", "warn": "yellow"}


class _Pipe(Console):
    def on_broken_pipe(self) -> None:
        raise BrokenPipeError  # rich would exit with 1; that nobody reads on is no failure


def console() -> Console:
    """A console on standard output, wide where nobody looks at it directly."""
    return _Pipe(width=None if sys.stdout.isatty() else PIPE_WIDTH, highlight=False, markup=False, emoji=False)


def literal(text: object) -> str:
    """Text from users, with control characters made visible."""
    return "".join(c.encode("unicode_escape").decode() if category(c)[0] == "C" else c for c in str(text))


def draw(view: View, out: Console | None = None) -> None:
    """A View: title, sentence, tiles, table, parts, notes."""
    out = out or console()
    out.print(Text(literal(view.title), "bold"), Text(literal(view.subtitle), "dim"))
    if view.sentence:
        out.print(Text(literal(view.sentence)))
    if view.tiles:
        out.print(_tiles(view))
    if view.columns and view.rows:
        _draw_table(view, out)
    if not view.rows and not view.tiles and view.empty:
        out.print(Text(literal(view.empty), "dim"))
    for part in view.parts:
        if MOST_ROWS.get(part.key, 1):
            out.print()
            draw(part, out)
    for note in view.notes:
        out.print(Text(f"· {literal(note)}", "dim"))


def _tiles(view: View) -> Table:
    grid = Table.grid(padding=(0, 3))
    for tile in view.tiles:
        spread = span_of(tile.value)
        grid.add_row(
            Text(tile.label, "dim"),
            Text(mid_of(tile.value), "bold"),
            Text(f"{spread}  " if spread else "", "dim") + Text(tile.value.method, "dim italic"),
        )
    return grid


def _draw_table(view: View, out: Console) -> None:
    columns = [column for column in view.columns if out.width >= NARROW or column.key not in LESS_NEEDED]
    most = MOST_ROWS.get(view.key)
    rows = list(view.rows)[:most]
    named = any(column.label for column in columns)
    table = Table(box=box.SIMPLE_HEAD if named else None, pad_edge=False, header_style="dim", show_header=named)
    scales = {column.key: _scale(column, rows) for column in columns}
    for column in columns:
        scale = scales[column.key]
        unit = f", {scale[0]}" if scale and scale[0] else ""
        right = column.kind in ("number", "estimate", "duration")
        table.add_column(column.label + unit, justify="right" if right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(column, row.get(column.key), scales[column.key]) for column in columns))
    out.print(table)
    if len(rows) < len(view.rows):
        out.print(Text(f"{len(view.rows) - len(rows):,} more rows: --json has them all", "dim"))


def _scale(column: Column, rows: Sequence[Mapping[str, Any]]) -> tuple[str, float] | None:
    """One written unit for a whole column of estimates, or None where each row has its own."""
    if column.kind != "estimate" or column.unit is None:
        return None
    mids = [row[column.key].mid for row in rows if row.get(column.key) and row[column.key].known]
    return scale_for(column.unit, max(mids, default=None))


def _cell(column: Column, value: Any, scale: tuple[str, float] | None) -> Text:
    if value is None or value == "":
        return Text(MISSING, "dim")
    if isinstance(value, Estimate):
        return _estimate(value, scale)
    if column.kind == "time":
        return Text(moment(value))
    if column.kind == "duration":
        return Text(duration(value))
    if column.kind == "number":
        return Text(count(value))
    return Text(literal(value), _STYLES.get(str(value), ""))


def _estimate(value: Estimate, scale: tuple[str, float] | None) -> Text:
    if value.mid is None or value.low is None or value.high is None:
        return Text(f"{MISSING}  {value.reason or ''}" if scale is None else MISSING, "dim")
    if scale is None:
        return Text(amount(value.mid, value.unit)) + Text(f"  {span_of(value)}", "dim")
    size = scale[1]
    spread = "" if value.low == value.high else f"  {number(value.low / size)}–{number(value.high / size)}"
    return Text(number(value.mid / size)) + Text(spread, "dim")
