"""Own calls beside what the provider says that they were, by day and model.

    bills, calls of the same days ─> cells: a day and a model, of both sides ─> verdict, likely cause ─> the View

A bill is a provider's own statement for a bucket of time: of tokens, of money, or of both. Nothing is written.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from math import fsum
from typing import Any, NamedTuple

from joulebook.accounting.estimates import Estimate, exactly, unknown
from joulebook.accounting.ledger import Ledger
from joulebook.accounting.prices.nesting import narrowest
from joulebook.accounting.usage import Unreadable
from joulebook.reports.view import Column, Tile, View
from joulebook.reports.views import reconcile_causes as judging
from joulebook.reports.views import reconcile_sides as sides
from joulebook.reports.views.common import Period, capital, listed, naive, plural
from joulebook.reports.views.reconcile_causes import MATCHED, TOLERANCE, About, Pricer
from joulebook.reports.views.reconcile_sides import FARTHEST_H, KINDS, Bill, Cell, Hour, Key, Named, Side

COLUMNS = (
    Column("day", "Day, UTC"),
    Column("model", "Model"),
    Column("tier", "Tier"),
    Column("verdict", "Verdict", "state"),
    Column("tokens", "Tokens here", "number"),
    Column("provider_tokens", "Provider's", "number"),
    Column("cost_usd", "Cost here", "number", "USD"),
    Column("provider_cost_usd", "Provider's cost", "number", "USD"),
    Column("cause", "Likely cause"),
    Column("because", "Because"),
)
AGREEING = f"Agreeing: within {TOLERANCE:.1%}, of money also within what the export's own rounding explains."
STANDING = (
    f"{AGREEING} A cause is a guess from sums: it says what to look at first.",
    "An export tells no single requests. It may be of one project or key only, and hours late.",
)


PLACES = 12  # of money in the ledger


class Read(NamedTuple):
    """The bills that can be set beside calls, and what of the export cannot, in words."""

    bills: list[Bill]
    remarks: tuple[str, ...]


def reconcile(ledger: Ledger, told: Iterable[Mapping[str, Any]], period: Period, project: str | None = None) -> View:
    """Bills, as the journal has them, beside the calls of the ledger."""
    read = _read(told, period)
    if not read.bills:
        return View("reconcile", "Reconcile", alerts=read.remarks, empty=f"The export has no day of {period.label}.")
    found = sides.hours(ledger, read.bills, project)
    cells = _cells(read.bills, found, period)
    about = _about(ledger, read.bills, found)
    rows = tuple(_row(cell, about) for cell in cells)
    return View(
        key="reconcile",
        title="Reconcile",
        subtitle=f"{capital(period.label)} · own calls beside the provider's export",
        sentence=_sentence(rows),
        tiles=_tiles(sums(rows)),
        columns=tuple(column for column in COLUMNS if any(row[column.key] is not None for row in rows)),
        rows=rows,
        alerts=read.remarks,
        notes=STANDING,
    )


def differences(view: View) -> View:
    """The same without the rows in which both agree."""
    rows = tuple(row for row in view.rows if row["verdict"] != MATCHED)
    agreeing = len(view.rows) - len(rows)
    notes = (f"{plural(agreeing, 'row')} in which both agree: --all shows them too.",) if agreeing else ()
    return replace(view, rows=rows, notes=(*notes, *view.notes))


def reconciled(ledger: Ledger, period: Period) -> View:
    """The bills that were imported beside all calls: a provider names projects in its own way."""
    view = reconcile(ledger, imported(ledger), period)
    label = period.label[:1].lower() + period.label[1:]
    how = f"No provider's statement of {label} was imported. Import one: joulebook import openai usage.csv"
    return replace(view, empty=how) if view.empty else replace(view, notes=(*view.notes, "Of all projects."))


def imported(ledger: Ledger) -> list[dict[str, Any]]:
    """The bills that are in the ledger, as the journal had them; of several statements of one bucket, the last."""
    return ledger.rows("select *, epoch_ns(from_utc) as from_ns, epoch_ns(to_utc) as to_ns from latest_bill")


def _read(told: Iterable[Mapping[str, Any]], period: Period) -> Read:
    daily: list[Bill] = []
    odd: dict[str, list[Bill | None]] = defaultdict(list)
    start, end = naive(period.start), naive(period.end)
    for one in told:
        try:
            bill = sides.bill_of(one)
        except Unreadable:
            odd["amounts cannot be read"].append(None)
            continue
        if not start <= bill.start < end:
            continue
        if bill.end - bill.start > sides.LONGEST_DAY:
            odd["time is longer than a day"].append(bill)
        elif bill.currency != "USD" and bill.cost_usd is not None:
            odd[f"money is in {bill.currency}, not in US dollars"].append(bill)
        else:
            daily.append(bill)
    remarks = [f"{plural(len(some), 'statement')} not compared: the {why}." for why, some in odd.items()]
    return Read(daily, tuple(remarks))


# Cells --------------------------------------------------------------------------------------------------------------


def _cells(bills: Sequence[Bill], found: Sequence[Hour], period: Period) -> list[Cell]:
    """Both sides of each day of the export, the days in order."""
    untold = {(bill.start.date(), bill.named) for bill in bills if bill.tier is None}
    untold |= {(hour.start.date(), hour.named) for hour in found if hour.tier is None}

    def key_of(day: date, named: Named, tier: str | None) -> Key:
        return Key(day, named, None if (day, named) in untold else tier)

    first, last = min(bill.start for bill in bills).date(), max(bill.start for bill in bills).date()
    begin, end = naive(period.start), naive(period.end)
    within = [hour for hour in found if first <= hour.start.date() <= last and begin <= hour.start < end]
    theirs, ours = sides.theirs(bills, key_of), sides.ours(within, key_of)
    keys = sorted({*theirs, *ours}, key=lambda key: (key.day, key.named, key.tier or ""))
    return [Cell(key, ours.get(key, NOTHING), theirs.get(key, NOTHING)) for key in keys]


NOTHING = Side(is_there=False)


def _about(ledger: Ledger, bills: Sequence[Bill], found: Sequence[Hour]) -> About:
    places = [-int(bill.cost_usd.normalize().as_tuple().exponent) for bill in bills if bill.cost_usd]
    return About(
        last_day=max(bill.start for bill in bills).date(),
        price=_pricer(ledger),
        tells_reasoning=any("reasoning" in unit for bill in bills for unit in bill.units or ()),
        step_usd=10.0 ** -max(0, *places) if places else 0.0,
        shift_h=_shifts(bills, found),
    )


def _pricer(ledger: Ledger) -> Pricer:
    """What tokens of a day cost in another context by the newest list; None where that has no such price."""

    def price(named: Named, day: date, units: Mapping[str, float], context: Mapping[str, str]) -> float | None:
        rows = ledger.rows(_PRICES_SQL, (*named, json.dumps(context, sort_keys=True), day, day))
        usd = {row["unit"]: row["usd_per_unit"] for row in rows}
        priced = {unit: narrowest(unit, frozenset(usd)) for unit in units}
        return (
            None if None in priced.values() else sum(units[unit] * usd[name] for unit, name in priced.items() if name)
        )

    return price


_PRICES_SQL = """
    select unit, usd_per_unit from price
    where list_id in (select unnest(arg_max(lists, adopted_at_utc)) from price_version)
      and provider = ? and model = ? and context = ? and tier_start = 0 and daily_from is null
      and coalesce(valid_from <= ?, true) and coalesce(valid_to > ?, true)
