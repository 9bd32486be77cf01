"""What was used in the scope of a budget, day by day: of runs as assessed, of calls of model APIs as they were priced.

    scope ─> a condition on runs, one on calls ─> sums of each day ─> Burn: days with low, mid, high

With `apis` what calls used elsewhere is in it, too, as who asks has it estimated: this floor knows no engines.

A day of the ledger is a day in UTC. Between the first use of a scope and now, a day on which nothing is on record is a
day of 0: nobody ran anything. Calls without a price or without tokens are in no sum; they are counted as missing, and
so are runs without energy: what is missing makes the high end unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from joulebook.accounting.assess import CATEGORIES, Assessor, assessor, missing_factor
from joulebook.accounting.budgets.forecast import Ends, total
from joulebook.accounting.budgets.periods import DAY
from joulebook.accounting.budgets.written import OF_ENGINES, Budget
from joulebook.accounting.estimates import Estimate, between, unknown
from joulebook.accounting.factors import Match
from joulebook.accounting.ledger import Ledger
from joulebook.accounting.records import METHODS

HISTORY = timedelta(weeks=9)  # before a period begins, so that the day before it has one as well
_FROM_ENERGY = {"cpu_time_s": "cpu_power", "device_energy_j_mid": "it_overhead", "memory_gb_s": "dram_power"}


class Where(NamedTuple):
    """A condition in SQL and its parameters."""

    condition: str
    params: tuple[str, ...]


class Elsewhere(NamedTuple):
    """Calls to one model of a provider, of which the tokens are known, and all their tokens."""

    provider: str | None
    model: str
    named: str | None  # the model as the calls name it, which price lists do in their own way
    calls: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int


Estimator = Callable[[Elsewhere, str], Ends | None]  # what they used of a category; None where nobody can say


@dataclass
class Burn:
    """Amounts by day, in the unit of the measure. `first`: the first day on which the scope was used at all.

    `lacks`: which factor nobody has, so that nothing is known.
    """

    budget: Budget
    first: date | None = None
    days: dict[date, Ends] = field(default_factory=dict[date, Ends])
    methods: dict[date, str] = field(default_factory=dict[date, str])
    missing: dict[date, int] = field(default_factory=dict[date, int])
    matches: dict[str, Match] = field(default_factory=dict[str, Match])  # factor id -> the factor and how well it fits
    lacks: str = ""

    def series(self, since: date, until: date) -> list[Ends]:
        """Each day from the first use on, a day without use as 0; `until` is the first day that is left out."""
        begin = max(since, self.first) if self.first else until
        return [self.days.get(begin + number * DAY, Ends()) for number in range((until - begin).days)]

    def over(self, since: date, until: date) -> Estimate:
        """What was used from one day until before another; unknown where the scope was never used."""
        if self.first is None or self.lacks:
            return unknown(self.budget.measure.unit, self.lacks or f"nothing of {self.budget.whose} is on record")
        told = [method for day, method in self.methods.items() if since <= day < until] or list(self.methods.values())
        weakest = max(told, key=METHODS.index, default="measured")
        return between(total(self.series(since, until)), self.budget.measure.unit, weakest)

    def missing_over(self, since: date, until: date) -> int:
        return sum(count for day, count in self.missing.items() if since <= day < until)

    def add(self, day: date, ends: Ends, method: str | None) -> None:
        self.days[day] = total((self.days.get(day, Ends()), ends))
        if method:
            self.methods[day] = max(self.methods.get(day, METHODS[0]), method, key=METHODS.index)

    def saw(self, day: date, missing: int) -> None:
        """It was used on a day, and so much of that nobody knows."""
        self.first = min(self.first or day, day)
        self.missing[day] = self.missing.get(day, 0) + missing


class Books(NamedTuple):
    """A ledger, assessed by the hour, and by the minute for what is left of an hour."""

    by_hour: Assessor
    by_minute: Assessor
    estimate: Estimator | None = None

    @property
    def ledger(self) -> Ledger:
        return self.by_hour.ledger


def books(ledger: Ledger, since: datetime, at: datetime, estimate: Estimator | None = None) -> Books:
    """What budgets whose periods begin at `since` or later need to know."""
    by_hour, by_minute = (assessor(ledger, since - HISTORY, at, grain) for grain in ("hour", "minute"))
    return Books(by_hour, by_minute, estimate)


def burn(read: Books, budget: Budget, since: datetime, at: datetime) -> Burn:
    """What was used since `HISTORY` before a period until an instant."""
    found = Burn(budget)
    if budget.measure.of_runs:
        hour = max(since, at.replace(minute=0, second=0, microsecond=0))
        _add_runs(read.by_hour, found, since - HISTORY, hour)
        if hour < at:
            _add_runs(read.by_minute, found, hour, at)
        _count_runs(read.ledger, found, at)
    if budget.measure.of_calls:
        _add_calls(read.ledger, found, at)
    if budget.with_apis:
        _add_elsewhere(read, found, since - HISTORY, at)
    return found


def _add_runs(assess: Assessor, found: Burn, since: datetime, at: datetime) -> None:
    category = found.budget.measure.of_runs or ""
    of_runs = _of_runs(found.budget)
    rows = assess.rows(
        f"""select a.at_utc::date as day, max(method_rank) as method_rank, list(distinct piece) as pieces,
                   sum({category}_low) as low, sum({category}_mid) as mid, sum({category}_high) as high,
                   sum(cpu_time_s) as cpu_time_s, sum(device_energy_j_mid) as device_energy_j_mid,
                   sum(memory_gb_s) as memory_gb_s, bool_or({category}_mid is null and it_energy_j_mid > 0) as lacks
            from assessed a join work w on w.span_id = a.run_id
            where a.at_utc >= ? and a.at_utc < ? and {of_runs.condition} group by 1""",
        (_naive(since), _naive(at), *of_runs.params),
    )
    if any(row["lacks"] for row in rows):
        found.lacks = missing_factor(category)
    for row in rows:
        if row["mid"] is None:
            continue
        found.add(row["day"], Ends(row["low"], row["mid"], row["high"]), METHODS[int(row["method_rank"])])
        kinds = {*CATEGORIES[category][1], *(kind for told, kind in _FROM_ENERGY.items() if row[told] is not None)}
        pieces: list[int] = row["pieces"]
        used = [assess.pieces[piece].matches[kind] for piece in pieces for kind in kinds]
        found.matches |= {match.factor.factor_id: match for match in used}


def _count_runs(ledger: Ledger, found: Burn, at: datetime) -> None:
    """When runs began, and how many of those that are over have no energy on record."""
    of_runs = _of_runs(found.budget)
    rows = ledger.rows(
        f"""select w.started_at_utc::date as day, count(*) filter (w.state <> 'running' and w.span_id not in
                (select run_id from energy_source_hour where run_id is not null)) as missing
            from work w where w.parent_id is null and w.started_at_utc < ? and {of_runs.condition} group by 1""",
        (_naive(at), *of_runs.params),
    )
    for row in rows:
        found.saw(row["day"], row["missing"])


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


def _add_calls(ledger: Ledger, found: Burn, at: datetime) -> None:
    what = found.budget.measure.of_calls or ""
    of_calls = _of_calls(found.budget)
    rows = ledger.rows(
        f"""select day, method, sum(amount) as amount, count(*) filter (amount is null and is_billed) as missing
            from (select c.started_at_utc::date as day, {_AMOUNT[what]} as amount, c.basis <> 'not billed' as is_billed,
                         case when amount is not null then {_EVIDENCE[what]} end as method
                  from {_CALLS} where c.started_at_utc < ? and {of_calls.condition})
            group by day, method""",
        (_naive(at), *of_calls.params),
    )
    for row in rows:
        if row["amount"] is not None:
            found.add(row["day"], Ends(row["amount"], row["amount"], row["amount"]), row["method"])
        found.saw(row["day"], row["missing"])


def _add_elsewhere(read: Books, found: Burn, since: datetime, at: datetime) -> None:
    """What calls used elsewhere; those to a server of one's own are in its run."""
    of_calls, category = _of_calls(found.budget), OF_ENGINES[found.budget.measure.name]
    rows = read.ledger.rows(
        f"""select c.started_at_utc::date as day, c.provider, coalesce(c.model, '') as model,
                   mode(coalesce(c.response_model, c.request_model)) as named,
                   count(*) filter (tokens is not null) as calls, count(*) filter (tokens is null) as untold,
                   sum(coalesce(c.input_tokens, 0))::bigint as input_tokens,
                   sum(coalesce(c.output_tokens, 0))::bigint as output_tokens,
                   sum(coalesce(c.cache_read_tokens, 0))::bigint as cached_tokens
            from {_CALLS}, lateral (select {_AMOUNT["tokens"]} as tokens)
            where c.source <> 'server' and c.basis <> 'not billed' and c.started_at_utc >= ? and c.started_at_utc < ?
                  and {of_calls.condition}
            group by all order by all""",
        (_naive(since), _naive(at), *of_calls.params),
    )
    for row in rows:
        day, untold = row.pop("day"), row.pop("untold")
        used = Elsewhere(**row)
        told = read.estimate(used, category) if read.estimate and used.calls else None
        if told is not None:
            found.add(day, told, "modelled")
        found.saw(day, untold + (0 if told else used.calls))


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
    if budget.with_apis:
        what, why = "call or run", "energy"
    elif not budget.measure.of_calls:
        what, why = "run", "energy"
    elif budget.measure.of_runs:
        what, why = "call or run", "a price or energy"
    noun = what if count == 1 else what.replace(" or", "s or") + "s"
    return f"{count:,} {noun} without {why}"
