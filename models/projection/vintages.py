"""Manufacture by vintage: hardware is bought for the need of a year, kept for its life, and replaced.

    need of the year − what still stands = what is bought;   charged to a year: each vintage ÷ its life, while it stands

Before the first year as much was bought every year as replacement takes. What was bought and is not needed any more
goes on being charged: it is made, whether it is used or not. Works on floats and on arrays of draws.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from joulebook.models.projection.ramps import Number

SHORTEST_LIFE_Y = 1.0  # however fast hardware gets better, it is not replaced sooner: early refresh is capped here


class Made(NamedTuple):
    """Manufacture of a year against that of the first: `charged` over the life, or all when it is `bought`."""

    charged: Number
    bought: Number


def stands(age_y: int, life_y: Number) -> Number:
    """The part of a vintage that still stands in a year. Unit: 1; over all ages it adds up to the life."""
    left = life_y - age_y
    return (left > 0) * (left < 1) * left + (left >= 1) * 1.0


def manufacture(need: Sequence[Number], life_y: Number, embodied: Sequence[Number]) -> list[Made]:
    """What making hardware comes to, year by year.

    `need`: the hardware in use, `embodied`: of a piece of each vintage; both against the first year.
    Unit: 1 = bought × embodied, or Σ vintages (bought × embodied × still standing) ÷ life.
    """
    ages = math.ceil(_most(life_y))
    bought: list[Number] = [1 / life_y] * ages  # of the first year and those before it, oldest first
    made: list[Number] = [1 / life_y] * ages
    told: list[Made] = []
    for year, wanted in enumerate(need):
        if year:
            kept = sum(bought[-age] * stands(age, life_y) for age in range(1, ages))
            new = _above_zero(wanted - kept)
            bought.append(new)
            made.append(new * embodied[year])
        charged = sum(made[-1 - age] * stands(age, life_y) for age in range(ages)) / life_y
        told.append(Made(charged * life_y, made[-1] * life_y))
    return told


def _most(value: Number) -> float:
    return float(value.max()) if hasattr(value, "max") else float(value)


def _above_zero(value: Number) -> Number:
    return (value + abs(value)) / 2
