"""`track`: a span of work, as a `with` block or around a function.

    with track("finetune", project="search") as run:     the first line of the run is on file
        run.record("token", 4096, "token")                amounts, steps, FLOP, quality, notes
        with track("epoch"):                              a child: same run, its parent is the span around it
            ...
                                                          the last line: how it ended

Whose child a span is: the innermost open span of this context (asyncio tasks inherit theirs), else, in a thread that
has none, the one run that another thread has open, else the span of the process that started this one, else nobody's:
it is a root and begins a run.

A method of a span never raises into the job, except under `strict`; an exception of the job is recorded and goes on.
This module is all that `from joulebook import track` loads: the recorder comes with the first span.
"""

from __future__ import annotations

import os
import sys
import threading
from contextvars import ContextVar

TYPE_CHECKING = False  # `typing` alone would double the cost of this import
if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Mapping
    from types import ModuleType
    from typing import Any, ParamSpec, TypeVar, overload

    from joulebook.accounting.records import Meter
    from joulebook.collectors.sampler import Parent, Recorder

    Given = ParamSpec("Given")
    Result = TypeVar("Result")
    Tags = Mapping[str, str] | Iterable[tuple[str, str]]

_current: ContextVar[Span | None] = ContextVar("joulebook_span", default=None)
_room: ModuleType | None = None


def _machine_room() -> Any:
    """The sampler module. It comes late: the recorder is only needed once there is something to record."""
    global _room  # noqa: PLW0603
    if _room is None:
        from joulebook.collectors import sampler

        _room = sampler
    return _room


def _flop_counts() -> Any:
    """How FLOP are written down: few jobs count them."""
    from joulebook.collectors import flops

    return flops


def configure(
    *,
    home: str | os.PathLike[str] | None = None,
    interval_s: float | None = None,
    meters: Iterable[Meter] | None = None,
    strict: bool | None = None,
    sysfs_root: str | os.PathLike[str] | None = None,
) -> None:
    """Settings of this process, from the next root span on. Without arguments: back to the environment.

    home: where the journal is written; JOULEBOOK_HOME, else the user's data folder.
    interval_s: seconds between two readings; JOULEBOOK_INTERVAL_S, else 1.
    meters: these and no others; JOULEBOOK_REPLAY=trace, else CPU time and what other packages offer.
    strict: raise what would only be logged; JOULEBOOK_STRICT=1.
    sysfs_root: where the kernel shows the hardware; JOULEBOOK_SYSFS_ROOT, else /sys.

    Raises InputError when the interval is not a positive number of seconds.
    """
    room = _machine_room()
    room.configure(home=home, interval_s=interval_s, meters=meters, strict=strict, sysfs_root=sysfs_root)


def _guarded(method: Callable[Given, Result]) -> Callable[Given, Result]:
    """A method of a span that never raises into the job."""

    def call(span: Any, /, *args: Any, **kwargs: Any) -> Any:
        return (_room or _machine_room()).attempt(method.__name__, span.run_id, method, span, *args, **kwargs)

    call.__name__, call.__qualname__, call.__doc__ = method.__name__, method.__qualname__, method.__doc__
    call.__dict__["__wrapped__"] = method  # what functools.wraps would do, if it were not for the cost of loading it
    return call


