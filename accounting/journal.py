"""The journal: what a process wrote while it worked, one JSON object a line, never edited.

    an event ─> one line ─> one os.write(O_APPEND) ─> <home>/journal/<host>-<pid>-<start_ns>-<journal_id>.jsonl

A line whose `os.write` returned is on file whatever happens to the process afterwards; `sync` makes it outlive the
machine too and is called off the hot path: within a second of what a job says, less often for readings alone. The owner
holds `flock` on its file for as long as it lives, so a reader can tell a running job from a dead one. A file is first
written as `*.jsonl.new` and renamed once it is locked and has its first lines, so that no reader ever meets one without
them.

Every line carries `event`, `seq`, `at_ns` (wall clock, Unix) and `mono_ns` (monotonic); what is unknown is absent.

    journal      first line of a file: format version, journal_id, host, pid, …, previous_id after a rotation
    sensor       what a counter is: unit, method, device, boundary; before its first value in each file
    span_start   span_end   reading      carry `counters` and `open`
    usage        quality    note         what a job says of itself; a usage may have `coverage` (0 to 1) and `source`
    call         one attempt of a request to a model's API: `collectors/api` says what stands in it
    bill         what a provider says that some calls were: `collectors/importers`
    gap          what is missing, and why

There are counters of two kinds. One of this process has an entry `{sensor, value, shared}`: `shared` is what one of the
runs open at once has used. One of the node (`"scope":"node"`, with all that `collectors/sensors` says of a sensor) has
`{sensor, value}`, raw and in its own unit, or `{sensor, status}` where it could not be read: the first time, once a
minute as long as it lasts, and never again once there is a value. Node counters are the same in every process of one
boot of one host; who reads one when is nobody's promise. (Version 1 had no node counters,
version 2 no calls.)

`seq` counts from 0 in each file and follows the order of the lines. A number is used up by every attempt, so a hole
in `seq` is an event that could not be written. A full disk, a folder that is gone: the loss is counted, the job goes
on, opening is tried again at most once a second, and the first line written afterwards is a `gap` with the number of
events lost.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import math
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable

from joulebook.accounting.errors import InputError
from joulebook.accounting.records import METHODS, uuid7

TYPE_CHECKING = False  # `typing` is not loaded: `named` says why
if TYPE_CHECKING:
    from typing import Any

FORMAT_VERSION = 3
MAX_BYTES = 64_000_000
MAX_AGE_S = 3600.0
RETRY_NS = 1_000_000_000
NUMBERS = (int, float)


def _encoder() -> Callable[[dict[str, Any]], str]:
    """What `JSONEncoder.encode` does, of which it is the part in C: all of json loads regular expressions, to read."""
    try:
        from _json import encode_basestring_ascii, make_encoder

        encode = make_encoder(None, _no_json, encode_basestring_ascii, None, ":", ",", False, False, False)
    except (ImportError, TypeError):  # another Python
        import json

        return json.JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False).encode
    return lambda record: "".join(encode(record, 0))


def _no_json(value: Any) -> Any:
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


as_line = _encoder()
_heads: dict[str, str] = {}  # sensor -> how its counters begin


def _reading(seq: int, at_ns: int, mono_ns: int, fields: dict[str, Any]) -> str:
    """What `as_line` makes of a reading, alike every second, at less cost; "" where it says more than usual."""
    if len(fields) != 2 or "counters" not in fields or type(fields.get("open")) is not int:
        return ""
    counters = ",".join(map(_counter, fields["counters"]))
    times = f'"at_ns":{at_ns},"mono_ns":{mono_ns}'
    return f'{{"event":"reading","seq":{seq},{times},"open":{fields["open"]},"counters":[{counters}]}}'


def _line(record: dict[str, Any]) -> str:
    """Any event: half a character in a text, which readers refuse, is written out."""
    line = as_line(record)
    return as_line(_whole(record)) if "\\ud" in line else line


def _counter(counter: dict[str, Any]) -> str:
    """A sensor with one or two numbers; any other counter `as_line` does."""
    value: Any = counter.get("value")
    shared: Any = counter.get("shared", 0)
    is_finite: bool = type(value) in NUMBERS and type(shared) in NUMBERS and value - value == 0 == shared - shared
    if not is_finite or len(counter) != 2 + ("shared" in counter):
        return as_line(counter)
    sensor = counter["sensor"]
    head = _heads.get(sensor) or _heads.setdefault(sensor, as_line({"sensor": sensor})[:-1])
    return f'{head},"value":{value!r},"shared":{shared!r}}}' if "shared" in counter else f'{head},"value":{value!r}}}'


_fdatasync = getattr(os, "fdatasync", os.fsync)


def usage(  # noqa: PLR0913, PLR0917 - one field each
    kind: str,
    amount: float,
    unit: str,
    method: str = "measured",
    coverage: float | None = None,
    source: str | None = None,
) -> dict[str, Any]:
    """The fields of a `usage` event. `coverage`: the part of the work that was counted, 0 to 1; `source`: by what.

    Raises InputError unless `amount` is a number, finite and not negative, and for anything else that is no such field.
    """
    if method not in METHODS:
        raise InputError(f"the method is none of {', '.join(METHODS)}")
    value = _number(amount, "the amount")
    if value < 0:
        raise InputError("the amount is negative")
    fields = {"kind": _text(kind, "the kind"), "amount": value, "unit": _text(unit, "the unit"), "method": method}
    if coverage is not None:
        fields["coverage"] = _part(coverage, "the coverage")
    if source is not None:
        fields["source"] = _text(source, "the source")
    return fields


def quality(metric: str, value: float) -> dict[str, Any]:
    """The fields of a `quality` event. Raises InputError unless `value` is a finite number; it may be negative."""
    return {"kind": _text(metric, "the metric"), "amount": _number(value, "the value")}


def _number(value: Any, what: str) -> float:
    if type(value) is not float:
        if type(value).__name__ in ("bool", "bool_") or not hasattr(value, "__float__"):  # bool_ is NumPy's
            raise InputError(f"{what} is not a number")
        try:
            value = float(value)
        except (TypeError, ValueError, OverflowError) as error:
            raise InputError(f"{what} is not a number: {error}") from error
    if not math.isfinite(value):
        raise InputError(f"{what} is not finite")
    return value


def _part(value: Any, what: str) -> float:
    part = _number(value, what)
    if not 0 <= part <= 1:
        raise InputError(f"{what} is not between 0 and 1")
    return part


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str) or not value:
        raise InputError(f"{what} is not a text or is empty")
    return value


class Turn:
    """One piece of work at a time, in the order it came, from any thread.

    A signal handler or a finaliser may come in the middle of work on its own thread: no lock can make it wait.
    Its work is done right after instead, so that nothing is ever half done when other work begins.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._later: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._busy = False

    def run(self, work: Callable[..., None], *args: Any) -> None:
        with self.lock:
            self._later.append((work, args))
            while self._later and not self._busy:
                self._busy = True
                try:
                    todo, its_args = self._later.popleft()
                    todo(*its_args)
                finally:
                    self._busy = False


