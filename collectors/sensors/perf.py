"""RAPL through perf: the `power` PMU, for where powercap is not readable. One event per package, and per its DRAM.

    bus/event_source/devices/power/type                 the PMU's number
                                  /cpumask              one CPU of each package (or die): the counters are read there
                                  /events/energy-pkg    "event=0x02", beside it .scale and .unit
                                  /events/energy-ram    DRAM, where the machine counts it

The other events are parts of the package (cores, gpu) or the whole platform (psys): they are never opened. Who may
open an event of all processes has CAP_PERFMON, or perf_event_paranoid is 0 or less.

The value is the event's 64-bit count × its scale, in joules; the kernel handles the 32-bit registers, so nothing goes
round. But an event counts from the moment it was opened, so each process has another number for the same package.
`Total` makes them one counter of the node: a file holds the highest value that any process told, and each adds to its
own count what it lacks to that. So the node's value never falls and never runs ahead of the truth. A process that opens
later, and then is left alone, lacks at most what was used since somebody told a value: one interval.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from joulebook.accounting.home import home_dir
from joulebook.collectors.sensors import Finding, Sample, Sensor, Where
from joulebook.collectors.sensors.powercap import DRAM_MAX_W, PACKAGE_MAX_W, UPDATE_S, accuracy_of
from joulebook.collectors.sensors.sysfs import DENIED, GARBLED, Cpu, cpu_of, errno_name, number_of, text_of

EVENTS = {"energy-pkg": ("package", "cpu", PACKAGE_MAX_W[1]), "energy-ram": ("dram", "dram", DRAM_MAX_W[1])}
SYSCALLS = {"x86_64": 298, "aarch64": 241}  # perf_event_open
ATTRIBUTES_BYTES = 64  # perf_event_attr as it first was; the kernel takes what it does not hold for 0
CLOSE_ON_EXEC = 8
ALL_PROCESSES, NO_GROUP = -1, -1
COUNT = struct.Struct("=Q")
TOTAL_J = struct.Struct("=d")


class Event(NamedTuple):
    """One counter of the PMU `kind` on one CPU."""

    sensor: Sensor
    kind: int
    config: int
    cpu: int
    j_per_count: float


class Total:
    """The joules of one event, as all processes of the node tell them since it booted."""

    def __init__(self, path: Path) -> None:
        self._lacks_j = 0.0  # our own count, to be the node's
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def of(self, own_j: float) -> float:
        """The node's value that goes with our own count now. It does not wait for another process."""
        with contextlib.suppress(OSError):  # somebody else writes right now, or nobody can
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            try:
                self._agree(own_j)
            finally:
                fcntl.flock(self._fd, fcntl.LOCK_UN)
        return own_j + self._lacks_j

    def _agree(self, own_j: float) -> None:
        told = os.pread(self._fd, TOTAL_J.size, 0)
        if len(told) == TOTAL_J.size:
            self._lacks_j = max(self._lacks_j, TOTAL_J.unpack(told)[0] - own_j)
        os.pwrite(self._fd, TOTAL_J.pack(own_j + self._lacks_j), 0)

    def close(self) -> None:
        os.close(self._fd)


class Perf:
    """The events that are open, by the files that count them."""

    name = "perf"
    rest_s = UPDATE_S
    interval_s = None

    def __init__(self, opened: dict[int, Event], folder: Path, boot: str) -> None:
        self._events = {event.sensor.sensor: event for event in opened.values()}
        self._fds = {event.sensor.sensor: fd for fd, event in opened.items()}
        self._totals = {name: Total(folder / f"{boot}.{name}.total") for name in self._events}
        self.read(self._events)  # from here each knows what it lacks

    def sensors(self) -> Sequence[Sensor]:
        return [event.sensor for event in self._events.values()]

    def read(self, names: Collection[str]) -> Sequence[Sample]:
        return [self._sample(name) for name in names if name in self._fds]

    def close(self) -> None:
        for name, fd in self._fds.items():
            os.close(fd)
            self._totals[name].close()
        self._fds = {}

    def _sample(self, name: str) -> Sample:
        try:
            count = COUNT.unpack(os.read(self._fds[name], COUNT.size))[0]
            return Sample(name, self._totals[name].of(count * self._events[name].j_per_count))
        except OSError as error:
            return Sample(name, None, errno_name(error))
        except struct.error:  # nothing to read: the event is in an error state
            return Sample(name, None, GARBLED)


def open_meter(where: Where, folder: Path | None = None) -> Perf | None:
    """The meter, None where there is no such PMU or where it is not open to us. Its totals stand in `folder`."""
    opened, _ = _opened(where)
    if not opened:
        return None
    folder = folder or home_dir() / "lease"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Perf(opened, folder, text_of(where.proc / "sys/kernel/random/boot_id") or "boot")


def diagnose(where: Where) -> list[Finding]:
    """One finding for each event, or why there is none."""
    folder = _folder(where)
    if not folder.is_dir():
        why = f"{folder} is not there: the driver is not loaded, or this machine has no RAPL (most virtual ones)"
        return [Finding("perf power", "warn", why, "sudo modprobe rapl", str(folder))]
    opened, refused = _opened(where)
    for fd in opened:
        os.close(fd)
    findings = [_usable(event.sensor) for event in opened.values()]
    findings += [_refused(where, event.sensor, status) for event, status in refused]
    return findings or [Finding("perf power", "warn", f"{folder} has no event energy-pkg", "", str(folder))]


