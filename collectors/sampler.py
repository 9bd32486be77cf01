"""The recorder of this process: it reads the meters and writes the journal.

    the edges of spans ─┐
                        ├─> read every meter ─> counters, each with its share ─> one line of the journal
    a tick a second ────┘          └─ the node's sensors, on their own thread: raw values, each with its status

One recorder per process, made at the first root span. Its thread ticks at start + n·interval while a span is open
(a missed tick is skipped), makes the journal durable, and sleeps without polling when nothing is open. What a job says
is durable within SYNC_S; readings alone within READINGS_SYNC_S, for to sync costs more than all else in a tick.

What takes long, and what may hang, has a second thread: it looks for the meters of other packages (entry points of the
group `joulebook.meters`), for the sensors of this node, and reads those (`node.py`). It ends where there are none. The
edge of a span waits for it no longer than EDGE_WAIT_S.

Where there are sensors it is that second thread which ticks: to wake up another thread every second costs a tenth of
all that a tick costs. The first then sleeps until there is something to sync, or READINGS_SYNC_S have passed. If it
sees by then that ticks have failed to come, because a driver does not answer, it ticks itself, without the sensors.

What a counter counted while k roots were open belongs to each of them by 1/k. `shared` adds that up, so that a span's
amount is `shared` at its end less `shared` at its start, and roots that overlap in one process never count twice.

Nothing here raises into the job: `attempt` is the one guard. It logs and notes a gap once per cause; under `strict` it
raises again. After a fork the child has no recorder, no thread and no open file until it records something itself.
Subprocesses find in JOULEBOOK_PARENT whose children they are: their CPU time is in our tree already.
"""

from __future__ import annotations

import atexit
import contextlib
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence

from joulebook.accounting.errors import InputError
from joulebook.accounting.home import home_dir, home_path
from joulebook.accounting.journal import Journal, Turn, quality, usage
from joulebook.accounting.records import METHODS, Meter, Reading, uuid7
from joulebook.collectors.cpu_time import CpuTime, content

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NamedTuple, Protocol

    from joulebook.collectors.node import Batch, NodeSensors
else:
    from joulebook.accounting.named import NamedTuple, Protocol

__all__ = ["Recorder", "attempt", "configure", "described", "parent_text", "quality", "recorder", "usage", "uuid7"]

PARENT = "JOULEBOOK_PARENT"
METER_GROUP = "joulebook.meters"
BUILT_IN_METERS = ("cpu-time", "replay")
SYNC_S = 1.0
READINGS_SYNC_S = 10.0
REFRESH_S = 1.5  # descendants are looked for at the edges of a run and at ticks so long apart at least
THREAD_NAME = "joulebook"
SENSOR_THREAD_NAME = "joulebook-sensors"
REWRITES_IMPORTS = "_pytest.assertion.rewrite"
EDGE_WAIT_S, TICK_WAIT_S = 0.05, 0.5  # for the node's sensors; for a tick of theirs
FORK_WAIT_S = 5.0  # for an import on our thread
MAX_TEXT = 500  # characters of an error or a reason
MAX_CAUSES = 1000  # after so many different causes they are forgotten and told again
MAX_PROJECT = 1000  # quoted; a longer one is not handed to subprocesses: their environment must stay small


class Settings(NamedTuple):
    """What `configure` was given; None leaves it to the environment and then to the default."""

    home: str | None = None
    interval_s: float | None = None
    meters: tuple[Meter, ...] | None = None
    strict: bool | None = None
    replay: str | None = None
    outside: bool = False  # the recorder's own CPU time does not belong to the run
    sysfs_root: str | None = None
    procfs_root: str | None = None
    sensors: str | None = None  # the kinds of node sensors to look for; None: all


class Parent(NamedTuple):
    """A span of another process that the roots of this one belong to."""

    run_id: str
    span_id: str
    project: str | None


class Recorded(Protocol):
    """What the recorder knows of a span."""

    run_id: str | None
    span_id: str | None
    project: str | None
    is_top: bool  # it has no parent in this process
    lost_before: int  # what the journal had lost when it began


class Cause(NamedTuple):
    """Why something is missing, and which run it concerns."""

    reason: str
    run_id: str | None


# What the environment may say of them.
_NAMES = tuple(
    f"JOULEBOOK_{name}" for name in ("HOME", "INTERVAL_S", "STRICT", "REPLAY", "SYSFS_ROOT", "PROCFS_ROOT", "SENSORS")
)
_given = Settings()
_recorder: Recorder | None = None
_making = threading.RLock()
_logged: set[str] = set()
_forking: list[tuple[Recorder, bool]] = []


