"""A node that never was: its devices draw a power known in closed form, and its processes record them without waiting.

    Device      what one sensor shows at an instant: renewed now and then, off by a little, wrapped, reset, unreadable
    Process     runs (root spans) with pieces (child spans) inside, CPU time, busy time of devices
    Node        lets them all happen in order of time and writes their journals as the recorder does

Every process reads all sensors at the edges of its spans; at ticks only the one that holds the lease does. A value is
stamped up to `delay_s` after it was read. Times are seconds since the beginning of 2026, as in `handmade`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, Protocol

from handmade import HandmadeJournal

from joulebook.accounting.records import uuid7
from joulebook.collectors.sensors import COUNTER_UNITS, GAUGE_UNITS, Sensor


class Power(Protocol):
    """Watts over time, or whatever else adds up over time: busy CPUs, the part of a device that is busy."""

    def energy_j(self, from_s: float, to_s: float) -> float: ...


class Sum(NamedTuple):
    """Several powers at once."""

    parts: tuple[Power, ...]

    def energy_j(self, from_s: float, to_s: float) -> float:
        return math.fsum(part.energy_j(from_s, to_s) for part in self.parts)


class Steady(NamedTuple):
    """The same all the time."""

    power_w: float

    def energy_j(self, from_s: float, to_s: float) -> float:
        return self.power_w * (to_s - from_s)


class During(NamedTuple):
    """Only between two instants."""

    power: Power
    begin_s: float
    end_s: float

    def energy_j(self, from_s: float, to_s: float) -> float:
        from_s, to_s = max(from_s, self.begin_s), min(to_s, self.end_s)
        return self.power.energy_j(from_s, to_s) if from_s < to_s else 0.0


class Scaled(NamedTuple):
    """So many times another power, e.g. watts per busy CPU."""

    power: Power
    factor: float

    def energy_j(self, from_s: float, to_s: float) -> float:
        return self.factor * self.power.energy_j(from_s, to_s)


NONE = Steady(0.0)


class Device(NamedTuple):
    """A sensor and the power behind it. `quantum` and `begins_at` are in the sensor's unit."""

    sensor: Sensor
    power: Power
    gain: float = 0.0  # it shows (1 + gain) times the truth
    quantum: float = 0.0
    begins_at: float = 0.0
    phase_s: float = 0.0  # of its updates
    reset_s: float = math.inf
    outages: tuple[tuple[float, float], ...] = ()
    glitches: tuple[tuple[float, float, float], ...] = ()  # from, to, and what it shows then

    def sample(self, at_s: float) -> dict[str, Any]:
        """Its entry in a journal."""
        if any(begin <= at_s < end for begin, end in self.outages):
            return {"sensor": self.sensor.sensor, "status": "EIO"}
        shown = next((value for begin, end, value in self.glitches if begin <= at_s < end), None)
        return {"sensor": self.sensor.sensor, "value": self._value(at_s) if shown is None else shown}

    def _value(self, at_s: float) -> float:
        sensor = self.sensor
        if sensor.unit == "GB":
            return self.power.energy_j(0, 1)
        update_s = sensor.update_s
        seen_s = math.floor((at_s - self.phase_s) / update_s) * update_s + self.phase_s if update_s else at_s
        if sensor.unit in GAUGE_UNITS:
            window_s = sensor.window_s or 1e-6
            mean_w = self.power.energy_j(seen_s - window_s, seen_s) / window_s
            return self._quantised(mean_w * (1 + self.gain) / GAUGE_UNITS[sensor.unit])
        begun_s, begins_at = (self.reset_s, 0.0) if seen_s >= self.reset_s else (0.0, self.begins_at)
        counted = self.power.energy_j(begun_s, seen_s) * (1 + self.gain) / COUNTER_UNITS.get(sensor.unit, 1.0)
        value = self._quantised(begins_at + counted)
        return value % sensor.wraps_at if sensor.wraps_at else value

    def _quantised(self, value: float) -> float:
        return math.floor(value / self.quantum) * self.quantum if self.quantum else value


class Job(NamedTuple):
    """A run, and the pieces of work inside it that have spans of their own."""

    start_s: float
    end_s: float
    pieces: tuple[tuple[float, float], ...] = ()


