"""The sensors of this node: which are here, which of them count, and when each is read.

    inventory ─> every kind of sensor is asked once ─> covered: no joule twice
    serve     ─> an edge of a span: every sensor                                ─┐
                 a tick: those that this process has leases of                  ─┼─> a batch, in one line of the journal
                 a beat of a gauge: it, if this process has its lease           ─┘

All of it happens on a thread of its own, because a driver may take its time or never answer. Who asks waits for a
moment and goes on without. At an edge a meter is read unless it was read less than its `rest_s` ago. Who was busy is
read at the edges too, but only at ticks five or ten seconds apart: it shares out energy and is none. A gauge has its
own clock, quicker than the recorder's, in the process that holds its lease; who does not, tries for it at each tick.

Cover: the CPU's energy is that of the first of powercap, perf and hwmon that has it. Where a sensor of a whole module
counts, those of its CPU do not. The memory's is a model's only where no sensor sees it, and busy seconds of the node
are read only where something is to be shared by them.

JOULEBOOK_SENSORS: `none`, or the kinds of sensors to look for and no others. JOULEBOOK_SYSFS_ROOT and
JOULEBOOK_PROCFS_ROOT: where the kernel shows its files.
"""

from __future__ import annotations

import math
import time
from _queue import Empty, SimpleQueue
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

from joulebook.accounting.records import Meter, Reading
from joulebook.collectors import cgroup
from joulebook.collectors.lease import Leases
from joulebook.collectors.sampler import attempt, checked, missing, next_s
from joulebook.collectors.sensors import NodeMeter, Sample, Sensor, Where

CPU_ENERGY = ("powercap", "perf", "hwmon")
HARDWARE = (*CPU_ENERGY, "nvml", "amd", "apple")
MODEL, SHARED_BY = "memory", "node_cpu"
KINDS = (*HARDWARE, MODEL)
USE_REST_S = 0.1  # of a meter that tells this process's use of a device
BUSY_TICK_S = 4.5  # who was busy is read at ticks so long apart at least: energy is, at every one
USE_TICK_S = 9.5  # of the GPUs, which costs a driver milliseconds, and tells of all the time since it was last read
SAY_AGAIN_S = 60.0  # a sensor that goes on failing is told that often


class Found(NamedTuple):
    """A meter, and those of its sensors that are to be read."""

    kind: str
    meter: NodeMeter
    sensors: tuple[Sensor, ...]


class Batch(NamedTuple):
    """What was read at one time. They are numbered: an older value must not be written after a newer one."""

    number: int
    entries: list[dict[str, Any]]  # of the node's sensors, as the journal has them
    readings: list[Reading]  # of this process: how long it kept a device busy


NOTHING = Batch(0, [], [])


class Request:
    """Somebody waits for the sensors; `is_late`: no longer."""

    def __init__(self) -> None:
        self.batch: Batch | None = None
        self.is_late = False
        self.answered = Lock()
        self.answered.acquire()


class Watched:
    """A source of values, when it was read, and when its next beat is. `read` takes the names of sensors."""

    def __init__(self, what: str, read: Callable[[Sequence[str]], Sequence[Sample | Reading]], rest_s: float) -> None:
        self.what = what
        self.read = read
        self.rest_s = rest_s
        self.names: tuple[str, ...] = ()  # none: it tells of this process alone, and needs no lease
        self.interval_s: float | None = None  # between its beats
        self.tick_s = 0.0  # a tick sooner after the last reading than this passes it over
        self.read_s = -math.inf
        self.due_s = math.inf

    def is_rested(self, now_s: float) -> bool:
        return now_s - self.read_s >= self.rest_s

    def beat_after(self, now_s: float) -> float:
        """The next beat of its clock; what was missed is skipped."""
        interval_s = self.interval_s or math.inf
        return self.due_s + (math.floor((now_s - self.due_s) / interval_s) + 1) * interval_s


