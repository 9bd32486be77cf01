"""The recorder of this process: it reads the meters and writes the journal.

    the edges of spans ─┐
                        ├─> read every meter ─> counters, each with its share ─> one line of the journal
    a tick a second ────┘

One recorder per process, made at the first root span. Its thread ticks at start + n·interval while a span is open
(a missed tick is skipped), makes the journal durable once a second, and sleeps without polling when nothing is open.
Meters of other packages (entry points of the group `joulebook.meters`) are looked for on that thread: it is slow.

What a counter counted while k roots were open belongs to each of them by 1/k. `shared` adds that up, so that a span's
amount is `shared` at its end less `shared` at its start, and roots that overlap in one process never count twice.

Nothing here raises into the job: `attempt` is the one guard. It logs and notes a gap once per cause; under `strict` it
raises again. After a fork the child has no recorder, no thread and no open file until it records something itself.
Subprocesses find in JOULEBOOK_PARENT whose children they are: their CPU time is in our tree already.
"""

from __future__ import annotations

import contextlib
import math
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote, unquote

from joulebook.accounting.errors import InputError
from joulebook.accounting.home import home_dir, journal_dir
from joulebook.accounting.journal import Journal, Turn, quality, usage
from joulebook.accounting.records import METHODS, Meter, Reading, uuid7
from joulebook.collectors.cpu_time import CpuTime

__all__ = ["Recorder", "attempt", "configure", "described", "parent_text", "quality", "recorder", "usage", "uuid7"]

PARENT = "JOULEBOOK_PARENT"
METER_GROUP = "joulebook.meters"
BUILT_IN_METERS = ("cpu-time", "replay")
SYNC_S = 1.0
THREAD_NAME = "joulebook"
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
) -> None:
    """What `joulebook.configure` does. Raises InputError when the interval is not a positive number of seconds."""
    global _given  # noqa: PLW0603
    seconds = None if interval_s is None else _seconds(interval_s)
    chosen = None if meters is None else tuple(meters)
    _given = Settings(None if home is None else os.fspath(home), seconds, chosen, strict)


def recorder(outside: bool = False) -> Recorder:
    """The recorder of this process. Settings that changed since the last run take effect here."""
    global _recorder  # noqa: PLW0603
    current = _recorder
    if current is not None and current.tops:
        return current
    with _making:
        settings = _settings(outside)
        if _recorder is None or (_recorder.settings != settings and not _recorder.tops):
            if _recorder is not None:
                _recorder.close()
            _recorder = Recorder(settings)
        return _recorder