"""


def _shifts(bills: Sequence[Bill], found: Sequence[Hour]) -> dict[tuple[Named, date], int]:
    """The days of models that agree only when they begin so many hours after those of UTC; at least two of a model."""
    shifts: dict[tuple[Named, date], int] = {}
    for named in {bill.named for bill in bills if bill.units is not None}:
        billed = sides.theirs([bill for bill in bills if bill.named == named], Key)
        theirs = _by_day((key.day, side.tokens()) for key, side in billed.items())
        its_hours = [(hour.start, hour.side.tokens()) for hour in found if hour.named == named]
        agreeing = {h: _agreeing(theirs, its_hours, h) for h in range(-FARTHEST_H, FARTHEST_H + 1)}
        more = {h: days - agreeing[0] for h, days in agreeing.items()}
        best = max(more, key=lambda h: (len(more[h]), -abs(h)))
        if len(more[best]) > 1:
            shifts |= {(named, day): best for day in more[best]}
    return shifts


def _agreeing(theirs: Mapping[date, float], hours: Iterable[tuple[datetime, float]], shift_h: int) -> set[date]:
    """The days of the export on which our tokens agree, if days begin `shift_h` hours after those of UTC."""
    moved = timedelta(hours=shift_h)
    ours = _by_day(((start - moved).date(), tokens) for start, tokens in hours)
    return {day for day, tokens in theirs.items() if tokens and judging.near(tokens, ours.get(day, 0.0))}


def _by_day(told: Iterable[tuple[date, float]]) -> dict[date, float]:
    days: dict[date, float] = defaultdict(float)
    for day, tokens in told:
        days[day] += tokens
    return days


# Rows and sums ------------------------------------------------------------------------------------------------------


def _row(cell: Cell, about: About) -> dict[str, Any]:
    """A cell in stable keys. What the other side does not tell is None."""
    ours, theirs = cell.ours, cell.theirs
    causes = judging.causes(cell, about)
    return {
        "day": cell.key.day.isoformat(),
        "provider": cell.key.named.provider,
        "model": cell.key.named.model,
        "tier": cell.key.tier,
        "verdict": judging.verdict_of(cell, about),
        "cause": causes[0].name if causes else None,
        "because": "; ".join(cause.because for cause in causes) or None,
        "requests": ours.requests or 0,
        "provider_requests": theirs.requests,
        **_pair("tokens", ours.tokens(), _told_tokens(theirs)),
        **{key: value for kind in KINDS for key, value in _pair(
            f"{kind}_tokens", ours.tokens(kind), _told_tokens(theirs, kind)).items()},
        **_pair("cost_usd", judging.cost_here(cell) if ours.is_there else 0.0, theirs.cost_usd),
    }  # fmt: skip


def _pair(key: str, here: float | None, there: float | None) -> dict[str, float | None]:
    difference = None if here is None or there is None else round(here - there, PLACES)
    return {key: here, f"provider_{key}": there, f"difference_{key.removeprefix('cost_')}": difference}


def _told_tokens(theirs: Side, *kinds: str) -> float | None:
    return None if theirs.units is None else theirs.tokens(*kinds)


def sums(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What rows say together, in stable keys; None where the export tells nothing to compare with."""
    tokens, costs = _both(rows, "tokens"), _both(rows, "cost_usd")
    here, there = (round(fsum(pair[side] for pair in costs), PLACES) if costs else None for side in (0, 1))
    difference = None if here is None or there is None else round(here - there, PLACES)
    return {
        "rows_compared": len(rows),
        "rows_matched": sum(row["verdict"] == MATCHED for row in rows),
        "matched_token_share": _common(tokens),
        "matched_cost_share": _common(costs),
        "cost_usd": here,
        "provider_cost_usd": there,
        "difference_usd": difference,
        "difference_share": difference / there if difference is not None and there else None,
    }