class Process(NamedTuple):
    """`killed_s`: its journal stops there. `late_s`: its sensors answer only so long after it began."""

    jobs: tuple[Job, ...]
    cpu: Power = NONE  # busy CPUs
    busy: Mapping[str, Power] = {}  # device -> the part of it that we keep busy
    reserved: Mapping[str, float] = {}  # sensor -> the part of it that is set aside for us
    reserved_as: str | None = None
    killed_s: float = math.inf
    late_s: float = 0.0
    phase_s: float = 0.0  # of its ticks
    sensors: bool = True  # False: it knows of no sensor of the node, as version 1 did

    @property
    def begun_s(self) -> float:
        return min(job.start_s for job in self.jobs)

    @property
    def gone_s(self) -> float:
        return min(self.killed_s, max(job.end_s for job in self.jobs))


def cpu_of(processes: Iterable[Process]) -> Sum:
    """The CPUs that some processes keep busy."""
    return Sum(tuple(During(process.cpu, process.begun_s, process.gone_s) for process in processes))


def busy_of(processes: Iterable[Process], device: str) -> Sum:
    """The part of a device that some processes keep busy."""
    return Sum(tuple(During(p.busy[device], p.begun_s, p.gone_s) for p in processes if device in p.busy))


def node_cpu(processes: Iterable[Process], others: Power = NONE, **fields: Any) -> Device:
    """The sensor of busy CPU seconds: what the processes use, and what others do."""
    sensor = Sensor("node-cpu", "cpu", "s", "measured", "/proc/stat", counted=False)
    return Device(sensor, Sum((cpu_of(processes), others)), **fields)


class Ran(NamedTuple):
    """A run as the journal has it."""

    run_id: str
    from_s: float
    to_s: float
    pieces: list[str]  # span ids


class Reader:
    """One process while it happens."""

    def __init__(self, node: Node, process: Process) -> None:
        self.node, self.process = node, process
        self.journals: list[HandmadeJournal] = []
        self.ran: dict[Job, Ran] = {}
        self.open: list[Job] = []
        self.begun_s = process.begun_s
        self._last: dict[str, tuple[float, float]] = {}
        self._read_s = -math.inf
        self._stamp_s = self.begun_s
        self.begin_journal(self.begun_s)

    def begin_journal(self, at_s: float) -> None:
        before = {"previous_id": self.journals[-1].journal_id} if self.journals else {}
        header = {"version": 2 if self.process.sensors else 1, "boot_id": self.node.boot_id, "cpus": self.node.cpus}
        self.journal = HandmadeJournal(self.node.home, begun_s=at_s, **header, **before)
        self.journals.append(self.journal)
        self.journal.sensor()
        for device in self.process.busy:
            for sensor in (f"busy:{device}", f"busy-all:{device}"):
                self.journal.sensor(sensor, device=device, method="attributed")
        for device in self.node.devices if self.process.sensors else ():
            name = device.sensor.sensor
            reserved = self.process.reserved.get(name, device.sensor.reserved)
            self.journal.node_sensor(device.sensor._replace(reserved=reserved, reserved_as=self.process.reserved_as))

    def own(self, at_s: float) -> list[dict[str, Any]]:
        """The counters of the process: what each counted, shared between the runs that are open."""
        process, begun_s = self.process, self.begun_s
        values = {"cpu-time": process.cpu.energy_j(begun_s, at_s)}
        for device, power in process.busy.items():
            values[f"busy:{device}"] = power.energy_j(begun_s, at_s)
            values[f"busy-all:{device}"] = busy_of(self.node.processes, device).energy_j(begun_s, at_s)
        entries: list[dict[str, Any]] = []
        for sensor, value in values.items():
            last, shared = self._last.get(sensor, (value, 0.0))
            shared += (value - last) / max(1, len(self.open))
            self._last[sensor] = value, shared
            entries.append({"sensor": sensor, "value": value, "shared": shared})
        return entries

    def of_node(self, at_s: float) -> list[dict[str, Any]]:
        """The sensors of the node."""
        if not self.process.sensors or at_s < self.begun_s + self.process.late_s:
            return []
        if at_s - self._read_s < self.node.rest_s:
            return []
        self._read_s = at_s
        return [device.sample(at_s) for device in self.node.devices]

    def happen(self, at_s: float, what: str, job: Job, piece: int) -> None:
        if at_s - self.begun_s >= len(self.journals) * self.node.rotate_s:
            self.begin_journal(at_s)
        stamp_s = at_s + self.node.delay_s * self.node.random.random()
        self._stamp_s = max(self._stamp_s, stamp_s)
        if what == "tick":
            self.journal.event("reading", stamp_s, counters=self.own(at_s))
        elif what == "sense":
            if self.node.holds(self):
                self._write_values(at_s, stamp_s)
        elif what == "ready":
            self._write_values(at_s, stamp_s)
        elif what == "start":
            self._start(at_s, stamp_s, job, piece)
        else:
            self._end(at_s, stamp_s, job, piece)

    def die(self) -> None:
        """Its journal stops, and the kernel lets its leases go."""
        for job in self.open:
            self.ran[job] = self.ran[job]._replace(to_s=self._stamp_s)
        self.open.clear()

    def _write_values(self, at_s: float, stamp_s: float) -> None:
        values = self.of_node(at_s)
        if values:
            self.journal.event("reading", stamp_s, counters=values)

    def _start(self, at_s: float, stamp_s: float, job: Job, piece: int) -> None:
        span_id = uuid7()
        parent = None if piece < 0 else (self.ran[job].run_id, self.ran[job].run_id)
        ids = {"span_id": span_id, "run_id": parent[0] if parent else span_id}
        above = {"parent_id": parent[1]} if parent else {}
        counters = self.own(at_s) + self.of_node(at_s)
        self.journal.event("span_start", stamp_s, **ids, **above, name="job", counters=counters)
        if parent:
            self.ran[job].pieces.append(span_id)
        else:
            self.ran[job] = Ran(span_id, stamp_s, stamp_s, [])
            self.open.append(job)

    def _end(self, at_s: float, stamp_s: float, job: Job, piece: int) -> None:
        ran = self.ran[job]
        span_id = ran.run_id if piece < 0 else ran.pieces[piece]
        counters = self.own(at_s) + self.of_node(at_s)
        self.journal.event("span_end", stamp_s, span_id=span_id, run_id=ran.run_id, ok=True, counters=counters)
        if piece < 0:
            self.open.remove(job)
            self.ran[job] = ran._replace(to_s=stamp_s)


