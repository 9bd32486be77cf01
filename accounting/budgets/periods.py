"""The day, week, month, quarter or year that an instant is in, in UTC; weeks begin on Monday."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

PERIODS = ("day", "week", "month", "quarter", "year")
DAY = timedelta(days=1)
_MONTHS = {"month": 1, "quarter": 3, "year": 12}


def around(period: str, at: datetime) -> tuple[datetime, datetime]:
    """The beginning of the period that `at` is in, and of the next one."""
    day = at.astimezone(UTC).date()
    if period == "day":
        return midnight(day), midnight(day + DAY)
    if period == "week":
        monday = day - timedelta(days=day.weekday())
        return midnight(monday), midnight(monday + 7 * DAY)
    length = _MONTHS[period]
    first = (day.month - 1) // length * length  # counted from 0
    return midnight(date(day.year, first + 1, 1)), midnight(_month(day.year, first + length))


def _month(year: int, months: int) -> date:
    return date(year + months // 12, months % 12 + 1, 1)


def midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
