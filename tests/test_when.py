"""Times as people write them, always in UTC; what is no time is refused in one sentence."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from joulebook.accounting.errors import InputError
from joulebook.accounting.when import parse_when

NOW = datetime(2026, 11, 23, 18, 4, 5, 678, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", NOW),
        ("today", datetime(2026, 11, 23, tzinfo=UTC)),
        ("Yesterday", datetime(2026, 11, 22, tzinfo=UTC)),
        ("90m", datetime(2026, 11, 23, 16, 34, 5, 678, tzinfo=UTC)),
        ("12h", datetime(2026, 11, 23, 6, 4, 5, 678, tzinfo=UTC)),
        (" 30 D ", datetime(2026, 10, 24, 18, 4, 5, 678, tzinfo=UTC)),  # November has 23 days so far, October gives 7
        ("2w", datetime(2026, 11, 9, 18, 4, 5, 678, tzinfo=UTC)),
        ("2026-11-01", datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-11-01T08:00", datetime(2026, 11, 1, 8, tzinfo=UTC)),
        ("2026-11-01T08:00+02:00", datetime(2026, 11, 1, 6, tzinfo=UTC)),
        ("2026-11-01 00:30Z", datetime(2026, 11, 1, 0, 30, tzinfo=UTC)),
    ],
)
def test_what_people_write(text: str, expected: datetime) -> None:
    when = parse_when(text, NOW)
    assert when == expected
    assert when.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "text",
    ["", "yesteryear", "30y", "-3d", "1.5h", "2026-13-01", "2026-02-30", "11/01/2026", "999999w", "12345678d",
     "0001-01-01", "9999-12-31", "9999-12-31T23:59:59-10:00"],
)  # fmt: skip
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(InputError, match="is not a time") as caught:
        parse_when(text, NOW)
    assert str(caught.value).startswith(repr(text))


zones = st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(timezone)


@given(st.text(max_size=30) | st.datetimes(timezones=zones).map(str))
@settings(deadline=None)
def test_any_text_is_an_instant_in_utc_or_is_refused(text: str) -> None:
    try:
        when = parse_when(text, NOW)
    except InputError:
        return
    assert when.tzinfo is UTC