def configure(
    *,
    home: str | os.PathLike[str] | None = None,
    interval_s: float | None = None,
    meters: Iterable[Meter] | None = None,
    strict: bool | None = None,
    sysfs_root: str | os.PathLike[str] | None = None,
) -> None:
    """What `joulebook.configure` does. Raises InputError when the interval is not a positive number of seconds."""
    global _given  # noqa: PLW0603
    seconds = None if interval_s is None else _seconds(interval_s)
    chosen = None if meters is None else tuple(meters)
    sysfs = None if sysfs_root is None else os.fspath(sysfs_root)
    _given = Settings(None if home is None else os.fspath(home), seconds, chosen, strict, sysfs_root=sysfs)


def recorder(outside: bool = False) -> Recorder:
    """The recorder of this process. Settings that changed since the last run take effect here."""
    global _recorder  # noqa: PLW0603
    current = _recorder
    if current is not None and current.tops:
        return current
    said = (_given, outside, *map(os.environ.get, _NAMES))
    if current is not None and current.said == said:
        return current
    with _making:
        settings = _settings(outside)
        if _recorder is None or (_recorder.settings != settings and not _recorder.tops):
            if _recorder is not None:
                _recorder.close()
            _recorder = Recorder(settings)
        _recorder.said = said
        return _recorder


def writer() -> Recorder:
    """The recorder for what is no span: outside a run only another home counts, and that is looked for each time."""
    current = _recorder
    if current is not None and (current.tops or _is_at_home(current.said)):
        return current
    return recorder()


def _is_at_home(said: tuple[Any, ...]) -> bool:
    return bool(said) and said[0] is _given and said[2] == os.environ.get(_NAMES[0])


