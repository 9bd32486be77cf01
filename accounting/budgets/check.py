"""Each rule of each budget at an instant: breached or not, and which end of the range decides.

    burnt       what was used since the period began
    expected    that, and what the rest of the period may bring (`forecast`)
    a rule is   breached  when mid is above what it allows; for certain where even low is
                possible  when only high is, or when something is missing, of which nobody knows how much it is
                fine      when not even high is
                unknown   when nobody can say, with the reason: no history, nothing on record

Whole days before now are history; today so far is burnt, and the rest of today is its part of a whole day.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

from joulebook.accounting.budgets import forecast
from joulebook.accounting.budgets.anomaly import Usual, usual_day
from joulebook.accounting.budgets.burn import Books, Burn, Estimator, books, burn, missing_in_words
from joulebook.accounting.budgets.forecast import Ends, total
from joulebook.accounting.budgets.periods import DAY
from joulebook.accounting.budgets.written import Budget, Rule
from joulebook.accounting.estimates import Estimate, between, exactly, unknown
from joulebook.accounting.factors import Match
from joulebook.accounting.ledger import Ledger
from joulebook.accounting.records import weakest

STATES = ("fine", "unknown", "possible", "breached")  # from the best to the worst
NOT_BEGUN = "its period has not begun"


@dataclass(frozen=True)
class Verdict:
    """What a rule comes to: `value` is what is set against `allowed`; `decides` is the lowest end that is above."""

    rule: Rule
    state: str
    value: Estimate
    allowed: float | None
    decides: str = ""
    reason: str = ""
    day: date | None = None  # of an anomaly


@dataclass(frozen=True)
class Checked:
    """A budget at an instant. Amounts in the unit of its measure; `missing` in words."""

    budget: Budget
    at: datetime
    start: datetime
    end: datetime
    burnt: Estimate
    expected: Estimate
    verdicts: tuple[Verdict, ...]
    missing: str
    found: Burn

    @property
    def state(self) -> str:
        """The worst of its rules."""
        return max((verdict.state for verdict in self.verdicts), key=STATES.index)

    @property
    def fails(self) -> bool:
        return any(verdict.state == "breached" and verdict.rule.fails for verdict in self.verdicts)

    @property
    def elapsed_days(self) -> float:
        return max(0.0, (min(self.at, self.end) - self.start) / DAY)

    @property
    def days_left(self) -> float:
        return max(0.0, (self.end - max(self.at, self.start)) / DAY)

    @property
    def run_rate(self) -> Estimate:
        """What is burnt a day, over the days of the period that have gone by."""
        if not self.elapsed_days:
            return unknown(f"{self.budget.measure.unit}/day", NOT_BEGUN)
        return self.burnt.scaled(1 / self.elapsed_days, f"{self.budget.measure.unit}/day")

    @property
    def used_up_at(self) -> datetime | None:
        """When the limit is reached if it goes on at the run rate; None when not in this period, or already past."""
        left, rate = self.budget.limit - (self.burnt.mid or 0.0), self.run_rate.mid
        if not rate or left < 0 or left / rate > self.days_left:
            return None
        return self.at + left / rate * DAY

    @property
    def matches(self) -> Sequence[Match]:
        return tuple(self.found.matches.values())


def check(ledger: Ledger, budgets: Sequence[Budget], at: datetime, estimate: Estimator | None = None) -> list[Checked]:
    """Every budget at an instant; what came after it does not count. `estimate`: what calls used elsewhere."""
    at = at.astimezone(UTC)
    read = books(ledger, min(min(budget.window(at)[0], at) for budget in budgets), at, estimate)
    return [_check(read, budget, at) for budget in budgets]


def _check(read: Books, budget: Budget, at: datetime) -> Checked:
    start, end = budget.window(at)
    until = min(at, end)
    found = burn(read, budget, min(start, until), until)
    burnt = found.over(start.date(), _day_after(until)) if start <= at else unknown(budget.measure.unit, NOT_BEGUN)
    missing = missing_in_words(budget, found.missing_over(start.date(), _day_after(until)))
    checked = Checked(budget, at, start, end, burnt, burnt, (), missing, found)
    checked = replace(checked, expected=_expected(checked))
    return replace(checked, verdicts=tuple(_RULES[rule.kind](checked, rule) for rule in budget.rules))


def _day_after(until: datetime) -> date:
    """The first day of which nothing has gone by."""
    return (until - timedelta(microseconds=1)).date() + DAY


def _expected(checked: Checked) -> Estimate:
    """The total by the end of the period; what is burnt, when that is over."""
    burnt, unit = checked.burnt, checked.budget.measure.unit
    if burnt.mid is None or burnt.low is None or burnt.high is None or not checked.days_left:
        return burnt
    behind = whole_days(checked)
    least = forecast.LEAST_WEEKS * 7
    if len(behind) < least:
        return unknown(unit, f"a forecast needs {least} whole days since the first use, there are {len(behind)}")
    rest = forecast.rest_of_period(behind, days_ahead(checked.at, checked.end))
    return between(total((Ends(burnt.low, burnt.mid, burnt.high), rest)), unit, weakest([burnt.method, "modelled"]))


def whole_days(checked: Checked) -> list[Ends]:
    """The days since the first use that are over; at most eight weeks of them."""
    today = checked.at.date()
    return checked.found.series(today - forecast.MOST_WEEKS * 7 * DAY, today)


def days_ahead(at: datetime, end: datetime) -> list[float]:
    """Which part of each day is still to come: of today what is left, of the others all."""
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
    return [1 - (at - midnight) / DAY] + [1.0] * ((end - midnight).days - 1)


# The rules --------------------------------------------------------------------------------------------------------


def _threshold(checked: Checked, rule: Rule) -> Verdict:
    return _against(checked, rule, checked.burnt, checked.budget.limit * rule.value)


def _forecast(checked: Checked, rule: Rule) -> Verdict:
    return _against(checked, rule, checked.expected, checked.budget.limit * rule.value)


def _against(checked: Checked, rule: Rule, value: Estimate, allowed: float) -> Verdict:
    if value.low is None or value.mid is None or value.high is None:
        return Verdict(rule, "unknown", value, allowed, reason=value.reason or "")
    ends = {"low": value.low, "mid": value.mid, "high": value.high}
    decides = next((end for end, amount in ends.items() if amount > allowed), "")
    if decides in ("low", "mid"):
        return Verdict(rule, "breached", value, allowed, decides)
    if decides or checked.missing:
        return Verdict(rule, "possible", value, allowed, "high", "" if decides else f"{checked.missing}, not in it")
    return Verdict(rule, "fine", value, allowed)


def _anomaly(checked: Checked, rule: Rule) -> Verdict:
    """Of yesterday and today so far the worse one; yesterday also where it was in the period before."""
    today = checked.at.date()
    first, end = checked.budget.fixed or (None, checked.end)
    days = [day for day in (today - DAY, today) if (first is None or first.date() <= day) and day < end.date()]
    verdicts = [_day(checked, rule, day) for day in days]
    why = "neither yesterday nor today is in its period"
    nobody = Verdict(rule, "unknown", unknown(checked.budget.measure.unit, why), None, reason=why)
    return max(verdicts, key=lambda one: STATES.index(one.state), default=nobody)


def _day(checked: Checked, rule: Rule, day: date) -> Verdict:
    unit, found = checked.budget.measure.unit, checked.found
    behind = [amount.mid for amount in found.series(day - forecast.MOST_WEEKS * 7 * DAY, day)]
    usual = usual_day(behind, rule.value)
    value = found.over(day, day + DAY)
    if not isinstance(usual, Usual) or value.mid is None:
        reason = value.reason or str(usual)
        return Verdict(rule, "unknown", unknown(unit, reason), None, reason=reason, day=day)
    state, decides = ("breached", "mid") if value.mid > usual.limit else ("fine", "")
    return Verdict(rule, state, exactly(value.mid, unit, value.method), usual.limit, decides, day=day)


_RULES: dict[str, Callable[[Checked, Rule], Verdict]] = {
    "threshold": _threshold,
    "forecast": _forecast,
    "anomaly": _anomaly,
}
