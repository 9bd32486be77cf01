"""How far two amounts are apart, with the range of that, and whether it is sure.

    difference   from the one's low less the other's high to its high less the other's low: the widest it can be
    verdict      `more` or `less` where the ranges do not meet; where they do, the two are not surely different
    ratio        the other over the one at their lows, mids and highs: the range that is left where both rest on the
                 same factors, since what is wrong with those is wrong on both sides

What is exact on both sides, as a count of tokens, has no range and is different as soon as it differs.
"""

from __future__ import annotations

from joulebook.accounting.estimates import Estimate, unknown
from joulebook.accounting.records import weakest

NOT_SURE = "not surely different"
UNKNOWN = "not known"


def difference(before: Estimate, after: Estimate) -> Estimate:
    """`after` less `before`. Unknown where one of them is."""
    if before.low is None or before.mid is None or before.high is None:
        return unknown(before.unit, before.reason or "the first is not known")
    if after.low is None or after.mid is None or after.high is None:
        return unknown(before.unit, after.reason or "the second is not known")
    method = weakest([before.method, after.method])
    return Estimate(after.low - before.high, after.mid - before.mid, after.high - before.low, before.unit, method)


def verdict(before: Estimate, after: Estimate) -> str:
    """What can be said of `after` against `before`: more, less, equal, not surely different, not known."""
    apart = difference(before, after)
    if apart.low is None or apart.high is None:
        return UNKNOWN
    if apart.low == apart.high == 0:
        return "equal"
    return "more" if apart.low > 0 else "less" if apart.high < 0 else NOT_SURE


def ratio(before: Estimate, after: Estimate) -> Estimate:
    """`after` over `before` at each end of their ranges. Unknown where one of them is, or `before` is 0."""
    if not before.known or not after.known:
        return unknown("1", "one of both is not known")
    if not before.low or not before.mid or not before.high:
        return unknown("1", "the first is zero")
    ends = [after.low / before.low, after.mid / before.mid, after.high / before.high]  # type: ignore[operator]
    return Estimate(min(ends), ends[1], max(ends), "1", weakest([before.method, after.method]))


def likely(ratio_at_ends: Estimate) -> str:
    """What the same factors on both sides leave open: more, less, or nothing to say."""
    if ratio_at_ends.low is None or ratio_at_ends.high is None:
        return ""
    return "more" if ratio_at_ends.low > 1 else "less" if ratio_at_ends.high < 1 else ""
