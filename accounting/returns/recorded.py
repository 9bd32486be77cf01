"""What the ledger knows of use cases: what their runs used, what they counted, and how two groups of runs compare.

A use case is a project, or what the tag `use_case=` of a run or a call says instead. What has the tag `phase=training`
was caused up front. Whatever is looked for is cut into slices: a year and the factors in force in it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

from joulebook.accounting.assess import ENDS, SUMS_SQL, Assessor, InForce
from joulebook.accounting.errors import NotFound
from joulebook.accounting.estimates import Estimate, between
from joulebook.accounting.factors import Match
from joulebook.accounting.ledger import Ledger
from joulebook.accounting.records import METHODS
from joulebook.accounting.returns.claims import RUN
from joulebook.accounting.site import Range
from joulebook.accounting.units import J_PER_KWH

USE_CASE_SQL = "coalesce(json_extract_string(w.tags, '$.use_case'), w.project, '(no project)')"
IS_UPFRONT_SQL = "coalesce(json_extract_string(w.tags, '$.phase') = 'training', false)"
# The same of calls: what is not said of a call is said of the run around it.
CALLS_SQL = "api_call c left join span r on r.span_id = c.run_id"
CALL_USE_CASE_SQL = (
    "coalesce(json_extract_string(c.tags, '$.use_case'), json_extract_string(r.tags, '$.use_case'), c.of_project)"
)
CALL_IS_UPFRONT_SQL = (
    "coalesce(json_extract_string(c.tags, '$.phase'), json_extract_string(r.tags, '$.phase'), '') = 'training'"
)
_OF_PROJECT_SQL = f"""
    select {USE_CASE_SQL} from work w where w.parent_id is null and coalesce(w.project, '(no project)') = ?
    union select {CALL_USE_CASE_SQL} from {CALLS_SQL} where c.of_project = ?