class Span:
    """One piece of work. It may be used from any thread, and from a forked child, for as long as it exists."""

    def __init__(self, name: object) -> None:
        self.name = name
        self.project: str | None = None
        self.run_id: str | None = None  # None: it could not be started, and nothing of it is recorded
        self.span_id: str | None = None
        self.parent_id: str | None = None
        self.pid = os.getpid()
        self.is_open = False
        self.is_top = True  # it has no parent in this process
        self.top = self  # its ancestor of which that is true
        self.innermost = self  # of a top: the innermost open span on the strand that opened it
        self.strand = _strand()
        self.around = _open_one(_current.get())  # the current span of this context before
        self.paused: Span | None = self  # of a generator: the current span where its body stopped
        self.lost_before = 0  # what the journal had lost when it began
        self.flop_per_step: dict[str, dict[str, Any]] = {}  # by kind, the usage of one step; replaced, never changed
        self._recorder: Recorder | None = None

    @_guarded
    def record(self, kind: str, amount: float, unit: str, method: str = "measured") -> None:
        """Adds an amount that this span used, finite and not negative: `record("token", 4096, "token")`."""
        self._write("usage", (_room or _machine_room()).usage(kind, amount, unit, method))

    @_guarded
    def step(self, n: float = 1) -> None:
        """Adds `n` steps, with their FLOP where `flops_per_step` has said what one step has."""
        steps = (_room or _machine_room()).usage("step", n, "step")
        self._write("usage", steps)
        for one in self.flop_per_step.values():
            self._write("usage", {**one, "amount": one["amount"] * steps["amount"]})

    @_guarded
    def flops(
        self,
        amount: float,
        method: str = "declared",
        coverage: float | None = 1.0,
        kind: str = "model",
        source: str | None = None,
    ) -> None:
        """Adds floating-point operations, a multiplication with an addition being two: `flops(6 * params * tokens)`.

        method: a method of the ledger, or who counted: "analytic", "flop_counter", "fp_arith" or any other name.
        coverage: the part of the work that was counted, 0 to 1; None when nobody knows.
        kind: "model", what the mathematics asks for, or "hardware", what the device did, recomputation included.
        source: by what it was counted.

        Utilisation is told against the dense bf16 peak of the devices (fp16, else fp32, where they have no bf16), or
        against the `peak_flop_per_s` of site.toml.
        """
        self._write("usage", _flop_counts().flop_usage(amount, method, coverage, kind, source))

    @_guarded
    def flops_per_step(
        self,
        amount: float,
        method: str = "declared",
        coverage: float | None = 1.0,
        kind: str = "model",
        source: str | None = None,
    ) -> None:
        """From now on each `step(n)` of this span also adds n × `amount` FLOP of this kind; 0 ends that.

        The arguments are those of `flops`.
        """
        one = _flop_counts().flop_usage(amount, method, coverage, kind, source)
        others = {name: said for name, said in self.flop_per_step.items() if name != one["kind"]}
        self.flop_per_step = {**others, one["kind"]: one} if one["amount"] else others

    @_guarded
    def quality(self, metric: str, value: float) -> None:
        """Notes how good the result is, e.g. `quality("accuracy", 0.93)`."""
        self._write("quality", _machine_room().quality(metric, value))

    @_guarded
    def note(self, text: str) -> None:
        """Notes a text."""
        self._write("note", {"text": str(text)})

    def _write(self, event: str, fields: dict[str, Any]) -> None:
        if self.run_id is not None:
            own = self._recorder if self.pid == os.getpid() else None
            (own or _machine_room().recorder()).journal.write(event, self._ids() | fields)

    @_guarded
    def start(self, project: object, tags: Tags | None, recorder: Recorder | None = None, **said: str) -> None:
        """Begins: finds its parent and writes `span_start`, with what else is said of it."""
        room = _machine_room()
        self._recorder = own = recorder or room.recorder()
        self._take_place(span_around(own), room.uuid7())
        named = None if self.name is None else room.attempt("name", self.run_id, str, self.name)
        self.name = named or "unnamed"
        if project is not None:
            self.project = room.attempt("project", self.run_id, str, project) or None
        pairs = room.attempt("tags", self.run_id, _pairs, tags or {}) or []
        given = {"parent_id": self.parent_id, "name": self.name, "project": self.project, "tags": pairs or None, **said}
        own.start(self, self._ids() | {key: value for key, value in given.items() if value is not None})

    @_guarded
    def end(self, ok: bool = True, error: str | None = None, **said: int) -> None:
        """Ends: writes `span_end`, unless this is the copy of a span in a forked child."""
        if self.is_open and self.pid == os.getpid() and self._recorder is not None:
            self.is_open = False
            if self.top.innermost is self:
                self.top.innermost = _open_one(self.around) or self.top
            told = {"ok": ok} | ({} if error is None else {"error": error}) | said
            self._recorder.end(self, self._ids() | told)

    def _ids(self) -> dict[str, Any]:
        return {"span_id": self.span_id, "run_id": self.run_id}

    def _take_place(self, parent: Span | Parent | None, span_id: str) -> None:
        self.span_id = span_id
        self.run_id = span_id if parent is None else parent.run_id
        if parent is not None:
            self.parent_id, self.project = parent.span_id, parent.project
        if isinstance(parent, Span) and parent.pid == self.pid:
            self.is_top, self.top = False, parent.top
            if self.strand == self.top.strand:
                self.top.innermost = self
        self.is_open = True


