"""The energy sensors of a node: each one file, each behind `read()`. Standard library only; a device library is lazy.

    powercap · perf · hwmon · nvml · amd · apple        what the hardware tells
    memory                                              a model, only where no sensor sees the DRAM
    node_cpu                                            whose energy it is: busy CPU seconds of the node

A sensor belongs to the node, not to a process: ranks that read the same one write the same counter, and the ledger
counts it once. Values are raw, as the kernel or the driver gave them; joules are derived when they are in the ledger.

Every file has two functions: `open_meter(where)` gives a `NodeMeter`, or None where the hardware is not here, and
`diagnose(where)` gives `Finding`s for `joulebook doctor`. Neither raises for a machine that is merely different.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

# Raw unit -> J (a counter), W (a gauge), busy seconds, or GB held. A counter's energy is a difference, a gauge's an
# integral over time; GB held becomes energy by a factor.
COUNTER_UNITS = {"J": 1.0, "mJ": 1e-3, "uJ": 1e-6}
GAUGE_UNITS = {"W": 1.0, "mW": 1e-3, "uW": 1e-6}


class Where(NamedTuple):
    """Where the kernel shows the hardware: other folders in a test."""

    sys: Path = Path("/sys")
    proc: Path = Path("/proc")


class Sensor(NamedTuple):
    """What one sensor is. It is written to the journal once, before its first value."""

    sensor: str  # its id, the same in every process of the node: "powercap:package-0", "nvml:GPU-9f…"
    device: str  # class:which, e.g. "cpu:0" "dram:0" "gpu:GPU-9f…" "module:0"
    unit: str  # of the raw value, one of the above
    method: str  # "measured": a counter; "integrated": a gauge; "modelled"
    source: str  # the file or the call behind it
    model: str | None = None  # what the maker calls the device
    wraps_at: float | None = None  # the raw value after which a counter begins again at 0
    update_s: float = 0.0  # how often the hardware renews the value: a reading may be that old
    window_s: float | None = None  # of a gauge: the time one value is the mean of
    accuracy: float = 0.0  # relative, either way
    max_w: float | None = None  # more than this it cannot draw: for wraps, resets and gaps
    share_by: str = "cpu"  # how processes share it: "cpu" time, "busy" time of the device, or "reservation"
    reserved: float = 1.0  # the part of the device that is set aside for this process, 0 to 1
    reserved_as: str | None = None  # whose part that is: processes that say the same share one part (a cgroup, a slice)
    counted: bool = True  # False: written for comparison, never added to a total
    boundary: str = "device"


class Sample(NamedTuple):
    """One raw value now. `value` is None where it could not be read, and `status` says why: "EIO", "NotSupported"…"""

    sensor: str
    value: float | None
    status: str = "ok"


class NodeMeter(Protocol):
    """The sensors of one kind.

    `rest_s`: values closer in time than this say nothing new. `interval_s`: how often it must be read, where that is
    more often than the recorder's own interval (a gauge), else None. `read` gives a sample for each of the sensors
    named, in any order, never raises for a sensor that fails, and never blocks longer than the driver does.
    """

    name: str
    rest_s: float
    interval_s: float | None

    def sensors(self) -> Sequence[Sensor]: ...
    def read(self, names: Collection[str]) -> Sequence[Sample]: ...
    def close(self) -> None: ...


class Finding(NamedTuple):
    """What `joulebook doctor` says of one sensor. `state` is ok, warn or fail."""

    what: str  # "NVML", "RAPL package-0", …
    state: str
    detail: str  # what was looked at, what was found, why it cannot be used
    fix: str = ""  # the exact thing to do
    source: str = ""  # the file or the call
    mode: str = ""  # permission bits, e.g. "0400"
    tier: str = ""  # measured · integrated · attributed · modelled: what its energy will be
    interval: str = ""  # what range to expect, e.g. "±5 %"
