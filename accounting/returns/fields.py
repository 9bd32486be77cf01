"""Values out of a claim's table, beyond what `given` reads: ranges, shares, and days as TOML or JSON keeps them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, cast

from joulebook.accounting import given
from joulebook.accounting.errors import InputError
from joulebook.accounting.site import Range

Table = Mapping[str, Any]
ANY = -math.inf, math.inf
FROM_0 = 0.0, math.inf
SHARE = 0.0, 1.0
_MOST = 1e300  # what is larger is no amount, and its product with another no number


def table(parent: Table, key: str, known: Sequence[str] | None = None) -> Table:
    """The table under a key, empty where there is none."""
    found = given.table(f"[{key}]", parent.get(key, {}))
    if known is not None:
        given.only(f"[{key}]", found, known)
    return found


def text(where: str, value: object) -> str:
    """A text, empty where there is none."""
    if value is not None and not isinstance(value, str):
        raise InputError(f"{where} must be a text in quotes, not {value!r}")
    return (value or "").strip()


def needed(where: str, value: object) -> str:
    found = text(where, value)
    if not found:
        raise InputError(f"{where} is missing: see `joulebook claim template`")
    return found


def choice(where: str, value: object, known: Sequence[str]) -> str:
    found = text(where, value)
    if found not in known:
        raise InputError(f"{where} must be one of {', '.join(filter(None, known))}, not {found!r}")
    return found


def texts(where: str, value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise InputError(f'{where} must be a list of texts such as ["…"], not {value!r}')
    return tuple(needed(f"{where}, entry {n}", one) for n, one in enumerate(cast("list[object]", value), 1))


def day(where: str, value: object) -> date:
    """A day, as TOML has it or as JSON keeps it."""
    try:
        return (
            date.fromisoformat(value) if isinstance(value, str) else date.fromisoformat(cast("date", value).isoformat())
        )
    except (ValueError, AttributeError):
        raise InputError(f"{where} must be a day such as 2026-01-01, not {value!r}") from None


def number(where: str, value: object, bounds: tuple[float, float] = FROM_0) -> float:
    least, most = bounds
    if isinstance(value, bool) or not isinstance(value, int | float) or not -_MOST < value < _MOST:
        raise InputError(f"{where} must be a number, not {value!r}")
    if not least <= value <= most:
        limits = f"from {least:g} to {most:g}" if most < math.inf else f"{least:g} or more"
        raise InputError(f"{where} must be {limits}, not {value:g}")
    return float(value)


def span(where: str, value: object, bounds: tuple[float, float] = FROM_0) -> Range | None:
    """A number, or [low, mid, high], as a range; None where there is none."""
    if value is None:
        return None
    parts = cast("list[object]", value) if isinstance(value, list) else [value] * 3
    if len(parts) != 3:
        raise InputError(f"{where} must be a number or [low, mid, high], not {value!r}")
    low, mid, high = (number(where, part, bounds) for part in parts)
    if not low <= mid <= high:
        raise InputError(f"{where}: low ≤ mid ≤ high does not hold in {value!r}")
    return low, mid, high