class Tracked:
    """What `track(...)` returns: a `with` or `async with` block and a decorator. Each entry and call is a new span."""

    def __init__(self, name: object, project: object, tags: Tags | None) -> None:
        self._name, self._project, self._tags = name, project, tags
        self._entered: list[Span] = []

    def begin(self) -> Span:
        """A new span that nobody has made current yet."""
        span = Span(self._name)
        span.start(self._project, self._tags)
        return span

    def __enter__(self) -> Span:
        span = self.begin()
        self._entered.append(span)
        _current.set(span)
        return span

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        current = _current.get()
        span = current if current in self._entered else self._entered[-1]  # tasks may share this object
        self._entered.remove(span)
        left = _inside(span, current)
        if left is not None:
            _current.set(_open_one(span.around))
            for inner in left if error is not None else ():
                _finish(inner, error)
        _finish(span, error)

    async def __aenter__(self) -> Span:
        return self.__enter__()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self.__exit__(kind, error, trace)

    def __call__(self, function: Callable[Given, Result]) -> Callable[Given, Result]:
        return self.decorate(function)

    def decorate(self, function: Any) -> Any:
        if isinstance(function, (staticmethod, classmethod)):
            return type(function)(self.decorate(function.__func__))
        if isinstance(function, type) or not callable(function):
            raise TypeError(f"track() decorates functions and methods, not {function!r}")
        name = getattr(function, "__qualname__", type(function).__name__) if self._name is None else self._name
        return _decorated(function, Tracked(name, self._project, self._tags))

    def fresh(self) -> Tracked:
        """The same, for one call: so that calls that run at once do not meet."""
        return Tracked(self._name, self._project, self._tags)


if TYPE_CHECKING:

    @overload
    def track(name: Callable[Given, Result], /) -> Callable[Given, Result]: ...
    @overload
    def track(name: str | None = None, *, project: str | None = None, tags: Tags | None = None) -> Tracked: ...


def track(name: Any = None, *, project: str | None = None, tags: Tags | None = None) -> Any:
    """A span of work: `with track("finetune") as run:`, or `@track("train")`, or bare `@track`.

    name: what is done; of a decorated function its qualified name, unless given.
    project: whom it is for; a span inside another belongs to the same, unless given.
    tags: any pairs of texts to group by; a span inside another does not have those of its parent.

    Decorated generators are tracked from their first item until they end or are closed.
    """
    if callable(name) or isinstance(name, classmethod):
        return Tracked(None, project, tags).decorate(name)
    return Tracked(name, project, tags)


def _decorated(function: Callable[..., Any], tracked: Tracked) -> Callable[..., Any]:
    import functools  # a program that decorates functions has loaded both
    import inspect

    if inspect.isasyncgenfunction(function):
        around = _async_generator(function, tracked)
    elif inspect.isgeneratorfunction(function):
        around = _generator(function, tracked)
    elif inspect.iscoroutinefunction(function):
        around = _coroutine(function, tracked)
    else:
        around = _function(function, tracked)
    return functools.wraps(function)(around)


