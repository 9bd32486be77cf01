"""Times as people write them: `2026-11-01`, `2026-11-01T08:00`, `30d`, `12h`, `today`, `yesterday`. Always UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from joulebook.accounting.errors import InputError

_AGO = re.compile(r"(\d{1,6})\s*([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_when(text: str, now: datetime | None = None) -> datetime:
    """An instant. Raises InputError for what is not one."""
    now = now or datetime.now(UTC)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    word = text.strip().lower()
    if word in ("now", "today", "yesterday"):
        return {"now": now, "today": midnight, "yesterday": midnight - timedelta(days=1)}[word]
    ago = _AGO.fullmatch(word)
    try:
        if ago:
            return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        when = datetime.fromisoformat(text.strip())
        when = when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    except (ValueError, OverflowError):
        raise InputError(f"{text!r} is not a time: write 2026-11-01, 2026-11-01T08:00, 30d, 12h, today") from None
    if not 1000 <= when.year <= 9000:  # nearer to the ends of the calendar, the day before or after may not exist
        raise InputError(f"{text!r} is not a time that anything ran at: write a year from 1000 to 9000")
    return when