class _File:
    """One open journal file and where its next line goes."""

    def __init__(self, fd: int, journal_id: str) -> None:
        self.fd = fd
        self.journal_id = journal_id
        self.opened_ns = time.monotonic_ns()
        self.seq = 0
        self.size = 0
        self.synced_size = 0
        self.said_size = 0  # up to the last line that is more than a reading
        self._torn = False

    def put(self, event: str, fields: dict[str, Any]) -> None:
        """Writes one line. Raises OSError when it is not on file, whole."""
        at_ns, mono_ns = time.time_ns(), time.monotonic_ns()
        line = _reading(self.seq, at_ns, mono_ns, fields) if event == "reading" else ""
        if not line or "\\ud" in line:
            line = _line({"event": event, "seq": self.seq, "at_ns": at_ns, "mono_ns": mono_ns, **fields})
        data = line.encode("ascii") + b"\n"
        if self._torn:
            data = b"\n" + data  # so that only the torn line is lost
        self.seq += 1  # before the write: an exception in between must not number two lines alike
        written = os.write(self.fd, data)
        if written:
            self.size += written
            self._torn = data[written - 1] != 10
        if written < len(data):
            raise OSError(errno.ENOSPC, "only a part of a line could be written")


class Journal:
    """The journal of this process, opened at the first event; `write` may be called from anywhere at any time.

    `on_loss(error)` is called, inside the turn, for each event that could not be written. `about`: what its header
    says otherwise, where the events are not of this machine.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        on_loss: Callable[[OSError], None] | None = None,
        max_bytes: int = MAX_BYTES,
        max_age_s: float = MAX_AGE_S,
        about: dict[str, Any] | None = None,
    ) -> None:
        self.folder = os.fspath(folder)
        self.lost = 0
        self.turn = Turn()
        self._on_loss = on_loss
        self._about = about or {}
        self._max_bytes = max_bytes
        self._max_age_ns = int(max_age_s * 1e9)
        self._file: _File | None = None
        self._sealed: list[int] = []  # rotated away; still locked until they are synced
        self._sensors: dict[str, dict[str, Any]] = {}
        self._unsaid = 0  # losses that no gap has told yet
        self._unsaid_from_ns = 0
        self._error = OSError(errno.EIO, "never opened")
        self._retry_ns = 0

    def write(self, event: str, fields: dict[str, Any]) -> None:
        """Adds one event. A loss is counted, not raised. Raises ValueError or TypeError for what is no JSON."""
        self.turn.run(self._write, event, fields)

    def declare(self, sensor: dict[str, Any]) -> None:
        """Says what a counter is, now and at the head of every file to come."""
        self.turn.run(self._declare, sensor)

    @property
    def has_news(self) -> bool:
        """Whether more than readings waits to be synced."""
        file = self._file
        return bool(self._sealed) or (file is not None and file.said_size > file.synced_size)

    def sync(self, with_readings: bool = True) -> None:
        """Makes what was written durable, unless it is readings alone and those may wait. Raises OSError.

        Outside the turn: a slow disk must not hold a job.
        """
        file = self._file
        if file is not None and (file.size if with_readings else file.said_size) > file.synced_size:
            size = file.size
            _fdatasync(file.fd)  # open even if it is rotated meanwhile: what is sealed is closed below
            file.synced_size = size
            if os.fstat(file.fd).st_nlink == 0:
                self.turn.run(self._removed)
        for fd in tuple(self._sealed):
            _fdatasync(fd)
            self.turn.run(self._drop, fd)

    def close(self) -> None:
        """Seals the file: syncs it and lets go of its lock. The next event opens a new one."""
        self.turn.run(self._close)

    def abandon(self) -> None:
        """In a forked child: lets go of the parent's files without unlocking them."""
        for fd in [*self._sealed, *([] if self._file is None else [self._file.fd])]:
            with contextlib.suppress(OSError):
                os.close(fd)
        self._file, self._sealed = None, []

    def _write(self, event: str, fields: dict[str, Any]) -> None:
        try:
            file = self._ready()
            file.put(event, fields)
            if event != "reading":
                file.said_size = file.size
        except OSError as error:
            if error.errno in (errno.EBADF, errno.ESTALE):  # somebody closed it for us: open a new one
                self._file = None
            self._lose(error)

    def _ready(self) -> _File:
        """The file to write to, opened or rotated where that is due, after it has been told what was lost."""
        file = self._file
        if file is None or file.size >= self._max_bytes or time.monotonic_ns() - file.opened_ns >= self._max_age_ns:
            file = self._file = self._renewed(file)
        if self._unsaid:
            self._tell_loss(file)
        return file

    def _renewed(self, old: _File | None) -> _File:
        """A new file. While none can be opened the old one, if any, goes on."""
        try:
            if time.monotonic_ns() >= self._retry_ns:
                new = self._create(None if old is None else old.journal_id)
                self._sealed += [] if old is None else [old.fd]
                return new
        except OSError as error:
            self._retry_ns = time.monotonic_ns() + RETRY_NS
            self._error = error
        if old is None:
            raise OSError(*self._error.args)
        return old

    def _create(self, previous_id: str | None) -> _File:
        os.makedirs(self.folder, mode=0o700, exist_ok=True)  # noqa: PTH103 - pathlib costs a first span 4 ms
        journal_id = uuid7()
        name = f"{_file_safe(os.uname().nodename)}-{os.getpid()}-{time.time_ns()}-{journal_id}.jsonl"
        path = os.path.join(self.folder, name)  # noqa: PTH118
        hidden = path + ".new"
        fd = os.open(hidden, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        file = _File(fd, journal_id)
        try:
            with contextlib.suppress(OSError):  # some cluster file systems have no locks: better unlocked than lost
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.put("journal", _header(journal_id, previous_id) | self._about)
            self._put_sensors(file)
            os.rename(hidden, path)  # noqa: PTH104
        except BaseException:
            os.close(fd)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(hidden)  # noqa: PTH108
            raise
        return file

    def _put_sensors(self, file: _File) -> None:
        for sensor in self._sensors.values():
            file.put("sensor", sensor)

    def _declare(self, sensor: dict[str, Any]) -> None:
        if self._file is not None:
            self._write("sensor", sensor)
        self._sensors[sensor["sensor"]] = sensor

    def _lose(self, error: OSError) -> None:
        if not self._unsaid:
            self._unsaid_from_ns = time.time_ns()
        self.lost += 1
        self._unsaid += 1
        self._error = error
        if self._on_loss is not None:
            self._on_loss(error)

    def _tell_loss(self, file: _File) -> None:
        reason = f"events lost, the journal could not be written: {self._error.strerror}"
        times = {"from_ns": self._unsaid_from_ns, "to_ns": time.time_ns()}
        file.put("gap", {"reason": reason, "amount": self._unsaid, **times})
        self._unsaid = 0
        self._put_sensors(file)  # a sensor's line may be among the lost

    def _removed(self) -> None:
        """Somebody removed the file under us: what comes now goes into a new one."""
        file = self._file
        if file is not None and os.fstat(file.fd).st_nlink == 0:
            self._file = None
            os.close(file.fd)
            self._write("gap", {"reason": "the journal's file was removed while it was in use"})

    def _drop(self, fd: int) -> None:
        os.close(fd)
        self._sealed.remove(fd)

    def _close(self) -> None:
        for fd in self._sealed:
            os.close(fd)
        if self._file is not None:
            with contextlib.suppress(OSError):
                _fdatasync(self._file.fd)
            os.close(self._file.fd)
        self._file, self._sealed = None, []


def _whole(value: Any) -> Any:
    """The same with each lone surrogate, e.g. of a file name that is not UTF-8, written out: readers refuse halves."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        fields: dict[str, Any] = value  # pyright: ignore[reportUnknownVariableType]
        return {key: _whole(part) for key, part in fields.items()}
    if isinstance(value, list):
        parts: list[Any] = value  # pyright: ignore[reportUnknownVariableType]
        return [_whole(part) for part in parts]
    return value


def _header(journal_id: str, previous_id: str | None) -> dict[str, Any]:
    header: dict[str, Any] = {"version": FORMAT_VERSION, "journal_id": journal_id}
    if previous_id is not None:
        header["previous_id"] = previous_id
    header |= {"host": os.uname().nodename, "pid": os.getpid(), "joulebook": sys.modules["joulebook"].__version__}
    header |= {"python": ".".join(map(str, sys.version_info[:3])), "cpu_model": cpu_model()}
    boot_id = _head("/proc/sys/kernel/random/boot_id").strip()
    header |= {"boot_id": boot_id} if boot_id else {}
    cpus = os.cpu_count()
    return header if cpus is None else header | {"cpus": cpus}


def cpu_model() -> str:
    """The processor's name; where it has none the kind of machine. `platform` would start a process to find out."""
    for line in _head("/proc/cpuinfo").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return os.uname().machine


def _head(path: str) -> str:
    """The beginning of a kernel file; empty when there is none. On a large machine all of cpuinfo takes long."""
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123
            return (file.read(4096) or b"").decode("utf-8", "replace")
    except OSError:
        return ""


def _file_safe(host: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in host)[:64]
