"""The memory of the node, where no sensor sees it: a model's input, not a measurement.

DRAM draws power for being there, much more than for being used. So what is told is the installed memory in GB (1e9
bytes), a job's part of it is what it reserved, and energy is GB × time × a factor, with the factor's range, at
assessment. The recorder opens this only where no sensor counts DRAM.

MemTotal leaves out what firmware and the kernel keep for themselves: up to 3 % of what is installed. It is read once;
memory that is plugged in while a job runs is not seen.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from joulebook.collectors.sensors import Finding, Sample, Sensor, Where
from joulebook.collectors.sensors.sysfs import text_of

SENSOR = "memory"
BYTES_PER_KIB = 1024
ACCURACY = 0.03


class Memory:
    """The same number at every read."""

    name = SENSOR
    rest_s = 1.0
    interval_s = None

    def __init__(self, path: str, installed_gb: float) -> None:
        self._path = path
        self._installed_gb = installed_gb

    def sensors(self) -> Sequence[Sensor]:
        return [Sensor(SENSOR, "dram:model", "GB", "modelled", self._path, accuracy=ACCURACY, share_by="reservation")]

    def read(self, names: Collection[str]) -> Sequence[Sample]:
        return [Sample(SENSOR, self._installed_gb)] if SENSOR in names else []

    def close(self) -> None:
        """Nothing is open."""


def open_meter(where: Where) -> Memory | None:
    """The meter, None where the node does not say how much memory it has."""
    installed_gb = _installed_gb(where)
    return None if installed_gb is None else Memory(str(where.proc / "meminfo"), installed_gb)


def diagnose(where: Where) -> list[Finding]:
    """How much memory the model would be asked about."""
    path = str(where.proc / "meminfo")
    installed_gb = _installed_gb(where)
    if installed_gb is None:
        return [Finding("DRAM model", "warn", f"{path} does not say MemTotal", "", path)]
    detail = f"{installed_gb:.1f} GB; modelled by a factor per GB, only where no sensor counts the DRAM"
    return [Finding("DRAM model", "ok", detail, "", path, tier="modelled")]


def _installed_gb(where: Where) -> float | None:
    """GB: MemTotal in KiB × 1024 / 1e9."""
    for line in (text_of(where.proc / "meminfo") or "").splitlines():
        fields = line.split()
        if len(fields) == 3 and fields[0] == "MemTotal:" and fields[1].isdigit():
            return int(fields[1]) * BYTES_PER_KIB / 1e9
    return None