def attempt(what: str, run_id: str | None, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """The one guard: does the work; if it fails, says so once and returns None. Under `strict` it raises again."""
    try:
        return work(*args, **kwargs)
    except Exception as error:
        _failed(f"{what}: {error if isinstance(error, InputError) else described(error)}", run_id)
        if _strict() and threading.current_thread().name != THREAD_NAME:
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
    project = quote(span.project or "", safe="", errors="backslashreplace")
    return f"{span.run_id}/{span.span_id}/{project if len(project) <= MAX_PROJECT else ''}"


class Recorder:
    """Reads the meters at the edges of spans and at ticks. `tops`: the open spans without a parent in this process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.tops: list[Any] = []  # spans, whose class is upstairs
        self.parent = _parent_in(os.environ.get(PARENT, ""))
        self.journal = Journal(journal_dir(home_dir(settings.home)), self._lost)
        self.loading = threading.RLock()  # held while modules are imported on the thread: no fork may fall into that
        self.told: set[Cause] = set()
        self._turn = Turn()
        self._meters: list[Meter] | None = None
        self._silent: set[int] = set()  # meters that failed, until the next tick
        self._counters: dict[str, tuple[float, float]] = {}  # sensor -> (last value, shared)
        self._exported: str | None = None
        self._warned = False
        self._awake = threading.Event()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, span: Recorded, fields: dict[str, Any]) -> None:
        self._turn.run(self._start, span, fields)

    def end(self, span: Recorded, fields: dict[str, Any]) -> None:
        self._turn.run(self._end, span, fields)

    def close(self) -> None:
        """Ends the thread and seals the journal."""
        self._closed.set()
        self._awake.set()
        if self._thread is not None:
            self._thread.join(timeout=2)
        self.journal.close()

    def _start(self, span: Recorded, fields: dict[str, Any]) -> None:
        counters = self._sample(fresh=span.is_top)
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

    def _end(self, span: Recorded, fields: dict[str, Any]) -> None:
        try:
            counters = self._sample(fresh=span.is_top)
        finally:
            self._leave(span)
        lost = self.journal.lost - span.lost_before if span.is_top else 0
        told = {"lost_events": lost} if lost else {}
        self.journal.write("span_end", {**fields, **told, "open": len(self.tops), "counters": counters})

    def _leave(self, span: Recorded) -> None:
        if span in self.tops:
            self.tops.remove(span)
            self._export()

    def _tick(self) -> None:
        self._silent.clear()
        if self.tops:
            counters = self._sample(fresh=True)
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
                    _failed(f"meter {meter.name}: another meter reports {reading.sensor} too", None)
                else:
                    counters[reading.sensor] = self._counted(reading)
        return list(counters.values())

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
        if self._thread is None:
            thread = threading.Thread(target=self._work, name=THREAD_NAME, daemon=True)
            thread.start()
            self._thread = thread
        self._awake.set()

    def _work(self) -> None:
        """The thread."""
        self._adopt_plugins()
        while not self._closed.is_set():
            self._awake.wait()
            self._awake.clear()
            self._watch()

    def _watch(self) -> None:
        """Ticks and syncs, until no span is open and everything is durable: a second later at the most."""
        interval_s = self.settings.interval_s or 1.0
        start_s = time.monotonic()
        due_s = expected_s = start_s + interval_s
        sync_s = start_s + SYNC_S
        while not self._closed.wait(max(0.0, min(due_s, sync_s) - time.monotonic())):
            now_s = time.monotonic()
            if now_s >= due_s:
                self._note_lateness(now_s - expected_s)
                attempt("sampler", None, self._turn.run, self._tick)
                expected_s = due_s + interval_s
                due_s = _next_s(start_s, interval_s)
            if now_s >= sync_s:
                attempt("journal", None, self.journal.sync)
                sync_s = _next_s(start_s, SYNC_S)
                if not self.tops:
                    return

    def _note_lateness(self, late_s: float) -> None:
        if late_s > 2 * (self.settings.interval_s or 1.0) and self.tops:
            to_ns = time.time_ns()
            from_ns = to_ns - int(late_s * 1e9)
            self.journal.write("gap", {"reason": "sampler late", "from_ns": from_ns, "to_ns": to_ns})

    def _adopt_plugins(self) -> None:
        if self.settings.meters is None and not self.settings.replay:
            with self.loading:
                found = attempt("meters", None, _plugins)
            if found:
                self._turn.run(self._adopt, found)

    def _adopt(self, found: list[Meter]) -> None:
        self._meters = [*(self._meters or ()), *found]
        self._tick()  # at once: what a short run used is counted from here

    def _lost(self, error: OSError) -> None:
        """An event could not be written: warned once; the journal counts."""
        if not self._warned:
            self._warned = True
            told = f"joulebook cannot write to {self.journal.folder} ({error.strerror}): the job goes on without"
            _log(told)
            with contextlib.suppress(Warning):  # the job may have turned warnings into errors
                warnings.warn(told, RuntimeWarning, stacklevel=2)
        if _strict() and threading.current_thread().name != THREAD_NAME:
            raise error


def _settings(outside: bool) -> Settings:
    """What holds now: what was given, then the environment, then the defaults."""
    interval_s = _given.interval_s
    if interval_s is None and "JOULEBOOK_INTERVAL_S" in os.environ:
        interval_s = attempt("JOULEBOOK_INTERVAL_S", None, _seconds, os.environ["JOULEBOOK_INTERVAL_S"])
    home = _given.home or os.environ.get("JOULEBOOK_HOME")
    replay = os.environ.get("JOULEBOOK_REPLAY") or None
    return Settings(home, interval_s or 1.0, _given.meters, _strict(), replay, outside)


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
    return Parent(parts[0], parts[1], unquote(parts[2]) or None)


def _is_uuid(text: str) -> bool:
    parts = text.split("-")
    return [len(part) for part in parts] == [8, 4, 4, 4, 12] and set("".join(parts)) <= set("0123456789abcdefABCDEF")


def _next_s(start_s: float, interval_s: float) -> float:
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


def _plugins() -> list[Meter]:
    """The meters that other packages offer and whose hardware is here."""
    from importlib.metadata import entry_points  # 20 ms: never on the job's own thread

    points = {point.name: point for point in entry_points(group=METER_GROUP) if point.name not in BUILT_IN_METERS}
    opened = [attempt(f"meter {name}", None, _opened, point) for name, point in points.items()]
    return [meter for meter in opened if meter is not None]


def _opened(point: Any) -> Meter | None:
    return point.load()()


def _read(meter: Meter, fresh: bool) -> list[Reading]:
    refresh = getattr(meter, "refresh", None)  # what a meter needs to do now and then, but not at every edge
    if fresh and refresh is not None:
        refresh()
    return [_checked(reading) for reading in meter.read()]


def _checked(reading: Reading) -> Reading:
    if reading.unit not in ("J", "s") or reading.method not in METHODS:
        raise InputError(f"{reading.sensor} counts {reading.unit} by {reading.method}: not J or s, or no known method")
    if not math.isfinite(reading.value):
        raise InputError(f"{reading.sensor} is not a finite number")
    return reading


def _failed(reason: str, run_id: str | None) -> None:
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
        loading = _recorder.loading.acquire(timeout=5)
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


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