class NodeSensors:
    """What was found, and its reading. `ask`, `wake` and `close` are for any thread, the rest for one."""

    def __init__(self, found: Sequence[Found], use: Meter | None, leases: Leases, interval_s: float) -> None:
        self._sensors = _sensors(found)
        self._meters = [one.meter for one in found]
        self._watched = [_watched(one, interval_s) for one in found]
        self._gauges = [one for one in self._watched if one.interval_s is not None]
        self._interval_s = interval_s
        self._began_s = 0.0
        self._tick_s = math.inf  # the next tick
        if use is not None:
            self._watched.append(Watched(f"meter {use.name}", lambda _: list(map(checked, use.read())), USE_REST_S))
            self._watched[-1].tick_s = USE_TICK_S
        self._counters = [one for one in self._watched if one.interval_s is None]
        self._ticking: list[tuple[Watched, tuple[str, ...]]] | None = None  # all counters, once they are held
        self._leases = leases
        self._asked: SimpleQueue[Request | None] = SimpleQueue()  # a signal handler may put into it at any moment
        self._unanswered: Request | None = None
        self._failing: dict[str, tuple[str, float]] = {}  # sensor -> what was told of it, and when
        self._number = 0

    def ask(self, wait_s: float) -> Batch | None:
        """What the sensors show now; None if they do not answer in time. As long as they hang nobody waits again."""
        now_s = time.monotonic()
        if not any(one.is_rested(now_s) for one in self._watched):
            return NOTHING
        if self._hangs():
            return None
        request = Request()
        self._asked.put(request)
        if not request.answered.acquire(timeout=wait_s):
            request.is_late, self._unanswered = True, request
        return request.batch

    def wake(self) -> None:
        """Lets the thread see that a run has begun, that none is open, or that it is to end."""
        if not self._hangs():  # when it comes back it looks by itself
            self._asked.put(None)

    def close(self) -> None:
        """Lets go of the leases, also of those of a thread that hangs."""
        self._leases.close()

    def serve(
        self,
        is_open: Callable[[], bool],
        is_closed: Callable[[], bool],
        keep: Callable[[Batch], None],
        tick: Callable[[float], bool],
    ) -> None:
        """The thread: answers who asks, ticks and reads gauges while a run is open, and holds no lease while none is.

        `tick(due_s)` is the recorder's; it says whether another has to come.
        """
        was_open = False
        if is_open():
            keep(attempt("sensors", None, self.edge) or NOTHING)  # at once: what a short run used is counted from here
        self._begin_ticks()
        while not is_closed():
            if is_open() != was_open:
                was_open = not was_open
                self._begin() if was_open else self._rest()
            self._do_what_is_due(keep, tick)
            try:
                request = self._asked.get(timeout=self._until_due_s())
            except Empty:
                continue
            self._answer(request, keep)
        self._leases.close()
        for meter in self._meters:
            attempt(f"sensor {meter.name}", None, meter.close)

    def declared(self) -> list[dict[str, Any]]:
        """What each sensor is, as the journal has it."""
        told = [{name: value for name, value in one._asdict().items() if value is not None} for one in self._sensors]
        return [fields | {"scope": "node"} for fields in told]

    def edge(self) -> Batch:
        """Every sensor, but for those whose last value is as good as new."""
        now_s = time.monotonic()
        return self._batch([(one, one.names) for one in self._watched if one.is_rested(now_s)])

    def tick(self) -> Batch:
        """Those sensors that this process holds the leases of; a gauge only begins to beat."""
        if self._gauges:
            self._begin()
        if self._ticking is None:
            held = self._held(self._counters)
            if [names for _, names in held] != [one.names for one in self._counters]:
                return self._batch(_due(held))
            self._ticking = held  # until they are let go
        return self._batch(_due(self._ticking))

    def beat(self) -> Batch:
        """The gauges that are due."""
        now_s = time.monotonic()
        due = [one for one in self._gauges if one.due_s <= now_s]
        for one in due:
            one.due_s = one.beat_after(now_s)
        return self._batch(self._held(due))

    def _held(self, watched: Iterable[Watched]) -> list[tuple[Watched, tuple[str, ...]]]:
        """Each with those of its sensors that this process holds, or that need no lease."""
        leases = self._leases
        held = [(one, names) for one in watched if (names := leases.held(one.names)) or not one.names]
        if leases.problem is not None:
            missing(leases.problem)
        return held

    def _hangs(self) -> bool:
        return self._unanswered is not None and self._unanswered.batch is None

    def _begin(self) -> None:
        """The gauges whose leases are to be had begin to beat."""
        resting = [one for one in self._gauges if one.due_s == math.inf]
        for one, _ in self._held(resting):
            one.due_s = time.monotonic()

    def _rest(self) -> None:
        self._leases.release()
        self._ticking = None
        for one in self._gauges:
            one.due_s = math.inf

    def _begin_ticks(self) -> None:
        if self._tick_s == math.inf:
            self._began_s = time.monotonic()
            self._tick_s = self._began_s + self._interval_s

    def _until_due_s(self) -> float | None:
        due_s = self._tick_s
        for one in self._gauges:
            due_s = min(due_s, one.due_s)
        return None if due_s == math.inf else max(0.0, due_s - time.monotonic())

    def _do_what_is_due(self, keep: Callable[[Batch], None], tick: Callable[[float], bool]) -> None:
        now_s = time.monotonic()
        if now_s >= self._tick_s:
            goes_on = tick(self._tick_s)
            self._tick_s = next_s(self._began_s, self._interval_s) if goes_on else math.inf
        if self._gauges and min(one.due_s for one in self._gauges) <= now_s:
            keep(attempt("sensors", None, self.beat) or NOTHING)

    def _answer(self, request: Request | None, keep: Callable[[Batch], None]) -> None:
        if request is None:  # a run has begun or ended: the tick after the last one sees to what it left
            self._begin_ticks()
            return
        batch = request.batch = attempt("sensors", None, self.edge) or NOTHING
        request.answered.release()
        if request.is_late:
            keep(batch)

    def _batch(self, wanted: Iterable[tuple[Watched, Sequence[str]]]) -> Batch:
        self._number += 1
        batch = Batch(self._number, [], [])
        for one, names in wanted:
            one.read_s = time.monotonic()
            got = attempt(one.what, None, one.read, names)
            for value in [Sample(name, None, "failed") for name in names] if got is None else got:
                if isinstance(value, Reading):
                    batch.readings.append(value)
                elif (number := value.value) is None or not math.isfinite(number):
                    batch.entries.extend(self._failed(value))
                else:
                    batch.entries.append({"sensor": value.sensor, "value": number})
                    if self._failing:
                        self._failing.pop(value.sensor, None)
        return batch

    def _failed(self, sample: Sample) -> list[dict[str, Any]]:
        """A sample without a value, as the journal has it. What goes on failing is not told every time."""
        sensor, status = sample.sensor, sample.status if sample.value is None else "not finite"
        told, told_s = self._failing.get(sensor, ("", -math.inf))
        if told == status and time.monotonic() - told_s < SAY_AGAIN_S:
            return []
        self._failing[sensor] = (status, time.monotonic())
        missing(f"sensor {sensor}: {status}")
        return [{"sensor": sensor, "status": status}]


