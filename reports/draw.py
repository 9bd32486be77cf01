"""One drawer for every View on the page.

    draw(view, shown)
    ├── head       title, subtitle, the sentence; the buttons for CSV and PDF
    ├── tiles      value, evidence, range, one line each
    ├── body       what is wrong with the numbers, figure, table
    ├── parts      cards side by side as far as their widths fill a row, each drawn the same way
    └── feet       notes, and the factors behind the numbers

A short table is our own markup, which can be read aloud and fits a phone; one that is long, or whose rows open a run,
is a grid that scrolls and sorts.

The text of a View comes from users too. It never meets Markdown: it goes into the page as escaped HTML (`markup`),
into charts through `canvas.literal`, and into cells of grids, which are plain.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time
from typing import Any, Literal

import pandas as pd
import plotly.io as pio
import streamlit as st

from joulebook.reports import canvas, figures, markup
from joulebook.reports import format as fmt
from joulebook.reports.sheet import SheetColumn, csv_text, screen_columns
from joulebook.reports.view import FactorUse, Figure, View

WIDTHS = {"full": 6, "two-thirds": 4, "half": 3, "third": 2}
WIDE_TEXT = 26  # characters; longer text is cut in its cell, so that one name does not push the numbers away
OPEN_WORDS = 60
OPEN_ROWS, TABLE_PX = 24, 630  # a table up to this long stands open, a longer one scrolls in this height
OPENED = "opened"  # in the session: how many runs, calls and bars the reader has chosen
MAX_ROWS = 1000  # on the screen: a browser scrolls no further with pleasure; the CSV has all


# What choosing a bar of a figure does, by the key of its View: it is told the name of the series or bar, and the day.
Picks = Mapping[str, Callable[[str, date | None], None]]


@dataclass(frozen=True)
class Shown:
    """What surrounds a View on the page: its files' name and first lines, buttons and choices of the page.

    `opens`: what a row of a table does when it is chosen, by the column that has its id, e.g. "run_id".
    """

    name: str
    about: tuple[tuple[str, str], ...] = ()
    opens: Mapping[str, Callable[[str], None]] = field(default_factory=dict)
    actions: Callable[[], None] | None = None
    controls: Callable[[], None] | None = None
    picks: Picks = field(default_factory=dict)


def say(html: str) -> None:
    """Put our own markup on the page, if there is any; what is not ours in it must have been escaped."""
    if html:
        st.html(f'<div class="jb">{html}</div>')


def draw(view: View, shown: Shown) -> None:
    """Draw a whole page from one View."""
    head, buttons = st.columns([3, 1], vertical_alignment="bottom")
    with head:
        say(markup.head(view, "h1"))
    with buttons, st.container(horizontal=True, horizontal_alignment="right", gap="small"):
        _downloads(view, shown)
    if view.sentence:
        say(f'<p class="sentence">{markup.literal(view.sentence)}</p>')
    if shown.controls is not None:
        shown.controls()
    if is_empty(view):
        say(f'<p class="jb-none">{markup.literal(view.empty)}</p>')
        return
    say(markup.alerts(view))
    say(markup.tiles(view))
    _figure(view, shown)
    _table(view, shown)
    _parts(view, shown)
    say(markup.notes(view.notes))
    _factors(list(dict.fromkeys(_all_factors(view))))


def is_empty(view: View) -> bool:
    """Whether the View found nothing and says so."""
    return bool(view.empty) and not view.rows and not view.parts and not view.tiles


# Figures.


def _figure(view: View, shown: Shown) -> None:
    figure = view.figure
    if figure is None:
        return
    if not canvas.has_values(figure):
        say('<p class="soft">There is nothing to draw yet.</p>')
        return
    help_text = figures.reading_help(figure)
    caption = " ".join(text for text in (_figure_title(view, figure), help_text) if text)
    if caption:
        say(f'<p class="soft">{markup.literal(caption)}</p>')
    pick = shown.picks.get(view.key)
    options: dict[str, Any] = {"on_select": "rerun", "selection_mode": "points"} if pick else {}
    # The browser colours a chart once: a new theme, a new chart. One in which a bar was chosen is a new one too.
    turn = f" {st.session_state.get(OPENED, 0)}" if pick else ""
    event = st.plotly_chart(
        figures.chart(figure, _palette()),
        key=f"figure {view.key} {st.context.theme.type}{turn}",
        config={"displayModeBar": False, "typesetMath": False, "scrollZoom": False},
        alt=figure.alt or figure.title,
        **options,
    )
    if pick and (points := event.selection.points):
        st.session_state[OPENED] = st.session_state.get(OPENED, 0) + 1
        pick(*figures.picked(figure, points[0]))


def _figure_title(view: View, figure: Figure) -> str:
    return "" if figure.title in ("", view.title) else f"{figure.title.rstrip('.')}."


def _palette() -> canvas.Palette:
    """The theme's chart colours as Streamlit's own stand-ins, which the browser turns into those of light or dark."""
    colours: list[str] = pio.templates["streamlit"].to_plotly_json()["layout"]["colorway"]
    return canvas.Palette(series=tuple(colours[:6]), pale=colours[6], ink=colours[7], grid=colours[8])


# Tables.


def _table(view: View, shown: Shown) -> None:
    if not view.columns:
        return
    if not view.rows:
        if view.empty:
            say(f'<p class="soft">{markup.literal(view.empty)}</p>')
        return
    if not _has_grid(view):
        say(markup.facts(view))
        return
    if view.figure is None:
        _draw_rows(view, shown)
        return
    with st.expander("Table", type="compact", key=f"expander {view.key}"):
        _draw_rows(view, shown)
        _csv_button(view, shown, "tertiary")


def _has_grid(view: View) -> bool:
    """Whether the View has a table with headers and rows; one without headers is a list of facts."""
    return bool(view.rows) and any(column.label for column in view.columns)


def _draw_rows(view: View, shown: Shown) -> None:
    """The table as markup where it is short and its rows open nothing, else as a grid."""
    words = all(column.kind == "text" for column in view.columns)  # then it is for reading, not for sorting
    most = OPEN_WORDS if words else OPEN_ROWS
    if len(view.rows) + len(view.totals) <= most and not _opened_by(view, shown):
        say(markup.sheet(view))
    else:
        _grid(view, shown)


def _opened_by(view: View, shown: Shown) -> str | None:
    """The column whose id a row opens."""
    columns = [column.key for column in view.columns if column.kind == "run"]
    return next((key for key in shown.opens if key in columns), None)


def _grid(view: View, shown: Shown) -> None:
    some = replace(view, rows=(*view.totals, *view.rows[:MAX_ROWS]))
    if len(view.rows) > MAX_ROWS:
        say(f'<p class="soft">The first {MAX_ROWS:,} of {len(view.rows):,} rows; the CSV has all.</p>')
    key = _opened_by(view, shown)
    chosen = _dataframe(screen_columns(some), view, selectable=key is not None)
    if chosen is not None and key is not None:
        st.session_state[OPENED] = st.session_state.get(OPENED, 0) + 1
        shown.opens[key](str(view.rows[chosen][key]))


def _dataframe(columns: Sequence[SheetColumn], view: View, *, selectable: bool) -> int | None:
    """Draw the grid; the index of the row that the reader chose."""
    frame = pd.DataFrame({column.key: _series(column) for column in columns})
    written = {column.key: _roomy(column.write) for column in columns if column.write}
    options: dict[str, Any] = {"on_select": "rerun", "selection_mode": "single-row"} if selectable else {}
    event = st.dataframe(
        frame.style.format(written, na_rep=fmt.MISSING) if written else frame,
        key=f"table {view.key} {st.session_state.get(OPENED, 0)}",  # a new one each time: without the row chosen before
        hide_index=True,
        placeholder=fmt.MISSING,
        column_config={column.key: _config(column) for column in columns},
        height="content" if len(frame) <= OPEN_ROWS else TABLE_PX,
        alt=view.title,
        lazy=False,
        **options,
    )
    rows = event.selection.rows if selectable else []
    return rows[0] if rows else None


def _roomy(write: Callable[[float | None], str]) -> Callable[[float | None], str]:
    return lambda value: write(value).replace(fmt.THIN, "\u00a0")


def _series(column: SheetColumn) -> pd.Series:
    if column.kind == "time":
        return pd.Series(column.values, dtype="datetime64[us]")
    if column.kind == "number":
        return pd.Series(column.values, dtype="float64")
    return pd.Series([text and text.replace(fmt.THIN, "\u00a0") for text in column.values], dtype="object")


def _config(column: SheetColumn) -> Any:
    if column.kind == "time":
        days = all(when is None or when.time() == time() for when in column.values)
        return st.column_config.DatetimeColumn(column.header, format="D MMM YYYY" if days else "YYYY-MM-DD HH:mm")
    if column.kind == "number":
        return st.column_config.NumberColumn(column.header, alignment="right")
    if any(text and len(text) > WIDE_TEXT for text in column.values):
        return st.column_config.TextColumn(column.header, width="medium")
    return st.column_config.TextColumn(column.header, alignment="right" if column.right else "left")


# Parts.


def rows_of(parts: Sequence[View]) -> list[list[View]]:
    """Parts in rows: beside each other while they fill a row exactly, else each in its own."""
    rows, rest = [], list(parts)
    while rest:
        count = next((n for n in (2, 3) if sum(WIDTHS[p.width] for p in rest[:n]) == WIDTHS["full"]), 1)
        rows.append(rest[:count])
        rest = rest[count:]
    return rows


def _parts(view: View, shown: Shown) -> None:
    for row in rows_of(view.parts):
        cells = st.columns([WIDTHS[part.width] for part in row]) if len(row) > 1 else [st.container()]
        for cell, part in zip(cells, row, strict=True):
            with cell, st.container(border=True, height="stretch", key=f"card {part.key}"):
                _card(part if part.subtitle != view.subtitle else replace(part, subtitle=""), shown)


def _card(view: View, shown: Shown) -> None:
    sentence = f'<p class="soft">{markup.literal(view.sentence)}</p>' if view.sentence else ""
    say(markup.head(view, "h2") + sentence)
    say(markup.alerts(view))
    say(markup.tiles(view))
    if is_empty(view) and not view.columns:
        say(f'<p class="soft">{markup.literal(view.empty)}</p>')
    _figure(view, shown)
    _table(view, shown)
    if view.figure is None and _has_grid(view):
        _csv_button(view, shown, "tertiary")
    _parts(view, shown)
    say(markup.notes(view.notes))


# Where the numbers come from.


def _all_factors(view: View) -> Iterator[FactorUse]:
    yield from view.factors
    for part in view.parts:
        yield from _all_factors(part)


def _factors(used: Sequence[FactorUse]) -> None:
    if not used:
        return
    with st.expander(f"Factors behind these numbers ({len(used)})", icon=":material/fact_check:"):
        st.dataframe(
            pd.DataFrame([_factor_row(factor) for factor in used]),
            key="table factors",
            hide_index=True,
            placeholder=fmt.MISSING,
            column_config={"Source page": st.column_config.LinkColumn("Source page", display_text="open")},
            alt="Factors behind these numbers",
        )


def _factor_row(factor: FactorUse) -> dict[str, str | None]:
    ranged = factor.low != factor.high
    return {
        "Factor": factor.kind,
        "Region": factor.region or None,
        "Value": f"{fmt.number(factor.mid)} {factor.unit}",
        "Range": f"{fmt.number(factor.low)}–{fmt.number(factor.high)}" if ranged else None,
        "Match": factor.match,
        "Valid": factor.valid,
        "Source": factor.source,
        "Source page": factor.url if re.match(r"https?://", factor.url) else None,
        "Id": factor.factor_id,
    }


# Exports.


def _downloads(view: View, shown: Shown) -> None:
    if shown.actions is not None:
        shown.actions()
    if view.figure is None and _has_grid(view):
        _csv_button(view, shown, "secondary")
    if not is_empty(view):
        _pdf_button(view, shown)


def _csv_button(view: View, shown: Shown, weight: Literal["secondary", "tertiary"]) -> None:
    st.download_button(
        "CSV",
        type=weight,
        data=lambda: csv_of(view, shown),
        file_name=f"{file_stem(shown.name, view.key)}.csv",
        mime="text/csv",
        key=f"csv {view.key}",
        icon=":material/download:",
        on_click="ignore",
    )


def csv_of(view: View, shown: Shown) -> str:
    """The View's table as CSV; its first lines say what was asked, on which basis and with which factors."""
    factors = " ".join(dict.fromkeys(factor.factor_id for factor in _all_factors(view)))
    comments = [("joulebook", view.title), ("basis", view.subtitle), *shown.about, ("factor ids", factors)]
    return csv_text(view, comments)


def _pdf_button(view: View, shown: Shown) -> None:
    if importlib.util.find_spec("typst") is None or importlib.util.find_spec("font_source_sans_pro") is None:
        return
    st.download_button(
        "PDF",
        data=lambda: _pdf(view),
        file_name=f"{file_stem(shown.name)}.pdf",
        mime="application/pdf",
        key=f"pdf {view.key}",
        icon=":material/picture_as_pdf:",
        on_click="ignore",
    )


def _pdf(view: View) -> bytes:
    from joulebook.reports.pdf import pdf_bytes  # the extra [report] is optional

    return pdf_bytes(view, prepared_at=datetime.now(UTC))


def file_stem(*names: str) -> str:
    """A file name that any system takes: `joulebook-overview-30d-by-day`."""
    return re.sub(r"[^A-Za-z0-9]+", "-", "-".join(("joulebook", *dict.fromkeys(names)))).strip("-")