"""


class Scope(NamedTuple):
    """From `start` until `end` (UTC without a zone, half-open); `project`: use cases with a run or a call of it."""

    start: datetime
    end: datetime
    project: str | None = None

    def condition(self, use_case: str = USE_CASE_SQL) -> tuple[str, tuple[str, ...]]:
        """Use cases are looked at whole, whatever project is asked for: claims are on the whole of them."""
        return ("", ()) if self.project is None else (f"and {use_case} in ({_OF_PROJECT_SQL})", (self.project,) * 2)

    def years(self, ledger: Ledger) -> Iterator[tuple[datetime, datetime]]:
        """From its first run on, year by year (with a zone)."""
        first = ledger.rows("select min(started_at_utc) as at from span where parent_id is null")[0]["at"]
        start, end = (when.replace(tzinfo=UTC) for when in (max(self.start, first or self.start), self.end))
        for year in range(start.year, end.year + 1) if first else ():
            begin, until = max(start, datetime(year, 1, 1, tzinfo=UTC)), min(end, datetime(year + 1, 1, 1, tzinfo=UTC))
            if begin < until:
                yield begin, until


class Factors(NamedTuple):
    """What is in force: the range of each kind, and the factor behind it. A kind has one name a place, in all years."""

    ranges: Mapping[str, Range]
    names: Mapping[str, str]
    matches: Mapping[str, Match]


def factors_of(in_force: InForce, instead: Mapping[str, Range]) -> Factors:
    """The factors of a stretch of time; `instead`: of series, what they come to in it."""
    kinds = in_force.matches
    ranges = {kind: instead.get(kind) or in_force.range_of(kind) for kind in kinds}
    names = {kind: f"{kind}/{match.factor.region}" for kind, match in kinds.items()}
    return Factors(ranges, names, kinds)


@dataclass(frozen=True)
class Slice:
    """IT energy (J) used in a year, under the same factors throughout."""

    year: int
    factors: Factors
    it_energy_j: Range
    method: str
    is_upfront: bool


@dataclass(frozen=True)
class UseCase:
    """What is on record of a use case in a scope.

    first_day, last_day: of all its runs and calls, also outside of the scope;  upfront_before: some of what it caused
    up front lies before the scope.
    """

    name: str
    runs: int
    runs_without_energy: int
    first_day: date
    last_day: date
    slices: tuple[Slice, ...] = ()
    upfront_before: bool = False


def use_cases(assess: Assessor, scope: Scope) -> list[UseCase]:
    """All use cases with a run in the scope, by name."""
    slices = _slices(assess, scope)
    return [
        UseCase(row["use_case"], row["runs"], row["without"], row["first_day"], row["last_day"],
                tuple(slices.get(row["use_case"], ())), row["upfront_before"])
        for row in _counts(assess.ledger, scope)
    ]  # fmt: skip


def _counts(ledger: Ledger, scope: Scope) -> list[dict[str, Any]]:
    condition, params = scope.condition()
    return ledger.rows(
        f"""with root as (select *, {USE_CASE_SQL} as use_case from work w where parent_id is null),
                 seen as (select distinct run_id from energy_source_hour),
                 ever as (select use_case, min(started_at_utc)::date as first_day,
                                 max(seen_until_utc)::date as last_day,
                                 bool_or({IS_UPFRONT_SQL} and started_at_utc < ?) as upfront_before
                          from root w group by use_case)
            select use_case, min(first_day) as first_day, max(last_day) as last_day,
                   bool_or(upfront_before) as upfront_before, count(*) as runs,
                   count(*) filter (where run_id not in (select run_id from seen)) as without
            from root w join ever using (use_case)
            where w.seen_until_utc >= ? and w.started_at_utc < ? {condition} group by use_case order by use_case""",
        (scope.start, scope.start, scope.end, *params),
    )


def _slices(assess: Assessor, scope: Scope) -> dict[str, list[Slice]]:
    condition, params = scope.condition()
    rows = assess.rows(
        f"""select {USE_CASE_SQL} as use_case, year(a.at_utc) as year, piece, {IS_UPFRONT_SQL} as is_upfront,
                   max(method_rank) as method_rank, {SUMS_SQL}
            from assessed a join work w on w.span_id = a.run_id
            where a.at_utc >= ? and a.at_utc < ? {condition} group by all order by all""",
        (scope.start, scope.end, *params),
    )
    pieces = assess.pieces
    found: dict[str, list[Slice]] = {}
    for row in rows:
        if row["it_energy_j_mid"] is not None:
            piece = pieces[int(row["piece"])]
            factors = factors_of(piece, _weighted(row) if piece.hours else {})
            one = Slice(row["year"], factors, _ends(row, "it_energy_j"), METHODS[int(row["method_rank"])],
                        row["is_upfront"])  # fmt: skip
            found.setdefault(row["use_case"], []).append(one)
    return found


# A kind of factor -> the amount that it gives, for each kWh of the building.
_PER_KWH = {"carbon_intensity": "carbon_g", "electricity_primary_energy": "primary_energy_j",
            "electricity_adpe": "adpe_kgsb"}  # fmt: skip


def _weighted(row: Mapping[str, Any]) -> dict[str, Range]:
    """What series came to in a slice, by the energy of each hour."""
    kwh = [energy / J_PER_KWH for energy in _ends(row, "facility_energy_j")]
    known = {kind: name for kind, name in _PER_KWH.items() if row.get(f"{name}_mid") is not None and all(kwh)}
    found: dict[str, Range] = {}
    for kind, name in known.items():
        low, mid, high = (amount / energy for amount, energy in zip(_ends(row, name), kwh, strict=True))
        found[kind] = low, mid, high
    return found


def _ends(row: Mapping[str, Any], name: str) -> Range:
    low, mid, high = (float(row[f"{name}_{end}"]) for end in ENDS)
    return low, mid, high


def counted_units(ledger: Ledger, use_case: str, kind: str, scope: Scope) -> dict[date, float]:
    """How many units the runs of a use case did, by day: what they recorded of a kind of usage, or the runs' number."""
    amount, joined = ("count(*)", "") if kind == RUN else ("sum(u.amount)", "join usage u on u.run_id = w.span_id")
    at = "w.started_at_utc" if kind == RUN else "u.used_at_utc"
    of_kind, params = ("", ()) if kind == RUN else ("and u.kind = ?", (kind,))
    rows = ledger.rows(
        f"""select {at}::date as day, {amount} as units from work w {joined}
            where w.parent_id is null and {USE_CASE_SQL} = ? and {at} >= ? and {at} < ? {of_kind} group by 1""",
        (use_case, scope.start, scope.end, *params),
    )
    return {row["day"]: float(row["units"]) for row in rows}