def _due(held: Sequence[tuple[Watched, tuple[str, ...]]]) -> list[tuple[Watched, tuple[str, ...]]]:
    """Those that a tick reads now."""
    now_s = time.monotonic()
    return [each for each in held if now_s - each[0].read_s >= each[0].tick_s]


def discover(where: Where, kinds: str | None, home: Path, interval_s: float) -> NodeSensors | None:
    """The inventory of this node, ready to be read. None when there is nothing to read."""
    found = inventory(kinds_wanted(kinds), where)
    if not found:
        return None
    use = attempt("sensor nvml", None, _open_use, where) if any(one.kind == "nvml" for one in found) else None
    leases = Leases(home / "lease", [sensor.sensor for sensor in _sensors(found)])
    return NodeSensors(found, use, leases, interval_s)


def inventory(kinds: Sequence[str], where: Where) -> list[Found]:
    """What is here of these kinds, so that no joule counts twice and each can be shared."""
    found = covered([one for kind in kinds if kind in HARDWARE for one in _opened(kind, where)])
    if MODEL in kinds and _has_cpu(found) and not any(map(_sees_memory, _sensors(found))):
        found += _opened(MODEL, where)
    if any(sensor.share_by == "cpu" for sensor in _sensors(found)):
        found += _opened(SHARED_BY, where)
    return found


