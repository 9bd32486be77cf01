"""Budgets as they are written in a `budgets.toml`.

    [[budget]]
    name = "search"                 # each budget has a name of its own
    carbon_kg = 20                  # the limit: one of the keys in `LIMITS`
    period = "month"                # day, week, month, quarter, year: of the calendar, in UTC
    apis = true                     # of carbon and water: what calls of model APIs used elsewhere is in it
    project = "search"              # whose: project, run (its name), host (the machine), tags; all of them must fit
    tags = {team = "nlp"}
    alerts = [{threshold = 0.8, fails = false}, {forecast = 1.0}, {anomaly = 5}]

    [[budget]]
    name = "models of one provider"
    api_usd = 500
    provider = "openai"             # of calls of model APIs also provider and model; * and ? stand for anything
    model = "gpt-5*"
    from = 2026-07-01               # a period of one's own; `until` is the first day on which it is over
    until = 2027-01-01

    [notify]
    webhook = "https://example.com/hook"    # a POST of JSON; also JOULEBOOK_WEBHOOK
    apprise = ["slack://…"]                 # also JOULEBOOK_APPRISE
    timeout_s = 10
    must_arrive = false             # true: a check whose alert does not arrive fails

Each budget is breached at its limit. Other rules are added by `alerts`: `threshold`, a share of the limit that is
burnt; `forecast`, a share that is to be expected by the end of the period; `anomaly`, a day that is so many robust
deviations above what is usual. With `fails = false` a breach is told and the check does not fail.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from joulebook.accounting import given
from joulebook.accounting.budgets.periods import PERIODS, around, midnight
from joulebook.accounting.errors import InputError
from joulebook.accounting.units import canonical

FILE_NAME = "budgets.toml"


class Measure(NamedTuple):
    """What a budget is of: its unit, and where it is found: a category of runs, an amount of calls, or both."""

    name: str
    unit: str
    of_runs: str | None
    of_calls: str | None


MEASURES = {
    measure.name: measure
    for measure in (
        Measure("carbon", "g", "carbon_g", None),
        Measure("energy", "J", "it_energy_j", None),
        Measure("water", "L", "water_l", None),
        Measure("electricity", "USD", "cost_usd", None),
        Measure("api", "USD", None, "cost_usd"),
        Measure("cost", "USD", "cost_usd", "cost_usd"),
        Measure("tokens", "token", None, "tokens"),
    )
}
# measure -> the category of the engines that estimate calls of model APIs; energy of runs is at another boundary
OF_ENGINES = {"carbon": "gwp_g", "water": "water_l"}
# key of a limit -> (measure, unit in which it is written)
LIMITS = {
    "carbon_g": ("carbon", "g"), "carbon_kg": ("carbon", "kg"), "carbon_t": ("carbon", "t"),
    "energy_wh": ("energy", "Wh"), "energy_kwh": ("energy", "kWh"), "energy_mwh": ("energy", "MWh"),
    "water_l": ("water", "L"), "water_m3": ("water", "m3"),
    "cost_usd": ("cost", "USD"), "electricity_usd": ("electricity", "USD"), "api_usd": ("api", "USD"),
    "tokens": ("tokens", "token"),
}  # fmt: skip
MOST = 1e15  # of a limit in the unit of its key, and of what a rule allows: beyond it nothing is a budget
EARLIEST, LONGEST = date(1970, 1, 1), timedelta(days=3653)
OF_RUNS, OF_CALLS = ("project", "run", "host"), ("provider", "model")
RULES = {"threshold": 1.0, "forecast": 1.0, "anomaly": 5.0}  # kind -> what `true` stands for
_BUDGET = ("name", *LIMITS, "apis", "period", "from", "until", *OF_RUNS, *OF_CALLS, "tags", "alerts")
_NOTIFY = ("webhook", "apprise", "timeout_s", "must_arrive")


class Rule(NamedTuple):
    """When a budget is breached: a share of the limit, or how far from usual a day may be."""

    kind: str
    value: float
    fails: bool = True

    @property
    def label(self) -> str:
        if self.kind == "anomaly":
            return f"anomaly {self.value:g}×"
        return "limit" if self == LIMIT else f"{self.kind} {self.value:.4g}".replace("threshold", "burnt")


LIMIT = Rule("threshold", 1.0)


@dataclass(frozen=True)
class Budget:
    """A limit in the canonical unit of its measure, in a scope and a period. `scope`: key -> pattern."""

    name: str
    measure: Measure
    limit: float
    scope: Mapping[str, str]
    tags: Mapping[str, str]
    rules: tuple[Rule, ...]
    period: str | None
    fixed: tuple[datetime, datetime] | None = None
    with_apis: bool = False

    def window(self, at: datetime) -> tuple[datetime, datetime]:
        """The period that counts at an instant (UTC, half-open)."""
        return self.fixed or around(self.period or "month", at)

    @property
    def whose(self) -> str:
        """The scope in words: `project search, tag team=nlp`."""
        tags = [f"tag {key}={value}" for key, value in self.tags.items()]
        told = ", ".join([f"{key} {value}" for key, value in self.scope.items()] + tags) or "everything"
        return f"{told}, with API calls" if self.with_apis else told


@dataclass(frozen=True)
class Notify:
    """Where alerts go, as the file says."""

    webhook: str | None = None
    apprise: tuple[str, ...] = ()
    timeout_s: float = 10.0
    must_arrive: bool = False


@dataclass(frozen=True)
class Budgets:
    """All of a file."""

    budgets: tuple[Budget, ...]
    notify: Notify = field(default_factory=Notify)


def load(path: Path) -> Budgets:
    """The budgets of a file. Raises InputError naming file, budget and key."""
    text = given.read(path)
    try:
        return parse(text)
    except InputError as error:
        raise InputError(f"{path}: {error}; mend it, nothing was checked") from error


def parse(text: str) -> Budgets:
    """Budgets from their text. Raises InputError naming the line, or the budget and its key."""
    whole = given.toml(text)
    given.only("the file", whole, ("budget", "notify"))
    budgets = tuple(_budget(where, one) for where, one in given.entries(whole, "budget", _BUDGET))
    if not budgets:
        raise InputError("there is no [[budget]] in it")
    names = [budget.name for budget in budgets]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{names.count(name)} budgets are called {name!r}: give each a name of its own")
    return Budgets(budgets, _notify(given.table("[notify]", whole.get("notify", {}))))


def _budget(where: str, one: Mapping[str, Any]) -> Budget:
    name = given.text(f"{where}: name", one.get("name"), '"search"')
    where = f"{where} {name!r}"
    measure, limit = _limit(where, one)
    scope = {
        key: given.text(f"{where}: {key}", one[key], '"search" or "gpt-5*"')
        for key in (*OF_RUNS, *OF_CALLS)
        if key in one
    }
    for key in OF_CALLS:
        if key in scope and measure.of_runs:
            hint = "api_usd" if measure.name == "cost" else "api_usd or tokens"
            raise InputError(
                f"{where}: {measure.name} is of runs, which have no {key}; leave {key} out or limit {hint}"
            )
    tags = given.table(f"{where}: tags", one.get("tags", {}))
    told = {key: given.text(f"{where}: tags.{key}", value, '"nlp"') for key, value in tags.items()}
    with_apis = given.flag(f"{where}: apis", one.get("apis", False))
    if with_apis and measure.name not in OF_ENGINES:
        raise InputError(f"{where}: apis goes with a limit of {' or '.join(OF_ENGINES)}, not of {measure.name}")
    return Budget(name, measure, limit, scope, told, _rules(where, one), *_when(where, one), with_apis)


def _limit(where: str, one: Mapping[str, Any]) -> tuple[Measure, float]:
    keys = [key for key in one if key in LIMITS]
    if len(keys) != 1:
        found = " and ".join(keys) or "none"
        raise InputError(f"{where}: needs one limit, of {', '.join(LIMITS)}; there is {found}")
    measure, unit = LIMITS[keys[0]]
    limit = given.number(f"{where}: {keys[0]}", one[keys[0]], MOST)
    if not limit:
        raise InputError(f"{where}: {keys[0]} must be more than 0")
    return MEASURES[measure], canonical(limit, unit)[0]


def _when(where: str, one: Mapping[str, Any]) -> tuple[str | None, tuple[datetime, datetime] | None]:
    since, until = (given.day(f"{where}: {key}", one.get(key)) for key in ("from", "until"))
    if "period" in one:
        if since or until:
            raise InputError(f"{where}: has a period and from or until: give one or the other")
        if one["period"] not in PERIODS:
            raise InputError(f"{where}: period must be one of {', '.join(PERIODS)}, not {one['period']!r}")
        return one["period"], None
    if not since or not until:
        raise InputError(f'{where}: needs period = "month" or another of {", ".join(PERIODS)}, or from and until')
    if since >= until:
        raise InputError(f"{where}: from {since} is not before until {until}")
    if since < EARLIEST or until - since > LONGEST:
        raise InputError(
            f"{where}: from {since} until {until} is longer than ten years, or begins before {EARLIEST:%Y}"
        )
    return None, (midnight(since), midnight(until))


def _rules(where: str, one: Mapping[str, Any]) -> tuple[Rule, ...]:
    """The rules of a budget, its limit always among them."""
    told = given.array(f"{where}: alerts", one.get("alerts", []), "[{threshold = 0.8}, {forecast = 1.0}]")
    named = [(f"{where}: alert {number}", rule) for number, rule in enumerate(told, start=1)]
    rules = [_rule(at, given.table(at, rule)) for at, rule in named]
    kinds = [rule[:2] for rule in rules]
    for rule in rules:
        if kinds.count(rule[:2]) > 1:
            raise InputError(f"{where}: two alerts have {rule.kind} = {rule.value:g}")
    return tuple(rules) if LIMIT[:2] in kinds else (LIMIT, *rules)


def _rule(where: str, one: Mapping[str, Any]) -> Rule:
    given.only(where, one, (*RULES, "fails"))
    kinds = [key for key in one if key in RULES]
    if len(kinds) != 1:
        raise InputError(f"{where}: needs one of {', '.join(RULES)}; there is {' and '.join(kinds) or 'none'}")
    (kind,) = kinds
    value = RULES[kind] if one[kind] is True else given.number(f"{where}: {kind}", one[kind], MOST)
    if not value:
        raise InputError(f"{where}: {kind} must be more than 0, e.g. {RULES[kind]:g}")
    return Rule(kind, value, given.flag(f"{where}: fails", one.get("fails", True)))


def _notify(one: Mapping[str, Any]) -> Notify:
    given.only("[notify]", one, _NOTIFY)
    urls = given.array("[notify]: apprise", one.get("apprise", []), '["slack://…"]')
    webhook = one.get("webhook")
    return Notify(
        None if webhook is None else given.text("[notify]: webhook", webhook, '"https://example.com/hook"'),
        tuple(given.text("[notify]: apprise", url, '"slack://…"') for url in urls),
        given.number("[notify]: timeout_s", one.get("timeout_s", 10.0), 600) or 10.0,
        given.flag("[notify]: must_arrive", one.get("must_arrive", False)),
    )
