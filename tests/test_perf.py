"""RAPL through perf: a PMU folder whose counter is the kernel's own clock, so that the truth is the time."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from joulebook.collectors.sensors import Where
from joulebook.collectors.sensors.perf import diagnose, open_meter

SOFTWARE, CPU_CLOCK = 1, 0  # a PMU that every kernel has: it counts nanoseconds on a CPU
W = 50.0  # with this scale the clock is a meter of 50 W
PARANOID = Path("/proc/sys/kernel/perf_event_paranoid")


def pmu(root, *, ram=True, cpumask="0", kind=SOFTWARE):
    folder = root / "bus/event_source/devices/power"
    (folder / "events").mkdir(parents=True)
    (folder / "type").write_text(f"{kind}\n")
    (folder / "cpumask").write_text(f"{cpumask}\n")
    for name in ("energy-pkg", "energy-cores", "energy-psys") + ("energy-ram",) * ram:
        (folder / "events" / name).write_text(f"event=0x0{CPU_CLOCK}\n")
        (folder / "events" / f"{name}.unit").write_text("Joules\n")
        (folder / "events" / f"{name}.scale").write_text(f"{W * 1e-9}\n")
    return Where(root)


def topology(root, cpu, package, die=0):
    folder = root / f"devices/system/cpu/cpu{cpu}/topology"
    folder.mkdir(parents=True)
    (folder / "physical_package_id").write_text(f"{package}\n")
    (folder / "die_id").write_text(f"{die}\n")


@pytest.fixture
def where(tmp_path):
    return pmu(tmp_path)


@pytest.fixture
def meter(where):
    meter = open_meter(where)
    if meter is None:
        pytest.skip(f"perf_event_open is not open to us here: {diagnose(where)[0].detail}")
    yield meter
    meter.close()


def test_a_package_and_its_dram_are_opened_and_nothing_that_is_part_of_them(where, meter):
    package, dram = meter.sensors()
    assert (package.sensor, package.device, package.unit) == ("perf:package-0", "cpu:0", "J")
    assert (dram.sensor, dram.device, dram.unit) == ("perf:dram-0", "dram:0", "J")
    assert (package.method, package.wraps_at, package.max_w, dram.max_w) == ("measured", None, 800, 200)
    assert package.source == str(where.sys / "bus/event_source/devices/power/events/energy-pkg")


def test_the_value_is_the_count_times_the_scale(meter):
    times_s, values_j = [], []
    for _ in range(2):
        times_s.append(time.monotonic())
        (sample,) = meter.read(["perf:package-0"])
        times_s.append(time.monotonic())
        assert sample.status == "ok"
        values_j.append(sample.value)
        time.sleep(0.1)
    least_s, most_s = times_s[2] - times_s[1], times_s[3] - times_s[0]
    # 50 W x 0.1 s = 5 J; the clock of the CPU may be a tick behind.
    assert W * (least_s - 0.01) <= values_j[1] - values_j[0] <= W * (most_s + 0.01)


def value_j(meter):
    (sample,) = meter.read(["perf:package-0"])
    assert sample.status == "ok"
    return sample.value


def test_all_processes_of_a_node_tell_one_counter(where, meter):
    begin_s = time.monotonic()
    time.sleep(0.1)
    first_j = value_j(meter)  # what was used until now is known to everybody
    later = open_meter(where)  # its own event begins at 0
    values_j = [first_j]
    for one in (later, meter, later, meter, later):
        time.sleep(0.02)
        values_j.append(value_j(one))
    assert values_j == sorted(values_j)
    meter.close()
    time.sleep(0.1)
    last_j = value_j(later)
    used_s = time.monotonic() - begin_s
    later.close()
    # The later one was asked right after the first, so it lacks no more than a few hundredths of a second.
    assert first_j >= W * (0.1 - 0.01)
    assert W * (0.1 + 5 * 0.02 + 0.1 - 0.05) <= last_j <= W * (used_s + 0.05)


def test_a_process_that_comes_alone_goes_on_from_there(where, meter):
    time.sleep(0.05)
    before_j = value_j(meter)
    meter.close()
    begin_s = time.monotonic()
    again = open_meter(where)
    after_j = value_j(again)
    again.close()
    assert before_j >= W * 0.04
    assert before_j <= after_j <= before_j + W * (time.monotonic() - begin_s + 0.01)


def test_another_process_that_holds_the_file_is_not_waited_for(where, meter, home):
    (path,) = (home / "lease").glob("*perf:package-0.total")
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert value_j(meter) >= 0


def test_each_package_has_its_events(tmp_path, meter):
    root = tmp_path / "two"
    topology(root, 0, package=0)
    topology(root, 1, package=1)
    where = pmu(root, ram=False, cpumask="0-1")
    if (os.cpu_count() or 1) < 2:
        pytest.skip("this machine has one CPU")
    both = open_meter(where)
    assert [sensor.device for sensor in both.sensors()] == ["cpu:0", "cpu:1"]
    assert [sample.status for sample in both.read(["perf:package-0", "perf:package-1"])] == ["ok", "ok"]
    both.close()


def test_the_dies_of_a_package_are_named_as_powercap_names_them(tmp_path, meter):
    root = tmp_path / "dies"
    topology(root, 0, package=0, die=0)
    topology(root, 1, package=0, die=1)
    where = pmu(root, ram=False, cpumask="0,1")
    if (os.cpu_count() or 1) < 2:
        pytest.skip("this machine has one CPU")
    both = open_meter(where)
    assert [sensor.sensor for sensor in both.sensors()] == ["perf:package-0-die-0", "perf:package-0-die-1"]
    both.close()


def test_an_event_in_another_unit_is_left_alone(where):
    (where.sys / "bus/event_source/devices/power/events/energy-pkg.unit").write_text("Watts\n")
    assert [finding.what for finding in diagnose(where)] == ["perf dram-0"]


def test_a_cpu_that_is_not_there_is_refused(tmp_path):
    where = pmu(tmp_path, ram=False, cpumask="8191")
    assert open_meter(where) is None
    (finding,) = diagnose(where)
    assert (finding.what, finding.state) == ("perf package-0", "warn")
    assert finding.detail.startswith(f"perf_event_open by uid {os.geteuid()}: E")


def test_no_pmu_is_no_meter(tmp_path):
    assert open_meter(Where(tmp_path)) is None
    (finding,) = diagnose(Where(tmp_path))
    assert finding.detail.startswith(f"{tmp_path}/bus/event_source/devices/power is not there")
    assert (finding.state, finding.fix) == ("warn", "sudo modprobe rapl")


def test_a_pmu_without_the_events_is_no_meter(tmp_path):
    folder = tmp_path / "bus/event_source/devices/power"
    folder.mkdir(parents=True)
    assert open_meter(Where(tmp_path)) is None
    (finding,) = diagnose(Where(tmp_path))
    assert finding.detail == f"{folder} has no event energy-pkg"


def test_doctor_on_events_that_are_open(where, meter):
    package, dram = diagnose(where)
    assert (package.what, package.state, package.tier) == ("perf package-0", "ok", "measured")
    assert (dram.what, dram.interval) == ("perf dram-0", "±20 %")


AS_NOBODY = """
import json, os, sys
from pathlib import Path
from joulebook.collectors.sensors import Where
from joulebook.collectors.sensors.perf import diagnose, open_meter
import ctypes
if os.geteuid() == 0:
    os.setuid(65534)
where = Where(Path(sys.argv[1]))
found = diagnose(where)[0]
print(json.dumps([open_meter(where) is None, os.geteuid(), found.state, found.detail, found.fix]))
"""


def test_doctor_on_events_that_are_not_open_to_us():
    paranoid = int(PARANOID.read_text()) if PARANOID.exists() else -1
    if paranoid < 1:
        pytest.skip(f"perf_event_paranoid is {paranoid}: every user may count here")
    with tempfile.TemporaryDirectory() as folder:  # not tmp_path: nobody may not pass through it
        Path(folder).chmod(0o755)
        pmu(Path(folder), ram=False)
        command = [sys.executable, "-c", AS_NOBODY, folder]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    no_meter, uid, state, detail, fix = json.loads(told)
    assert (no_meter, state) == (True, "warn")
    assert detail == (f"perf_event_open by uid {uid}: EACCES; {PARANOID} is {paranoid}, and 0 or less is needed")
    assert "sudo sysctl kernel.perf_event_paranoid=0" in fix
    assert f"sudo setcap cap_perfmon+ep {Path(sys.executable).resolve()}" in fix
