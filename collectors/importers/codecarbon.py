"""CodeCarbon's `emissions.csv`: a run for each run, with the energy of CPU, GPU and memory in kWh.

    timestamp − duration, counters at 0 ─> timestamp, counters at what was used

CodeCarbon writes the local time of its machine without saying which: it is taken for that of this one. Its PUE is in
its energy, so it is divided out: ours comes from the site. Its own figure of CO2 is kept in a note; ours is worked out
anew. A run that wrote several rows is in the last of them, with all of its time.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from joulebook.collectors.importers.entries import Entry, pairs
from joulebook.collectors.importers.rows import BadRow, Row, RowError, each, rows
from joulebook.collectors.importers.values import found, moment, name, needed, number

NEEDS = ("timestamp", "run_id", "duration", "emissions", "cpu_energy", "gpu_energy", "ram_energy")
DEVICES = {"cpu": "cpu_energy", "gpu": "gpu_energy", "dram": "ram_energy"}
J_PER_KWH = 3_600_000
_RUNS = uuid.UUID("6a6f756c-6562-6f6f-6b00-000000000002")
_SENSORS = tuple(
    ("sensor", {"sensor": f"codecarbon-{device}", "unit": "J", "device": device, "method": "declared",
                "boundary": "device", "source": "CodeCarbon"})
    for device in DEVICES
)  # fmt: skip


def entries(path: Path) -> Iterator[Entry | BadRow | None]:
    """A run for each `run_id`."""
    last = {found(row.values, "run_id"): row.line for row in rows(path, NEEDS) if isinstance(row, Row)}
    return each(rows(path, NEEDS), lambda row: _run(row, last))


def _run(row: Row, last: Mapping[Any, int]) -> Entry | None:
    values = row.values
    run_id = needed(name(values, "run_id"), "run_id")
    if last[found(values, "run_id")] != row.line:
        return None
    ended_ns = needed(moment(_local(values), "timestamp"), "timestamp")
    duration_ns = int(needed(number(values, "duration"), "duration") * 10**9)
    if duration_ns > ended_ns:
        raise RowError("timestamp less duration lies before 1970")
    used = _joules(values)
    about = {"span_id": str(uuid.uuid5(_RUNS, run_id)), "run_id": str(uuid.uuid5(_RUNS, run_id))}
    begin = {"at_ns": ended_ns - duration_ns, "mono_ns": 0, **about}
    end = {"at_ns": ended_ns, "mono_ns": duration_ns, **about}
    project = name(values, "project_name")
    told = {"name": project or "codecarbon", "tags": _tags(values, run_id)} | ({"project": project} if project else {})
    events = (
        *(sensor for sensor in _SENSORS if sensor[1]["device"] in used),
        (
            "span_start",
            begin | {key: value for key, value in told.items() if value} | _counters(dict.fromkeys(used, 0.0)),
        ),
        ("note", end | {"text": _note(values)}),
        ("span_end", end | {"ok": True} | _counters(used)),
    )
    return Entry(row.line, "codecarbon", run_id, ended_ns - duration_ns, events)


def _local(values: Mapping[str, Any]) -> dict[str, Any]:
    """Its time as one that says where it was."""
    try:
        when = datetime.fromisoformat(str(found(values, "timestamp")))
        return {"timestamp": when.astimezone()}
    except (ValueError, OverflowError):
        return {"timestamp": found(values, "timestamp")}


def _joules(values: Mapping[str, Any]) -> dict[str, float]:
    """What each device used, without the PUE that CodeCarbon put on it."""
    pue = number(values, "pue") or Decimal(1)
    told = {device: number(values, column) for device, column in DEVICES.items()}
    used = {device: float(kwh * J_PER_KWH / pue) for device, kwh in told.items() if kwh}
    if not used:
        raise RowError("has no energy of any device")
    return used


def _counters(joules: Mapping[str, float]) -> dict[str, Any]:
    return {
        "counters": [
            {"sensor": f"codecarbon-{device}", "value": value, "shared": value} for device, value in joules.items()
        ]
    }


def _tags(values: Mapping[str, Any], run_id: str) -> list[list[str]]:
    told = {key: name(values, key) for key in ("experiment_id", "country_iso_code", "region", "cpu_model", "gpu_model",
                                               "tracking_mode", "codecarbon_version")}  # fmt: skip
    return pairs(source="codecarbon", source_id=run_id, **told)


def _note(values: Mapping[str, Any]) -> str:
    kg, pue = needed(number(values, "emissions"), "emissions"), number(values, "pue") or Decimal(1)
    return f"CodeCarbon's own figure: {kg:f} kg CO2e" + (f", at a PUE of {pue:f}" if pue != 1 else "")