class Node:
    """One boot of one machine. `seed` decides the jitter."""

    def __init__(self, home: Path, devices: Sequence[Device], *, boot_id: str | None = None, seed: int = 0) -> None:
        self.home, self.devices = home, devices
        self.boot_id = boot_id or uuid7()
        self.cpus = 8
        self.interval_s = 1.0
        self.jitter_s = 0.0  # a tick comes up to so much late
        self.delay_s = 0.0  # a value is stamped up to so much after it was read
        self.rest_s = 0.0  # an edge so soon after the last reading reads nothing
        self.rotate_s = math.inf  # how long a journal grows
        self.random = Random(seed)  # noqa: S311
        self.processes: list[Process] = []
        self.journals: list[HandmadeJournal] = []
        self._holder: Reader | None = None

    def holds(self, reader: Reader) -> bool:
        """Whether a process holds the lease, after trying to take it."""
        if self._holder is None or not self._holder.open:
            self._holder = reader
        return self._holder is reader

    def write(self, processes: Iterable[Process]) -> list[list[Ran]]:
        """Lets the processes happen; the runs of each, in their order."""
        self.processes = list(processes)
        readers = [Reader(self, process) for process in self.processes]
        happenings = [(*what, reader) for reader in readers for what in self._schedule(reader.process)]
        for at_s, what, job, piece, reader in sorted(happenings, key=itemgetter(0)):
            if at_s < reader.process.killed_s:
                reader.happen(at_s, what, job, piece)
            else:
                reader.die()
        self.journals = [journal for reader in readers for journal in reader.journals]
        for journal in self.journals:
            journal.write()
        return [list(reader.ran.values()) for reader in readers]

    def _schedule(self, process: Process) -> list[tuple[float, str, Job, int]]:
        """What a process does when, but for what the others decide."""
        found: list[tuple[float, str, Job, int]] = []
        for job in process.jobs:
            found.append((job.start_s, "start", job, -1))
            for number, (begin_s, end_s) in enumerate(job.pieces):
                found += [(begin_s, "start", job, number), (end_s, "end", job, number)]
            found.append((job.end_s, "end", job, -1))
        first = process.jobs[0]
        if process.late_s:
            found.append((first.start_s + process.late_s, "ready", first, -1))
        for begin_s, end_s in _merged(process.jobs):
            for number in range(1, math.ceil((end_s - begin_s) / self.interval_s) + 1):
                at_s = begin_s + process.phase_s + number * self.interval_s + self.jitter_s * self.random.random()
                if at_s < end_s:
                    found += [(at_s, "tick", first, -1), (at_s, "sense", first, -1)]
        if process.killed_s < math.inf:
            found.append((process.killed_s, "killed", first, -1))
        return found


def _merged(jobs: Sequence[Job]) -> list[tuple[float, float]]:
    """The stretches of time in which some job runs."""
    merged: list[tuple[float, float]] = []
    for job in sorted(jobs):
        if merged and job.start_s <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], job.end_s)
        else:
            merged.append((job.start_s, job.end_s))
    return merged