def _opened(where: Where) -> tuple[dict[int, Event], list[tuple[Event, str]]]:
    """The events by their open files, and those that would not open, each with the errno name."""
    opened, refused = {}, []
    for event in _events(where):
        try:
            opened[_perf_event_open(event)] = event
        except OSError as error:
            refused.append((event, errno_name(error)))
    return opened, refused


def _events(where: Where) -> list[Event]:
    folder = _folder(where)
    kind = number_of(folder / "type")
    places = _places(where, _cpus(text_of(folder / "cpumask") or ""))
    about = cpu_of(where)
    found = []
    for name in EVENTS:
        config, j_per_count = _event(folder / "events" / name)
        if kind is not None and config is not None and j_per_count is not None:
            found += [
                Event(_sensor(folder / "events" / name, which, about), kind, config, cpu, j_per_count)
                for cpu, which in places.items()
            ]
    return found


def _event(path: Path) -> tuple[int | None, float | None]:
    """The config of an event and the joules of one count; None where the files do not say."""
    unit = text_of(path.with_name(f"{path.name}.unit"))
    try:
        config = int((text_of(path) or "").removeprefix("event="), 0)
        return config, float(text_of(path.with_name(f"{path.name}.scale")) or "") if unit == "Joules" else None
    except ValueError:
        return None, None


def _sensor(path: Path, which: str, about: Cpu) -> Sensor:
    part, device, max_w = EVENTS[path.name]
    return Sensor(
        f"perf:{part}-{which}",
        f"{device}:{which}",
        "J",
        "measured",
        str(path),
        model=about.model if part == "package" else None,
        update_s=UPDATE_S,
        accuracy=accuracy_of(part, about),
        max_w=max_w,
    )


def _cpus(text: str) -> list[int]:
    """`0,18-19` -> 0, 18, 19."""
    cpus: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        if first.isdigit() and (last or first).isdigit():
            cpus += range(int(first), int(last or first) + 1)
    return cpus


def _places(where: Where, cpus: Sequence[int]) -> dict[int, str]:
    """CPU -> its package, as powercap names it: "0", or "0-die-1" where the package has several."""
    topology = {cpu: where.sys / f"devices/system/cpu/cpu{cpu}/topology" for cpu in cpus}
    packages = {cpu: number_of(path / "physical_package_id") for cpu, path in topology.items()}
    dies = {cpu: number_of(path / "die_id") or 0 for cpu, path in topology.items()}
    known = list(packages.values())
    places = {}
    for number, cpu in enumerate(cpus):
        package = number if packages[cpu] is None else packages[cpu]
        places[cpu] = f"{package}-die-{dies[cpu]}" if known.count(package) > 1 else f"{package}"
    return places


def _perf_event_open(event: Event) -> int:
    attributes = struct.pack("=IIQ", event.kind, ATTRIBUTES_BYTES, event.config).ljust(ATTRIBUTES_BYTES, b"\0")
    return perf_event_open(attributes, ALL_PROCESSES, event.cpu)


def perf_event_open(attributes: bytes, pid: int, cpu: int) -> int:
    """The file that counts the event of these `perf_event_attr` for a process on a CPU; -1: any. Raises OSError."""
    import ctypes  # 4 ms, needed by nobody who can read powercap

    number = SYSCALLS.get(os.uname().machine)
    if number is None:
        raise OSError(errno.ENOSYS, "perf_event_open")
    syscall = ctypes.CDLL(None, use_errno=True).syscall
    syscall.restype = ctypes.c_long
    fd = syscall(
        ctypes.c_long(number),
        ctypes.create_string_buffer(attributes, len(attributes)),
        ctypes.c_long(pid),
        ctypes.c_long(cpu),
        ctypes.c_long(NO_GROUP),
        ctypes.c_ulong(CLOSE_ON_EXEC),
    )
    if fd < 0:
        raise OSError(ctypes.get_errno(), "perf_event_open")
    return fd


def _folder(where: Where) -> Path:
    return where.sys / "bus/event_source/devices/power"


# For `joulebook doctor`.

PARANOID = (
    "Let every user count: `sudo sysctl kernel.perf_event_paranoid=0` (for good: a line in /etc/sysctl.d); or this "
    "interpreter only: `sudo setcap cap_perfmon+ep {python}` (Linux 5.8; it then ignores LD_LIBRARY_PATH); in a "
    "container: `docker run --cap-add PERFMON …`"
)


def _usable(sensor: Sensor) -> Finding:
    interval = f"±{sensor.accuracy * 100:.0f} %"
    detail = "open; used where powercap is not readable"
    return Finding(_what(sensor), "ok", detail, "", sensor.source, tier="measured", interval=interval)


def _refused(where: Where, sensor: Sensor, status: str) -> Finding:
    denied = status in DENIED
    paranoid = number_of(where.proc / "sys/kernel/perf_event_paranoid")
    why = f"perf_event_open by uid {os.geteuid()}: {status}"
    if denied and paranoid is not None:
        why += f"; {where.proc}/sys/kernel/perf_event_paranoid is {paranoid}, and 0 or less is needed"
    fix = PARANOID.format(python=Path(sys.executable).resolve()) if denied else ""
    return Finding(_what(sensor), "warn", why, fix, sensor.source, tier="measured")


def _what(sensor: Sensor) -> str:
    return f"perf {sensor.sensor.partition(':')[2]}"
