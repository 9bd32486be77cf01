"""What each run used, line by line, and what that comes to under a basis: what assessing and restating work on.

    ledger ──SQL, once──▶ lines: run × piece of time × counter, amounts in their own unit (s, GB·s, J)
    lines × factors of a basis ──the formulas, on arrays──▶ impacts of each line, at one end of the range

A piece of time is one in which no factor of any of the bases changes. A line is linear in every factor, so it can be
seen under another basis without a look at the ledger. Sums are made in a fixed order, whatever order rows are found
in: the same ledger gives the same bytes. Needs NumPy (the extra `models`).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from joulebook.accounting.assess import METHOD_RANK_SQL, amount_sql, impact_amounts
from joulebook.accounting.basis import Basis
from joulebook.accounting.energy import cpu_it_energy_j, it_energy_j, memory_energy_j
from joulebook.accounting.errors import MissingExtra
from joulebook.accounting.factors import WORLD, Factor, FactorSet, Match
from joulebook.accounting.in_force import ENDS, KINDS, OPTIONAL, InForce, midnight, timeline
from joulebook.accounting.site import Range

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from joulebook.accounting.ledger import Ledger

    Array = npt.NDArray[np.float64]
    Whole = npt.NDArray[np.int64]


class Scope(NamedTuple):
    """What was used from `since` until `until` (UTC, half-open, either may be open), by one project or all."""

    since: datetime | None = None
    until: datetime | None = None
    project: str | None = None

    @property
    def grain(self) -> str:
        """By the hour, or by the minute where the scope begins or ends within an hour."""
        cuts = [cut for cut in (self.since, self.until) if cut]
        whole = all(cut == cut.replace(minute=0, second=0, microsecond=0) for cut in cuts)
        return "hour" if whole else "minute"


class Held(NamedTuple):
    """What is in force from an instant until another; `values` stand above it there (an hour of a series)."""

    start: datetime
    end: datetime
    in_force: InForce
    values: Mapping[str, Range]

    def match_of(self, kind: str) -> Match | None:
        match = self.in_force.matches.get(kind)
        return None if match is None or math.isnan(match.factor.value) else match

    def range_of(self, kind: str) -> Range:
        """Low, mid and high of a kind; not a number where nobody knows it."""
        if kind in self.values:
            return self.values[kind]
        return self.in_force.range_of(kind) if kind in self.in_force.matches else UNKNOWN


UNKNOWN: Range = (math.nan, math.nan, math.nan)


class Source(NamedTuple):
    """Where an amount comes from. `sensor`: its kind, or the job itself; `unit`: s of CPU time, GB of memory, or J."""

    sensor: str
    unit: str
    boundary: str


class Run(NamedTuple):
    """A run that used energy in the scope."""

    run_id: str
    name: str
    project: str | None
    host: str | None
    started_at: datetime


@dataclass(frozen=True)
class Lines:
    """Arrays as long as there are lines, and what their numbers stand for.

    run, piece, source: places in `runs`, `pieces`, `sources`; method_rank: a place in `METHODS`.
    amounts: for each basis, the amount at low, mid and high (bases may differ in who bears idle energy).
    pieces: for each stretch of time, what is in force under each basis.
    """

    runs: tuple[Run, ...]
    pieces: tuple[tuple[Held, ...], ...]
    sources: tuple[Source, ...]
    run: Whole
    piece: Whole
    source: Whole
    method_rank: Whole
    amounts: tuple[tuple[Array, Array, Array], ...]

    def __len__(self) -> int:
        return len(self.run)

    def by_run(self, amounts: Array) -> Array:
        """The sum of each run, made in the order of the lines."""
        return numpy().bincount(self.run, weights=amounts, minlength=len(self.runs))

    def range_of(self, kind: str, basis: int, end: int) -> Array:
        """The value of a factor for each line, at one end of its range."""
        np = numpy()
        values = np.array([piece[basis].range_of(kind)[end] for piece in self.pieces] or [0.0])
        return values[self.piece]


# Factors that only some sources need; the others belong to every joule.
ONLY_FOR = {"cpu_power": "s", "dram_power": "GB", "it_overhead": "device"}


def numpy() -> Any:
    try:
        import numpy as np
    except ModuleNotFoundError as error:
        raise MissingExtra("restating", "models") from error
    return np


# From the ledger --------------------------------------------------------------------------------------------------


def lines(ledger: Ledger, scope: Scope, bases: Sequence[Basis]) -> Lines:
    """The lines of a scope, cut wherever a factor of one of the bases changes."""
    pieces = joint_pieces(bases, *_days(ledger, scope))
    policies = [basis.site.idle_energy for basis in bases]
    found = _amounts(ledger, scope, policies, {"piece": _piece_table(pieces)})
    run, run_ids = _numbered(found, "run_id")
    columns = zip(*(found[name].to_pylist() for name in Source._fields), strict=True)
    places: dict[Source, int] = {}
    source = [places.setdefault(Source(*cells), len(places)) for cells in columns]
    return Lines(
        _runs(ledger, run_ids), pieces, tuple(places), run, _whole(found, "piece"),
        numpy().array(source, dtype="int64"), _whole(found, "method_rank"),
        tuple(_ends(found, idle) for idle in policies),
    )  # fmt: skip


def joint_pieces(bases: Sequence[Basis], start: date, end: date) -> tuple[tuple[Held, ...], ...]:
    """[start, end) in stretches in which no factor changes under any basis; for each, what is in force under each."""
    held = [_held(timeline(basis.site, _with_gaps(basis.factors), start, end)) for basis in bases]
    begins = [[each.start for each in some] for some in held]
    cuts = sorted({begin for some in begins for begin in some})
    return tuple(
        tuple(some[bisect_right(begin, cut) - 1] for some, begin in zip(held, begins, strict=True)) for cut in cuts
    )


def _with_gaps(factors: FactorSet) -> FactorSet:
    """A set that was kept before a kind of factor was thought of: what needs it is not known."""
    lacking = KINDS.keys() - {row.kind for row in factors.rows} - set(OPTIONAL)
    gaps = [
        Factor(kind, *UNKNOWN, KINDS[kind][1], WORLD, date(1970, 1, 1), None, "not in this set", "", "", "", date.max)
        for kind in sorted(lacking)
    ]
    return replace(factors, rows=(*factors.rows, *gaps)) if gaps else factors


def _held(pieces: Sequence[InForce]) -> list[Held]:
    """The pieces of a timeline in the order of time, those with hours cut into them."""
    whole = [Held(midnight(piece.start), midnight(piece.end), piece, {}) for piece in pieces if not piece.hours]
    hours = [Held(hour.start, hour.end, piece, hour.values) for piece in pieces for hour in piece.hours]
    return sorted([*whole, *hours], key=lambda held: held.start)


def _where(scope: Scope) -> tuple[str, list[Any]]:
    """A condition on rows `e` of a source of energy and their run `s`, and its parameters."""
    told: list[tuple[str, Any]] = [
        ("e.at_utc >= ?", _naive(scope.since)),
        ("e.at_utc < ?", _naive(scope.until)),
        ("coalesce(s.project, '(no project)') = ?", scope.project),
    ]
    kept = [(condition, value) for condition, value in told if value is not None]
    return " and ".join(["true", *(condition for condition, _ in kept)]), [value for _, value in kept]


def _naive(when: datetime | None) -> datetime | None:
    return when.astimezone(UTC).replace(tzinfo=None) if when else None


def _from(scope: Scope) -> str:
    return f"energy_source_{scope.grain} e join span s on s.span_id = e.run_id and s.parent_id is null"


def _days(ledger: Ledger, scope: Scope) -> tuple[date, date]:
    """The first day with energy, and the day after the last."""
    where, params = _where(scope)
    row = ledger.rows(f"select min(e.at_utc) as a, max(e.at_utc) as b from {_from(scope)} where {where}", params)[0]
    first, last = (row[name] or datetime(1970, 1, 1) for name in ("a", "b"))  # noqa: DTZ001 - as the ledger has it
    return first.date(), last.date() + timedelta(days=1)


def _piece_table(pieces: Sequence[tuple[Held, ...]]) -> pa.Table:
    """When each stretch begins and ends: those of all bases cover it, so it is where they overlap."""
    import pyarrow as pa

    starts = pa.array([max(held.start for held in each) for each in pieces], pa.timestamp("us"))
    ends = pa.array([min(held.end for held in each) for each in pieces], pa.timestamp("us"))
    return pa.table({"piece": pa.array(range(len(pieces)), pa.int32()), "start_utc": starts, "end_utc": ends})


def _amounts(ledger: Ledger, scope: Scope, policies: Sequence[str], tables: dict[str, pa.Table]) -> pa.Table:
    """Amounts by run, piece and counter, for each policy of idle energy; the method is that of the first.

    Each sum is made in the order of time: the same ledger gives the same bits.
    """
    where, params = _where(scope)
    columns = [(end, idle) for idle in dict.fromkeys(policies) for end in ENDS]
    amounts = ", ".join(f"{amount_sql(end, idle)} as amount_{end}_{idle}" for end, idle in columns)
    names = [f"amount_{end}_{idle}" for end, idle in columns]
    sums = ", ".join(f"sum({name} order by at_utc, {name}) as {name}" for name in names)
    keys = "started_at_utc, run_id, piece, sensor, unit, boundary, method_rank"
    return ledger.query(
        f"""select {keys}, {sums} from (
                select * replace (split_part(sensor, ':', 1) as sensor), {METHOD_RANK_SQL} as method_rank from (
                    select *, amount_mid_{policies[0]} as amount_mid from (
                        select e.*, s.started_at_utc, f.piece, {amounts} from {_from(scope)}
                        join piece f on e.at_utc >= f.start_utc and e.at_utc < f.end_utc where {where})))
            where amount_mid is not null group by {keys} order by {keys}""",
        params,
        tables,
    )


def _runs(ledger: Ledger, run_ids: Sequence[str]) -> tuple[Run, ...]:
    rows = ledger.rows(
        """select span_id::varchar as run_id, name, project, host, started_at_utc from work
           where parent_id is null and span_id in (select unnest(?)::uuid)""",
        (list(run_ids),),
    )
    found = {
        row["run_id"]: Run(row["run_id"], row["name"], row["project"], row["host"],
                           row["started_at_utc"].replace(tzinfo=UTC))
        for row in rows
    }  # fmt: skip
    return tuple(found[run_id] for run_id in run_ids)


def _numbered(table: pa.Table, name: str) -> tuple[Whole, list[str]]:
    """A column as places in the list of its different values, which come in the order of the rows."""
    import pyarrow as pa

    encoded = table[name].cast(pa.string()).combine_chunks().dictionary_encode()
    return encoded.indices.to_numpy(zero_copy_only=False).astype("int64"), encoded.dictionary.to_pylist()


def _whole(table: pa.Table, name: str) -> Whole:
    return table[name].to_numpy().astype("int64")


def _ends(table: pa.Table, idle: str) -> tuple[Array, Array, Array]:
    low, mid, high = (table[f"amount_{end}_{idle}"].to_numpy() for end in ENDS)
    return low, mid, high


# Under a basis ----------------------------------------------------------------------------------------------------


def it_energy_of(source: Source, amount: Any, factors: Mapping[str, Any]) -> Any:
    """IT energy (J) of an amount, by the formula that its unit and boundary call for."""
    if source.unit == "s":
        return cpu_it_energy_j(amount, cpu_power_w=factors["cpu_power"])
    if source.unit == "GB":
        amount = memory_energy_j(amount, dram_power_w_per_gb=factors["dram_power"])
    return it_energy_j(amount, it_overhead=factors["it_overhead"]) if source.boundary == "device" else amount


def kinds_of(lines: Lines) -> list[str]:
    """The kinds of factors that the amounts of some lines need."""
    needed = {word for source in lines.sources for word in (source.unit, source.boundary)}
    return [kind for kind in KINDS if ONLY_FOR.get(kind, kind) in {kind, *needed}]


def impacts(lines: Lines, amounts: Array, factors: Mapping[str, Array]) -> dict[str, Array]:
    """Every impact of each line, from its amount and its factors."""
    energy: Any = numpy().zeros(len(lines))
    for number, source in enumerate(lines.sources):
        of_source = lines.source == number
        theirs = {kind: values[of_source] for kind, values in factors.items()}
        energy[of_source] = it_energy_of(source, amounts[of_source], theirs)
    return impact_amounts(energy, cast("Mapping[str, Any]", factors))


def impacts_at(lines: Lines, basis: int, end: int) -> dict[str, Array]:
    """Every impact of each line under one basis, at one end of the range."""
    return impacts(lines, lines.amounts[basis][end], {kind: lines.range_of(kind, basis, end) for kind in KINDS})
