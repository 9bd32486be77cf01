"""What of the page is our own HTML: its style, headings, tiles, badges, and short tables.

    sheet(view)     a table of few rows: its cells are those of the table on paper, evidence and states are badges
        wide        as a table
        narrow      each row as lines of names and values, as soon as its box has no room for the table

All functions give markup; text in it shows exactly as it is, whoever wrote it. No colour stands here but in terms of
the text's own, and the two of what must be seen: bad and open.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from joulebook.accounting.estimates import Estimate
from joulebook.accounting.records import METHODS
from joulebook.reports import format as fmt
from joulebook.reports.pdf_tables import table_data
from joulebook.reports.view import Tile, View

# A row of up to so many characters needs a box this wide, or it stands as lines.
ROOMS_REM = {30: 15, 45: 22, 60: 30, 80: 40, 105: 52}
WRAPPED_CHARS = 24  # of a text that may go on in a next line
GAP_CHARS = 3  # between two columns
SHORT_CHARS = 10  # of a text that stays on one line
LONG_CHARS = 24  # where rows stand as lines, what is longer has a line for itself
MOST_ALERTS = 4
MINOR = ("sensor", "factor_ids")  # columns that a phone has no room for
LOUD = {"failed": "bad", "lost": "bad", "impossible": "bad", "running": "open"}  # states that must be seen


def _as_lines(chars: int) -> str:
    """The style of a table of this size where it has too little room: each row is a block of names and values."""
    sheet = f".jb-sheet.chars-{chars}"
    return f"""@container (max-width: {ROOMS_REM[chars]}rem) {{
  {sheet} thead {{ position: absolute; clip-path: inset(50%); }}
  {sheet} tr {{
    display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 0.3rem 1rem; padding: 0.55rem 0;
    align-items: baseline;
  }}
  {sheet} td, {sheet} td.right {{ padding: 0; text-align: left; white-space: normal; }}
  {sheet} td:empty, {sheet} td.minor:not(:first-child) {{ display: none; }}
  {sheet} td.right .of {{ min-width: 0; margin-left: 0.5em; }}
  {sheet} td[data-label]::before {{
    content: attr(data-label); display: block; color: var(--jb-soft); font-size: 0.8rem; font-weight: 400;
  }}
  {sheet} td.long, {sheet} td:first-child {{ grid-column: 1 / -1; }}
  {sheet} td:first-child {{ font-weight: 600; min-width: 0; }}
  {sheet} td:first-child:has(+ .badged) {{ grid-column: auto; }}
  {sheet} td:first-child::before, {sheet} td:first-child + .badged::before {{ content: none; }}
}}
"""


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
  font-size: 0.8rem; line-height: 1.35; white-space: nowrap;
}
.jb-badge.measured { background: color-mix(in srgb, currentColor 13%, transparent); }
.jb-badge.attributed { border-style: dashed; }
.jb-badge.modelled, .jb-badge.declared, .jb-badge.default {
  border-style: dashed; border-color: color-mix(in srgb, currentColor 42%, transparent); font-style: italic;
}
.jb-badge.unknown { border-style: none; padding: 0; }
.jb-badge.bad, .jb-alert { --jb-loud: light-dark(#b3261e, #ffb4a8); }
.jb-badge.open { --jb-loud: light-dark(#8a4b00, #f2b866); }
.jb-badge.bad, .jb-badge.open { color: var(--jb-loud); border-color: var(--jb-loud); font-weight: 600; }
.jb p.jb-alert {
  color: var(--jb-loud); border-left: 3px solid var(--jb-loud); padding: 0.35rem 0.8rem; margin: 0.5rem 0;
  background: color-mix(in srgb, var(--jb-loud) 7%, transparent); font-size: 0.9rem; line-height: 1.45;
}
.jb .jb-more summary { cursor: pointer; color: var(--jb-soft); font-size: 0.9rem; padding: 0.1rem 0.8rem; }
.jb-sheet { container-type: inline-size; }
.jb table { width: 100%; margin: 0.2rem 0 0; border-collapse: collapse; font-size: 0.9rem; line-height: 1.35; }
.jb th, .jb td { padding: 0.34rem 0.6rem; text-align: left; vertical-align: baseline; border: 0; }
.jb th:first-child, .jb td:first-child { padding-left: 0; }
.jb th:last-child, .jb td:last-child { padding-right: 0; }
.jb td:first-child { min-width: 7rem; }
.jb th { color: var(--jb-soft); font-weight: 500; font-size: 0.825rem; vertical-align: bottom; }
.jb thead tr { border-bottom: 1px solid var(--jb-soft); }
.jb tbody tr { border-bottom: 1px solid var(--jb-line); }
.jb tbody tr.total { font-weight: 600; }
.jb tbody tr.last { border-bottom-color: var(--jb-soft); }
.jb td.right, .jb th.right { text-align: right; }
.jb td.right, .jb td.short { white-space: nowrap; }
.jb th { overflow-wrap: break-word; }
.jb .of { color: var(--jb-soft); font-size: 0.94em; font-weight: 400; display: inline-block; text-align: left; }
.jb td.right .of { margin-left: 0.7em; min-width: calc(var(--jb-chars) * 0.94ch); }
[data-testid=stSidebar] hr { margin: 0.5rem 0 0.8rem; }
.jb p.jb-group {
  color: var(--jb-soft); font-size: 0.78rem; font-weight: 600; letter-spacing: 0.02em; margin: 0.65rem 0 0.1rem 0.5rem;
}
.st-key-menu { gap: 0; }
.st-key-menu [data-testid=stPageLink-NavLink] { padding: 0.1rem 0.5rem; min-height: 1.75rem; }
.st-key-choices :is([data-testid=stSelectbox], [data-testid=stTextInput]) { min-width: 9rem; max-width: 20rem; }
.st-key-uncover, .st-key-uncover button { width: 100%; }
.st-key-uncover button {
  min-height: 1.75rem; padding: 0 0.5rem; background: color-mix(in srgb, currentColor 7%, transparent);
}
.st-key-uncover button > div { justify-content: flex-start; }
.st-key-uncover p { font-weight: 600; }
.jb-none { border: 1px dashed var(--jb-line); border-radius: 6px; padding: 1.1rem 1.2rem; }
.st-key-period [role=radiogroup] { width: 100%; overflow: visible; mask-image: none; }
.st-key-period [role=radio] { flex: 1 1 auto; min-width: 0; padding: 0 0.2rem; }
__NARROW__@media (max-width: 640px) {
  .jb-tiles { gap: 0.7rem; }
  .jb-tile { padding: 0.7rem 0.75rem; }
  .jb-tile .value { font-size: 1.5rem; }
}
</style>""".replace("__NARROW__", "".join(map(_as_lines, ROOMS_REM)))


