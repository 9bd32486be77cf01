"""Factors that change by the hour or the month: imported files, kept in the home and never in the package.

    a provider's file ─> spells (from, until, low, mid, high) ─> <home>/factors/<kind>-<region>-<hash>.json ─> Series

A series is one factor with many values. Its id ends in a hash of all it says, as does the name of its file, so that a
file that was changed by hand is refused. Where it has no value the tables' row holds. Nothing is ever fetched.
"""

from __future__ import annotations

import hashlib
import json
import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property, lru_cache
from math import fsum
from pathlib import Path
from typing import Any, NamedTuple

from joulebook.accounting.errors import FactorError
from joulebook.accounting.factors.fact import Factor

FACTS = ("kind", "region", "unit", "resolution", "basis", "source", "url", "licence", "retrieved")


class Spell(NamedTuple):
    """A value from an instant until another, half-open (UTC without a zone, as the ledger keeps times)."""

    start: datetime
    end: datetime
    low: float
    mid: float
    high: float


@dataclass(frozen=True)
class Series:
    """A factor of a place by spells of time, in order and without overlaps."""

    kind: str
    region: str  # in capitals
    unit: str
    resolution: str  # hourly or monthly
    basis: str
    source: str
    url: str
    licence: str
    retrieved: date
    spells: tuple[Spell, ...]

    @cached_property
    def content(self) -> str:
        facts = {name: str(getattr(self, name)) for name in FACTS}
        spells = [[at.start.isoformat(), at.end.isoformat(), at.low, at.mid, at.high] for at in self.spells]
        return json.dumps({**facts, "spells": spells}, ensure_ascii=False)

    @cached_property
    def digest(self) -> str:
        return hashlib.sha256(self.content.encode()).hexdigest()[:12]

    @property
    def factor_id(self) -> str:
        return self.as_factor.factor_id

    @cached_property
    def as_factor(self) -> Factor:
        """The whole series as one fact: its mean over time, and the least and greatest that any of its spells says."""
        hours = [(at.end - at.start).total_seconds() / 3600 for at in self.spells]
        mean = fsum(at.mid * hour for at, hour in zip(self.spells, hours, strict=True)) / fsum(hours)
        low, high = min(at.low for at in self.spells), max(at.high for at in self.spells)
        return Factor(
            self.kind, mean, low, high, self.unit, self.region, self.spells[0].start.date(), self.spells[-1].end.date(),
            f"{self.basis}; {self.resolution}, {len(self.spells)} values, content {self.digest}", self.source, self.url,
            self.licence, self.retrieved,
        )  # fmt: skip

    def within(self, start: datetime, end: datetime) -> Iterator[Spell]:
        """Its spells that touch [start, end)."""
        first = max(0, bisect_right(self.spells, start, key=lambda spell: spell.start) - 1)
        for spell in self.spells[first:]:
            if spell.start >= end:
                return
            if spell.end > start:
                yield spell


def series_dir(home: Path) -> Path:
    return home / "factors"


def store_series(home: Path, series: Series) -> Path:
    """Keep a series in a home, whole or not at all; the same content twice is one file."""
    folder = series_dir(home)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{series.kind}-{series.region}-{series.digest}.json"
    draft = path.with_suffix(f".{os.getpid()}.tmp")
    draft.write_text(series.content, encoding="utf-8")
    draft.replace(path)
    return path


def load_series(home: Path) -> tuple[Series, ...]:
    """The series of a home. Raises FactorError for a file that is not as it was imported."""
    folder = series_dir(home)
    if not folder.is_dir():
        return ()
    paths = sorted(folder.glob("*.json"))
    return tuple(_read(path, path.stat().st_mtime_ns) for path in paths)


@lru_cache(64)
def _read(path: Path, changed_ns: int) -> Series:  # noqa: ARG001 — what it is kept by
    try:
        table: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        spells = tuple(
            Spell(datetime.fromisoformat(start), datetime.fromisoformat(end), low, mid, high)
            for start, end, low, mid, high in table["spells"]
        )
        texts = {name: str(table[name]) for name in FACTS if name != "retrieved"}
        series = Series(retrieved=date.fromisoformat(table["retrieved"]), spells=spells, **texts)
    except (ValueError, KeyError, TypeError) as error:
        raise FactorError(f"{path}: is no imported series ({error}); delete it and import the file again") from error
    if not path.stem.endswith(series.digest):
        raise FactorError(f"{path}: was changed after its import; delete it and import the file again")
    return series


def clipped(series: Sequence[Series], start: datetime, end: datetime) -> list[tuple[Spell, Series]]:
    """What holds when within [start, end): each instant belongs to the first of the series that has a value for it."""
    taken: list[tuple[Spell, Series]] = []
    free = [(start, end)]
    for each in series:
        left: list[tuple[datetime, datetime]] = []
        for begin, until in free:
            at = begin
            for spell in each.within(begin, until):
                first, last = max(spell.start, begin), min(spell.end, until)
                taken.append((spell._replace(start=first, end=last), each))
                if at < first:
                    left.append((at, first))
                at = last
            if at < until:
                left.append((at, until))
        free = left
    return sorted(taken, key=lambda pair: pair[0].start)
