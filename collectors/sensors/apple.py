"""Apple silicon, through `zeus_apple_silicon`: what macOS says of the energy of CPU, GPU, Neural Engine and memory.

    cpu_total_mj -> cpu:0      gpu_mj -> gpu:0      ane_mj -> ane:0      dram_mj -> dram:0

Each is a counter in millijoules that needs no rights. A chip that does not have one of them says None: no sensor.
`gpu_sram_mj` is written for comparison: whether the GPU's energy holds it is not documented.

Apple calls these values estimates, and they are believed to follow from use, frequency and voltage: they are modelled,
not measured. No accuracy is published: ±20 % is taken.

This was written from the interface of zeus-apple-silicon 1.1 and tested on a stand-in for it, never on a real Mac.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Collection, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

from joulebook.collectors.sensors import Finding, Sample, Sensor, Where

PACKAGE = "zeus_apple_silicon"
UPDATE_S = 0.01
ACCURACY = 0.20


class Channel(NamedTuple):
    """One number of the monitor, and the device that it tells of."""

    field: str
    device: str
    share_by: str
    counted: bool = True


CHANNELS = (
    Channel("cpu_total_mj", "cpu:0", "cpu"),
    Channel("gpu_mj", "gpu:0", "reservation"),
    Channel("gpu_sram_mj", "gpu:0", "reservation", counted=False),
    Channel("ane_mj", "ane:0", "reservation"),
    Channel("dram_mj", "dram:0", "cpu"),
)


def open_meter(where: Where) -> AppleMeter | None:  # noqa: ARG001 - macOS has no such folders
    """The counters of this Mac; None where it is none, or the package is not installed."""
    monitor, _ = _monitor()
    meter = None if monitor is None else AppleMeter(monitor)
    return meter if meter is not None and meter.sensors() else None


class AppleMeter:
    """The meter `apple`."""

    name = "apple"
    rest_s = UPDATE_S
    interval_s = None

    def __init__(self, monitor: Any) -> None:
        self._monitor = monitor
        now = monitor.get_cumulative_energy()
        self._channels = {
            f"apple:{channel.field.removesuffix('_mj')}": channel
            for channel in CHANNELS
            if getattr(now, channel.field, None) is not None
        }

    def sensors(self) -> Sequence[Sensor]:
        return [_sensor(name, channel) for name, channel in self._channels.items()]

    def read(self, names: Collection[str]) -> Sequence[Sample]:
        wanted = [(name, channel.field) for name, channel in self._channels.items() if name in names]
        try:
            now = self._monitor.get_cumulative_energy()
        except RuntimeError as error:  # what C++ throws
            return [Sample(name, None, type(error).__name__) for name, _ in wanted]
        return [_sample(name, getattr(now, field, None)) for name, field in wanted]

    def close(self) -> None:
        """There is nothing to close."""


def _monitor() -> tuple[Any | None, str]:
    """The monitor, or None and why not."""
    if sys.platform != "darwin" or platform.machine() != "arm64":
        return None, ""
    if find_spec(PACKAGE) is None:
        return None, "zeus-apple-silicon is not installed"
    try:
        return import_module(PACKAGE).AppleEnergyMonitor(), ""
    except (ImportError, RuntimeError) as error:
        return None, f"zeus-apple-silicon does not work here ({type(error).__name__})"


def _sample(name: str, value: float | None) -> Sample:
    return Sample(name, None, "missing") if value is None else Sample(name, value)


def _sensor(name: str, channel: Channel) -> Sensor:
    return Sensor(
        sensor=name,
        device=channel.device,
        unit="mJ",
        method="modelled",
        source=f"IOReport, {channel.field}",
        model="Apple silicon",
        update_s=UPDATE_S,
        accuracy=ACCURACY,
        share_by=channel.share_by,
        counted=channel.counted,
    )


def diagnose(where: Where) -> list[Finding]:  # noqa: ARG001 - as above
    """What this Mac tells; nothing on another machine."""
    monitor, reason = _monitor()
    if monitor is None:
        return [Finding("Apple silicon", "warn", reason, "pip install zeus-apple-silicon", PACKAGE)] if reason else []
    sensors = AppleMeter(monitor).sensors()
    devices = ", ".join(sensor.device for sensor in sensors if sensor.counted)
    if not devices:
        return [Finding("Apple silicon", "warn", "this chip tells no energy", "nothing to do; it stays unknown")]
    return [Finding("Apple silicon", "ok", f"energy as macOS estimates it: {devices}", source="IOReport",
                    tier="modelled", interval=f"±{ACCURACY:.0%}")]  # fmt: skip
