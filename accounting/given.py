"""What a user gave in a TOML file, checked value by value: each error says where, what is wrong and what is meant.

toml        the text as a table;  read   the text of a file
only        no key that is not known;  table, entries   tables of keys, and `[[…]]` once for each
number, day, text, flag    single values
"""

from __future__ import annotations

import math
import sys
import tomllib
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any, cast

from joulebook.accounting.errors import InputError


def read(path: Path) -> str:
    """The text of a file. Raises InputError where it cannot be read."""
    try:
        return path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
        raise InputError(f"{path}: cannot be read ({why})") from error


def toml(text: str) -> Mapping[str, Any]:
    try:
        return tomllib.loads(text)
    except ValueError as error:
        raise InputError(f"this is no TOML: {error}") from error


def only(where: str, given: Mapping[str, Any], known: Sequence[str]) -> None:
    for key in given:
        if key not in known:
            near = get_close_matches(key, known, 1)
            raise InputError(f"{where}: unknown key {key!r}" + (f", did you mean {near[0]!r}?" if near else ""))


def table(where: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{where} must be a table of keys and values, not {value!r}")
    return cast("dict[str, Any]", value)


def entries(whole: Mapping[str, Any], kind: str, known: Sequence[str]) -> list[tuple[str, Mapping[str, Any]]]:
    """The tables `[[kind]]` of a file, each with how it is called in errors."""
    told = whole.get(kind, [])
    if not isinstance(told, list):
        raise InputError(f"{kind} must be written as [[{kind}]], once for each")
    found = [(f"[[{kind}]] {number}", one) for number, one in enumerate(cast("list[Any]", told), start=1)]
    for where, one in found:
        only(where, table(where, one), known)
    return found


def array(where: str, value: object, example: str) -> list[Any]:
    if not isinstance(value, list):
        raise InputError(f"{where} must be a list such as {example}, not {value!r}")
    return cast("list[Any]", value)


def number(where: str, value: object, most: float = math.inf) -> float:
    largest = min(most, sys.float_info.max)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= largest:
        raise InputError(
            f"{where} must be a number from 0" + (f" to {most:g}" if most < math.inf else " up") + f", not {value!r}"
        )
    return float(value)


def day(where: str, value: object) -> date | None:
    if value is not None and (not isinstance(value, date) or isinstance(value, datetime)):
        raise InputError(f"{where} must be a day such as 2026-01-01, without quotes, not {value!r}")
    return value


def text(where: str, value: object, example: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{where} must be a text such as {example}, not {value!r}")
    return value.strip()


def flag(where: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise InputError(f"{where} must be true or false, not {value!r}")
    return value
