"""A View on paper: a calm, tagged PDF that is the same to the byte each time it is made.

    View -> one document of plain data, its text written by `format` -> report.typ -> PDF/UA-1 and PDF/A-2a

Text never becomes markup: the document reaches the template as JSON, and the template prints its strings as strings.
No browser, no network, no system font. What the font cannot draw is written as an escape such as `\\u65e5`, because
an archive copy with missing glyphs is refused.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from joulebook.accounting.errors import MissingExtra
from joulebook.accounting.records import METHODS
from joulebook.reports import format as fmt
from joulebook.reports.pdf_figures import figure_data
from joulebook.reports.pdf_tables import fits, table_data
from joulebook.reports.view import FactorUse, Tile, View

TEMPLATE = Path(__file__).with_name("report.typ")
STANDARDS = ["ua-1", "a-2a"]
TRACE_ROWS = 150  # the longest table of a trace that is printed
BESIDE_BARS = 12  # the most bars that may stand beside something else
WIDTHS = {"full": 1.0, "two-thirds": 2 / 3, "half": 1 / 2, "third": 1 / 3}

# What Source Sans Pro can draw, without what is invisible or turns the direction of reading.
_UNDRAWABLE = re.compile(
    "[^ -~\u00a0-\u00ac\u00ae-\u017e\u0192\u01a0\u01a1\u01af\u01b0\u0218-\u021b\u0384-\u038a\u038c\u038e-\u03a1"
    "\u03a3-\u03ce\u0400-\u045f\u0490\u0491\u1ea0-\u1ef9\u2002-\u200a\u2012-\u2014\u2018-\u201a\u201c-\u201e"
    "\u2020-\u2022\u2026\u202f\u2030\u2032\u2033\u2039\u203a\u2044\u2070\u2074-\u2079\u207d-\u2089\u20ac\u2122"
    "\u2190-\u2193\u2202\u2206\u2211\u2212\u221a\u221e\u222b\u2248\u2260\u2264\u2265\u25a0\u2713]"
)
_HYPHENS = str.maketrans({"\u2010": "-", "\u2011": "-"})
_LINE_BREAKS = re.compile(r"[\t\n\v\f\r\u0085\u2028\u2029]+")
_UNDRAWN_NOTE = "Characters that the typeface of this report lacks are written as \\u and their number."


def write_pdf(view: View, path: Path, *, prepared_at: datetime, organisation: str = "") -> Path:
    """Write a View as a PDF file and return its path; missing folders are made.

    Raises MissingExtra when the packages for the PDF are not installed.
    """
    content = pdf_bytes(view, prepared_at=prepared_at, organisation=organisation)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def pdf_bytes(view: View, *, prepared_at: datetime, organisation: str = "") -> bytes:
    """A View as a tagged PDF. The same View and time (UTC) give the same bytes.

    Raises MissingExtra when the packages for the PDF are not installed.
    """
    prepared_at = (prepared_at if prepared_at.tzinfo else prepared_at.replace(tzinfo=UTC)).astimezone(UTC)
    document = document_data(view, prepared_at, organisation)
    typst, font_dir = _typesetter()
    return typst.compile(
        TEMPLATE,
        root=TEMPLATE.parent,
        font_paths=[font_dir],
        ignore_system_fonts=True,
        format="pdf",
        sys_inputs={"document": json.dumps(document, allow_nan=False)},
        pdf_standards=STANDARDS,
        timestamp=int(prepared_at.timestamp()),
    )


def _typesetter() -> tuple[Any, str]:
    try:
        import font_source_sans_pro  # optional, and so is the next
        import typst
    except ImportError as error:
        raise MissingExtra("the PDF report", "report") from error
    return typst, font_source_sans_pro.font_directory


def document_data(view: View, prepared_at: datetime, organisation: str = "") -> dict[str, Any]:
    """Everything the template prints, as plain data with all text written."""
    view = replace(view, width="full")
    views = list(_walk(view))
    document = {
        "organisation": organisation.strip(),
        "title": view.title.strip() or "Report",
        "prepared": f"{fmt.moment(prepared_at)} UTC",
        "body": _section(view) | {"notes": []},
        "tables": [{"title": v.title, "table": table_data(v, 1.0)} for v in views if _is_behind(v)],
        "factors": _factors(views),
        "notes": list(view.notes),
        "terms": list(dict.fromkeys((t.label, t.help) for v in views for t in v.tiles if t.help)),
        "methods": ", ".join(METHODS[:-1]),
    }
    if any(_UNDRAWABLE.search(_plain(text)) for text in _strings(document)):
        document["notes"].append(_UNDRAWN_NOTE)
    return _printable(document)


def _walk(view: View) -> Iterator[View]:
    yield view
    for part in view.parts:
        yield from _walk(part)


# Text.


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(item)


def _printable(value: Any) -> Any:
    """The same data with every string in characters that the font can draw."""
    if isinstance(value, str):
        return _UNDRAWABLE.sub(lambda match: match[0].encode("unicode_escape").decode(), _plain(value))
    if isinstance(value, dict):
        return {key: _printable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_printable(item) for item in value]
    return value


def _plain(text: str) -> str:
    return _LINE_BREAKS.sub(" ", unicodedata.normalize("NFC", text.translate(_HYPHENS)))


# Sections: the View and its parts.


def _section(view: View, width: float = 1.0) -> dict[str, Any]:
    """One View at a width of the page, 1 for all of it."""
    figure = None if view.figure is None else figure_data(view.figure)
    if figure and not _is_inline(view):
        figure["caption"] += f" The numbers are in {'a table at the end' if _is_behind(view) else 'an export as CSV'}."
    return {
        "title": view.title,
        "subtitle": view.subtitle,
        "sentence": view.sentence,
        "tiles": [_tile(tile) for tile in view.tiles],
        "alerts": list(view.alerts),
        "empty": view.empty if _is_empty(view) else "",
        "figure": figure,
        "table": table_data(view, width) if _has_table(view) and _is_inline(view) else None,
        "notes": list(view.notes),
        "bands": _bands(view.parts),
    }


def _has_table(view: View) -> bool:
    return bool(view.rows and view.columns)


def _is_empty(view: View) -> bool:
    return not view.rows and (bool(view.columns) or not (view.tiles or view.figure or view.parts))


def _is_inline(view: View) -> bool:
    """Whether a table stands where its View does; not so where it would push a narrow figure from its neighbour."""
    return not _has_table(view) or view.figure is None or (view.width == "full" and _is_printed(view))


def _is_behind(view: View) -> bool:
    return not _is_inline(view) and _is_printed(view)


def _is_printed(view: View) -> bool:
    """A long trace is for the eye: nobody reads a thousand of its numbers on paper."""
    return view.figure is None or view.figure.kind != "trace" or len(view.rows) <= TRACE_ROWS


def _bands(parts: Sequence[View]) -> list[dict[str, Any]]:
    """Parts from top to bottom; those beside each other fill one band."""
    bands, rest = [], list(parts)
    while rest:
        count = _beside(rest)
        band, rest = rest[:count], rest[count:]
        widths = [1.0] if count == 1 else [WIDTHS[part.width] for part in band]
        sections = [_section(part, width) for part, width in zip(band, widths, strict=True)]
        bands.append({"widths": widths, "sections": sections})
    return bands


def _beside(parts: Sequence[View]) -> int:
    """How many of the next parts stand beside each other: those that fill the width and are small enough, else one."""
    for count in (2, 3):
        band = parts[:count]
        if abs(sum(WIDTHS[part.width] for part in band) - 1) < 0.01 and all(map(_is_small, band)):
            return count
    return 1


def _is_small(view: View) -> bool:
    if view.parts or _bar_count(view) > BESIDE_BARS:
        return False
    return not (_has_table(view) and _is_inline(view)) or fits(view, WIDTHS[view.width])


def _bar_count(view: View) -> int:
    if view.figure is None or view.figure.kind not in ("bars", "spans"):
        return 0
    return sum(len(series.x) for series in view.figure.series)


def _tile(tile: Tile) -> dict[str, str]:
    value = tile.value
    span = fmt.span_of(value)
    return {
        "label": tile.label,
        "value": fmt.mid_of(value),
        "range": f"range {span}" if span else value.reason or "",
        "caption": tile.caption,
        "method": value.method,
    }


# Factors.


def _factors(views: Sequence[View]) -> list[dict[str, Any]]:
    """Each factor once, in the order of first use."""
    used = dict.fromkeys(factor for view in views for factor in view.factors)
    return [_factor(factor) for factor in used]


def _factor(factor: FactorUse) -> dict[str, str]:
    span = fmt.between(fmt.number(factor.low), fmt.number(factor.high)) if factor.low != factor.high else ""
    return {
        "id": factor.factor_id,
        "kind": factor.kind,
        "region": factor.region or fmt.MISSING,
        "match": factor.match or fmt.MISSING,
        "value": fmt.number(factor.mid),
        "range": span,
        "unit": factor.unit,
        "valid": factor.valid or fmt.MISSING,
        "source": factor.source,
        "url": factor.url if factor.url.startswith(("https://", "http://")) else "",
    }
