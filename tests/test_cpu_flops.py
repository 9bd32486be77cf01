"""What the CPU counts itself: which events of which CPU, the sum over them, and the way into a run."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
import threading
import time

import pytest
from recording import events, fresh_settings, of

from joulebook import track
from joulebook.accounting.errors import InputError
from joulebook.collectors.flops import perf_fp
from joulebook.collectors.flops.perf_fp import Event, FpCounter, count_cpu, diagnose, open_counter
from joulebook.collectors.sensors import Where

SOFTWARE, TASK_CLOCK = 1, 1  # an event that every Linux has: ns of CPU time


@pytest.fixture(autouse=True)
def settings():
    with fresh_settings():
        yield


def machine(folder, cpuinfo: str, pmu_name: str | None = "skylake", has_pmu: bool = True) -> Where:
    where = Where(folder / "sys", folder / "proc")
    where.proc.mkdir()
    (where.proc / "cpuinfo").write_text(cpuinfo.replace(": ", "\t: "))
    if has_pmu:
        caps = where.sys / "bus/event_source/devices/cpu/caps"
        caps.mkdir(parents=True)
        if pmu_name:
            (caps / "pmu_name").write_text(f"{pmu_name}\n")
    return where


def cpuinfo(vendor: str, family: int, *flags: str) -> str:
    model = "model name: Some CPU\n"
    return f"processor: 0\nvendor_id: {vendor}\ncpu family: {family}\n{model}flags: fpu avx2 {' '.join(flags)}\n\n"


def told(counts: list[tuple[int, int, int]]) -> int:
    """A file from which each read gives the next count with its times, as from a perf event."""
    reader, writer = os.pipe()
    for one in counts:
        os.write(writer, perf_fp.READ.pack(*one))
    os.close(writer)
    return reader


@pytest.mark.parametrize(
    ("info", "pmu_name", "expected"),
    [
        # event 0xC7 with the bits of its kinds above it, and the lanes of each
        (cpuinfo("GenuineIntel", 6), "broadwell", {0x03C7: 1, 0x04C7: 2, 0x18C7: 4, 0x60C7: 8}),
        (cpuinfo("GenuineIntel", 6, "avx512f"), "icelake", {0x03C7: 1, 0x04C7: 2, 0x18C7: 4, 0x60C7: 8, 0x80C7: 16}),
        (cpuinfo("AuthenticAMD", 23), None, {0xFF03: 1}),  # Zen, Zen 2
        (cpuinfo("AuthenticAMD", 25), None, {0xFF03: 1}),  # Zen 3
        (cpuinfo("AuthenticAMD", 25, "avx512f"), None, {0x1F03: 1}),  # Zen 4
        (cpuinfo("AuthenticAMD", 26, "avx512f"), None, {0x0F03: 1}),  # Zen 5
    ],
)
def test_the_events_of_a_cpu(tmp_path, monkeypatch, info, pmu_name, expected):
    asked = []

    def opened(kind, config, thread):
        asked.append((kind, config, thread))
        return os.open(os.devnull, os.O_RDONLY)

    monkeypatch.setattr(perf_fp, "_file", opened)
    counter = open_counter(machine(tmp_path, info, pmu_name))
    assert counter is not None
    assert {event.config: event.flop for _, event in counter._files} == expected
    assert {kind for kind, _, _ in asked} == {perf_fp.RAW}
    assert {thread for _, _, thread in asked} >= {threading.get_native_id()}
    counter.close()


def test_intel_kinds_of_the_same_lanes_share_an_event():
    """The bits of fp_arith_inst_retired: 8 kinds, each in one event only."""
    lanes = {
        0x01: 1,
        0x02: 1,
        0x04: 2,
        0x08: 4,
        0x10: 4,
        0x20: 8,
        0x40: 8,
        0x80: 16,
    }  # double and single, 64 to 512 bit
    seen = {bit: event.flop for event in perf_fp.INTEL_EVENTS for bit in lanes if event.config >> 8 & bit}
    assert seen == lanes
    assert sum((event.config >> 8).bit_count() for event in perf_fp.INTEL_EVENTS) == 8


@pytest.mark.parametrize(
    ("info", "pmu_name", "has_pmu", "why"),
    [
        (cpuinfo("GenuineIntel", 6, "hypervisor"), None, False, "as in most virtual machines"),
        (cpuinfo("GenuineIntel", 6), None, False, "its cores are of several kinds, or no x86"),
        (cpuinfo("GenuineIntel", 6), "haswell", True, "how haswell counts"),
        (cpuinfo("GenuineIntel", 6), "crestmont", True, "how crestmont counts"),
        (cpuinfo("AuthenticAMD", 21), None, True, "an AMD CPU of family 21"),
        ("processor: 0\nCPU implementer: 0x41\n", "armv8", True, "how armv8 counts"),
    ],
)
def test_a_cpu_without_such_events(tmp_path, info, pmu_name, has_pmu, why):
    where = machine(tmp_path, info, pmu_name, has_pmu)
    assert open_counter(where) is None
    (finding,) = diagnose(where)
    assert (finding.state, finding.fix) == ("warn", "")
    assert why in finding.detail


def test_what_is_not_open_to_us(tmp_path, monkeypatch):
    def refused(*_):
        raise PermissionError(13, "perf_event_open")

    monkeypatch.setattr(perf_fp, "_file", refused)
    where = machine(tmp_path, cpuinfo("GenuineIntel", 6))
    (where.proc / "sys/kernel").mkdir(parents=True)
    (where.proc / "sys/kernel/perf_event_paranoid").write_text("4\n")
    assert open_counter(where) is None
    (finding,) = diagnose(where)
    assert finding.detail.endswith("EACCES; perf_event_paranoid is 4, 2 is enough")
    assert "kernel.perf_event_paranoid=2" in finding.fix


def test_a_matrix_unit_makes_the_coverage_unknown(tmp_path, monkeypatch):
    monkeypatch.setattr(perf_fp, "_file", lambda *_: os.open(os.devnull, os.O_RDONLY))
    where = machine(tmp_path, cpuinfo("GenuineIntel", 6, "avx512f", "amx_tile"), "sapphire_rapids")
    counter = open_counter(where)
    assert counter is not None
    assert not counter.coverage_known
    counter.close()
    (finding,) = diagnose(where)
    assert (finding.state, finding.tier) == ("ok", "measured")
    assert "AMX" in finding.detail


def test_the_sum_by_hand():
    """100 scalar, 30 of 4 lanes that ran half of the time, 5 of 8 lanes: 100 + 2·4·30 + 40 = 380, half sure."""
    counts = {Event(0x03C7, 1): (100, 10, 10), Event(0x18C7, 4): (30, 10, 5), Event(0x60C7, 8): (5, 10, 10)}
    counter = FpCounter([(told([count]), event) for event, count in counts.items()])
    assert counter.read() == (380.0, 0.5)
    counter.close()


def test_an_event_that_never_ran_is_unknown_not_zero():
    counter = FpCounter([(told([(0, 10, 0)]), Event(0xFF03, 1))])
    assert counter.read() is None
    counter.close()
    idle = FpCounter([(told([(0, 0, 0)]), Event(0xFF03, 1))])  # a thread that has not been on a CPU since
    assert idle.read() == (0.0, 1.0)
    idle.close()


def test_into_a_run(home, monkeypatch):
    """Two threads: 600 and 400 FLOP by one event each."""
    threads = [(told([(600, 8, 8)]), Event(0xFF03, 1)), (told([(400, 8, 8)]), Event(0xFF03, 1))]
    monkeypatch.setattr(perf_fp, "_opened", lambda: FpCounter(threads))
    with track("run") as run, contextlib.suppress(KeyError), count_cpu(run):
        raise KeyError  # a job that fails has worked too
    (usage,) = of(events(home), "usage")
    said = {"kind": "hardware_flop", "amount": 1000.0, "unit": "FLOP", "method": "measured", "coverage": 1.0}
    assert said | {"source": "fp_arith"} == {name: usage[name] for name in (*said, "source")}


def test_a_matrix_unit_leaves_no_coverage_in_the_journal(home, monkeypatch):
    counter = FpCounter([(told([(7, 8, 8)]), Event(0x03C7, 1))], coverage_known=False)
    monkeypatch.setattr(perf_fp, "_opened", lambda: counter)
    with track("run") as run, count_cpu(run):
        pass
    (usage,) = of(events(home), "usage")
    assert (usage["amount"], usage.get("coverage")) == (7.0, None)


def test_a_machine_without_counters_goes_on_without(home, monkeypatch):
    def missing():
        raise InputError("no counters")

    monkeypatch.setattr(perf_fp, "_opened", missing)
    with track("run") as run, count_cpu(run):
        pass
    found = events(home)
    assert of(found, "usage") == []
    assert [gap["reason"] for gap in of(found, "gap")] == ["count_cpu: no counters"]


def test_threads_and_children_are_counted_by_the_kernel(tmp_path, monkeypatch):
    """With CPU time in place of FLOP: what a thread and a process use that begin later is in the sum."""
    monkeypatch.setattr(perf_fp, "RAW", SOFTWARE)
    monkeypatch.setattr(perf_fp, "_events", lambda where: ((Event(TASK_CLOCK, 1),), frozenset()))
    try:
        counter = perf_fp._open(Where())
    except OSError as error:
        pytest.skip(f"perf_event_open is not allowed here: {error}")
    before = used_s()
    thread = threading.Thread(target=burn, args=(0.1,))
    thread.start()
    thread.join()
    subprocess.run([sys.executable, "-c", "sum(range(3_000_000))"], check=True)
    counted, after = counter.read(), used_s()
    counter.close()
    assert counted is not None
    assert counted.share == 1.0
    assert counted.flop / 1e9 == pytest.approx(after - before, rel=0.25)


def burn(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def used_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)
