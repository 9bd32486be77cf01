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
from joulebook.accounting.estimates import Estimate, between, exactly, unknown
from joulebook.accounting.records import METHODS, weakest
from joulebook.reports.format import mid_of, short_id
from joulebook.reports.view import Column, View

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = (
    Column("label", "Device"),
    Column("tier", "Evidence", "state"),
    Column("energy_j", "This run", "estimate", "J"),
    Column("node_energy_j", "Whole device", "estimate", "J"),
    Column("share", "Share", "number", "%"),
    Column("idle_energy_j", "Of it idle", "estimate", "J"),
    Column("sensor", "Sensor", "id"),
)
_OF_THE_NODE = ("node_energy_j", "share", "idle_energy_j")
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


def devices(assess: Assessor, run_id: str, used: pa.Table, odd: Sequence[Mapping[str, Any]] = ()) -> View:
    """The devices of a run; `used` is what `nodes.parts` says of it, `odd` what was strange about its sensors."""
    found = [*_node_rows(assess, run_id, used), *_own_rows(assess, run_id)]
    groups = _groups(found)
    rows = tuple({"label": _label(row, alone=len(group) == 1), **row} for group in groups for row in group)
    counted = {row["sensor"] for row in rows if row["counted"]}
    on_node = any(row["node_energy_j"].known for row in rows)
    return View(
        "devices",
        "Devices",
        columns=tuple(column for column in COLUMNS if on_node or column.key not in _OF_THE_NODE),
        rows=rows,
        totals=tuple(_total(group) for group in groups if len(group) > 1 and group[0]["counted"]),
        notes=(*_notes(assess, found), *odd_notes([step for step in odd if step["sensor"] in counted])),
    )


def _node_rows(assess: Assessor, run_id: str, used: pa.Table) -> list[dict[str, Any]]:
    policy = assess.site.idle_energy
    sql = _NODE_SQL.format(
        own=", ".join(f"coalesce({device_energy_sql(end)}, amount_{end}) as energy_{end}" for end in ENDS),
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
        "node_energy_j": between((row[f"node_energy_{end}"] for end in ENDS), "J", row["method"]),
        "share": share,
        "share_by": row["share_by"],
        "reserved": row["reserved"],
        "energy_j": between(energies, "J", tier),
        "active_energy_j": between((energy * (1 - part) for energy in energies), "J", tier),
        "idle_energy_j": between((energy * part for energy in energies), "J", tier),
        "idle_policy": policy,
        "counted": row["counted"],
    }


def _own_rows(assess: Assessor, run_id: str) -> list[dict[str, Any]]:
    return [_own_row(row) for row in assess.rows(_OWN_SQL, (run_id,))]


