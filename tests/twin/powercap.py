"""The powercap half of the twin: a fake sysfs whose energy counters run, with the true energy known.

    build(root, INTEL_SERVER)                       the folders, as a machine of that family shows them
    with feeding(root, INTEL_SERVER) as feeder:     the same, and a process that renews every `energy_uj`
        JOULEBOOK_SYSFS_ROOT=root  …                from this process or from any other
        true_j(INTEL_SERVER, from_s, to_s)          what the counted zones really used, on CLOCK_MONOTONIC

A counter shows the energy since the machine booted, in whole quanta, modulo its range: `value_uj` says which number
stands in the file. Each renewal is one `pwrite` of fixed width, so a reader never sees half a number. The feeder ends
when its standard input closes, so it does not outlive a test that is killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from twin.wave import Wave

CPU = Wave(low_w=40, high_w=160, period_s=1.3)
CPU_1 = Wave(low_w=30, high_w=140, period_s=0.9)
DRAM = Wave(low_w=10, high_w=10)
DRAM_1 = Wave(low_w=4, high_w=12, period_s=2.1)
PSYS = Wave(low_w=90, high_w=210, period_s=1.3)

INTEL_RANGE_UJ = 262_143_328_850
SMALL_RANGE_UJ = 65_532_610_987
WIDTH = 20  # of a value and the spaces after it
PERIOD_S = 0.005


class Zone(NamedTuple):
    """One folder of class/powercap. `counted` is the right answer: whether its energy belongs in a total."""

    folder: str
    name: str
    wave: Wave
    counted: bool = False
    range_uj: int = INTEL_RANGE_UJ
    max_power_w: float | None = None
    quantum_uj: float = 61.035
    begin_j: float = 0.0  # on the counter when the machine booted


class Fault(NamedTuple):
    """What is wrong with the counter of a zone, from one instant of CLOCK_MONOTONIC to another.

    removed    the file is not there; it comes back as a new one
    directory  a folder stands in its place: reading it is an error (EISDIR)
    empty      the file holds nothing
    frozen     the number is not renewed
    reset      at `from_s` the counter begins again at 0, once
    """

    folder: str
    kind: str
    from_s: float
    to_s: float = float("inf")


def _parts(cpu: Wave, share: float) -> Wave:
    return cpu._replace(low_w=cpu.low_w * share, high_w=cpu.high_w * share)


INTEL_CLIENT = (
    Zone("intel-rapl:0", "package-0", CPU, counted=True, max_power_w=125),
    Zone("intel-rapl:0:0", "core", _parts(CPU, 0.7)),
    Zone("intel-rapl:0:1", "uncore", _parts(CPU, 0.1)),
    Zone("intel-rapl:1", "psys", PSYS),
)
INTEL_SERVER = (
    Zone("intel-rapl:0", "package-0", CPU, counted=True, max_power_w=205),
    Zone("intel-rapl:0:0", "dram", DRAM, counted=True, range_uj=SMALL_RANGE_UJ, max_power_w=36, quantum_uj=15.3),
    Zone("intel-rapl:1", "package-1", CPU_1, counted=True, max_power_w=205, begin_j=9e4),
    Zone("intel-rapl:1:0", "dram", DRAM_1, counted=True, range_uj=SMALL_RANGE_UJ, max_power_w=36, quantum_uj=15.3),
)
AMD = (
    Zone("intel-rapl:0", "package-0", CPU, counted=True, range_uj=SMALL_RANGE_UJ, quantum_uj=15.3),
    Zone("intel-rapl:0:0", "core", _parts(CPU, 0.6), range_uj=SMALL_RANGE_UJ, quantum_uj=15.3),
)
AMD_MIRRORED = (  # two dies of one socket show the socket's meter once each
    AMD[0]._replace(name="package-0-die-0"),
    AMD[1],
    Zone("intel-rapl:1", "package-0-die-1", CPU, range_uj=SMALL_RANGE_UJ, quantum_uj=15.3),
    Zone("intel-rapl:1:0", "core", _parts(CPU, 0.6), range_uj=SMALL_RANGE_UJ, quantum_uj=15.3),
)
INTEL_MMIO = (
    *INTEL_CLIENT[:3],
    Zone("intel-rapl-mmio:0", "package-0", CPU, max_power_w=125),
)
FAMILIES = {
    "intel-client": INTEL_CLIENT,
    "intel-server": INTEL_SERVER,
    "amd": AMD,
    "amd-mirrored": AMD_MIRRORED,
    "intel-mmio": INTEL_MMIO,
}


class Feeder:
    """`worst_gap_s`: the longest time that any counter stood without a renewal; known when the feeder has ended."""

    worst_gap_s = 0.0


def build(root: Path, zones: Sequence[Zone], mode: int = 0o444) -> Path:
    """Writes class/powercap as it is now. `mode` is that of every `energy_uj`."""
    for zone in zones:
        folder = root / "class/powercap" / zone.folder
        (folder.parent / zone.folder.split(":")[0]).mkdir(parents=True, exist_ok=True)
        folder.mkdir(exist_ok=True)
        for name, value in _files(zone).items():
            (folder / name).write_text(f"{value}\n")
        counter = folder / "energy_uj"
        counter.write_bytes(_text(value_uj(zone, time.monotonic())))
        counter.chmod(mode)
    return root


@contextlib.contextmanager
def feeding(
    root: Path, zones: Sequence[Zone], faults: Sequence[Fault] = (), period_s: float = PERIOD_S
) -> Iterator[Feeder]:
    """Builds the tree and keeps its counters running in a process of their own."""
    build(root, zones)
    feeder = Feeder()
    environment = {"PYTHONPATH": str(Path(__file__).parents[1]), "PATH": os.environ.get("PATH", "")}
    with subprocess.Popen(
        [sys.executable, "-m", "twin.powercap", str(root), str(period_s)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(json.dumps([zones, faults]) + "\n")
        child.stdin.flush()
        assert child.stdout.readline() == "running\n"
        try:
            yield feeder
        finally:
            child.stdin.close()
            feeder.worst_gap_s = float(child.stdout.readline())


def true_j(zones: Sequence[Zone], from_s: float, to_s: float) -> float:
    """The energy that a total must show: of each counted zone, whatever its counter did."""
    return sum(zone.wave.energy_j(from_s, to_s) for zone in zones if zone.counted)


def value_uj(zone: Zone, at_s: float, faults: Sequence[Fault] = ()) -> int:
    """The number on the counter at an instant."""
    mine = [fault for fault in faults if fault.folder == zone.folder and fault.from_s <= at_s]
    at_s = min([at_s, *(fault.from_s for fault in mine if fault.kind == "frozen" and at_s < fault.to_s)])
    resets = [fault.from_s for fault in mine if fault.kind == "reset" and fault.from_s <= at_s]
    since_j = zone.wave.energy_j(resets[-1], at_s) if resets else zone.begin_j + zone.wave.energy_j(0, at_s)
    return int(since_j * 1e6 // zone.quantum_uj * zone.quantum_uj) % zone.range_uj


def _files(zone: Zone) -> dict[str, object]:
    told: dict[str, object] = {"name": zone.name, "max_energy_range_uj": zone.range_uj, "enabled": 1}
    if zone.max_power_w is not None:
        power_uw = int(zone.max_power_w * 1e6)
        told |= {"constraint_0_name": "long_term", "constraint_0_time_window_us": 999_424}
        told |= {"constraint_0_power_limit_uw": power_uw, "constraint_0_max_power_uw": power_uw}
    return told


def _text(value: int) -> bytes:
    return f"{value:<{WIDTH}}\n".encode()


class _Counter:
    """The file of one zone, as its faults make it."""

    def __init__(self, root: Path, zone: Zone, faults: Sequence[Fault]) -> None:
        self._zone = zone
        self._faults = [fault for fault in faults if fault.folder == zone.folder]
        self._path = root / "class/powercap" / zone.folder / "energy_uj"
        self._state = "there"
        self._fd = os.open(self._path, os.O_WRONLY)

    def renew(self, now_s: float) -> None:
        state = self._state_at(now_s)
        if state != self._state:
            self._become(state, _text(value_uj(self._zone, now_s, self._faults)))
        if state == "there":
            os.pwrite(self._fd, _text(value_uj(self._zone, now_s, self._faults)), 0)

    def _state_at(self, now_s: float) -> str:
        active = [fault.kind for fault in self._faults if fault.from_s <= now_s < fault.to_s]
        return next((kind for kind in active if kind in ("removed", "directory", "empty")), "there")

    def _become(self, state: str, value: bytes) -> None:
        """In one step, as in sysfs: nobody sees a file without its content, or none between two."""
        if self._state in ("there", "empty"):
            os.close(self._fd)
        self._state = state
        if state == "removed":
            self._path.unlink()
            return
        draft = self._path.with_suffix(".new")
        if state == "directory":
            draft.symlink_to(".")
        else:
            self._fd = os.open(draft, os.O_WRONLY | os.O_CREAT, 0o444)
            os.write(self._fd, value if state == "there" else b"")
        draft.rename(self._path)


def _feed(root: Path, period_s: float) -> None:
    """The process: renews every counter each period until standard input closes."""
    with contextlib.suppress(OSError):  # hardware does not wait for the scheduler
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    zones, faults = json.loads(sys.stdin.readline())
    faults = [Fault(*fault) for fault in faults]
    told = [Zone(*zone)._replace(wave=Wave(*zone[2])) for zone in zones]
    counters = [_Counter(root, zone, faults) for zone in told]
    worst_gap_s, last_s = 0.0, time.monotonic()
    for counter in counters:
        counter.renew(last_s)
    print("running", flush=True)  # noqa: T201
    while not select.select([sys.stdin], [], [], period_s - time.monotonic() % period_s)[0]:
        now_s = time.monotonic()
        for counter in counters:
            counter.renew(now_s)
        worst_gap_s, last_s = max(worst_gap_s, now_s - last_s), now_s
    print(worst_gap_s)  # noqa: T201


if __name__ == "__main__":
    _feed(Path(sys.argv[1]), float(sys.argv[2]))
