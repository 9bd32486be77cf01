"""Whether newer runs of a name use more energy than those before them, with what can be told of chance.

    runs of a name ─> baseline and candidate ─> energy per step (or run) of each ─> the ratio, with an interval

Energies are compared as ratios, so in logarithms. The interval (95 %) has two parts, which add in quadrature:

    run to run   how far apart runs of one group are: Welch's interval. With one run in a group, the spread of the other
                 group stands for its own
    measurement  the range of each group's energy, as a whole, since it may be wrong the same way in every run

What both groups share cancels: where all ran on one machine with the same sensors, the factors between what was counted
and energy (W per busy CPU, overheads) are held at their middle, and only what was read counts.
With one run on either side nobody knows how far apart runs are: then their whole ranges alone decide, nothing cancels,
and where they overlap the answer is that nobody can tell.

    regression      the interval is above 1, and the ratio above 1 + threshold
    improvement     the interval is below 1, and the ratio below 1 − threshold
    no regression   the interval ends at or below 1 + threshold
    cannot tell     all else
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from math import exp, fsum, inf, log, sqrt
from typing import Any, NamedTuple

from joulebook.accounting.assess import Assessor, assessor
from joulebook.accounting.budgets.forecast import Ends
from joulebook.accounting.errors import InputError, MissingExtra, NotFound
from joulebook.accounting.estimates import Estimate, between, unknown
from joulebook.accounting.ledger import Ledger
from joulebook.accounting.records import METHODS, weakest

CONFIDENCE = 0.95
THRESHOLD = 0.05
MOST_BASELINE = 20
SHARED = {"cpu_power_w": "cpu_power", "it_overhead": "it_overhead", "dram_power_w_per_gb": "dram_power"}


class Question(NamedTuple):
    """Which runs. `baseline` and `candidate`: `last`, ids with commas between, or a tag KEY=VALUE."""

    name: str
    project: str | None = None
    baseline: str | None = None
    candidate: str | None = None
    per: str | None = None
    threshold: float = THRESHOLD


@dataclass(frozen=True)
class Run:
    """A finished run. Energies in J of what it is per: `own` with shared factors held at their middle, or with all."""

    run_id: str
    started_at: datetime
    machine: tuple[str, ...]
    tags: Mapping[str, str]
    amounts: Mapping[str, float]
    own: Ends
    whole: Ends
    method: str


class Mean(NamedTuple):
    """A group of runs: the mean energy per unit with its range, and how far apart its runs are (in logarithms).

    `own`: the same energy with no more range than what the groups do not share.
    """

    runs: Sequence[Run]
    energy: Estimate
    own: Ends
    mean_log: float
    variance: float | None  # of one run; None of a single one


class Compared(NamedTuple):
    """The answer. `basis`: welch, spread of one group, or measurement."""

    question: Question
    per: str
    baseline: Mean
    candidate: Mean
    ratio: Estimate
    verdict: str
    basis: str
    shares_factors: bool
    left_out: int

    @property
    def is_ok(self) -> bool:
        return self.verdict != "regression"


def compare(ledger: Ledger, question: Question) -> Compared:
    """Compare two groups of runs of a name. Raises NotFound where there are not two, InputError for a wrong choice."""
    runs, left_out = _runs(ledger, question)
    candidate = _choose(runs, question.candidate or "last", "--candidate")
    first = min(run.started_at for run in candidate)
    others = [run for run in runs if run not in candidate]
    if question.baseline:
        baseline = _choose(others, question.baseline, "--baseline")
    else:
        baseline = [run for run in others if run.started_at < first][-MOST_BASELINE:]
    if not baseline:
        raise NotFound(f"{question.name!r} has no finished run with energy before the one to compare; record another")
    per = question.per or ("step" if all("step" in run.amounts for run in (*baseline, *candidate)) else "run")
    return _compare(question, per, (baseline, candidate), left_out)


def _compare(question: Question, per: str, groups: tuple[Sequence[Run], Sequence[Run]], left_out: int) -> Compared:
    every = [run for group in groups for run in group]
    alone = len(every) == 2
    shares = len({run.machine for run in every}) == 1 and not alone
    baseline, candidate = (_mean(group, per, shares) for group in groups)
    spread, basis = (0.0, "measurement") if alone else _run_to_run(baseline, candidate)
    ratio = _ratio(baseline, candidate, spread, is_bound=alone)
    verdict = judge(ratio, question.threshold)
    return Compared(question, per, baseline, candidate, ratio, verdict, basis, shares, left_out)


def judge(ratio: Estimate, threshold: float) -> str:
    """What an interval of the ratio comes to."""
    if ratio.low is None or ratio.mid is None or ratio.high is None:
        return "cannot tell"
    low, mid, high = ratio.low, ratio.mid, ratio.high
    if low > 1 and mid > 1 + threshold:
        return "regression"
    if high < 1 and mid < 1 - threshold:
        return "improvement"
    return "no regression" if high <= 1 + threshold else "cannot tell"


def _mean(runs: Sequence[Run], per: str, shares: bool) -> Mean:
    """The mean of a group; its logarithms are those of the middle values."""
    amounts = [_amount(run, per) for run in runs]
    compared = [run.own if shares else run.whole for run in runs]
    logs = [log(energy.mid / amount) for energy, amount in zip(compared, amounts, strict=True)]
    mean_log = fsum(logs) / len(logs)
    variance = fsum((value - mean_log) ** 2 for value in logs) / (len(logs) - 1) if len(logs) > 1 else None
    whole = _mean_of([run.whole for run in runs], amounts)
    energy = between(whole, f"J/{per}", weakest([run.method for run in runs]))
    return Mean(runs, energy, _mean_of(compared, amounts), mean_log, variance)


def _mean_of(energies: Sequence[Ends], amounts: Sequence[float]) -> Ends:
    """The mean energy per unit, at each end of the range."""
    each = [[end / amount for end in energy] for energy, amount in zip(energies, amounts, strict=True)]
    return Ends(*(fsum(ends) / len(each) for ends in zip(*each, strict=True)))


def _amount(run: Run, per: str) -> float:
    if per == "run":
        return 1.0
    if not run.amounts.get(per):
        known = ", ".join(["run", *sorted(run.amounts)])
        raise InputError(f"--per {per}: run {run.run_id} has recorded none; it can be compared per {known}")
    return run.amounts[per]


def _run_to_run(baseline: Mean, candidate: Mean) -> tuple[float, str]:
    """Half the interval of the difference of two mean logarithms."""
    told = [(one.variance, len(one.runs)) for one in (baseline, candidate) if one.variance is not None]
    if len(told) == 1:
        ((variance, count),) = told
        return _t(count - 1) * sqrt(variance * (1 + 1 / count)), "the spread of one group"
    parts = [variance / count for variance, count in told]
    if not sum(parts):
        return 0.0, "welch"
    freedom = sum(parts) ** 2 / sum(part**2 / (count - 1) for part, (_, count) in zip(parts, told, strict=True))
    return _t(freedom) * sqrt(sum(parts)), "welch"


def _t(freedom: float) -> float:
    """Student's quantile for `CONFIDENCE` on both sides."""
    try:
        from scipy.special import stdtrit
    except ModuleNotFoundError as error:
        raise MissingExtra("a comparison of several runs", "models") from error
    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2))


