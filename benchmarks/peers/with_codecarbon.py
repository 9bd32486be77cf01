"""The job under codecarbon's offline tracker; its RAM is a guess from the memory installed, not RAPL's DRAM."""

from __future__ import annotations

from codecarbon import OfflineEmissionsTracker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

J_PER_KWH = 3.6e6


def start(folder: str, interval_s: float) -> Any:
    tracker = OfflineEmissionsTracker(
        country_iso_code="FRA", measure_power_secs=interval_s, output_dir=folder, log_level="critical"
    )
    tracker.start()
    return tracker


def stop(tracker: Any) -> None:
    tracker.stop()


def saved(folder: str) -> dict[str, float]:
    """Joules on disk: the last row of its CSV file."""
    import csv
    from pathlib import Path

    path = Path(folder) / "emissions.csv"
    if not path.exists():
        return {}
    with path.open() as lines:
        row = list(csv.DictReader(lines))[-1]
    kinds = {"gpu": "gpu_energy", "cpu": "cpu_energy", "dram": "ram_energy"}
    return {kind: float(row[name]) * J_PER_KWH for kind, name in kinds.items()}
