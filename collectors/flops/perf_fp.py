"""The floating-point operations that the CPU itself counted: of this process, its threads, and what it starts.

    with track("simulate") as run, count_cpu(run):
        ...                                             at the end: hardware FLOP, measured

    /proc/cpuinfo, bus/event_source/devices/cpu ─> which events ─> one file per event and thread ─> Σ count × lanes

Intel    fp_arith_inst_retired, event 0xC7: one event for each number of lanes; a fused multiply-add counts twice
AMD      fp_ret_sse_avx_ops.all, event 0x03: counts lanes, and a fused multiply-add twice, by itself

Intel since Broadwell and AMD since Zen have them; a virtual machine mostly does not, nor do other makers' CPUs. Small
cores (of hybrid CPUs too) count otherwise and are left alone. Every user may count his own processes where
perf_event_paranoid is 2 or less.

Not counted: x87, integer dot products (VNNI), and the work of the matrix unit that newer Intel CPUs have (AMX). With
such a unit the coverage is unknown; else it is the part of the time in which the counters ran. Where there are more
events than counters they take turns, and for the rest of the time the same rate is assumed.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from joulebook.accounting.errors import InputError
from joulebook.collectors.sampler import attempt
from joulebook.collectors.sensors import Finding, Where
from joulebook.collectors.sensors.perf import PARANOID, perf_event_open
from joulebook.collectors.sensors.sysfs import DENIED, errno_name, number_of, text_of

if TYPE_CHECKING:
    from joulebook.collectors.track import Span

WHAT = "CPU FLOP"
RAW = 4  # perf_event_attr.type
ATTRIBUTES = struct.Struct("=IIQQQQQIIQ")  # as it first was, 64 bytes
WITH_TIMES = 1 | 2  # read_format: how long it was on, how long it ran
INHERIT, NOT_KERNEL, NOT_HYPERVISOR = 1 << 1, 1 << 5, 1 << 6
ANY_CPU = -1
READ = struct.Struct("=QQQ")

# What the kernel calls the cores that have the event.
INTEL_CORES = ("broadwell", "skylake", "icelake", "sapphire_rapids", "granite_rapids")


class Event(NamedTuple):
    """One event of the CPU and the FLOP of one count."""

    config: int
    flop: int


# scalar; 128 bit double; 128 bit single and 256 double; 256 single and 512 double; 512 single
INTEL_EVENTS = tuple(
    Event(0xC7 | umask << 8, lanes) for umask, lanes in ((0x03, 1), (0x04, 2), (0x18, 4), (0x60, 8), (0x80, 16))
)


class Counted(NamedTuple):
    """FLOP since the counter was opened, and the least part of the time in which an event was counted."""

    flop: float
    share: float


class FpCounter:
    """Open events. `coverage_known`: the CPU has no unit whose work these events do not see."""

    def __init__(self, files: Sequence[tuple[int, Event]], coverage_known: bool = True) -> None:
        self._files = files
        self.coverage_known = coverage_known

    def read(self) -> Counted | None:
        """None when an event never ran, e.g. because another program holds the counters. Raises OSError."""
        flop, share = 0.0, 1.0
        for fd, event in self._files:
            count, on_ns, ran_ns = READ.unpack(os.read(fd, READ.size))
            if on_ns and not ran_ns:
                return None
            share = min(share, ran_ns / on_ns if on_ns else 1.0)
            flop += event.flop * count * (on_ns / ran_ns if ran_ns else 1.0)
        return Counted(flop, share)

    def close(self) -> None:
        for fd, _ in self._files:
            os.close(fd)
        self._files = []


@contextlib.contextmanager
def count_cpu(run: Span) -> Iterator[None]:
    """Adds the CPU's hardware FLOP of the block inside to the run, also when it fails. It never raises into the job."""
    counter = attempt("count_cpu", run.run_id, _opened)
    if counter is None:
        yield
        return
    try:
        yield
    finally:
        attempt("count_cpu", run.run_id, _tell, run, counter)
        counter.close()


def open_counter(where: Where) -> FpCounter | None:
    """The counter of this process, None where the CPU has none or it is not open to us."""
    try:
        return _open(where)
    except (InputError, OSError):
        return None


