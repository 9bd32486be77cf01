"""The job as one epoch of a CarbonTracker; what it calls CPU is package and DRAM, and its log knows no PUE."""

from __future__ import annotations

from carbontracker.tracker import CarbonTracker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def start(folder: str, interval_s: float) -> Any:
    tracker = CarbonTracker(epochs=1, epochs_before_pred=0, update_interval=interval_s, log_dir=folder, verbose=0)
    tracker.epoch_start()
    return tracker


def stop(tracker: Any) -> None:
    tracker.epoch_end()


def saved(folder: str) -> dict[str, float]:
    """Joules in its log, as its own parser reads them."""
    from carbontracker import parser

    kinds = {"gpu": "gpu", "cpu": "cpu and dram"}
    joules: dict[str, float] = {}
    for log in parser.parse_all_logs(folder):
        for name, component in log["components"].items():
            energies = component["avg_energy_usages (J)"]
            if energies is not None:
                joules[kinds[name]] = joules.get(kinds[name], 0.0) + float(energies.sum())
    return joules