def _function(function: Callable[..., Any], tracked: Tracked) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        with tracked.fresh():
            return function(*args, **kwargs)

    return call


def _coroutine(function: Callable[..., Any], tracked: Tracked) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> Any:
        with tracked.fresh():
            return await function(*args, **kwargs)

    return call


def _generator(function: Callable[..., Generator[Any, Any, Any]], tracked: Tracked) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        span = tracked.begin()
        with _Ending(span):
            work = function(*args, **kwargs)
            resume: Any = work.send
            value: Any = None
            while True:
                try:
                    with _Inside(span):
                        item = resume(value)
                except StopIteration as stop:
                    return stop.value
                try:
                    value, resume = (yield item), work.send
                except GeneratorExit:
                    with _Inside(span):
                        work.close()
                    raise
                except BaseException as error:  # noqa: BLE001 - what the caller throws in is the body's
                    value, resume = error, work.throw

    return call


def _async_generator(function: Callable[..., AsyncGenerator[Any, Any]], tracked: Tracked) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        span = tracked.begin()
        with _Ending(span):
            work = function(*args, **kwargs)
            resume: Any = work.asend
            value: Any = None
            while True:
                try:
                    with _Inside(span):
                        item = await resume(value)
                except StopAsyncIteration:
                    return
                try:
                    value, resume = (yield item), work.asend
                except GeneratorExit:
                    with _Inside(span):
                        await work.aclose()
                    raise
                except BaseException as error:  # noqa: BLE001 - what the caller throws in is the body's
                    value, resume = error, work.athrow

    return call


class _Ending:
    """Ends a span as the block inside ends."""

    def __init__(self, span: Span) -> None:
        self._span = span

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        _finish(self._span, error)


class _Inside:
    """A generator's body runs with the current span that it had when it last stopped; its caller has its own."""

    def __init__(self, span: Span) -> None:
        self._span = span

    def __enter__(self) -> None:
        self._around = _current.get()
        _current.set(self._span.paused)

    def __exit__(self, *_: object) -> None:
        self._span.paused = _current.get()
        _current.set(self._around)


def _finish(span: Span, error: BaseException | None) -> None:
    """Ends a span. A generator that is closed and a program that exits with 0 end well."""
    normal = isinstance(error, (GeneratorExit, StopIteration, StopAsyncIteration))
    if error is None or normal or (isinstance(error, SystemExit) and error.code in (None, 0)):
        span.end()
    else:
        span.end(ok=False, error=_machine_room().described(error))


def _inside(span: Span, current: Span | None) -> list[Span] | None:
    """What is open in this context inside a span, innermost first; None where the span is not around it at all."""
    inner: list[Span] = []
    while current is not None and current is not span:
        inner.append(current)
        current = current.around
    return inner if current is span else None


def span_around(recorder: Recorder) -> Span | Parent | None:
    """The span that what begins now is inside of: the module says the rule."""
    span = _open_one(_current.get())
    if span is None and threading.get_ident() != threading.main_thread().ident:
        tops = tuple(recorder.tops)
        if len(tops) == 1 and tops[0].strand[0] != threading.get_ident():
            span = _open_one(tops[0].innermost) or tops[0]
    return recorder.parent if span is None else span


def _open_one(span: Span | None) -> Span | None:
    """The span itself or the nearest around it that has not ended: what an ended span would contain, nobody counts."""
    while span is not None and not span.is_open:
        span = span.around
    return span


def _strand() -> tuple[int, int | None]:
    """Who is running: the thread and, in an event loop, the task. asyncio is looked up, never imported."""
    current_task = getattr(sys.modules.get("asyncio"), "current_task", None)
    try:
        task = None if current_task is None else current_task()
    except RuntimeError:  # no loop runs in this thread
        task = None
    return threading.get_ident(), None if task is None else id(task)


def _pairs(tags: Tags) -> list[list[str]]:
    return [[str(key), str(value)] for key, value in dict(tags).items()]
