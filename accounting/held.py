"""Which hardware the runs of a period held, for how long, and what making it took.

    journal: devices with the names that drivers give, and what was reserved ─┐
    site.toml: `hardware = "8 H100, 1 server-8-gpu"` stands above it          ├─▶ Held ─▶ embodied by time share
    overlapping runs share a device, so that its time is given once          ─┘

A second of a device belongs to the runs that had it reserved: to each its reservation, cut down where together more
than all of it is reserved, as idle energy is. Runs that live in one reservation (a container) share that.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import inf
from typing import Any, NamedTuple

from joulebook.accounting.embodied import S_PER_YEAR, embodied_share
from joulebook.accounting.estimates import Estimate, between, unknown
from joulebook.accounting.factors import FactorSet
from joulebook.accounting.factors.hardware import CATEGORIES, Making, making, parse_parts
from joulebook.accounting.ledger import Ledger
from joulebook.accounting.site import Range, Site

NOTHING_NAMED = (
    'the journal names no accelerator and site.toml no hardware: write e.g. hardware = "1 server-rack, 1 cpu" there'
)


@dataclass(frozen=True)
class Held:
    """So many pieces of some hardware, reserved for a run for so long (counted as if all of it were reserved)."""

    run_id: str
    name: str
    count: float
    making: Making | None  # None: nobody knows what making it takes
    reserved_s: float
    is_declared: bool


class Reservation(NamedTuple):
    """A run on a device: from when until when, which part of it, and in whose name."""

    run_id: str
    device: str
    from_s: float
    to_s: float
    part: float
    whose: str


def held(ledger: Ledger, site: Site, start: datetime, end: datetime) -> list[Held]:
    """What every run that was there in [start, end) held, within it."""
    window = {"start": _naive(start), "end": _naive(end)}
    declared = parse_parts(site.hardware) if site.hardware else ()
    rows = ledger.rows(_NODES_SQL if declared else _DEVICES_SQL, (window["start"], window["end"]))
    time_of = reserved_s(_reservation(row, window) for row in rows)
    if declared:
        return [
            Held(run_id, part.name, part.count, part.making, seconds, True)
            for (run_id, _), seconds in time_of.items()
            for part in declared
        ]
    names = {(row["run_id"], row["device"]): row["model"] or "a device without a name" for row in rows}
    return [Held(key[0], names[key], 1, making(names[key]), seconds, False) for key, seconds in time_of.items()]


def _reservation(row: Mapping[str, Any], window: Mapping[str, datetime]) -> Reservation:
    begun, seen = max(row["started_at_utc"], window["start"]), min(row["seen_until_utc"], window["end"])
    whose = row["reserved_as"] or row["run_id"]
    return Reservation(row["run_id"], row["device"], _s(begun), _s(seen), row["reserved"], whose)


def reserved_s(reservations: Iterable[Reservation]) -> dict[tuple[str, str], float]:
    """Seconds that each (run, device) had, as if it had the device alone. Together never more than have passed."""
    by_device: defaultdict[str, list[Reservation]] = defaultdict(list)
    for each in reservations:
        by_device[each.device].append(each)
    return {(run_id, device): seconds for device, some in by_device.items() for run_id, seconds in _shared(some)}


def _shared(reservations: Sequence[Reservation]) -> Iterator[tuple[str, float]]:
    """Of one device: each run's seconds, from what its reservation had from its begin to its end."""
    edges = [(each.from_s, True, each) for each in reservations] + [(each.to_s, False, each) for each in reservations]
    now: dict[str, _Open] = {}
    before = -inf
    for at, begins, each in sorted(edges, key=lambda edge: edge[0]):
        whole = max(1.0, sum(one.part for one in now.values()))
        for one in now.values():
            one.had_s += (at - before) * one.part / len(one.since) / whole
        before = at
        if begins:
            one = now.setdefault(each.whose, _Open())
            one.part, one.since[each.run_id] = max(one.part, each.part), one.had_s
            continue
        one = now[each.whose]
        yield each.run_id, one.had_s - one.since.pop(each.run_id)
        if not one.since:
            del now[each.whose]


