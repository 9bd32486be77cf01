"""Busy CPU seconds of the node: what a job's own CPU seconds are a share of. No energy, never in a total.

The first line of /proc/stat counts ticks since boot, for all CPUs together:

    cpu  user nice system idle iowait irq softirq steal guest guest_nice

Busy is user + nice + system + irq + softirq. `user` and `nice` hold the guests' time already. While a CPU waits for a
disk it is idle, and what the hypervisor stole ran somebody else's work on power that is not shown to us.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence

from joulebook.collectors.sensors import Finding, Sample, Sensor, Where
from joulebook.collectors.sensors.sysfs import GARBLED, errno_name

SENSOR = "node-cpu"
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
FIRST_LINE = 256  # bytes: ten numbers of 20 digits and more


class NodeCpu:
    """Keeps /proc/stat open and reads its first line."""

    name = SENSOR
    rest_s = 1 / TICKS_PER_S
    interval_s = None

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = os.open(path, os.O_RDONLY)

    def sensors(self) -> Sequence[Sensor]:
        return [Sensor(SENSOR, "cpu", "s", "measured", self._path, update_s=self.rest_s, counted=False)]

    def read(self, names: Collection[str]) -> Sequence[Sample]:
        return [self._sample()] if SENSOR in names else []

    def close(self) -> None:
        os.close(self._fd)

    def _sample(self) -> Sample:
        try:
            return Sample(SENSOR, _busy_s(os.pread(self._fd, FIRST_LINE, 0)))
        except OSError as error:
            return Sample(SENSOR, None, errno_name(error))
        except (ValueError, IndexError):
            return Sample(SENSOR, None, GARBLED)


def open_meter(where: Where) -> NodeCpu | None:
    """The meter, None where there is no /proc/stat."""
    try:
        return NodeCpu(str(where.proc / "stat"))
    except OSError:
        return None


def diagnose(where: Where) -> list[Finding]:
    """Whether the node's busy time is known: without it no job's share of the CPU is."""
    path = str(where.proc / "stat")
    meter = open_meter(where)
    (sample,) = meter.read([SENSOR]) if meter else [Sample(SENSOR, None, "ENOENT")]
    if meter:
        meter.close()
    if sample.value is None:
        why = f"{path} cannot be read: {sample.status}; a job's share of the CPU energy stays unknown"
        return [Finding(SENSOR, "fail", why, "mount /proc of the node into the container", path)]
    return [Finding(SENSOR, "ok", f"the node's CPUs were busy for {sample.value:.0f} s since it booted", "", path)]


def _busy_s(stat: bytes) -> float:
    """Seconds: (user + nice + system + irq + softirq) / ticks per second."""
    fields = stat.split(b"\n", 1)[0].split()
    if fields[0] != b"cpu":
        raise ValueError
    user, nice, system, _idle, _iowait, irq, softirq = map(int, fields[1:8])
    return (user + nice + system + irq + softirq) / TICKS_PER_S