def literal(text: str) -> str:
    """Text as HTML that shows exactly it; the thin space is too thin for a screen, and a number must not break."""
    return escape(text.replace(fmt.THIN, "\u00a0"))


def alerts(view: View) -> str:
    """What is wrong with the numbers of a View; of many, the first are open and the others folded."""
    told = [f'<p class="jb-alert" role="alert">{literal(alert)}</p>' for alert in view.alerts]
    if len(told) <= MOST_ALERTS:
        return "".join(told)
    rest = told[MOST_ALERTS - 1 :]
    folded = f'<details class="jb-more"><summary>{len(rest)} more</summary>{"".join(rest)}</details>'
    return "".join(told[: MOST_ALERTS - 1]) + folded


def head(view: View, tag: str) -> str:
    """Title and subtitle."""
    subtitle = f'<p class="soft">{literal(view.subtitle)}</p>' if view.subtitle else ""
    return f"<{tag}>{literal(view.title)}</{tag}>{subtitle}"


def tiles(view: View) -> str:
    """The headline estimates of a View beside each other."""
    return f'<div class="jb-tiles">{"".join(map(_tile, view.tiles))}</div>' if view.tiles else ""


def _tile(tile: Tile) -> str:
    label = f'<div class="label">{literal(tile.label)}</div>'
    if tile.help:
        label = f'<details><summary>{literal(tile.label)}</summary><p class="soft">{literal(tile.help)}</p></details>'
    value = f'<span class="value">{literal(fmt.mid_of(tile.value))}</span>{badge(tile.value.method)}'
    lines = [text for text in (_range(tile.value), tile.caption) if text]
    below = "".join(f'<p class="soft">{literal(text)}</p>' for text in lines)
    return f'<div class="jb-tile">{label}<div class="middle">{value}</div>{below}</div>'