@dataclass
class _Open:
    """A reservation with runs in it: what one of them has had of the device, and had when each of them began."""

    part: float = 0.0
    had_s: float = 0.0
    since: dict[str, float] = field(default_factory=dict[str, float])


# What it took -----------------------------------------------------------------------------------------------------


def lifetime_years(site: Site, factors: FactorSet, day: datetime) -> Range:
    """How long hardware is in use: what the site says, else the table's."""
    if site.hardware_lifetime_years:
        return site.hardware_lifetime_years
    factor = factors.select("hardware_lifetime", "WORLD", day.date()).factor
    return factor.low, factor.value, factor.high


def embodied(parts: Sequence[Held], lifetime: Range, category: str) -> Estimate:
    """The embodied impact of what was held, by time share; unknown where one part of it is."""
    unit = CATEGORIES[category]
    if not parts:
        return unknown(unit, NOTHING_NAMED)
    missing = sorted({each.name for each in parts if not _range(each, category)})
    if missing:
        return unknown(unit, f"not known of making {', '.join(missing)}")
    ends = (sum(_ends(each, lifetime, category)[end] for each in parts) for end in range(3))
    return between(ends, unit, "declared" if all(each.is_declared for each in parts) else "modelled")


def _range(part: Held, category: str) -> Range | None:
    return part.making.range_of(category) if part.making else None


def _ends(part: Held, lifetime: Range, category: str) -> Range:
    """Low with the longest life, high with the shortest."""
    whole = _range(part, category)
    assert whole  # noqa: S101 - asked for before
    low, mid, high = (
        embodied_share(
            amount * part.count, reserved_s=part.reserved_s, lifetime_s=years * S_PER_YEAR, reserved_share=1.0
        )
        for amount, years in zip(whole, reversed(lifetime), strict=True)
    )
    return low, mid, high


def factor_ids(parts: Iterable[Held], category: str) -> tuple[str, ...]:
    figures = (each.making.figures.get(category) for each in parts if each.making)
    return tuple(dict.fromkeys(figure.factor_id for figure in figures if figure))


# From the ledger --------------------------------------------------------------------------------------------------

_RUNS = """
    runs as (
        select w.span_id as run_id, w.started_at_utc, w.seen_until_utc
        from work w where w.parent_id is null and w.seen_until_utc > $1 and w.started_at_utc < $2
    ),
    seen as (  -- the sensors of all processes that a run ran in
        select distinct s.run_id, n.node_id, n.device, n.model, n.reserved, n.reserved_as, n.counted
        from span s join node_sensor n on n.process_id = s.process_id
    ),
    place as (  -- which node a run is on, and what it reserved of its processors
        select r.run_id, p.node_id from runs r join span s on s.span_id = r.run_id
        join process p on p.process_id = s.process_id
    )
"""
_DEVICES_SQL = f"""
    with {_RUNS}
    select r.run_id::varchar as run_id, r.started_at_utc, r.seen_until_utc, n.node_id || ' ' || n.device as device,
           any_value(n.model) as model, max(n.reserved) as reserved, any_value(n.reserved_as) as reserved_as
    from runs r join seen n on n.run_id = r.run_id
    where starts_with(n.device || ':', 'gpu:') and n.counted  -- DuckDB 2.0 fails on a split_part where there is no row
    group by r.run_id, r.started_at_utc, r.seen_until_utc, n.node_id, n.device
    order by r.started_at_utc, r.run_id, n.device
"""
_NODES_SQL = f"""
    with {_RUNS}
    select r.run_id::varchar as run_id, r.started_at_utc, r.seen_until_utc, p.node_id as device, null as model,
           coalesce(max(n.reserved), 1) as reserved, any_value(n.reserved_as) as reserved_as
    from runs r join place p on p.run_id = r.run_id
    left join seen n on n.run_id = r.run_id and n.node_id = p.node_id
         and split_part(n.device, ':', 1) in ('cpu', 'module', 'platform', 'dram')
    group by r.run_id, r.started_at_utc, r.seen_until_utc, p.node_id
    order by r.started_at_utc, r.run_id
"""


def _naive(when: datetime) -> datetime:
    return when.astimezone(UTC).replace(tzinfo=None)


def _s(when: datetime) -> float:
    return when.replace(tzinfo=UTC).timestamp()
