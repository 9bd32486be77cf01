"""Views in a terminal, drawn with rich. Names are data: no markup, no control characters reach the screen."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import time
from typing import Any
from unicodedata import category

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from joulebook.accounting.estimates import Estimate
from joulebook.reports.format import (
    MISSING,
    between,
    count,
    day,
    duration,
    mid_of,
    moment,
    number,
    scale_for,
    short_id,
    span_of,
)
from joulebook.reports.view import Column, View

PIPE_WIDTH = 500  # a pipe has no width of its own; a name must not be cut or folded for it
NARROW = 132
LESS_NEEDED = (
    "host", "water_l", "cost_usd", "factor_id", "factor_ids", "sensor", "idle_energy_j", "retries", "attempts_n",
    "cache_read_tokens", "reasoning_tokens", "wasted_attempts", "at_s", "response_id", "period",
)  # fmt: skip
PADDING, LEAST_NAME = 3, 8  # characters between two columns, and of a column of names
MOST_ROWS = {"power": 0, "projection_beside": 0, "spans": 25, "about": 50, "behind": 25}
_STYLES = {
    "failed": "red",
    "lost": "red",
    "breached": "red",
    "possible": "yellow",
    "running": "yellow",
    "fail": "red",
    "warn": "yellow",
    "impossible": "red",
}


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
    """A View: title, sentence, alerts, tiles, table, parts, notes."""
    out = out or console()
    out.print(Text(literal(view.title), "bold"), Text(literal(view.subtitle), "dim"))
    if view.sentence:
        out.print(Text(literal(view.sentence)))
    for alert in view.alerts:
        out.print(Text(literal(alert), "red"))
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
    columns = view.columns if out.width >= NARROW else _most_needed(view.columns)
    rows = list(view.rows)[: MOST_ROWS.get(view.key)]
    named = any(column.label for column in columns)
    table = Table(box=box.SIMPLE_HEAD if named else None, pad_edge=False, header_style="dim", show_header=named)
    written = [_written(column, view.totals, rows) for column in columns]
    widths = _widths(columns, written, out.width)
    for column, (header, _), width in zip(columns, written, widths, strict=True):
        right = column.kind in ("number", "estimate", "duration")
        table.add_column(header, justify="right" if right else "left", overflow="fold", width=width)
    for index, cells in enumerate(zip(*(cells for _, cells in written), strict=True), 1):
        is_total = index <= len(view.totals)
        table.add_row(*cells, style="bold" if is_total else None, end_section=index == len(view.totals))
    out.print(table)
    if len(rows) < len(view.rows):
        out.print(Text(f"{len(view.rows) - len(rows):,} more rows: --json has them all", "dim"))


def _most_needed(columns: Sequence[Column]) -> list[Column]:
    """What a narrow terminal has room for: what a row is, its least needed columns left out, but for the only cost.

    That of units, too, where each amount says its own.
    """
    said = any(column.kind == "estimate" and column.unit is None for column in columns)
    left_out = {*LESS_NEEDED, *(("unit",) if said else ())}
    if not any(column.key == "energy_j" for column in columns):
        left_out.remove("cost_usd")
    return [columns[0], *(column for column in columns[1:] if column.key not in left_out)]


def _written(
    column: Column, totals: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]
) -> tuple[str, list[Text]]:
    """The header of a column, and its cells."""
    scale = _scale(column, [row.get(column.key) for row in rows])
    unit = f", {scale[0]}" if scale and scale[0] not in ("", "1") else ""
    if column.kind == "time":
        return column.label, _moments([row.get(column.key) for row in rows], len(totals))
    sums = [_cell(column, row[column.key], scale) if column.key in row else Text() for row in totals]
    return column.label + unit, [*sums, *(_cell(column, row.get(column.key), scale) for row in rows)]


def _moments(values: Sequence[Any], totals: int) -> list[Text]:
    """Moments, or days where all of them are midnights; a total has none."""
    days = all(value is None or value.time() == time() for value in values)
    return [Text()] * totals + [Text(day(value) if days else moment(value)) for value in values]


def _widths(columns: Sequence[Column], written: Sequence[tuple[str, list[Text]]], room: int) -> list[int] | list[None]:
    """How wide each column is, so that no number breaks; rich decides where all have room, or not even that is so."""
    widths = [_least_width(column, *told) for column, told in zip(columns, written, strict=True)]
    values = [max(map(_full_width, cells)) for _, cells in written]
    natural = [max(cell_len(header), value) for (header, _), value in zip(written, values, strict=True)]
    rest = room + 1 - sum(widths) - PADDING * len(widths)
    if rest < 0 or sum(natural) <= sum(widths) + rest:
        return [None] * len(columns)
    for wanted in (values, natural):  # a header breaks sooner than a value
        ordered = sorted(range(len(columns)), key=lambda index: wanted[index] - widths[index])
        for place, index in enumerate(ordered):
            fair = rest // (len(ordered) - place)  # what is left goes to all that want more
            more = min(fair, max(0, wanted[index] - widths[index]))
            widths[index] += more
            rest -= more
    return widths


def _full_width(cell: Text) -> int:
    """Without why a value is missing: that may take more lines."""
    return len(MISSING) if cell.plain.startswith(MISSING) else cell.cell_len


def _least_width(column: Column, header: str, cells: Sequence[Text]) -> int:
    """How narrow a column may become: a name may be broken anywhere, an estimate before its range, others not."""
    if column.kind in ("text", "id"):
        return LEAST_NAME
    pieces = [cell.plain.split(" ") if column.kind == "estimate" else [cell.plain] for cell in cells]
    return max(cell_len(piece) for piece in [*header.split(), *(text for cell in pieces for text in cell)])


def _scale(column: Column, values: Sequence[Any]) -> tuple[str, float] | None:
    """One written unit for a whole column, or None where each cell has its own, or none."""
    if column.unit is None or column.kind not in ("estimate", "number"):
        return None
    mids = [value.mid if isinstance(value, Estimate) else value for value in values]
    return scale_for(column.unit, max((mid for mid in mids if mid is not None), default=None))


def _cell(column: Column, value: Any, scale: tuple[str, float] | None) -> Text:
    if value is None or value == "":
        return Text(MISSING, "dim")
    if isinstance(value, Estimate):
        return _estimate(value, scale)
    if column.kind == "duration":
        return Text(duration(value))
    if column.kind == "number":
        return Text(count(value) if scale is None else number(value / scale[1]))
    if column.kind == "id":
        value = short_id(value)
    return Text(literal(value), _STYLES.get(str(value), ""))


def _estimate(value: Estimate, scale: tuple[str, float] | None) -> Text:
    if value.mid is None or value.low is None or value.high is None:
        return Text(f"{MISSING}  {value.reason or ''}" if scale is None else MISSING, "dim")
    if scale is None:
        return Text(mid_of(value)) + Text(f"  {span_of(value)}", "dim")
    size = scale[1]
    spread = "" if value.low == value.high else f"  {between(number(value.low / size), number(value.high / size))}"
    return Text(number(value.mid / size)) + Text(spread, "dim")
