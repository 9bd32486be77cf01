"""The sensors behind a run's energy: which one, what it saw of the whole device, and the run's part of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from joulebook.accounting.assess import (
    ENDS,
    METHOD_RANK_SQL,
    Assessor,
    device_energy_sql,
    in_force_table,
    with_amounts,
)
from joulebook.accounting.estimates import Estimate, unknown
from joulebook.accounting.records import METHODS
from joulebook.reports.format import mid_of
from joulebook.reports.view import Column, View

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = (
    Column("device", "Device"),
    Column("sensor", "Sensor"),
    Column("tier", "Evidence", "state"),
    Column("node_energy_j", "Whole device", "estimate", "J"),
    Column("share", "Share", "number"),
    Column("energy_j", "This run", "estimate", "J"),
    Column("idle_energy_j", "of it idle", "estimate", "J"),
)
_ONE_PROCESS = "this counter is of the run's own processes; no sensor of the whole device was read"

# A row for each sensor of the node: the whole device while the run was there, and the run's part, at the device.
_NODE_SQL = """
    with part as (
        select sensor, device, unit, boundary, method, share_by, counted, min(at_utc) as at_utc,
               sum(active) as amount, sum(idle_reservation) as idle_reservation, sum(idle_equal) as idle_equal,
               sum(node_low) as node_low, sum(node_mid) as node_mid, sum(node_high) as node_high
        from node_part where window_id = ? group by all
    )
    select p.*, n.model, n.source, n.reserved
    from (select *, idle_{idle} as idle, {own}, {node}, {rank} as method_rank from {amounts}) p
    left join (select distinct on (sensor) * from node_sensor
               where process_id = (select process_id from span where span_id = ?::uuid)) n on n.sensor = p.sensor
    order by not p.counted, p.device, p.sensor
"""
# A row for each counter of the run's own process, at the boundary that it has.
_OWN_SQL = f"""
    select sensor, max(method_rank) as method_rank, bool_or(cpu_time_s is not null) as is_model,
           {", ".join(f"sum(coalesce(device_energy_j_{end}, it_energy_j_{end})) as energy_{end}" for end in ENDS)}
    from assessed where run_id = ?::uuid and share_by is null group by sensor order by sensor
"""


def devices(assess: Assessor, run_id: str, used: pa.Table) -> View:
    """The devices of a run; `used` is what `nodes.parts` says of it."""
    rows = [*_node_rows(assess, run_id, used), *_own_rows(assess, run_id)]
    return View("devices", "Devices", columns=COLUMNS, rows=tuple(rows), notes=_notes(assess, rows))


def _node_rows(assess: Assessor, run_id: str, used: pa.Table) -> list[dict[str, Any]]:
    policy = assess.site.idle_energy
    sql = _NODE_SQL.format(
        own=", ".join(f"{device_energy_sql(end)} as energy_{end}" for end in ENDS),
        node=", ".join(f"{_of_the_node(end)} as node_energy_{end}" for end in ENDS),
        rank=METHOD_RANK_SQL,
        idle="equal * 0" if policy == "none" else policy,
        amounts=with_amounts("part", policy),
    )
    tables = {"in_force": in_force_table(assess.pieces), "node_part": used}
    return [_node_row(row, policy) for row in assess.ledger.rows(sql, (run_id, run_id), tables)]


def _of_the_node(end: str) -> str:
    return f"greatest(0, node_{end}) * case unit when 'GB' then dram_power_{end} else 1 end"


def _node_row(row: Mapping[str, Any], policy: str) -> dict[str, Any]:
    tier = METHODS[int(row["method_rank"])]
    share = min(1.0, row["amount_mid"] / row["node_mid"]) if row["node_mid"] else None
    energies = [row[f"energy_{end}"] for end in ENDS]
    part = row["idle"] / row["amount_mid"] if row["amount_mid"] else 0.0
    return {
        "sensor": row["sensor"],
        "device": row["device"],
        "model": row["model"],
        "source": row["source"],
        "tier": tier,
        "node_energy_j": Estimate(*(row[f"node_energy_{end}"] for end in ENDS), "J", row["method"]),
        "share": share,
        "share_by": row["share_by"],
        "reserved": row["reserved"],
        "energy_j": Estimate(*energies, "J", tier),
        "active_energy_j": Estimate(*(energy * (1 - part) for energy in energies), "J", tier),
        "idle_energy_j": Estimate(*(energy * part for energy in energies), "J", tier),
        "idle_policy": policy,
        "counted": row["counted"],
    }


def _own_rows(assess: Assessor, run_id: str) -> list[dict[str, Any]]:
    return [_own_row(row) for row in assess.rows(_OWN_SQL, (run_id,))]


def _own_row(row: Mapping[str, Any]) -> dict[str, Any]:
    tier = METHODS[int(row["method_rank"])]
    energy = Estimate(*(row[f"energy_{end}"] for end in ENDS), "J", tier)
    return {
        "sensor": row["sensor"],
        "device": "cpu" if row["is_model"] else row["sensor"],
        "model": None,
        "source": None,
        "tier": tier,
        "node_energy_j": unknown("J", _ONE_PROCESS),
        "share": None,
        "share_by": None,
        "reserved": None,
        "energy_j": energy,
        "active_energy_j": energy,
        "idle_energy_j": unknown("J", _ONE_PROCESS),
        "idle_policy": None,
        "counted": True,
    }


_POLICIES = {
    "reservation": "Idle energy of the node goes to its runs by what they reserve of it.",
    "equal": "Idle energy of the node goes to its open runs in equal parts.",
    "none": "Idle energy of the node goes to no run.",
}


def _notes(assess: Assessor, rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    notes: list[str] = []
    if any(row["node_energy_j"].known for row in rows):
        notes.append(_POLICIES[assess.site.idle_energy] + " Set by idle_energy in site.toml.")
    if not all(row["counted"] for row in rows):
        notes.append("Sensors that do not count were read for comparison: another one counts their device.")
    return tuple(notes)


_ODD = {
    "reset": "was reset: the energy before the reset is a guess between what it showed after and the most it can draw",
    "jump": "jumped by more than its device can draw",
    "ambiguous": "may have gone round more than once between two readings",
    "unseen": "shows the power of less than half of the time; what it did not see is anything up to its limit",
}


def odd_notes(odd: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """What was strange about the sensors of a run, one sentence for each sensor and strangeness."""
    found: dict[tuple[str, str], tuple[int, float]] = {}
    for step in odd:
        key = step["sensor"], step["what"]
        times, spread_j = found.get(key, (0, 0.0))
        found[key] = times + 1, spread_j + step["high"] - step["low"]
    return tuple(
        f"{sensor} {_ODD[what]} ({times} times; this widens the range by {mid_of(_spread(spread_j))})."
        for (sensor, what), (times, spread_j) in found.items()
    )


def _spread(spread_j: float) -> Estimate:
    return Estimate(spread_j, spread_j, spread_j, "J", "measured")