# A measured pair --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Group:
    """Some runs together: IT energy (J) of one unit, how it is known, and whether they are of the use case itself."""

    it_energy_j_per_unit: Range
    runs: int
    relative_error: float  # standard error of that mean from run to run, over the mean; 0 for a single run
    method: str
    is_caused: bool  # its energy is counted among what the use case caused

    @property
    def estimate(self) -> Estimate:
        return between(self.it_energy_j_per_unit, "J", self.method)


def group(assess: Assessor, runs: Sequence[str], per: str, use_case: str) -> Group:
    """What a unit took in some runs. Raises NotFound for a run that is not on record or says nothing of the unit."""
    ids = list(dict.fromkeys(_run_id(assess.ledger, run) for run in runs))
    marks = ", ".join("?::uuid" for _ in ids)
    rows = assess.rows(
        f"""select a.run_id::varchar as run_id, {USE_CASE_SQL} = ? as is_caused,
                   max(method_rank) as method_rank, {SUMS_SQL}
            from assessed a join work w on w.span_id = a.run_id where a.run_id in ({marks}) group by all""",
        (use_case, *ids),
    )
    lacking = len(ids) - len([row for row in rows if row["it_energy_j_mid"] is not None])
    if lacking:
        raise NotFound(f"{lacking} of the {len(ids)} runs of a pair have no energy on record: name others")
    if len({row["is_caused"] for row in rows}) > 1:
        raise NotFound(f"some runs of one side of a pair are of the use case {use_case!r} and some are not: part them")
    units = dict.fromkeys(ids, 1.0) if per == RUN else _units_of(assess.ledger, ids, per)
    energies = {str(row["run_id"]): _ends(row, "it_energy_j") for row in rows}
    done = sum(units.values())
    low, mid, high = (sum(energy[end] for energy in energies.values()) / done for end in range(3))
    error = _error({run: energy[1] for run, energy in energies.items()}, units) / mid if mid else 0.0
    method = METHODS[max(int(row["method_rank"]) for row in rows)]
    return Group((low, mid, high), len(ids), error, method, bool(rows[0]["is_caused"]))


def _error(energy_j: Mapping[str, float], units: Mapping[str, float]) -> float:
    """Standard error of a ratio of sums, from how far each run is off it (J per unit)."""
    n, done = len(units), sum(units.values())
    if n < 2:
        return 0.0
    ratio = sum(energy_j.values()) / done
    squares = sum((energy_j[run] - ratio * units[run]) ** 2 for run in units)
    return math.sqrt(squares / (n * (n - 1))) / (done / n)


def _run_id(ledger: Ledger, named: str) -> str:
    rows = ledger.rows(
        """select span_id::varchar as id from span where parent_id is null
           and (starts_with(span_id::varchar, lower($1)) or ends_with(span_id::varchar, lower($1))) limit 2""",
        (named,),
    )
    if len(rows) != 1:
        raise NotFound(f"{'no' if not rows else 'more than one'} run {named!r} on record: `joulebook runs` lists them")
    return str(rows[0]["id"])


def _units_of(ledger: Ledger, ids: Sequence[str], kind: str) -> dict[str, float]:
    marks = ", ".join("?::uuid" for _ in ids)
    found = ledger.rows(
        f"""select run_id::varchar as run_id, sum(amount) as units from usage
            where kind = ? and run_id in ({marks}) group by run_id having sum(amount) > 0""",
        (kind, *ids),
    )
    if len(found) < len(ids):
        raise NotFound(f"{len(ids) - len(found)} of the {len(ids)} runs of a pair recorded no {kind!r}")
    return {row["run_id"]: float(row["units"]) for row in found}
