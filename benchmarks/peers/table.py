"""The table of a benchmark: a line for each question, a column for each tool, ratios to ours where a cost is meant."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

OURS = "joulebook"
COST, ERROR, PLAIN = "a cost: the others in multiples of ours", "an error: with its sign", "a number"


class Plan(NamedTuple):
    """How often and how long to measure."""

    rounds: int = 8  # of fresh processes
    repeats: int = 3  # of everything else
    at_once: int = 2  # busy jobs
    share_s: float = 5.0
    hold_s: float = 12.0
    together_s: float = 10.0


QUICK = Plan(rounds=1, repeats=1, at_once=4, share_s=3.0, hold_s=8.0, together_s=4.0)


class Line(NamedTuple):
    """For each tool a value, and what is to be said of it; a tool without a value has a word instead."""

    what: str
    unit: str
    values: Mapping[str, float | str]
    gate: float | None = None  # our value must not be above
    kind: str = COST
    notes: Mapping[str, str] = {}

    def verdict(self) -> str:
        ours = self.values.get(OURS)
        if self.gate is None or not isinstance(ours, float):
            return ""
        return f"≤ {_with_unit(f'{self.gate:g}', self.unit)}: {'pass' if ours <= self.gate else 'MISS'}"

    def cell(self, tool: str) -> str:
        value, ours = self.values.get(tool, "–"), self.values.get(OURS)
        if isinstance(value, str):
            return value
        told = _with_unit(_digits(value, self.kind), self.unit)
        if self.kind is COST and tool != OURS and isinstance(ours, float) and ours > 0:
            told += f" ({_digits(value / ours, COST)} ×)"
        return f"{told}, {self.notes[tool]}" if self.notes.get(tool) else told


def drawn(lines: Sequence[Line], columns: Mapping[str, str]) -> str:
    """The table as Markdown, padded so that a terminal shows it well. `columns`: a tool and its heading."""
    verdicts = [["gate"], *([line.verdict()] for line in lines)]
    rows = [["", *columns.values()], *([line.what, *map(line.cell, columns)] for line in lines)]
    if any(verdict for [verdict] in verdicts[1:]):
        rows = [[row[0], *verdict, *row[1:]] for row, verdict in zip(rows, verdicts, strict=True)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    rows.insert(1, ["-" * width for width in widths])
    return "\n".join("| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows)


def median(values: Iterable[float]) -> float:
    return float(statistics.median(values))


def p95(values: Iterable[float]) -> float:
    ordered = sorted(values)
    return ordered[math.ceil(0.95 * len(ordered)) - 1]


def _with_unit(digits: str, unit: str) -> str:
    return f"{digits} {unit}" if unit else digits


def _digits(value: float, kind: str) -> str:
    sign = "+" if kind is ERROR else ""
    if abs(value) >= 100 or (value.is_integer() and kind is not ERROR):
        return f"{value:{sign},.0f}"
    if abs(value) >= 10:
        return f"{value:{sign}.1f}"
    return f"{value:{sign}.2f}" if kind is ERROR or abs(value) >= 1 else f"{value:.2g}"
