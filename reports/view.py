"""A `View` is one answered question, before anybody has drawn it.

The terminal, the dashboard, the PDF and the JSON draw the same View, so a number cannot differ between them.
A View holds plain values: text, numbers, datetimes (UTC), `Estimate`s. Units are in the columns, never in the text.

    View
    ├── tiles     a few headline estimates
    ├── columns, rows   a table, above it the sums of some of its rows (`totals`)
    ├── figure    a chart of the same numbers, with its finding in words (`alt`)
    ├── alerts    what is wrong with these numbers, to be seen before them
    ├── parts     smaller Views, laid out by `width`
    ├── notes     what the reader must know to read it right
    └── factors   the factors behind its numbers
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from joulebook.accounting.estimates import Estimate

# An `id` is text whose UUIDs are short where people read, and in full in exports.
Kind = Literal["text", "time", "duration", "number", "estimate", "state", "run", "id"]

METHOD_COLUMNS = ("method", "tier")  # keys of columns: where a table has one, its estimates need not say their method


@dataclass(frozen=True)
class Column:
    """One column of a table. `unit` is canonical (J, g, L, USD, s, …); the drawer picks what fits the reader.

    The unit % is for values that are shares of 1, whatever unit they have themselves.
    """

    key: str
    label: str
    kind: Kind = "text"
    unit: str | None = None


@dataclass(frozen=True)
class Tile:
    """One headline number. `caption` is one plain line under it, e.g. what it is compared with."""

    label: str
    value: Estimate
    caption: str = ""
    help: str = ""


@dataclass(frozen=True)
class Series:
    """One line, band or set of bars or points; `low` and `high` bound `mid` where there is a range. None is a gap.

    The last four are of a `scatter`: what each point is, the range of x, and how the points stand to each other.
    """

    name: str
    x: tuple[Any, ...]
    mid: tuple[float | None, ...]
    low: tuple[float | None, ...] = ()
    high: tuple[float | None, ...] = ()
    names: tuple[str, ...] = ()
    x_low: tuple[float | None, ...] = ()
    x_high: tuple[float | None, ...] = ()
    role: Literal["", "frontier", "dominated"] = ""

    @property
    def is_ranged(self) -> bool:
        return any(low != high for low, high in zip(self.low, self.high, strict=False))


@dataclass(frozen=True)
class Figure:
    """A chart as data.

    `bars` has text x (one horizontal bar each, largest first); `days` one value a day with its range;
    `trace` a value over time; `spans` one bar per piece of work from `low` to `high` in seconds since the start,
    where `mid` is the depth of nesting. `partial_from`: what starts here is not complete yet.

    `fan`: x are years (whole numbers) or days; `low`, `mid`, `high` are P5, P50, P95 of one scenario a series. A series
    without a range is a line, e.g. a budget. What starts at `partial_from` is a forecast. `band` says in words what the
    line and the band are, where they are not these; so it does of a scatter.
    `scatter`: x are numbers of `x_unit`. The points of a series with the role `frontier` are joined and named; those
    that are `dominated` are paler.
    `tornado`: two series with the same x, the names of the drivers; `mid` is what comes out with each driver at its
    low, and at its high, where `base` comes out with none of them changed. The drawer puts the widest first.
    """

    kind: Literal["bars", "days", "trace", "spans", "fan", "scatter", "tornado"]
    title: str
    unit: str
    series: tuple[Series, ...]
    alt: str
    partial_from: datetime | None = None
    base: float | None = None
    y_label: str = ""  # what the values of a scatter are
    x_label: str = ""
    x_unit: str = "1"
    is_log_x: bool = False
    band: str = ""


@dataclass(frozen=True)
class FactorUse:
    """One factor as it was used: enough for an auditor to find it again."""

    factor_id: str
    kind: str
    region: str
    match: str
    low: float
    mid: float
    high: float
    unit: str
    source: str
    url: str
    valid: str


@dataclass(frozen=True)
class View:
    """One answered question. `empty` says, when there are no rows, what was looked for and what to do."""

    key: str
    title: str
    sentence: str = ""
    subtitle: str = ""
    tiles: tuple[Tile, ...] = ()
    columns: tuple[Column, ...] = ()
    rows: tuple[Mapping[str, Any], ...] = ()
    figure: Figure | None = None
    parts: tuple[View, ...] = ()
    notes: tuple[str, ...] = ()
    factors: tuple[FactorUse, ...] = ()
    empty: str = ""
    width: Literal["full", "two-thirds", "third", "half"] = "full"
    totals: tuple[Mapping[str, Any], ...] = ()  # drawn, never exported: or a reader of the file would count twice
    alerts: tuple[str, ...] = ()