def _own_row(row: Mapping[str, Any]) -> dict[str, Any]:
    tier = METHODS[int(row["method_rank"])]
    energy = between((row[f"energy_{end}"] for end in ENDS), "J", tier)
    return {
        "label": "Server, by CPU time" if row["is_model"] else row["sensor"],
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


# What people call them ---------------------------------------------------------------------------------------------

_CLASSES = {"cpu": "CPU", "dram": "DRAM", "gpu": "GPU", "module": "Module", "platform": "Platform"}


def _groups(rows: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Rows of devices of one class and model together: what used most first, what does not count last."""
    groups: dict[tuple[bool, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault((not row["counted"], _name(row)), []).append(row)
    return sorted(groups.values(), key=lambda group: (not group[0]["counted"], -(_sum(group, "energy_j").mid or 0.0)))


def _sum(rows: Sequence[Mapping[str, Any]], key: str) -> Estimate:
    """The sum of estimates that are known; it carries the weakest of their methods."""
    cells = [row[key] for row in rows]
    ends = (sum(getattr(cell, end) for cell in cells) for end in ENDS)
    return between(ends, "J", weakest([cell.method for cell in cells]))


def _total(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    whole = _sum(rows, "node_energy_j")
    part = sum(row["share"] * row["node_energy_j"].mid for row in rows if row["share"] is not None)
    return {
        "label": f"{len(rows)} × {_name(rows[0])}",
        "tier": ", ".join(sorted({row["tier"] for row in rows}, key=METHODS.index)),
        "node_energy_j": whole,
        "share": part / whole.mid if whole.mid else None,
        **{key: _sum(rows, key) for key in ("energy_j", "idle_energy_j")},
    }


def _name(row: Mapping[str, Any]) -> str:
    """What a device is, without which one: `H100 80GB HBM3`, `CPU`."""
    if "label" in row:
        return str(row["label"])
    device = row["device"].partition(":")[0]
    if device != "gpu":
        return _CLASSES.get(device) or str(device)
    model = (row["model"] or "GPU").removeprefix("NVIDIA ")
    return model if row["reserved"] == 1 else f"Part of {model}"


def _label(row: Mapping[str, Any], *, alone: bool) -> str:
    """One row's device: `CPU 0`; `GPU-9f3a0000`, after its name where no total says it."""
    name, (device, _, which) = _name(row), row["device"].partition(":")
    if "label" in row or not which or which == "model":
        label = name
    elif device == "gpu":
        one = short_id(which) if which.startswith("GPU-") else f"GPU {short_id(which)}"
        label = f"{name} · {one}" if alone else one
    else:
        label = f"{name} {short_id(which)}"
    return label if row["counted"] else f"{label} (not counted)"


# Notes -------------------------------------------------------------------------------------------------------------

_POLICIES = {
    "reservation": "Idle energy of the node goes to its runs by what they reserve of it.",
    "equal": "Idle energy of the node goes to its open runs in equal parts.",
    "none": "Idle energy of the node goes to no run.",
}


_EVIDENCE = {
    "measured": "by a counter of the device",
    "integrated": "its power readings, summed over time",
    "attributed": "the run's part of a device that others use too",
    "modelled": "a factor instead of a sensor",
}
_SHARES = {"cpu": "CPU time", "busy": "the time it kept the device busy", "reservation": "what it reserved"}


def _notes(assess: Assessor, rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    tiers = [f"{tier}, {meaning}" for tier, meaning in _EVIDENCE.items() if any(row["tier"] == tier for row in rows)]
    notes = [f"Evidence: {'; '.join(tiers)}."] if tiers else []
    shared: dict[str, list[str]] = {}
    for row in rows:
        if row["tier"] == "attributed" and row["share_by"] in _SHARES:
            shared.setdefault(_SHARES[row["share_by"]], []).append(_name(row))
    if shared:
        how = "; ".join(f"by {by} ({', '.join(dict.fromkeys(names))})" for by, names in shared.items())
        notes.append(f"The run's share is {how}.")
    if any(row["node_energy_j"].known for row in rows):
        notes.append(_POLICIES[assess.site.idle_energy] + " Set by idle_energy in site.toml.")
    if not all(row["counted"] for row in rows):
        notes.append("What is not counted was read for comparison only.")
    return tuple(notes)


_ODD = {
    "reset": "The counter of {who} was reset{times}: the energy before that is a guess between what it showed after "
    "and the most that the device can draw.",
    "jump": "The counter of {who} jumped by more than its device can draw{times}: anything up to that is possible.",
    "ambiguous": "The counter of {who} may have gone round more than once between two readings{times}.",
    "unseen": "Power is seen only in part by {who}: what it did between its readings is anything up to its limit.",
}


def odd_notes(odd: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """What was strange about the sensors of a run, one sentence for each strangeness."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for step in odd:
        found.setdefault(step["what"], []).append(step)
    return tuple(_odd_note(what, steps) for what, steps in found.items())


def _odd_note(what: str, steps: Sequence[Mapping[str, Any]]) -> str:
    sensors = list(dict.fromkeys(short_id(step["sensor"]) for step in steps))
    others = f" and {len(sensors) - 1} more" if len(sensors) > 1 else ""
    times = "" if len(steps) == 1 else f" {len(steps):,} times"
    spread_j = sum(step["high"] - step["low"] for step in steps)
    wider = mid_of(exactly(spread_j, "J", "measured"))
    return f"{_ODD[what].format(who=sensors[0] + others, times=times)} This widens the range by {wider}."