def _ratio(baseline: Mean, candidate: Mean, spread: float, *, is_bound: bool) -> Estimate:
    """The ratio with its interval. Ranges add as they are where they alone decide, else in quadrature."""
    above, below = _reach(candidate.own), _reach(baseline.own)
    if is_bound:
        up, down = above[1] + below[0], above[0] + below[1]
    else:
        up, down = (sqrt(spread**2 + above[end] ** 2 + below[1 - end] ** 2) for end in (1, 0))
    if inf in (up, down):
        return unknown("1", "an energy whose low end is 0 bounds no ratio")
    middle = candidate.mean_log - baseline.mean_log
    method = weakest([candidate.energy.method, baseline.energy.method])
    return between([exp(middle - down), exp(middle), exp(middle + up)], "1", method)


def _reach(energy: Ends) -> tuple[float, float]:
    """How far low and high are from the middle, in logarithms."""
    low, mid, high = energy
    return (log(mid / low) if low > 0 else inf), log(high / mid)


# Which runs -------------------------------------------------------------------------------------------------------


def _choose(runs: Sequence[Run], words: str, option: str) -> list[Run]:
    """The runs that a user means: `last`, ids or parts of them, or all that have a tag."""
    if words == "last":
        return list(runs[-1:])
    key, equals, value = words.partition("=")
    if equals:
        chosen = [run for run in runs if run.tags.get(key) == value]
    else:
        chosen = [run for run in runs if any(_is_named(run, word.strip()) for word in words.split(","))]
    if not chosen:
        raise NotFound(f"{option} {words!r}: no such finished run with energy; `joulebook runs` lists all")
    return chosen


