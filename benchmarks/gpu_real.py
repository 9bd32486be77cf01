"""A real NVIDIA GPU, a minute each idle, at matrix products and at half duty: its counter beside its two gauges.

    .venv/bin/python benchmarks/gpu_real.py [--seconds 60] [--home DIR] [--table]

joulebook records the counter, the instant and the average power, and integrates each. Beside it stands what the counter
itself went up by, read through nvidia-ml-py right before and after each minute; no other truth is at hand, so the table
shows whether they agree, and whether our range has room for what they differ by. Without a GPU it says so and ends.
`--home` keeps the journal, and `--table` only draws what is there: where the GPU is the ledger need not be.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from peers.ledger import joulebook
from peers.table import PLAIN, Line, drawn

SIDE = 8192  # of the matrices
SLICE_S = 0.5  # of work or rest, at half duty
BY_HAND = "counter-by-hand.json"
SENSORS = {"counter": "", "instant": ":instant", "average": ":average"}


def gpu_name() -> str | None:
    """The GPU that is measured, if one is at hand."""
    if find_spec("pynvml") is None:
        return None
    import pynvml

    try:
        pynvml.nvmlInit()
        return pynvml.nvmlDeviceGetName(pynvml.nvmlDeviceGetHandleByIndex(0))
    except pynvml.NVMLError:
        return None


def phases(seconds: float) -> Iterator[tuple[str, Callable[[], None]]]:
    """What the GPU is to do, each for so long."""
    yield "idle", lambda: time.sleep(seconds)
    if not can_multiply():
        print("There is no torch with CUDA here to load the GPU with: only idle is measured.")
        return
    multiply = multiplier()
    yield "matrix products", lambda: multiply(seconds)
    yield "matrix products, 50 % duty", lambda: at_half_duty(multiply, seconds)


def can_multiply() -> bool:
    if find_spec("torch") is None:
        return False
    import torch

    return torch.cuda.is_available()


def multiplier() -> Callable[[float], None]:
    """Keeps the GPU at matrix products for some seconds, and comes back when it has finished them."""
    import torch

    left, right = (torch.randn(SIDE, SIDE, device="cuda", dtype=torch.bfloat16) for _ in range(2))

    def multiply(seconds: float) -> None:
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            torch.mm(left, right)
            torch.cuda.synchronize()

    multiply(1.0)  # the first loads the kernels
    return multiply


def at_half_duty(multiply: Callable[[float], None], seconds: float) -> None:
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        multiply(SLICE_S)
        time.sleep(SLICE_S)


def record(home: str, seconds: float) -> None:
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")
    os.environ["JOULEBOOK_NVML_FIELDS"] = "all"
    from joulebook import configure, track

    configure(home=home)
    with track("found"):  # what finds the sensors is not to be measured
        time.sleep(2.0)
    by_hand_j: dict[str, float] = {}
    for name, work in phases(seconds):
        before_j = counter_j()
        with track(name):
            work()
        by_hand_j[name] = counter_j() - before_j
    (Path(home) / BY_HAND).write_text(json.dumps(by_hand_j))


def counter_j() -> float:
    import pynvml

    return pynvml.nvmlDeviceGetTotalEnergyConsumption(pynvml.nvmlDeviceGetHandleByIndex(0)) / 1000


def table(home: str) -> str:
    """A line for each phase: what each sensor says, and how far the range of the one that counts goes."""
    runs = [run["run_id"] for run in joulebook(home, "runs") if run["name"] != "found"]
    by_hand_j = json.loads((Path(home) / BY_HAND).read_text())
    shown = [joulebook(home, "show", run) for run in reversed(runs)]
    lines = [_line(run, by_hand_j[run["name"]]) for run in shown]
    columns = ["counter by hand", *SENSORS, "our range", "mean power"]
    return drawn(lines, {name: name for name in columns})


def _line(run: dict[str, Any], by_hand_j: float) -> Line:
    told = {device["sensor"]: device for device in run["devices"] if device["device"].startswith("gpu:")}
    counted = next(device for device in told.values() if device["counted"])
    values: dict[str, float | str] = {"counter by hand": by_hand_j}
    for name, ending in SENSORS.items():
        sensor = counted["device"].replace("gpu:", "nvml:") + ending
        values[name] = told[sensor]["node_energy_j"]["mid"] if sensor in told else "not here"
    whole = counted["node_energy_j"]
    values["our range"] = f"{whole['low']:,.0f} to {whole['high']:,.0f} J"
    values["mean power"] = f"{whole['mid'] / run['duration_s']:,.1f} W"
    return Line(f"{run['name']}, {run['duration_s']:.0f} s", "J", values, kind=PLAIN)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="of each phase")
    parser.add_argument("--home", type=Path, help="where the journal is kept")
    parser.add_argument("--table", action="store_true", help="only draw what --home holds")
    given = parser.parse_args()
    name = None if given.table else gpu_name()
    if name is None and not given.table:
        print("No NVIDIA GPU is at hand here: nothing is measured, and all that is said of GPUs is the twin's.")
        return
    with tempfile.TemporaryDirectory() as temporary:
        home = str((given.home or Path(temporary)).absolute())
        if name is not None:
            print(name)
            record(home, given.seconds)
        if find_spec("duckdb") is None:
            print(f"The ledger is not installed here: gpu_real.py --home {home} --table draws the table where it is.")
        else:
            print(table(home))


if __name__ == "__main__":
    main()
