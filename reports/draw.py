"""One drawer for every View on the page.

    draw(view, shown)
    ├── head       title, subtitle, the sentence; the buttons for CSV and PDF
    ├── tiles      value, evidence, range, one line each
    ├── body       figure, table
    ├── parts      cards side by side as far as their widths fill a row, each drawn the same way
    └── feet       notes, and the factors behind the numbers

The text of a View comes from users too. It never meets Markdown: it goes into the page as escaped HTML, into charts
through `figures.literal`, and into table cells, which are plain. No colour stands here but in terms of the text's own.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time
from html import escape
from typing import Any, Literal

import pandas as pd
import plotly.io as pio
import streamlit as st

from joulebook.accounting.estimates import Estimate
from joulebook.reports import figures
from joulebook.reports import format as fmt
from joulebook.reports.sheet import SheetColumn, csv_text, screen_columns
from joulebook.reports.view import FactorUse, Figure, Tile, View

WIDTHS = {"full": 6, "two-thirds": 4, "half": 3, "third": 2}
WIDE_TEXT = 26  # characters; longer text is cut in its cell, so that one name does not push the numbers away
OPEN_ROWS, TABLE_PX = 18, 630  # a table up to this long stands open, a longer one scrolls in this height
MAX_ROWS = 1000  # on the screen: a browser scrolls no further with pleasure; the CSV has all
_DASHED = {"attributed", "modelled", "declared", "default"}

STYLE = """<style>
.jb {
  --jb-soft: color-mix(in srgb, currentColor 74%, transparent);
  --jb-line: color-mix(in srgb, currentColor 17%, transparent);
  font-variant-numeric: tabular-nums;
  overflow-wrap: anywhere;
}
.jb h1 { font-size: 1.75rem; font-weight: 650; line-height: 1.2; letter-spacing: -0.01em; margin: 0; padding: 0; }
.jb h2 { font-size: 1.05rem; font-weight: 600; line-height: 1.3; margin: 0; padding: 0; }
.jb p { margin: 0; }
.jb .soft, .jb ul { color: var(--jb-soft); font-size: 0.875rem; line-height: 1.45; }
.jb .sentence { font-size: 1.1rem; line-height: 1.45; max-width: 76ch; margin: 0.6rem 0 0.2rem; }
.jb ul { margin: 0.2rem 0 0; padding-left: 1.1rem; max-width: 100ch; }
.jb dl {
  display: grid; grid-template-columns: minmax(6rem, max-content) 1fr; gap: 0.3rem 1.2rem;
  margin: 0.3rem 0; padding: 0; font-size: 0.9rem; line-height: 1.4;
}
.jb dt { color: var(--jb-soft); }
.jb dt, .jb dd { margin: 0; padding: 0; }
.jb-tiles { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 10.4rem), 1fr)); }
.jb-tile { border: 1px solid var(--jb-line); border-radius: 6px; padding: 0.8rem 1rem 0.85rem; min-width: 0; }
.jb-tile .label, .jb-tile summary { font-size: 0.9rem; line-height: 1.3; }
.jb-tile .middle { display: flex; flex-wrap: wrap; align-items: baseline; gap: 0 0.6rem; margin: 0.15rem 0 0.3rem; }
.jb-tile .value { font-size: 1.75rem; font-weight: 600; line-height: 1.3; }
.jb-tile .soft { margin-top: 0.2rem; }
.jb-tile summary { cursor: pointer; list-style: none; }
.jb-tile summary::-webkit-details-marker { display: none; }
.jb-tile summary::after {
  content: "?"; display: inline-block; width: 1.15em; margin-left: 0.45em; text-align: center;
  font-size: 0.75rem; border: 1px solid var(--jb-line); border-radius: 50%; color: var(--jb-soft);
}
.jb-badge {
  display: inline-block; border: 1px solid var(--jb-soft); border-radius: 6px; padding: 0 0.4rem;
  font-size: 0.8rem; line-height: 1.35;
}
.jb-badge.dashed { border-style: dashed; }
.jb-badge.unknown { border-style: dotted; }
[data-testid=stSidebar] hr { margin: 0.5rem 0 0.8rem; }
.st-key-uncover, .st-key-uncover button { width: 100%; }
.st-key-uncover button {
  min-height: 1.75rem; padding: 0 0.5rem; background: color-mix(in srgb, currentColor 7%, transparent);
}
.st-key-uncover button > div { justify-content: flex-start; }
.st-key-uncover p { font-weight: 600; }
.jb-none { border: 1px dashed var(--jb-line); border-radius: 6px; padding: 1.1rem 1.2rem; }
.st-key-period [role=radiogroup] { width: 100%; overflow: visible; mask-image: none; }
.st-key-period [role=radio] { flex: 1 1 auto; min-width: 0; padding: 0 0.2rem; }
@media (max-width: 640px) {
  .jb-tiles { gap: 0.7rem; }
  .jb-tile { padding: 0.7rem 0.75rem; }
  .jb-tile .value { font-size: 1.5rem; }
}
</style>"""


@dataclass(frozen=True)
class Shown:
    """What surrounds a View on the page: its files' name and first lines, what opens a run, buttons of the page."""

    name: str
    about: tuple[tuple[str, str], ...] = ()
    open_run: Callable[[str], None] | None = None
    actions: Callable[[], None] | None = None


