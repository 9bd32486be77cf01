"""A name in a SQL query that can be added, subtracted, multiplied and divided like a number.

A formula that only does those four things is written once and works on a float, on a NumPy array and, through this,
on a hundred million rows: `str(operational_carbon_g(Column("it_energy_j"), pue=Column("pue"), ...))` is SQL text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

Operand = Union["Column", float, int]


@dataclass(frozen=True)
class Column:
    """A SQL expression. `text` is trusted: column names of our own queries, never a user's words."""

    text: str

    def __str__(self) -> str:
        return self.text

    def __add__(self, other: Operand) -> Column:
        return _joined(self, "+", other)

    def __radd__(self, other: Operand) -> Column:
        return _joined(other, "+", self)

    def __sub__(self, other: Operand) -> Column:
        return _joined(self, "-", other)

    def __rsub__(self, other: Operand) -> Column:
        return _joined(other, "-", self)

    def __mul__(self, other: Operand) -> Column:
        return _joined(self, "*", other)

    def __rmul__(self, other: Operand) -> Column:
        return _joined(other, "*", self)

    def __truediv__(self, other: Operand) -> Column:
        return _joined(self, "/", other)

    def __rtruediv__(self, other: Operand) -> Column:
        return _joined(other, "/", self)


def _text(operand: Operand) -> str:
    # `1e0` keeps SQL from reading a literal as DECIMAL, whose division rounds
    return operand.text if isinstance(operand, Column) else f"{float(operand):.17e}"


def _joined(left: Operand, sign: str, right: Operand) -> Column:
    return Column(f"({_text(left)} {sign} {_text(right)})")