def _is_named(run: Run, word: str) -> bool:
    return bool(word) and (run.run_id.startswith(word.lower()) or run.run_id.endswith(word.lower()))


_RUNS_SQL = """
    select w.span_id::varchar as run_id, w.started_at_utc, w.host, w.cpu_model, w.tags, w.state
    from work w where w.parent_id is null and w.name = ? and (? is null or coalesce(w.project, '(no project)') = ?)
    order by w.started_at_utc, w.span_id
"""


def _runs(ledger: Ledger, question: Question) -> tuple[list[Run], int]:
    """The finished runs of a name with their energies, the oldest first; and how many others there are."""
    found = ledger.rows(_RUNS_SQL, (question.name, question.project, question.project))
    if not found:
        where = f" in project {question.project}" if question.project else ""
        raise NotFound(f"no run is called {question.name!r}{where}: `joulebook runs` lists them")
    ended = [row for row in found if row["state"] == "ended"]
    ids = [row["run_id"] for row in ended]
    assess = assessor(ledger, found[0]["started_at_utc"].replace(tzinfo=UTC), datetime.now(UTC) + timedelta(days=1))
    whole, own = _energies(assess, ids), _energies(_at_the_middle(assess), ids)
    amounts = _amounts(ledger, ids)
    runs = [_run(row, whole[row["run_id"]], own[row["run_id"]], amounts.get(row["run_id"], {}))
            for row in ended if row["run_id"] in whole]  # fmt: skip
    if not runs:
        raise NotFound(f"none of the {len(found)} runs that are called {question.name!r} is finished and has energy")
    return runs, len(found) - len(runs)


def _run(row: Mapping[str, Any], whole: Mapping[str, Any], own: Mapping[str, Any], amounts: Mapping[str, float]) -> Run:
    machine = (str(row["host"]), str(row["cpu_model"]), *whole["sensors"])
    return Run(row["run_id"], row["started_at_utc"].replace(tzinfo=UTC), machine, _tags(row["tags"]), amounts,
               own["ends"], whole["ends"], whole["method"])  # fmt: skip


def _tags(text: str | None) -> Mapping[str, str]:
    return json.loads(text) if text else {}


def _at_the_middle(assess: Assessor) -> Assessor:
    """The same with the factors between what was counted and energy at their middle values of the last day."""
    matches = assess.pieces[-1].matches
    fixed: dict[str, Any] = {name: (matches[kind].factor.value,) * 3 for name, kind in SHARED.items()}
    return replace(assess, site=replace(assess.site, **fixed))


def _energies(assess: Assessor, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """IT energy of runs that have some, how it is known, and the sensors behind it."""
    category = "it_energy_j"
    rows = assess.rows(
        f"""select run_id::varchar as run_id, max(method_rank) as method_rank, list(distinct sensor) as sensors,
                   sum({category}_low) as low, sum({category}_mid) as mid, sum({category}_high) as high
            from assessed where run_id::varchar in (select unnest(?)) group by 1 having mid > 0""",
        (list(ids),),
    )
    return {
        row["run_id"]: {"ends": Ends(row["low"], row["mid"], row["high"]), "method": METHODS[row["method_rank"]],
                        "sensors": sorted(map(str, row["sensors"]))}
        for row in rows
    }  # fmt: skip


def _amounts(ledger: Ledger, ids: Sequence[str]) -> dict[str, dict[str, float]]:
    """What else runs recorded: steps, tokens, …"""
    rows = ledger.rows(
        """select run_id::varchar as run_id, kind, sum(amount) as amount from usage
           where run_id::varchar in (select unnest(?)) group by all having sum(amount) > 0""",
        (list(ids),),
    )
    found: dict[str, dict[str, float]] = {}
    for row in rows:
        found.setdefault(row["run_id"], {})[row["kind"]] = row["amount"]
    return found