def say(markup: str) -> None:
    """Put our own markup on the page; what is not ours in it must have been escaped."""
    st.html(f'<div class="jb">{markup}</div>')


def draw(view: View, shown: Shown) -> None:
    """Draw a whole page from one View."""
    head, buttons = st.columns([3, 1], vertical_alignment="bottom")
    with head:
        say(_head(view, "h1"))
    with buttons, st.container(horizontal=True, horizontal_alignment="right", gap="small"):
        _downloads(view, shown)
    if view.sentence:
        say(f'<p class="sentence">{_text(view.sentence)}</p>')
    if is_empty(view):
        say(f'<p class="jb-none">{_text(view.empty)}</p>')
        return
    if view.tiles:
        say(f'<div class="jb-tiles">{"".join(map(_tile, view.tiles))}</div>')
    _figure(view)
    _table(view, shown)
    _parts(view, shown)
    _notes(view.notes)
    _factors(list(dict.fromkeys(_all_factors(view))))


def is_empty(view: View) -> bool:
    """Whether the View found nothing and says so."""
    return bool(view.empty) and not view.rows and not view.parts and not view.tiles


def _text(text: str) -> str:
    """Text as HTML that shows exactly it; the thin space is too thin for a screen, and a number must not break."""
    return escape(text.replace(fmt.THIN, "\u00a0"))


def _head(view: View, tag: str) -> str:
    subtitle = f'<p class="soft">{_text(view.subtitle)}</p>' if view.subtitle else ""
    return f"<{tag}>{_text(view.title)}</{tag}>{subtitle}"


# Tiles.


def _tile(tile: Tile) -> str:
    label = f'<div class="label">{_text(tile.label)}</div>'
    if tile.help:
        label = f'<details><summary>{_text(tile.label)}</summary><p class="soft">{_text(tile.help)}</p></details>'
    value = f'<span class="value">{_text(fmt.mid_of(tile.value))}</span>{_badge(tile.value.method)}'
    lines = [text for text in (_range(tile.value), tile.caption) if text]
    below = "".join(f'<p class="soft">{_text(text)}</p>' for text in lines)
    return f'<div class="jb-tile">{label}<div class="middle">{value}</div>{below}</div>'


def _badge(method: str) -> str:
    edge = "unknown" if method == "unknown" else "dashed" if method in _DASHED else "solid"
    return f'<span class="jb-badge {edge}">{_text(method)}</span>'


def _range(value: Estimate) -> str:
    if not value.known:
        return value.reason or ""
    span = fmt.span_of(value)
    return f"range {span}" if span else ""


# Figures.