def badge(method: str) -> str:
    """Evidence, or a state that must be seen; the weaker the evidence, the weaker its edge."""
    looks = method if method in METHODS else LOUD.get(method, "")
    return f'<span class="jb-badge {looks}">{literal(method)}</span>'


def _range(value: Estimate) -> str:
    if not value.known:
        return value.reason or ""
    span = fmt.span_of(value)
    return f"range {span}" if span else ""


def facts(view: View) -> str:
    """A table without headers as names and values."""
    name, value = (column.key for column in view.columns[:2])
    pairs = "".join(f"<dt>{literal(str(row[name]))}</dt><dd>{literal(str(row[value]))}</dd>" for row in view.rows)
    return f"<dl>{pairs}</dl>"


def sheet(view: View) -> str:
    """A short table as markup. Its cells and notes are those of the table on paper."""
    data = table_data(view, 1.0)
    columns, totals = data["columns"], data["totals"]
    rows = [row for fold in data["folds"] for row in fold]
    header = _row("", (f'<th role="columnheader" class="{_kind(c)}">{literal(_label(c))}</th>' for c in columns))
    body = "".join(_row(_rank(n, totals), map(_cell, columns, row)) for n, row in enumerate(rows, 1))
    table = f'<thead role="rowgroup">{header}</thead><tbody role="rowgroup">{body}</tbody>'
    chars = sum(map(_chars, columns))
    size = next((most for most in ROOMS_REM if chars <= most), max(ROOMS_REM))
    named = f'<table role="table" aria-label="{literal(view.title)}">{table}</table>'
    return f'<div class="jb-sheet chars-{size}">{named}</div>{notes(data["notes"])}'


def _chars(column: Mapping[str, Any]) -> int:
    text = column["longest"] if column["right"] else min(column["longest"], WRAPPED_CHARS)
    return max(text + column["longest_range"], len(column["label"]) // 2) + GAP_CHARS


def _row(kind: str, cells: Iterable[str]) -> str:
    return f'<tr role="row" class="{kind}">{"".join(cells)}</tr>'


def _rank(number: int, totals: int) -> str:
    """The class of a row by its number: totals stand above the others, the last of them has a line below."""
    return " ".join(name for name, is_so in (("total", number <= totals), ("last", number == totals)) if is_so)


def _kind(column: Mapping[str, Any]) -> str:
    """The class of a column's cells."""
    kind = "right" if column["right"] else _length(column["longest"]) or column["kind"]
    return f"{kind} minor" if column["key"] in MINOR else kind


def _length(longest: int) -> str:
    return "long" if longest > LONG_CHARS else "short" if longest <= SHORT_CHARS else ""


def _label(column: Mapping[str, Any]) -> str:
    said = ", ".join(text for text in (column["label"], column["unit"]) if text)
    return f"{said} ({column['method']})" if column["method"] else said


def _cell(column: Mapping[str, Any], cell: Mapping[str, str]) -> str:
    """One cell: its value, after it its range; evidence is a badge."""
    label = f' data-label="{literal(_label(column))}"' if column["label"] else ""
    inside, kind = literal(cell["text"]), _kind(column)
    states = cell["text"].split(", ")
    if column["kind"] == "state" and all(state in METHODS or state in LOUD for state in states):
        inside, kind = " ".join(map(badge, states)), "badged"
    if column["right"] and column["ranged"]:
        inside += f'<span class="of" style="--jb-chars: {column["longest_range"]}">{literal(cell["range"])}'
        inside += f"<sup>{literal(cell['mark'])}</sup></span>" if cell["mark"] else "</span>"
    return f'<td role="cell" class="{kind}"{label}>{inside}</td>'


def notes(told: Sequence[str]) -> str:
    """What the reader must know, as a list."""
    return f"<ul>{''.join(f'<li>{literal(note)}</li>' for note in told)}</ul>" if told else ""
