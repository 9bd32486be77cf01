"""Whether a day is out of the ordinary: against the same weekdays before it, by medians.

    usual    the median of the same weekdays of the weeks behind
    spread   usual × 1.4826 × the median of all days' distance from what is usual on their weekday, as a part of that
             (so that a quiet Sunday and a busy Monday both count); at least a twentieth of the median day
    limit    usual + `factor` × spread

Medians do not follow the outlier that they are to find; 1.4826 makes them a standard deviation where days are normal.
Four to eight weeks behind are needed, and something used on most days: else nothing is usual. Mid is set against mid:
what days share in their range cancels. On simulated use without any anomaly, 2 to 4 of 100 days are above a limit of 5
(even use: under 1; heavy-tailed use: up to 9, so give it a higher factor).
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

LEAST_WEEKS, MOST_WEEKS = 4, 8
OF_NORMAL = 1.4826
LEAST_SPREAD = 0.05


class Usual(NamedTuple):
    """What a day is like, and what is too much for it. In the unit of the days."""

    usual: float
    limit: float


def usual_day(behind: Sequence[float], factor: float) -> Usual | str:
    """What is usual on the day after some whole days, or why nobody can say."""
    weeks = min(MOST_WEEKS, len(behind) // 7)
    if weeks < LEAST_WEEKS:
        return f"needs {LEAST_WEEKS * 7} whole days before it, there are {len(behind)}"
    kept = behind[len(behind) - 7 * weeks :]
    typical = median(kept)
    if not typical:
        return "on most days nothing is used, so no day is usual"
    usual = [median(kept[weekday::7]) for weekday in range(7)]  # the first is the weekday that is asked for
    parts = [abs(amount / usual[at % 7] - 1) for at, amount in enumerate(kept) if usual[at % 7]]
    spread = max(usual[0] * OF_NORMAL * median(parts), LEAST_SPREAD * typical)
    return Usual(usual[0], usual[0] + factor * spread)