def _both(rows: Iterable[Mapping[str, Any]], key: str) -> list[tuple[float, float]]:
    """An amount here and there, of the rows in which both are known."""
    told = [(row[key], row[f"provider_{key}"]) for row in rows]
    return [(here, there) for here, there in told if here is not None and there is not None]


def _common(pairs: Sequence[tuple[float, float]]) -> float | None:
    """What both sides have, of what at least one of them has."""
    whole = fsum(map(max, pairs))
    return round(fsum(map(min, pairs)) / whole, PLACES) if whole else None


def _tiles(told: Mapping[str, Any]) -> tuple[Tile, ...]:
    difference = told["difference_share"]
    return (
        Tile("Tokens that both have", _share(told["matched_token_share"], "the export tells no tokens")),
        Tile("Cost that both have", _share(told["matched_cost_share"], "no cost is known on both sides")),
        Tile(
            "Difference",
            _known(told["difference_usd"], "USD", "no cost is known on both sides"),
            "" if difference is None else f"{difference:+.2%} of what the provider says",
            "Cost here, by the prices in force when the calls were recorded, less the provider's.",
        ),
    )


def _share(value: float | None, why: str) -> Estimate:
    return _known(value, "%", why)


def _known(value: float | None, unit: str, why: str) -> Estimate:
    return unknown(unit, why) if value is None else exactly(value, unit, "declared")


def _sentence(rows: Sequence[Mapping[str, Any]]) -> str:
    agreeing = sum(row["verdict"] == MATCHED for row in rows)
    if agreeing == len(rows):
        return "Both sides agree." if len(rows) == 1 else f"All {len(rows):,} rows agree."
    told = Counter(row["cause"] for row in rows if row["verdict"] != MATCHED)
    named = [f"{cause} ({number})" for cause, number in told.most_common()]
    return f"{agreeing:,} of {plural(len(rows), 'row')} agree; the likely causes of the others: {listed(named)}."