def diagnose(where: Where) -> list[Finding]:
    """One finding: whether the CPU counts floating-point operations for us."""
    source = str(_folder(where))
    try:
        counter = _open(where)
    except InputError as error:
        return [Finding(WHAT, "warn", str(error), "", source)]
    except OSError as error:
        fix = PARANOID.replace("=0", "=2") if errno_name(error) in DENIED else ""
        return [Finding(WHAT, "warn", _refused(where, error), fix, source)]
    counter.close()
    detail = "open" if counter.coverage_known else "open; what the matrix unit (AMX) does is not counted"
    return [Finding(WHAT, "ok", detail, "", source, tier="measured")]


def _refused(where: Where, error: OSError) -> str:
    paranoid = number_of(where.proc / "sys/kernel/perf_event_paranoid")
    return f"perf_event_open by uid {os.geteuid()}: {errno_name(error)}; perf_event_paranoid is {paranoid}, 2 is enough"


def _opened() -> FpCounter:
    """Raises InputError when it cannot be opened, whyever."""
    try:
        return _open(Where())
    except OSError as error:
        raise InputError(_refused(Where(), error)) from error


def _tell(run: Span, counter: FpCounter) -> None:
    counted = counter.read()
    if counted is None:
        raise InputError("another program holds the counters of the CPU: its FLOP are unknown")
    coverage = counted.share if counter.coverage_known else None
    run.flops(counted.flop, method="fp_arith", coverage=coverage, kind="hardware")


def _open(where: Where) -> FpCounter:
    """Raises InputError where the CPU has no such events, OSError where they are not open to us."""
    events, flags = _events(where)
    files: list[tuple[int, Event]] = []
    try:
        for thread in Path("/proc/self/task").iterdir():
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                for event in events:
                    files += [(_file(RAW, event.config, int(thread.name)), event)]
    except BaseException:
        FpCounter(files).close()
        raise
    return FpCounter(files, "amx_tile" not in flags)


def _file(kind: int, config: int, thread: int) -> int:
    """The file that counts an event in a thread and in all that it starts from now on. Raises OSError."""
    flags = INHERIT | NOT_KERNEL | NOT_HYPERVISOR
    return perf_event_open(
        ATTRIBUTES.pack(kind, ATTRIBUTES.size, config, 0, 0, WITH_TIMES, flags, 0, 0, 0), thread, ANY_CPU
    )


def _events(where: Where) -> tuple[Sequence[Event], frozenset[str]]:
    """The events of this CPU, and its flags. Raises InputError where it has none."""
    facts = _cpu_facts(where)
    flags = frozenset(facts.get("flags", "").split())
    folder = _folder(where)
    if not folder.is_dir():
        why = "as in most virtual machines" if "hypervisor" in flags else "its cores are of several kinds, or no x86"
        raise InputError(f"{folder} is not there: the CPU shows no counters of its own, {why}")
    if facts.get("vendor_id") == "AuthenticAMD":
        return (Event(0x03 | _amd_umask(facts.get("cpu family", ""), flags) << 8, 1),), flags
    cores = text_of(folder / "caps/pmu_name") or facts.get("model name") or "this CPU"
    if facts.get("vendor_id") == "GenuineIntel" and cores in INTEL_CORES:
        return (INTEL_EVENTS if "avx512f" in flags else INTEL_EVENTS[:-1]), flags
    raise InputError(f"how {cores} counts floating-point operations is not known")


def _amd_umask(family: str, flags: frozenset[str]) -> int:
    """All kinds of operation: of Zen to Zen 3, Zen 4, Zen 5. Raises InputError for what came before or later."""
    if family == "23" or (family == "25" and "avx512f" not in flags):
        return 0xFF
    umask = {"25": 0x1F, "26": 0x0F}.get(family)
    if umask is None:
        raise InputError(f"how an AMD CPU of family {family} counts floating-point operations is not known")
    return umask


def _folder(where: Where) -> Path:
    return where.sys / "bus/event_source/devices/cpu"


def _cpu_facts(where: Where) -> dict[str, str]:
    """What /proc/cpuinfo says of the first CPU."""
    facts: dict[str, str] = {}
    for line in (text_of(where.proc / "cpuinfo") or "").splitlines():
        key, _, value = line.partition(":")
        facts.setdefault(key.strip(), value.strip())
    return facts
