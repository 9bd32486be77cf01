"""What stands in the cells of a row: numbers, times, names. Each raises RowError for what is none, and repeats nothing.

`label` is the gate of every text: what looks like a key or an address of a person is replaced by a short hash of it,
so that its rows can still be told apart. Texts are cut at 200 characters.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

from joulebook.collectors.importers.rows import RowError

LONGEST = 200
_EMPTY = (None, "", "null", "NULL")
FUTURE_NS = 3_600 * 10**9  # clocks of two machines do not differ by more
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_KEY = re.compile(
    r"(?:\b(?:sk|rk|pk|gsk|xai|hf|ghp|gho|glpat|xox[abp])[-_](?=[\w-]*\d)[\w-]{16,}"
    r"|\b(?:sk|rk)-[\w-]{6,}|\bA(?:KIA|SIA)[A-Z0-9]{12,}|\bAIza[\w-]{20,}|\beyJ[\w-]{10,}\.[\w.-]+|\bBearer\s+\S+)"
)
_ADDRESS = re.compile(r"[^\s@<>\"',;]+@[^\s@<>\"',;]+\.\w+")
_EXACT = Context(prec=60)
_SMALLEST = Decimal("1e-12")  # what the ledger's money holds


def found(values: Mapping[str, Any], *names: str) -> Any:
    """The first of some cells that is not empty."""
    for one in names:
        value = values.get(one)
        if value not in _EMPTY:
            return value
    return None


def label(value: Any) -> str | None:
    """A name as it may be kept; None for an empty one."""
    return None if value is None or isinstance(value, dict | list) else _label(str(value))


@lru_cache(10_000)  # most names of a file stand in many of its rows
def _label(value: str) -> str | None:
    text = value if value.isprintable() else "".join(c if c.isprintable() else " " for c in value)
    text = _KEY.sub(lambda match: f"key-{digest(match[0])[:12]}", text)
    text = _ADDRESS.sub(lambda match: f"user-{digest(match[0].lower())[:12]}", text)
    return text.strip()[:LONGEST] or None


def name(values: Mapping[str, Any], *names: str) -> str | None:
    return label(found(values, *names))


def digest(*parts: Any) -> str:
    """A short name of some values: the same for the same values, in every version."""
    return hashlib.blake2b(json.dumps([_plain(part) for part in parts]).encode(), digest_size=12).hexdigest()


def _plain(part: Any) -> Any:
    return part if part is None or isinstance(part, str | list | tuple) else str(part)


def number(values: Mapping[str, Any], *names: str, signed: bool = False) -> Decimal | None:
    """A number, exact; None for an empty cell."""
    value = found(values, *names)
    if value is None:
        return None
    text = repr(value) if isinstance(value, float) else str(value).strip()
    if len(text) < 18 and text.isascii() and text.isdecimal():
        return Decimal(text)
    try:
        amount = Decimal(text)
        amount = amount.quantize(_SMALLEST, context=_EXACT).normalize(_EXACT)
    except InvalidOperation:
        raise RowError(f"{names[0]} is no number") from None
    if not amount.is_finite() or abs(amount) > Decimal("1e18"):
        raise RowError(f"{names[0]} is no number that can be")
    if amount < 0 and not signed:
        raise RowError(f"{names[0]} is negative")
    return amount


def whole(values: Mapping[str, Any], *names: str) -> int | None:
    """A count; `59200.0` is one."""
    amount = number(values, *names)
    if amount is not None and amount != int(amount):
        raise RowError(f"{names[0]} is no whole number")
    return None if amount is None else int(amount)


def plain(amount: Decimal) -> str:
    """Without an exponent: `0.0000004`."""
    return f"{amount:f}"


def flag(values: Mapping[str, Any], *names: str) -> bool:
    return str(found(values, *names)).lower() in ("true", "t", "1", "yes")


def moment(values: Mapping[str, Any], *names: str, may_come: bool = False) -> int | None:
    """An instant in ns since 1970: ISO 8601 (UTC where it does not say), or seconds or ms since 1970."""
    value = found(values, *names)
    if value is None:
        return None
    try:
        ns = _ns(value)
    except (ValueError, OverflowError, InvalidOperation):
        raise RowError(f"{names[0]} is no time") from None
    if ns < 0:
        raise RowError(f"{names[0]} lies before 1970")
    if ns > time.time_ns() + FUTURE_NS and not may_come:
        raise RowError(f"{names[0]} lies in the future")
    return ns


def needed(value: Any, what: str) -> Any:
    """The value, or RowError where there is none."""
    if value is None:
        raise RowError(f"has no {what}")
    return value


def _ns(value: Any) -> int:
    text = str(value).strip()
    if isinstance(value, datetime):
        return ns_of(value)
    if re.fullmatch(r"-?\d+(\.\d+)?", text):
        seconds = Decimal(text)
        return int(seconds * (10**9 if abs(seconds) < 10**11 else 10**6))
    return ns_of(datetime.fromisoformat(text))


def ns_of(when: datetime) -> int:
    when = when.replace(tzinfo=UTC) if when.tzinfo is None else when
    return (when - _EPOCH) // timedelta(microseconds=1) * 1000


def inside(values: Any, *path: str) -> Any:
    """What stands deeper: in an object, in one written as text, in a list of pairs. None where there is none."""
    for step in path:
        table = table_of(values)
        values = None if table is None else table.get(step)
    return values


def table_of(value: Any) -> dict[str, Any] | None:
    """An object, however it was written."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = json.loads(value, parse_float=Decimal)
        except (ValueError, RecursionError):
            return None
    if isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(pair, tuple) for pair in value):
        value = dict(value)  # a map of Parquet
    return value if isinstance(value, dict) else None


def listed(value: Any) -> list[Any]:
    """A list, however it was written."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return []
    return value if isinstance(value, list) else []