def attempt(what: str, run_id: str | None, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """The one guard: does the work; if it fails, says so once and returns None. Under `strict` it raises again."""
    try:
        return work(*args, **kwargs)
    except Exception as error:
        missing(f"{what}: {error if isinstance(error, InputError) else described(error)}", run_id)
        if _strict() and not _on_own_thread():
            raise
        return None


def described(error: BaseException) -> str:
    """`ValueError: message`, cut to 500 characters. Part of the guard: an error may fail to say what it is."""
    try:
        message = str(error)
    except Exception:  # noqa: BLE001
        message = "(its message cannot be read)"
    name = type(error).__name__
    return f"{name}: {message}"[:MAX_TEXT] if message else name


def parent_text(span: Recorded) -> str:
    """The value of JOULEBOOK_PARENT that makes another process a child of this span."""
    project = _quoted(span.project or "")
    return f"{span.run_id}/{span.span_id}/{project if len(project) <= MAX_PROJECT else ''}"


class Recorder:
    """Reads the meters at the edges of spans and at ticks. `tops`: the open spans without a parent in this process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.said: tuple[Any, ...] = ()  # what they come from
        self.tops: list[Any] = []  # spans, whose class is upstairs
        self.parent = _parent_in(os.environ.get(PARENT, ""))
        self.journal = Journal(f"{home_path(settings.home)}/journal", self._lost)
        self.loading = threading.RLock()  # held while modules are imported on our thread: no fork may fall into that
        self.loading_hangs = False
        self.told: set[Cause] = set()
        self._turn = Turn()
        self._meters: list[Meter] | None = None
        self._silent: set[int] = set()  # meters that failed, until the next tick
        self._counters: dict[str, tuple[float, float]] = {}  # sensor -> (last value, shared)
        self._node: NodeSensors | None = None
        self._newest: dict[str, int] = {}  # sensor of the node -> the batch of its last value
        self._exported: str | None = None
        self._warned = False
        self._awake = threading.Event()
        self._closed = threading.Event()
        self._interval_s = settings.interval_s or 1.0
        self._expected_s = 0.0  # when the next tick is to come, whoever ticks
        self._trusted_s = 0.0  # how long the sensors' thread is waited for
        self._synced_s = 0.0
        self._refreshed_s = -math.inf  # the last tick that looked for descendants
        self._stirred = threading.Lock()  # free when the thread is to look at once
        self._stirred.acquire()
        self._threads: list[threading.Thread] = []

    def start(self, span: Recorded, fields: dict[str, Any]) -> None:
        batch = self._node_now(span.run_id)  # before the turn: the sensors' thread may want it
        self._turn.run(self._start, span, fields, batch)

    def end(self, span: Recorded, fields: dict[str, Any]) -> None:
        batch = self._node_now(span.run_id)
        self._turn.run(self._end, span, fields, batch)

    def close(self) -> None:
        """Ends the threads and seals the journal."""
        self._closed.set()
        self._awake.set()
        self._stir()
        node = self._node
        if node is not None:
            node.wake()
        for thread in tuple(self._threads):
            thread.join(timeout=1)
        if node is not None:
            node.close()
        self.journal.close()

    def _node_now(self, run_id: str | None) -> Batch | None:
        """What the node's sensors show, where there are any and they answer."""
        node = self._node
        if node is None or threading.current_thread().name == SENSOR_THREAD_NAME:  # where a finaliser may end a span
            return None
        batch = attempt("sensors", run_id, node.ask, EDGE_WAIT_S)
        if batch is None:
            missing(f"the sensors of the node did not answer within {EDGE_WAIT_S} s", run_id)
        return batch

    def _start(self, span: Recorded, fields: dict[str, Any], batch: Batch | None) -> None:
        counters = self._sample(fresh=span.is_top) + self._of_node(batch)
        if span.is_top:
            span.lost_before = self.journal.lost
            self.tops.append(span)
            self._export()
        try:
            self.journal.write("span_start", {**fields, "open": len(self.tops), "counters": counters})
        except BaseException:  # an interrupt, or `strict`: the job never gets to the end of this span
            self._leave(span)
            raise
        if span.is_top:
            attempt("sampler", None, self._wake)

    def _end(self, span: Recorded, fields: dict[str, Any], batch: Batch | None) -> None:
        try:
            counters = self._sample(fresh=span.is_top) + self._of_node(batch)
        finally:
            self._leave(span)
        lost = self.journal.lost - span.lost_before if span.is_top else 0
        told = {"lost_events": lost} if lost else {}
        self.journal.write("span_end", {**fields, **told, "open": len(self.tops), "counters": counters})

    def _leave(self, span: Recorded) -> None:
        if span in self.tops:
            self.tops.remove(span)
            self._export()
            if self._node is not None and not self.tops:
                self._node.wake()

    def tick(self) -> None:
        """Reads every counter, as it is done once a second while a span is open, now."""
        self._turn.run(self._take, self._node_now(None) if self.tops else None)

    def _tick(self, due_s: float, node: NodeSensors | None) -> None:
        now_s = time.monotonic()
        self._note_lateness(now_s - self._expected_s)
        self._expected_s = due_s + self._interval_s
        batch = attempt("sensors", None, node.tick) if node is not None and self.tops else None
        fresh = now_s - self._refreshed_s >= REFRESH_S
        self._refreshed_s = now_s if fresh else self._refreshed_s
        self._turn.run(self._take, batch, fresh)

    def _tick_with_sensors(self, due_s: float) -> bool:
        """A tick on their thread. Whether another has to come: for a run, or for what is to be synced."""
        self._trusted_s = due_s + self._interval_s + TICK_WAIT_S
        attempt("sampler", None, self._tick, due_s, self._node)
        may_sync = time.monotonic() - self._synced_s >= SYNC_S - self._interval_s  # at the next tick it would be late
        if may_sync and (self.journal.has_news or not self.tops):
            self._stir()
        return bool(self.tops) or not may_sync

    def _take(self, batch: Batch | None, fresh: bool = True) -> None:
        self._silent.clear()
        if self.tops:
            counters = self._sample(fresh) + self._of_node(batch)
            self.journal.write("reading", {"open": len(self.tops), "counters": counters})

    def _sample(self, fresh: bool) -> list[dict[str, Any]]:
        """Every counter now, as the journal has it."""
        if self._meters is None:
            self._meters = []  # also if the next line fails: it would fail again
            self._meters = attempt("meters", None, _own_meters, self.settings) or []
        counters: dict[str, dict[str, Any]] = {}
        for meter in self._meters or ():
            for reading in self._readings(meter, fresh):
                if reading.sensor in counters:
                    missing(f"meter {meter.name}: another meter reports {reading.sensor} too")
                else:
                    counters[reading.sensor] = self._counted(reading)
        return list(counters.values())

    def _of_node(self, batch: Batch | None) -> list[dict[str, Any]]:
        """A batch of the node's sensors, as the journal has it: no value after a newer one."""
        if batch is None:
            return []
        number, is_newest = batch.number, self._is_newest
        entries = [entry for entry in batch.entries if is_newest(entry["sensor"], number)]
        return entries + [self._counted(one) for one in batch.readings if is_newest(one.sensor, number)]

    def _is_newest(self, sensor: str, number: int) -> bool:
        if self._newest.get(sensor, 0) >= number:
            return False
        self._newest[sensor] = number
        return True

    def _keep(self, batch: Batch) -> None:
        """Writes what the sensors' thread read of its own accord."""
        counters = self._of_node(batch)
        if counters and self.tops and not self._closed.is_set():
            self.journal.write("reading", {"open": len(self.tops), "counters": counters})

    def _readings(self, meter: Meter, fresh: bool) -> Sequence[Reading]:
        if id(meter) in self._silent:
            return ()
        readings = attempt(f"meter {meter.name}", None, _read, meter, fresh)
        if readings is None:
            self._silent.add(id(meter))
            return ()
        return readings

    def _counted(self, reading: Reading) -> dict[str, Any]:
        """One counter with its share, which only goes up: a counter that goes back counts from there."""
        sensor, value = reading.sensor, reading.value
        if sensor not in self._counters:
            fields = ("sensor", "unit", "method", "device", "boundary")
            self.journal.declare({name: getattr(reading, name) for name in fields})
            self._counters[sensor] = (value, 0.0)
        last, shared = self._counters[sensor]
        if value < last:
            self.journal.write("gap", {"reason": "counter went back", "sensor": sensor})
        shared += max(0.0, value - last) / max(1, len(self.tops))
        self._counters[sensor] = (value, shared)
        return {"sensor": sensor, "value": value, "shared": shared}

    def _export(self) -> None:
        """Tells subprocesses whose children they are, unless somebody outside already has."""
        wanted = parent_text(self.tops[0]) if self.tops else None
        if wanted == self._exported or (self._exported is None and PARENT in os.environ):
            return
        if wanted is None:
            os.environ.pop(PARENT, None)
        else:
            os.environ[PARENT] = wanted
        self._exported = wanted

    def _wake(self) -> None:
        if not self._threads:
            if REWRITES_IMPORTS in sys.modules and self._has_node():
                attempt("sensors", None, _load_sensors)
            self._begin(self._work, THREAD_NAME)
        self._awake.set()
        if self._node is not None:
            self._node.wake()

    def _begin(self, work: Callable[[], None], name: str) -> None:
        thread = threading.Thread(target=work, name=name, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _has_node(self) -> bool:
        """Whether the sensors of the node are read, or looked for."""
        return self.settings.meters is None and not self.settings.replay

    def _work(self) -> None:
        """The thread."""
        if self._has_node():
            attempt("sensors", None, self._begin, self._sense, SENSOR_THREAD_NAME)
        while not self._closed.is_set():
            self._awake.wait()
            self._awake.clear()
            self._watch()

    def _watch(self) -> None:
        """Syncs, and ticks if nobody else does, until no span is open and everything is durable."""
        start_s = self._synced_s = time.monotonic()
        due_s = self._expected_s = start_s + self._interval_s
        self._trusted_s = due_s + TICK_WAIT_S
        sync_s, readings_s = start_s + SYNC_S, start_s + READINGS_SYNC_S
        while not self._closed.is_set():
            may_rest = self._sensors_tick() and self._interval_s <= SYNC_S
            is_stirred = self._sleep(readings_s if may_rest else min(due_s, sync_s)) and not self._closed.is_set()
            now_s = time.monotonic()
            if now_s >= due_s:
                if not self._sensors_tick():
                    attempt("sampler", None, self._tick, due_s, None)
                due_s = next_s(start_s, self._interval_s)
            if is_stirred or now_s >= sync_s:
                with_readings = now_s >= readings_s or not self.tops
                attempt("journal", None, self.journal.sync, with_readings)
                self._synced_s, sync_s = now_s, next_s(start_s, SYNC_S)
                readings_s = next_s(start_s, READINGS_SYNC_S) if with_readings else readings_s
                if not self.tops:
                    return

    def _sensors_tick(self) -> bool:
        """Whether their thread ticks, or has been waited for in vain."""
        if self._node is None:
            return False
        if time.monotonic() < self._trusted_s or not self.tops:
            return True
        missing("the sensors of the node do not answer: ticks go on without them")
        return False

    def _sleep(self, until_s: float) -> bool:
        """Whether somebody stirred the thread. A bare lock wakes up at less cost than an event."""
        return self._stirred.acquire(timeout=max(0.0, until_s - time.monotonic()))

    def _stir(self) -> None:
        with contextlib.suppress(RuntimeError):  # somebody else just has
            self._stirred.release()

    def _note_lateness(self, late_s: float) -> None:
        if late_s > 2 * self._interval_s and self.tops:
            to_ns = time.time_ns()
            from_ns = to_ns - int(late_s * 1e9)
            self.journal.write("gap", {"reason": "sampler late", "from_ns": from_ns, "to_ns": to_ns})

    def _sense(self) -> None:
        """The second thread."""
        with self.loading:
            meters = attempt("meters", None, _plugins)
        if meters:
            self._turn.run(self._adopt, meters)
        with self.loading:
            node = attempt("sensors", None, _node_sensors, self.settings)
        if node is not None:
            self._turn.run(self._declare, node)
            node.serve(
                is_open=lambda: bool(self.tops),
                is_closed=self._closed.is_set,
                keep=lambda batch: self._turn.run(self._keep, batch),
                tick=self._tick_with_sensors,
            )

    def _adopt(self, found: list[Meter]) -> None:
        self._meters = [*(self._meters or ()), *found]
        self._take(None)  # at once: what a short run used is counted from here

    def _declare(self, node: NodeSensors) -> None:
        if not self._closed.is_set():
            for fields in node.declared():
                self.journal.declare(fields)
            self._node = node

    def _lost(self, error: OSError) -> None:
        """An event could not be written: warned once; the journal counts."""
        if not self._warned:
            self._warned = True
            told = f"joulebook cannot write to {self.journal.folder} ({error.strerror}): the job goes on without"
            _log(told)
            import warnings

            with contextlib.suppress(Warning):  # the job may have turned warnings into errors
                warnings.warn(told, RuntimeWarning, stacklevel=2)
        if _strict() and not _on_own_thread():
            raise error


def _settings(outside: bool) -> Settings:
    """What holds now: what was given, then the environment, then the defaults."""
    interval_s = _given.interval_s
    if interval_s is None and "JOULEBOOK_INTERVAL_S" in os.environ:
        interval_s = attempt("JOULEBOOK_INTERVAL_S", None, _seconds, os.environ["JOULEBOOK_INTERVAL_S"])
    return _given._replace(
        home=_given.home or os.environ.get("JOULEBOOK_HOME"),
        interval_s=interval_s or 1.0,
        strict=_strict(),
        replay=os.environ.get("JOULEBOOK_REPLAY") or None,
        outside=outside,
        sysfs_root=_given.sysfs_root or os.environ.get("JOULEBOOK_SYSFS_ROOT"),
        procfs_root=os.environ.get("JOULEBOOK_PROCFS_ROOT"),
        sensors=os.environ.get("JOULEBOOK_SENSORS"),
    )


def _on_own_thread() -> bool:
    return threading.current_thread().name in (THREAD_NAME, SENSOR_THREAD_NAME)


def _strict() -> bool:
    return os.environ.get("JOULEBOOK_STRICT") == "1" if _given.strict is None else bool(_given.strict)


def _seconds(value: Any) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds > 0):
        raise InputError(f"the interval is not a positive number of seconds: {value!r}")
    return seconds


def _parent_in(text: str) -> Parent | None:
    """The parent that JOULEBOOK_PARENT names; None when it is no such text."""
    parts = text.split("/")
    if len(parts) != 3 or not all(map(_is_uuid, parts[:2])):
        return None
    if not parts[2]:
        return Parent(parts[0], parts[1], None)
    from urllib.parse import unquote  # few have a parent with a project

    return Parent(parts[0], parts[1], unquote(parts[2]))


def _quoted(text: str) -> str:
    """What `urllib.parse.quote` makes of it, which costs more to load than all else that a first span needs."""
    data = text.encode("utf-8", "backslashreplace")
    return "".join(chr(b) if b < 128 and (chr(b).isalnum() or b in b"_.-~") else f"%{b:02X}" for b in data)


def _is_uuid(text: str) -> bool:
    parts = text.split("-")
    return [len(part) for part in parts] == [8, 4, 4, 4, 12] and set("".join(parts)) <= set("0123456789abcdefABCDEF")


def next_s(start_s: float, interval_s: float) -> float:
    """When the next tick of a schedule is due; what was missed is skipped."""
    return start_s + (math.floor((time.monotonic() - start_s) / interval_s) + 1) * interval_s


def _own_meters(settings: Settings) -> list[Meter]:
    if settings.meters is not None:
        return list(settings.meters)
    if settings.replay:
        from joulebook.collectors import replay  # few jobs play a trace

        meter = replay.open_meter()
        return [] if meter is None else [meter]
    return [CpuTime(outside=settings.outside)]


def _node_sensors(settings: Settings) -> NodeSensors | None:
    from pathlib import Path

    from joulebook.collectors import node  # all that it loads is the second thread's business

    where = node.Where(Path(settings.sysfs_root or "/sys"), Path(settings.procfs_root or "/proc"))
    return node.discover(where, settings.sensors, home_dir(settings.home), settings.interval_s or 1.0)


def _load_sensors() -> None:
    """What the second thread would load. Under pytest to load is to parse, which the job does on its own thread.

    In Python 3.11 one of two threads that parse at once may fail (its issue 106905), and that may be the job's.
    """
    from joulebook.collectors import node

    for kind in (*node.KINDS, node.SHARED_BY):
        attempt(f"sensor {kind}", None, node.load, kind)


def _plugins() -> list[Meter]:
    """The meters that other packages offer and whose hardware is here."""
    if not any(map(_may_offer_meters, sys.path)):
        return []
    from importlib.metadata import entry_points

    points = {point.name: point for point in entry_points(group=METER_GROUP) if point.name not in BUILT_IN_METERS}
    opened = [attempt(f"meter {name}", None, _opened, point) for name, point in points.items()]
    return [meter for meter in opened if meter is not None]


def _may_offer_meters(folder: str) -> bool:
    """Whether a package in a folder names meters, other than our own. To ask `entry_points` takes 30 ms and 4 MB."""
    try:
        names = os.listdir(folder or ".")  # noqa: PTH208 - as in cpu_time
    except NotADirectoryError:
        return True  # an archive: let importlib see
    except OSError:
        return False
    told = [name for name in names if name.endswith((".dist-info", ".egg-info")) and not name.startswith("joulebook")]
    return any(METER_GROUP.encode() in content(f"{folder}/{name}/entry_points.txt") for name in told)


def _opened(point: Any) -> Meter | None:
    return point.load()()


def _read(meter: Meter, fresh: bool) -> list[Reading]:
    refresh = getattr(meter, "refresh", None)  # what a meter needs to do now and then, but not at every edge
    if fresh and refresh is not None:
        refresh()
    return [checked(reading) for reading in meter.read()]


def checked(reading: Reading) -> Reading:
    """The reading itself. Raises InputError when it is none."""
    if reading.unit not in ("J", "s") or reading.method not in METHODS:
        raise InputError(f"{reading.sensor} counts {reading.unit} by {reading.method}: not J or s, or no known method")
    if not math.isfinite(reading.value):
        raise InputError(f"{reading.sensor} is not a finite number")
    return reading


def missing(reason: str, run_id: str | None = None) -> None:
    """Says that something is missing: one log line per cause, one gap per cause and run."""
    reason = reason[:MAX_TEXT]
    if _is_new(_logged, reason):
        _log(reason)
    if _recorder is not None and _is_new(_recorder.told, Cause(reason, run_id)):
        _recorder.journal.write("gap", {"reason": reason} | ({} if run_id is None else {"run_id": run_id}))


def _is_new(told: set[Any], cause: Any) -> bool:
    if cause in told:
        return False
    if len(told) >= MAX_CAUSES:
        told.clear()
    told.add(cause)
    return True


def _log(text: str) -> None:
    import logging  # only when there is something to say

    logger = logging.getLogger("joulebook")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    logger.warning("%s", text)


def _before_fork() -> None:
    """No fork in the middle of a line, a rotation or an import on our thread."""
    if _recorder is not None:
        loading = _recorder.loading.acquire(timeout=0 if _recorder.loading_hangs else FORK_WAIT_S)
        _recorder.loading_hangs = not loading
        _recorder.journal.turn.lock.acquire()
        _forking.append((_recorder, loading))


def _after_fork_in_parent() -> None:
    if _forking:
        held, loading = _forking.pop()
        held.journal.turn.lock.release()
        if loading:
            held.loading.release()


def _after_fork_in_child() -> None:
    global _recorder, _making
    if _recorder is not None:
        _recorder.journal.abandon()
    _recorder, _making = None, threading.RLock()
    _forking.clear()


def _before_exit() -> None:
    """No import on our thread while the interpreter ends: it takes the import lock away from under who waits for it."""
    if _recorder is not None:
        _recorder.loading.acquire(timeout=FORK_WAIT_S)  # and never released


atexit.register(_before_exit)
os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
