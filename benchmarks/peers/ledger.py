"""What joulebook says, by its own commands: `joulebook ingest`, then `joulebook show RUN --json`."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any, NamedTuple

Range = tuple[float, float, float]  # low, mid, high


class Device(NamedTuple):
    """A device of a run: its whole energy and the run's part, in J."""

    kind: str
    node_j: Range
    run_j: Range


def joulebook(home: Path | str, *command: str) -> Any:
    """What a command prints. In this process: a hundred new ones would take minutes."""
    from joulebook.cli import main

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = main(["--home", str(home), *command, "--json"])
    assert code == 0, f"joulebook {' '.join(command)} ended with {code}"
    return json.loads(printed.getvalue())


def devices(home: Path) -> list[Device]:
    """Every device that counts, of every run."""
    joulebook(home, "ingest")
    runs = [run["run_id"] for run in joulebook(home, "runs")]
    found = [device for run in runs for device in joulebook(home, "show", run, "--no-ingest")["devices"]]
    return [
        Device(device["device"].partition(":")[0], _range(device["node_energy_j"]), _range(device["energy_j"]))
        for device in found
        if device["counted"] and device["node_energy_j"]["mid"] is not None
    ]


def node_j(home: Path) -> dict[str, Range]:
    """The whole energy of each kind of device, summed over the runs."""
    sums: dict[str, Range] = {}
    for kind, (low, mid, high), _ in devices(home):
        before = sums.get(kind, (0.0, 0.0, 0.0))
        sums[kind] = (before[0] + low, before[1] + mid, before[2] + high)
    return sums


def _range(estimate: dict[str, float]) -> Range:
    return estimate["low"], estimate["mid"], estimate["high"]