def _sees_memory(sensor: Sensor) -> bool:
    """Whether the memory's energy is in it: a Grace socket's holds that of its own."""
    return _class(sensor) == "dram" or sensor.sensor.startswith("hwmon:grace-")


def covered(found: Sequence[Found]) -> list[Found]:
    """The same without what would count a joule twice."""
    backends = [one.kind for one in found if one.kind in CPU_ENERGY and _has_cpu([one])]
    others = set(CPU_ENERGY) - set(backends[:1]) if backends else ()
    kept = [_without(one, ("cpu", "dram")) if one.kind in others else one for one in found]
    if any(_class(sensor) == "module" and sensor.counted for sensor in _sensors(kept)):
        kept = [one._replace(sensors=tuple(map(_uncounted_cpu, one.sensors))) for one in kept]
    for one in kept:
        if not one.sensors:
            attempt(f"sensor {one.kind}", None, one.meter.close)
    return [one for one in kept if one.sensors]


def kinds_wanted(wanted: str | None) -> tuple[str, ...]:
    if wanted is None:
        return KINDS
    names = {name.strip() for name in wanted.split(",")} - {"", "none", SHARED_BY}
    unknown = sorted(names - set(KINDS))
    if unknown:
        missing(f"JOULEBOOK_SENSORS: there is no {', '.join(unknown)}, only none, {', '.join(KINDS)}")
    return tuple(kind for kind in KINDS if kind in names)


def _opened(kind: str, where: Where) -> list[Found]:
    """The meter of one kind, if its hardware is here, with what is reserved of each sensor for this process."""
    meter = attempt(f"sensor {kind}", None, _open, kind, where)
    if meter is None:
        return []
    sensors = attempt(f"sensor {kind}", None, meter.sensors) or ()
    return [Found(kind, meter, tuple(_reserving(kind, sensor, where) for sensor in sensors))] if sensors else []


def _open(kind: str, where: Where) -> NodeMeter | None:
    return load(kind).open_meter(where)


def load(kind: str) -> Any:
    """The module of a kind of sensors."""
    return import_module(f"joulebook.collectors.sensors.{kind}")


def _open_use(where: Where) -> Meter | None:
    """The meter of this process's use of the GPUs."""
    open_use = getattr(load("nvml"), "open_use", None)
    return None if open_use is None else open_use(where)


def _reserving(kind: str, sensor: Sensor, where: Where) -> Sensor:
    if kind != MODEL and sensor.share_by != "cpu":
        return sensor
    part, whose = cgroup.memory_part(where) if kind == MODEL else cgroup.cpu_part(where)
    return sensor._replace(reserved=part, reserved_as=whose)


def _sensors(found: Iterable[Found]) -> list[Sensor]:
    return [sensor for one in found for sensor in one.sensors]


def _class(sensor: Sensor) -> str:
    return sensor.device.partition(":")[0]


def _has_cpu(found: Iterable[Found]) -> bool:
    return any(_class(sensor) == "cpu" and sensor.counted for sensor in _sensors(found))


def _without(found: Found, classes: Sequence[str]) -> Found:
    return found._replace(sensors=tuple(sensor for sensor in found.sensors if _class(sensor) not in classes))


def _uncounted_cpu(sensor: Sensor) -> Sensor:
    return sensor._replace(counted=False) if _class(sensor) == "cpu" else sensor


def _watched(found: Found, interval_s: float) -> Watched:
    watched = Watched(f"sensor {found.kind}", found.meter.read, found.meter.rest_s)
    watched.names = tuple(sensor.sensor for sensor in found.sensors)
    own_s = found.meter.interval_s
    watched.interval_s = own_s if own_s is not None and own_s < interval_s else None
    watched.tick_s = BUSY_TICK_S if found.kind == SHARED_BY else 0.0
    return watched