def _figure(view: View) -> None:
    figure = view.figure
    if figure is None:
        return
    if not figures.has_values(figure):
        say('<p class="soft">There is nothing to draw yet.</p>')
        return
    help_text = figures.reading_help(figure)
    caption = " ".join(text for text in (_figure_title(view, figure), help_text) if text)
    if caption:
        say(f'<p class="soft">{_text(caption)}</p>')
    st.plotly_chart(
        figures.chart(figure, _palette()),
        key=f"figure {view.key} {st.context.theme.type}",  # the browser colours a chart once: a new theme, a new chart
        config={"displayModeBar": False, "typesetMath": False, "scrollZoom": False},
        alt=figure.alt or figure.title,
    )


def _figure_title(view: View, figure: Figure) -> str:
    return "" if figure.title in ("", view.title) else f"{figure.title.rstrip('.')}."


def _palette() -> figures.Palette:
    """The theme's chart colours as Streamlit's own stand-ins, which the browser turns into those of light or dark."""
    colours: list[str] = pio.templates["streamlit"].to_plotly_json()["layout"]["colorway"]
    return figures.Palette(series=tuple(colours[:6]), pale=colours[6], ink=colours[7], grid=colours[8])


# Tables.


def _table(view: View, shown: Shown) -> None:
    if not view.columns:
        return
    if not view.rows:
        if view.empty:
            say(f'<p class="soft">{_text(view.empty)}</p>')
        return
    if not _has_grid(view):
        say(_facts(view))
        return
    if view.figure is None:
        _grid(view, shown)
        return
    with st.expander("Table", type="compact", key=f"expander {view.key}"):
        _grid(view, shown)
        _csv_button(view, shown, "tertiary")


def _has_grid(view: View) -> bool:
    """Whether the View has a table with headers and rows; one without headers is a list of facts."""
    return bool(view.rows) and any(column.label for column in view.columns)


def _facts(view: View) -> str:
    """A table without headers as names and values."""
    name, value = (column.key for column in view.columns[:2])
    pairs = "".join(f"<dt>{_text(str(row[name]))}</dt><dd>{_text(str(row[value]))}</dd>" for row in view.rows)
    return f"<dl>{pairs}</dl>"


def _grid(view: View, shown: Shown) -> None:
    some = replace(view, rows=view.rows[:MAX_ROWS])
    if len(view.rows) > MAX_ROWS:
        say(f'<p class="soft">The first {MAX_ROWS:,} of {len(view.rows):,} rows; the CSV has all.</p>')
    opens = shown.open_run is not None and "run_id" in view.rows[0]
    chosen = _dataframe(screen_columns(some), view, selectable=opens)
    if chosen is not None and shown.open_run is not None:
        shown.open_run(str(view.rows[chosen]["run_id"]))


def _dataframe(columns: Sequence[SheetColumn], view: View, *, selectable: bool) -> int | None:
    """Draw the grid; the index of the row that the reader chose."""
    frame = pd.DataFrame({column.key: _series(column) for column in columns})
    written = {column.key: _roomy(column.write) for column in columns if column.write}
    options: dict[str, Any] = {"on_select": "rerun", "selection_mode": "single-row"} if selectable else {}
    event = st.dataframe(
        frame.style.format(written, na_rep=fmt.MISSING) if written else frame,
        key=f"table {view.key}",
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
    sentence = f'<p class="soft">{_text(view.sentence)}</p>' if view.sentence else ""
    say(_head(view, "h2") + sentence)
    if view.tiles:
        say(f'<div class="jb-tiles">{"".join(map(_tile, view.tiles))}</div>')
    if is_empty(view) and not view.columns:
        say(f'<p class="soft">{_text(view.empty)}</p>')
    _figure(view)
    _table(view, shown)
    if view.figure is None and _has_grid(view):
        _csv_button(view, shown, "tertiary")
    _parts(view, shown)
    _notes(view.notes)


def _notes(notes: Sequence[str]) -> None:
    if notes:
        say(f"<ul>{''.join(f'<li>{_text(note)}</li>' for note in notes)}</ul>")


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
