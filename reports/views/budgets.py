"""Budgets: what is burnt of each, what is to be expected, and which rules are breached.

    budgets    those of the home, at an instant;  checked_budgets   the same of what was checked already
    rule_said  a rule in a sentence: of an alert, of the terminal

The page has a table of budgets, one of their rules, a figure for each budget, and what was told to whom.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from pathlib import Path
from typing import Any

from joulebook.accounting.budgets import Budget, Checked, Verdict, check, load
from joulebook.accounting.budgets.alerts import sent
from joulebook.accounting.budgets.forecast import Ends, total
from joulebook.accounting.budgets.periods import DAY, midnight
from joulebook.accounting.budgets.written import FILE_NAME
from joulebook.accounting.estimates import Estimate, exactly
from joulebook.accounting.ledger import Ledger
from joulebook.reports.format import amount, day, mid_of, moment, number, span_of
from joulebook.reports.view import Column, Figure, Series, Tile, View
from joulebook.reports.views.common import listed, plural, use_of

COLUMNS = (
    Column("budget", "Budget"),
    Column("whose", "Of"),
    Column("period", "Period"),
    Column("limit", "Limit", "estimate"),
    Column("burnt", "Burnt", "estimate"),
    Column("burnt_share", "Share", "number", "%"),
    Column("expected", "Expected", "estimate"),
    Column("days_left", "Days left", "number"),
    Column("state", "State", "state"),
)
RULE_COLUMNS = (
    Column("budget", "Budget"),
    Column("period", "Period"),
    Column("rule", "Rule"),
    Column("value", "Is", "estimate"),
    Column("allowed", "Allowed", "estimate"),
    Column("share", "Share", "number", "%"),
    Column("state", "State", "state"),
    Column("remark", "Remark"),
)
ALERT_COLUMNS = (Column("sent_at", "Sent, UTC", "time"), Column("target", "To"), Column("text", "Alert"))
DECIDES = {
    "low": "even the low end is above",
    "mid": "the best estimate is above",
    "high": "only the high end is above",
}
_HOW_ALLOWED = {"anomaly": "modelled"}  # by the days behind; all else by the limit, which somebody declared
SHORT = {"low": "even low is above", "mid": "mid is above", "high": "only high is above"}
OF = {"carbon": "carbon", "energy": "IT energy", "water": "water", "electricity": "electricity cost", "api": "API cost",
      "cost": "cost of electricity and APIs", "tokens": "API calls"}  # fmt: skip
NOTES = (
    "A rule is breached when mid is above what it allows, possible when only high is. Periods are in UTC.",
    "Expected: what is burnt, and the mean of up to eight weeks behind. Its band (5 to 95 %) foresees no growth.",
)
WITH_APIS = (
    "With API calls: what they used elsewhere in operation, from the lowest to the highest of the engines of joulebook "
    "footprint; it is modelled, and the runs' part may be measured."
)
BAND = "Line: best estimate. Pale: its range; of what is expected from 5 to 95 %, with that range."
MOST_ALERTS = 50


def budgets(ledger: Ledger, at: datetime | None = None) -> View:
    """The budgets of the home at an instant (now). Raises InputError where its file cannot be understood."""
    at, path = at or datetime.now(UTC), ledger.home / FILE_NAME
    if not path.exists():
        return View("budgets", "Budgets", empty=nothing_written(path))
    return checked_budgets(checked_now(ledger, load(path).budgets, at), sent(ledger.home))


def checked_now(ledger: Ledger, told: Sequence[Budget], at: datetime) -> list[Checked]:
    """Every budget at an instant, with an estimate of calls of model APIs where one of them asks for it."""
    if not any(budget.with_apis for budget in told):
        return check(ledger, told, at)
    from joulebook.accounting.site import load_site
    from joulebook.models.footprint.recorded import estimator

    return check(ledger, told, at, estimator(load_site(ledger.home)))


def nothing_written(path: Path) -> str:
    return f"There are no budgets yet: write {path} (docs/budgets.md shows one), or joulebook check --budget FILE"


def checked_budgets(checked: Sequence[Checked], told: Sequence[Mapping[str, Any]] = ()) -> View:
    """What was checked as a page; `told` are the notes of alerts that were sent."""
    broken = [(one, verdict) for one in checked for verdict in one.verdicts if verdict.state == "breached"]
    parts = (_rules(checked), *(_one(one, number) for number, one in enumerate(checked, 1)), _told(told))
    return View(
        key="budgets",
        title="Budgets",
        subtitle=f"As of {moment(checked[0].at)} UTC · location-based",
        sentence=_sentence(checked),
        tiles=_tiles(checked[0]) if len(checked) == 1 else (),
        columns=COLUMNS,
        rows=tuple(map(budget_row, checked)),
        parts=tuple(part for part in parts if part.rows or part.figure),
        notes=(*NOTES, *_notes(checked)),
        factors=tuple({match.factor.factor_id: use_of(match) for one in checked for match in one.matches}.values()),
        alerts=tuple(rule_said(one, verdict) for one, verdict in broken),
    )


def _sentence(checked: Sequence[Checked]) -> str:
    bad = [one.budget.name for one in checked if one.state == "breached"]
    whole = plural(len(checked), "budget")
    if not bad:
        maybe = [one.budget.name for one in checked if one.state == "possible"]
        return f"{whole}, none breached" + (f"; possibly {listed(maybe)}." if maybe else ".")
    return f"{whole}, {len(bad)} breached: {listed(bad)}."


def _notes(checked: Sequence[Checked]) -> list[str]:
    missing = [f"{one.budget.name}: {one.missing}, not in what is burnt." for one in checked if one.missing]
    of_runs = [one.budget for one in checked if one.budget.measure.name in ("carbon", "energy", "water")]
    if any(budget.with_apis for budget in of_runs):
        missing.append(WITH_APIS)
    if not all(budget.with_apis for budget in of_runs):
        missing.append(
            "Carbon, energy and water are of runs: what APIs used elsewhere is not in them, but for apis = true."
        )
    return missing


# One budget -------------------------------------------------------------------------------------------------------


def budget_row(one: Checked) -> dict[str, Any]:
    """A budget as a row, in the stable keys that joulebook check --json has."""
    limit = one.budget.limit
    return {
        "budget": one.budget.name,
        "measure": one.budget.measure.name,
        "unit": one.budget.measure.unit,
        "whose": one.budget.whose,
        "period": period_said(one),
        "from": one.start,
        "until": one.end,
        "limit": exactly(limit, one.budget.measure.unit, "declared"),
        "burnt": one.burnt,
        "burnt_share": share(one.burnt, limit),
        "expected": one.expected,
        "expected_share": share(one.expected, limit),
        "run_rate_per_day": one.run_rate,
        "days_left": one.days_left,
        "used_up_at": one.used_up_at,
        "missing": one.missing or None,
        "state": one.state,
    }


def share(estimate: Estimate, whole: float | None) -> float | None:
    """The best estimate as a part of a whole."""
    return None if estimate.mid is None or not whole else estimate.mid / whole


def period_said(one: Checked) -> str:
    last = one.end - timedelta(microseconds=1)
    if one.budget.period == "day":
        return day(one.start)
    if one.start.year == last.year:
        return f"{one.start.day} {one.start:%b} – {day(last)}"
    return f"{day(one.start)} – {day(last)}"


def _tiles(one: Checked) -> tuple[Tile, ...]:
    limit = amount(one.budget.limit, one.budget.measure.unit)
    used_up = f"used up on {day(one.used_up_at)} at this rate" if one.used_up_at else ""
    return (
        Tile("Burnt", one.burnt, f"of {limit}{_percent(share(one.burnt, one.budget.limit))}"),
        Tile("Expected", one.expected, f"by {day(one.end - timedelta(microseconds=1))}"),
        Tile(
            "Burnt a day",
            replace(one.run_rate, unit=one.budget.measure.unit),
            used_up,
            "What is burnt, over the days of the period that have gone by.",
        ),
    )


def _percent(part: float | None) -> str:
    return "" if part is None else f", {number(part * 100)} %"


def _one(one: Checked, number: int) -> View:
    return View(f"budget_{number}", one.budget.name, tiles=_tiles(one), figure=_figure(one), width="half")


def _figure(one: Checked) -> Figure | None:
    """What is burnt from day to day, the way from there to what is expected, and the limit."""
    if one.burnt.mid is None:
        return None
    days, ends = _burnt_so_far(one)
    if one.days_left and one.expected.mid is not None:
        days.append(one.end)
        ends.append((one.expected.low or 0.0, one.expected.mid, one.expected.high or 0.0))
    low, mid, high = (tuple(end[side] for end in ends) for side in range(3))
    burnt = Series("Burnt, then expected" if one.days_left else "Burnt", tuple(days), mid, low, high)
    limit = Series("Limit", (one.start, one.end), (one.budget.limit, one.budget.limit))
    title = f"{one.budget.name}: {OF[one.budget.measure.name]}"
    ahead = min(one.at, one.end) if one.days_left else None
    band = BAND if any(low != high for low, high in zip(burnt.low, burnt.high, strict=True)) else ""
    return Figure("fan", title, one.budget.measure.unit, (burnt, limit), _alt(one), ahead, band=band)


def _burnt_so_far(one: Checked) -> tuple[list[datetime], list[tuple[float, ...]]]:
    """The sums up to the end of each day that is over, and up to now."""
    first, now = one.start, min(one.at, one.end)
    whole = [first + number * DAY for number in range((now - first).days + 1)]
    days = whole if whole[-1] == now else [*whole, now]
    daily = one.found.series(first.date(), (now - timedelta(microseconds=1)).date() + DAY)
    sums = list(accumulate(daily, lambda so_far, more: total((so_far, more)), initial=Ends()))
    unused = len(days) - len(sums)  # days of the period before the first use
    return days, [tuple(sums[max(0, number - unused)]) for number in range(len(days))]


def _alt(one: Checked) -> str:
    limit = amount(one.budget.limit, one.budget.measure.unit)
    text = f"Of {limit}, {_ranged(one.burnt)} are burnt by {day(min(one.at, one.end))}"
    if not one.days_left or one.expected.mid is None:
        return f"{text}."
    return f"{text}; {_ranged(one.expected)} are expected by {day(one.end - timedelta(microseconds=1))}."


def _ranged(estimate: Estimate) -> str:
    spread = span_of(estimate)
    return f"{mid_of(estimate)} ({spread})" if spread else mid_of(estimate)


# Its rules --------------------------------------------------------------------------------------------------------


def _rules(checked: Sequence[Checked]) -> View:
    rows = tuple({**rule_row(one, verdict), "value": replace(verdict.value, reason=None),  # the remark has it
                  "budget": one.budget.name, "period": period_said(one)}
                 for one in checked for verdict in one.verdicts)  # fmt: skip
    return View("rules", "Rules", columns=RULE_COLUMNS, rows=rows)


def rule_row(one: Checked, verdict: Verdict) -> dict[str, Any]:
    """A rule as a row, in the stable keys that joulebook check --json has."""
    unit, allowed = one.budget.measure.unit, verdict.allowed
    return {
        "rule": verdict.rule.label,
        "kind": verdict.rule.kind,
        "state": verdict.state,
        "value": verdict.value,
        "allowed": None if allowed is None else exactly(allowed, unit, _HOW_ALLOWED.get(verdict.rule.kind, "declared")),
        "share": share(verdict.value, allowed),
        "decides": verdict.decides or None,
        "reason": verdict.reason or None,
        "remark": _remark(verdict),
        "fails": verdict.rule.fails,
        "day": verdict.day,
    }


def _remark(verdict: Verdict) -> str:
    """Why it is so, in a few words."""
    about = verdict.reason or SHORT.get(verdict.decides, "")
    when = day(midnight(verdict.day)) if verdict.day else ""
    told = "" if verdict.rule.fails or verdict.state != "breached" else "no failure"
    return "; ".join(text for text in (when, about, told) if text)


def rule_said(one: Checked, verdict: Verdict) -> str:
    """A rule that is above what it allows, in a sentence."""
    value, of = _ranged(verdict.value), OF[one.budget.measure.name]
    allowed = amount(verdict.allowed, one.budget.measure.unit)
    if verdict.rule.kind == "anomaly":
        when = day(midnight(verdict.day)) if verdict.day else ""
        return f"{one.budget.name}: {value} of {of} on {when}; no usual day has more than {allowed}."
    when = "expected" if verdict.rule.kind == "forecast" else "burnt"
    share_said = "" if verdict.rule.value == 1 else f" ({number(verdict.rule.value * 100)} % of its limit)"
    decides = DECIDES[verdict.decides]
    return f"{one.budget.name}: {value} of {of} {when}, {period_said(one)}; {decides} {allowed}{share_said}."


def _told(told: Sequence[Mapping[str, Any]]) -> View:
    rows = tuple(dict(note) for note in told[:MOST_ALERTS])
    return View("alerts_sent", "Alerts that were sent", columns=ALERT_COLUMNS, rows=rows)
