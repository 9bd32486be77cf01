"""What was used in the scope of a budget, day by day: of runs as assessed, of calls of model APIs as they were priced.

    scope ─> a condition on runs, one on calls ─> sums of each day ─> Burn: days with low, mid, high

A day of the ledger is a day in UTC. Between the first use of a scope and now, a day on which nothing is on record is a
day of 0: nobody ran anything. Calls without a price or without tokens are in no sum; they are counted as missing, and
so are runs without energy: what is missing makes the high end unknown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from joulebook.accounting.assess import CATEGORIES, assessor
from joulebook.accounting.budgets.forecast import Ends, total
from joulebook.accounting.budgets.periods import DAY
from joulebook.accounting.budgets.written import Budget
from joulebook.accounting.estimates import Estimate, between, unknown
from joulebook.accounting.factors import Match
from joulebook.accounting.ledger import Ledger
from joulebook.accounting.records import METHODS

HISTORY = timedelta(weeks=8)  # before a period begins, so that its first days have a history as well
_FROM_ENERGY = {"cpu_time_s": "cpu_power", "device_energy_j_mid": "it_overhead", "memory_gb_s": "dram_power"}


class Where(NamedTuple):
    """A condition in SQL and its parameters."""

    condition: str
    params: tuple[str, ...]


@dataclass
class Burn:
    """Amounts by day, in the unit of the measure. `first`: the first day on which the scope was used at all."""

    budget: Budget
    first: date | None
    days: dict[date, Ends] = field(default_factory=dict[date, Ends])
    methods: dict[date, str] = field(default_factory=dict[date, str])
    missing: dict[date, int] = field(default_factory=dict[date, int])
    matches: dict[str, Match] = field(default_factory=dict[str, Match])  # factor id -> the factor and how well it fits

    def series(self, since: date, until: date) -> list[Ends]:
        """Each day from the first use on, a day without use as 0; `until` is the first day that is left out."""
        begin = max(since, self.first) if self.first else until
        return [self.days.get(begin + number * DAY, Ends()) for number in range((until - begin).days)]

    def over(self, since: date, until: date) -> Estimate:
        """What was used from one day until before another; unknown where the scope was never used."""
        if self.first is None:
            return unknown(self.budget.measure.unit, f"nothing of {self.budget.whose} is on record")
        told = [method for day, method in self.methods.items() if since <= day < until] or list(self.methods.values())
        weakest = max(told, key=METHODS.index, default="measured")
        return between(total(self.series(since, until)), self.budget.measure.unit, weakest)

    def missing_over(self, since: date, until: date) -> int:
        return sum(count for day, count in self.missing.items() if since <= day < until)

    def add(self, day: date, ends: Ends, method: str | None) -> None:
        self.days[day] = total((self.days.get(day, Ends()), ends))
        if method:
            self.methods[day] = max(self.methods.get(day, METHODS[0]), method, key=METHODS.index)


def burn(ledger: Ledger, budget: Budget, since: datetime, at: datetime) -> Burn:
    """What was used since `HISTORY` before a period until an instant."""
    found = Burn(budget, _first_use(ledger, budget, at))
    if budget.measure.of_runs:
        for begin, end, grain in _pieces(since - HISTORY, at):
            _add_runs(ledger, found, (begin, end), grain)
        _add_unmeasured(ledger, found, since, at)
    if budget.measure.of_calls:
        _add_calls(ledger, found, since - HISTORY, at)
    return found


def _pieces(since: datetime, at: datetime) -> Iterator[tuple[datetime, datetime, str]]:
    """By the hour; what is left of the last hour by the minute."""
    hour = max(since, at.replace(minute=0, second=0, microsecond=0))
    if since < hour:
        yield since, hour, "hour"
    if hour < at:
        yield hour, at, "minute"


def _add_runs(ledger: Ledger, found: Burn, period: tuple[datetime, datetime], grain: str) -> None:
    category = found.budget.measure.of_runs or ""
    assess = assessor(ledger, *period, grain)
    of_runs = _of_runs(found.budget)
    rows = assess.rows(
        f"""select a.at_utc::date as day, max(method_rank) as method_rank, list(distinct piece) as pieces,
                   sum({category}_low) as low, sum({category}_mid) as mid, sum({category}_high) as high,
                   sum(cpu_time_s) as cpu_time_s, sum(device_energy_j_mid) as device_energy_j_mid,
                   sum(memory_gb_s) as memory_gb_s
            from assessed a join work w on w.span_id = a.run_id
            where a.at_utc >= ? and a.at_utc < ? and {of_runs.condition} group by 1""",
        (*map(_naive, period), *of_runs.params),
    )
    timeline = assess.pieces
    for row in rows:
        if row["mid"] is None:
            continue
        found.add(row["day"], Ends(row["low"], row["mid"], row["high"]), METHODS[row["method_rank"]])
        kinds = [kind for column, kind in _FROM_ENERGY.items() if row[column] is not None]
        for match in (timeline[n].matches[kind] for n in row["pieces"] for kind in (*kinds, *CATEGORIES[category][1])):
            found.matches[match.factor.factor_id] = match


def _add_unmeasured(ledger: Ledger, found: Burn, since: datetime, at: datetime) -> None:
    """Runs that are over and of which no energy is on record."""
    of_runs = _of_runs(found.budget)
    rows = ledger.rows(
        f"""select w.started_at_utc::date as day, count(*) as missing from work w
            where w.parent_id is null and w.state <> 'running' and w.started_at_utc >= ? and w.started_at_utc < ?
              and w.span_id not in (select run_id from energy_source_hour where run_id is not null)
              and {of_runs.condition} group by 1""",
        (_naive(since), _naive(at), *of_runs.params),
    )
    for row in rows:
        found.missing[row["day"]] = found.missing.get(row["day"], 0) + row["missing"]


_AMOUNT = {
    "cost_usd": "c.cost_usd",
    "tokens": "coalesce(c.input_tokens + c.output_tokens, c.input_tokens, c.output_tokens)",
}
# How weak the evidence of an amount is: as reports/views/api_sums.py has it.
_EVIDENCE = {
    "cost_usd": """case when c.basis = 'fallback' then 'default' when c.usage_method = 'modelled' then 'modelled'
                        else 'declared' end""",
    "tokens": "c.usage_method",
}


def _add_calls(ledger: Ledger, found: Burn, since: datetime, at: datetime) -> None:
    what = found.budget.measure.of_calls or ""
    of_calls = _of_calls(found.budget)
    rows = ledger.rows(
        f"""select day, method, sum(amount) as amount, count(*) filter (amount is null and is_billed) as missing
            from (select c.started_at_utc::date as day, {_AMOUNT[what]} as amount, c.basis <> 'not billed' as is_billed,
                         case when amount is not null then {_EVIDENCE[what]} end as method
                  from {_CALLS} where c.started_at_utc >= ? and c.started_at_utc < ? and {of_calls.condition})
            group by day, method""",
        (_naive(since), _naive(at), *of_calls.params),
    )
    for row in rows:
        if row["amount"] is not None:
            found.add(row["day"], Ends(row["amount"], row["amount"], row["amount"]), row["method"])
        if row["missing"]:
            found.missing[row["day"]] = found.missing.get(row["day"], 0) + row["missing"]


def _first_use(ledger: Ledger, budget: Budget, at: datetime) -> date | None:
    """The first day on which the scope was used, whatever is known of it."""
    begun: list[datetime] = []
    if budget.measure.of_runs:
        of_runs = _of_runs(budget)
        sql = "select min(w.started_at_utc) as at from work w where w.parent_id is null and w.started_at_utc < ? and "
        begun += [row["at"] for row in ledger.rows(sql + of_runs.condition, (_naive(at), *of_runs.params))]
    if budget.measure.of_calls:
        of_calls = _of_calls(budget)
        sql = f"select min(c.started_at_utc) as at from {_CALLS} where c.started_at_utc < ? and "
        begun += [row["at"] for row in ledger.rows(sql + of_calls.condition, (_naive(at), *of_calls.params))]
    return min((when.date() for when in begun if when), default=None)


# A call is of the machine that made it; what it does not say of itself is said by the span and the run around it.
_CALLS = """api_call c left join span s on s.span_id = c.span_id left join span r on r.span_id = c.run_id
            left join journal j on j.journal_id = c.journal_id"""
_RUN_KEYS = {"project": "coalesce(w.project, '(no project)')", "run": "w.name", "host": "w.host"}
_CALL_KEYS = {
    "project": "c.of_project",
    "run": "r.name",
    "host": "j.host",
    "provider": "c.provider",
    "model": "c.model",
}


def _of_runs(budget: Budget) -> Where:
    return _where(budget, _RUN_KEYS, ("w.tags",))


def _of_calls(budget: Budget) -> Where:
    found = _where(budget, _CALL_KEYS, ("c.tags", "s.tags", "r.tags"))
    return Where(f"c.counted and {found.condition}", found.params)


def _where(budget: Budget, keys: Mapping[str, str], tags: tuple[str, ...]) -> Where:
    """All that a budget names must fit: names by their patterns, in any case; tags by their values."""
    told = [f"lower({keys[key]}) like ? escape '\\'" for key in budget.scope]
    params = [_like(pattern) for pattern in budget.scope.values()]
    for key, value in budget.tags.items():
        told.append(f"coalesce({', '.join(f'json_extract_string({column}, ?)' for column in tags)}) = ?")
        params += [*[f"/{key.replace('~', '~0').replace('/', '~1')}"] * len(tags), value]
    return Where(" and ".join(told) or "true", tuple(params))


def _like(pattern: str) -> str:
    """A pattern with * and ? as one for SQL's `like`."""
    escaped = pattern.lower().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return escaped.replace("*", "%").replace("?", "_")


def _naive(when: datetime) -> datetime:
    return when.astimezone(UTC).replace(tzinfo=None)


def missing_in_words(budget: Budget, count: int) -> str:
    """What is missing, e.g. `3 calls without a price`; empty where nothing is."""
    if not count:
        return ""
    what, why = ("call", "a price" if budget.measure.unit == "USD" else "tokens")
    if not budget.measure.of_calls:
        what, why = "run", "energy"
    elif budget.measure.of_runs:
        what, why = "call or run", "a price or energy"
    noun = what if count == 1 else what.replace(" or", "s or") + "s"
    return f"{count:,} {noun} without {why}"
