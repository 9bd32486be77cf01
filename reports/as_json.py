"""Views as JSON: stable keys, units in the keys, estimates as low, mid, high, unit, method; times as ISO 8601 UTC."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from datetime import date, datetime
from typing import Any

from joulebook.accounting.estimates import Estimate
from joulebook.reports.view import View


def plain(value: Any) -> Any:
    """A value that `json` can write."""
    if isinstance(value, Estimate):
        return value.as_json()
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(part) for part in value]
    return value


# What `json` leaves as it is and a terminal may obey: C1 controls, what turns the direction of reading, what is unseen.
_UNSEEN = re.compile("[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")


def text(value: Any) -> str:
    written = json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False)
    return _UNSEEN.sub(lambda match: f"\\u{ord(match[0]):04x}", written)


def rows(view: View) -> list[dict[str, Any]]:
    return [dict(row) for row in view.rows]


def run(view: View) -> dict[str, Any]:
    """One run: its row, then each part by its key, then the factors behind it."""
    return {
        **rows(view)[0],
        **_parts(view, "devices", "flops", "calls"),
        "factors": [asdict(use) for use in view.factors],
        "remarks": _remarks(view),
    }


def whole(view: View) -> dict[str, Any]:
    """A View: its rows by its key, then each part by its own, then the factors behind it."""
    return {
        view.key: rows(view),
        **_parts(view),
        "factors": [asdict(use) for use in view.factors],
        "remarks": _remarks(view),
    }


def call(view: View) -> dict[str, Any]:
    """One call: its row, then each part by its key."""
    parts = _parts(view, "attempts", "usage", "price_lines", "observations")
    return {**rows(view)[0], **parts, "remarks": _remarks(view)}


def _parts(view: View, *always: str) -> dict[str, Any]:
    """The rows of the parts by their keys; of some also where there are none."""
    return {**{key: [] for key in always}, **{part.key: rows(part) for part in view.parts}}


def _remarks(view: View) -> list[str]:
    return [text for each in (view, *view.parts) for text in (*each.alerts, *each.notes)]
