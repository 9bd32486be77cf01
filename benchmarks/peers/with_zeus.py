"""The job as one window of a ZeusMonitor, without synchronising a framework: the job has none."""

from __future__ import annotations

from zeus.monitor import ZeusMonitor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

found: dict[str, float] = {}


def start(folder: str, _interval_s: float) -> Any:
    monitor = ZeusMonitor(log_file=f"{folder}/zeus.csv")
    monitor.begin_window("bench", sync_execution=False)
    return monitor


def stop(monitor: Any) -> None:
    measured = monitor.end_window("bench", sync_execution=False)
    for kind in ("gpu", "cpu", "dram"):
        energies = getattr(measured, f"{kind}_energy")
        if energies is not None:
            found[kind] = sum(energies.values())


def saved(folder: str) -> dict[str, float]:
    """Joules that the window gave; of a killed job those in the log file, which knows GPUs only."""
    if found:
        return found
    import csv
    from pathlib import Path

    path = Path(folder) / "zeus.csv"
    with path.open() as lines:
        rows = list(csv.DictReader(lines))
    columns = [name for name in (rows[0] if rows else ()) if name.startswith("gpu")]
    return {"gpu": sum(float(row[name]) for row in rows for name in columns)} if rows else {}
