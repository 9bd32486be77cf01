"""The sensors of the node: which are read, when, and that one that fails or hangs disturbs nobody."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from recording import (
    DialMeter,
    FakeNodeMeter,
    energy,
    events,
    events_in,
    fresh_settings,
    machine,
    of,
    python,
    span,
    values_of,
    wait_until,
)
from twin.powercap import INTEL_SERVER, Fault, feeding

from joulebook import configure, track
from joulebook.accounting import journal as journal_module
from joulebook.accounting.home import journal_dir
from joulebook.accounting.records import Reading
from joulebook.collectors import node, sampler
from joulebook.collectors.lease import Leases
from joulebook.collectors.sensors import Sensor, Where

CPU = energy("cpu0", "cpu:0")
DRAM = energy("dram0", "dram:0")
GPU = energy("gpu0", "gpu:0")
PERF = (energy("p", "cpu:0"), energy("d", "dram:0"))
NODE_CPU = energy("node-cpu", "cpu", unit="s", counted=False)


@pytest.fixture(autouse=True)
def settings():
    """Each test begins and ends with no settings of its own, and closes what it opens."""
    with fresh_settings():
        yield


@pytest.fixture
def meter(monkeypatch):
    """A node with two counters, and no tick in between."""
    made = FakeNodeMeter(CPU, DRAM)
    made.values = {"cpu0": 10.0, "dram0": 1.0}
    machine(monkeypatch, powercap=made)
    configure(interval_s=3600)
    return made


def first_reading(home):
    """What is read at once when the sensors have been found."""
    return wait_until(lambda: [event for event in of(events(home), "reading") if event["counters"]])[0]


def sensors_of(found):
    return {(one.kind, sensor.sensor): sensor.counted for one in found for sensor in one.sensors}


# What is read -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("meters", "read"),
    [
        ({}, set()),
        ({"powercap": [CPU, DRAM], "perf": PERF}, {"cpu0", "dram0"}),
        ({"powercap": [CPU], "perf": PERF, "memory": [DRAM]}, {"cpu0", "dram0"}),
        ({"perf": [energy("p", "cpu:0")], "hwmon": [energy("h", "cpu:0"), energy("xe", "gpu:1")]}, {"p", "xe"}),
        ({"hwmon": [energy("h", "cpu:0")], "nvml": [GPU], "amd": [energy("a", "gpu:9")]}, {"h", "gpu0", "a"}),
        # What is only written for comparison makes no backend: the one behind it counts.
        ({"powercap": [energy("psys", "cpu:psys", counted=False)], "perf": [CPU]}, {"cpu0"}),
        ({"powercap": [CPU], "memory": [energy("model", "dram:0", unit="GB")]}, {"cpu0", "model"}),
        ({"powercap": [CPU, DRAM], "memory": [energy("model", "dram:0")]}, {"cpu0", "dram0"}),
        ({"nvml": [GPU], "memory": [energy("model", "dram:0")]}, {"gpu0"}),
        ({"nvml": [energy("m", "module:0")], "memory": [energy("model", "dram:0")], "hwmon": [CPU]}, {"m", "cpu0"}),
        ({"powercap": [energy("c", "cpu:0", share_by="cpu")], "node_cpu": [NODE_CPU]}, {"c", "node-cpu"}),
        ({"nvml": [energy("g", "gpu:0", share_by="busy")], "node_cpu": [NODE_CPU]}, {"g"}),
    ],
)  # fmt: skip
def test_every_joule_is_read_once(monkeypatch, meters, read):
    machine(monkeypatch, **{kind: FakeNodeMeter(*sensors) for kind, sensors in meters.items()})
    found = node.inventory(node.KINDS, Where())
    assert {sensor for _, sensor in sensors_of(found)} == read


def test_where_a_module_counts_its_cpu_does_not(monkeypatch):
    hwmon = FakeNodeMeter(CPU, energy("other", "fan:0"))
    machine(monkeypatch, hwmon=hwmon, nvml=FakeNodeMeter(energy("module0", "module:0")))
    counted = {
        sensor: is_counted for (_, sensor), is_counted in sensors_of(node.inventory(node.KINDS, Where())).items()
    }
    assert counted == {"cpu0": False, "other": True, "module0": True}


def test_a_meter_that_is_not_needed_is_closed(monkeypatch):
    powercap, perf = FakeNodeMeter(CPU), FakeNodeMeter(CPU, DRAM)
    machine(monkeypatch, powercap=powercap, perf=perf)
    node.inventory(node.KINDS, Where())
    assert (powercap.closed, perf.closed) == (False, True)


def test_what_is_reserved_is_told_with_the_sensor(monkeypatch, tmp_path):
    """Half of 4 CPUs and a quarter of 8 GiB are set aside for this process."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    for path, text in {
        "devices/system/cpu/online": "0-3\n",
        "fs/cgroup/job/cgroup.procs": "",
        "fs/cgroup/job/memory.max": f"{2 << 30}\n",
        "self/cgroup": "0::/job\n",
        "meminfo": f"MemTotal: {8 << 20} kB\n",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    machine(
        monkeypatch,
        powercap=FakeNodeMeter(energy("c", "cpu:0", share_by="cpu")),
        memory=FakeNodeMeter(energy("model", "dram:0")),
        nvml=FakeNodeMeter(energy("g", "gpu:0", share_by="busy", reserved=0.125)),
    )
    found = node.inventory(node.KINDS, Where(tmp_path, tmp_path))
    assert {sensor.sensor: sensor.reserved for one in found for sensor in one.sensors} == {
        "c": 0.5, "model": 0.25, "g": 0.125,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "read"),
    [("none", set()), ("nvml", {"gpu0"}), ("nvml, powercap", {"gpu0", "c", "node-cpu"}), ("", set())],
)
def test_the_kinds_of_sensors_can_be_chosen(home, monkeypatch, wanted, read):
    machine(
        monkeypatch,
        powercap=FakeNodeMeter(energy("c", "cpu:0", share_by="cpu")),
        nvml=FakeNodeMeter(GPU),
        node_cpu=FakeNodeMeter(energy("node-cpu", "cpu")),
    )
    monkeypatch.setenv("JOULEBOOK_SENSORS", wanted)
    with track("run"):
        wait_until(lambda: sampler.recorder()._node or sensing() is None)
    assert {sensor["sensor"] for sensor in of(events(home), "sensor") if "scope" in sensor} == read
    assert of(events(home), "gap") == []


def test_a_kind_that_nobody_knows_is_told(home, monkeypatch):
    machine(monkeypatch)
    monkeypatch.setenv("JOULEBOOK_SENSORS", "nvml,rapl")
    with track("run"):
        gap = wait_until(lambda: of(events(home), "gap"))[0]
    assert gap["reason"] == (
        "JOULEBOOK_SENSORS: there is no rapl, only none, powercap, perf, hwmon, nvml, amd, apple, memory"
    )


def sensing():
    """The thread of the sensors, while there is one."""
    return next((thread for thread in threading.enumerate() if thread.name == sampler.SENSOR_THREAD_NAME), None)


def test_where_there_is_nothing_nothing_is_written_and_no_thread_stays(home, monkeypatch):
    machine(monkeypatch)
    configure(interval_s=0.02)
    with track("run"):
        wait_until(lambda: len(of(events(home), "reading")) > 2)
        wait_until(lambda: sensing() is None)
    found = events(home)
    assert [sensor["sensor"] for sensor in of(found, "sensor")] == ["cpu-time"]
    assert of(found, "gap") == []
    assert not (home / "lease").exists()


def test_a_kind_that_cannot_be_looked_for_is_a_gap_and_the_others_are_read(home, monkeypatch):
    machine(monkeypatch, powercap=OSError("no such luck"), nvml=FakeNodeMeter(GPU))
    with track("run"):
        reading = first_reading(home)
    assert reading["counters"] == [{"sensor": "gpu0", "value": 0.0}]
    assert [gap["reason"] for gap in of(events(home), "gap")] == ["sensor powercap: OSError: no such luck"]


def test_given_meters_or_a_trace_are_these_and_no_others(home, tmp_path, monkeypatch):
    machine(monkeypatch, powercap=AssertionError("asked"))
    trace = tmp_path / "trace.csv"
    trace.write_text("elapsed_s,sensor,value\n0,gpu0,500\n")
    configure(meters=[DialMeter(gpu1=1.0)])
    with track("given"):
        assert sensing() is None
    configure()
    monkeypatch.setenv("JOULEBOOK_REPLAY", str(trace))
    with track("replayed"):
        assert sensing() is None
    assert of(events(home), "gap") == []


# How it is written -------------------------------------------------------------------------------------------------


def test_a_sensor_says_all_that_it_is_and_then_its_raw_values(home, monkeypatch):
    sensor = Sensor("nvml:GPU-1", "gpu:GPU-1", "mJ", "measured", "nvmlDeviceGetTotalEnergyConsumption",
                    model="H100", update_s=0.1, accuracy=0.05, max_w=700.0, share_by="busy", reserved=0.5)  # fmt: skip
    meter = FakeNodeMeter(sensor)
    meter.values = {"nvml:GPU-1": 1_234_567}
    machine(monkeypatch, nvml=meter)
    configure(interval_s=3600)
    with track("run"):
        reading = first_reading(home)
    (told,) = [event for event in of(events(home), "sensor") if event["sensor"] == "nvml:GPU-1"]
    assert {name: value for name, value in told.items() if name not in ("event", "seq", "at_ns", "mono_ns")} == {
        "scope": "node", "sensor": "nvml:GPU-1", "device": "gpu:GPU-1", "unit": "mJ", "method": "measured",
        "source": "nvmlDeviceGetTotalEnergyConsumption", "model": "H100", "update_s": 0.1, "accuracy": 0.05,
        "max_w": 700.0, "share_by": "busy", "reserved": 0.5, "counted": True, "boundary": "device",
    }  # fmt: skip
    assert told["seq"] < reading["seq"]
    assert (reading["open"], reading["counters"]) == (1, [{"sensor": "nvml:GPU-1", "value": 1_234_567}])


def test_at_the_edges_of_spans_the_sensors_are_read_beside_the_meters(home, meter):
    with track("run"):
        first_reading(home)
        meter.values = {"cpu0": 15.0, "dram0": 2.0}
        with track("inside"):
            meter.values = {"cpu0": 40.0, "dram0": 4.0}
    meter.values = {"cpu0": 100.0, "dram0": 9.0}
    with track("second"):
        meter.values = {"cpu0": 107.0, "dram0": 9.5}
    found = events(home)
    of_node = [
        [counter for counter in edge["counters"] if "shared" not in counter]
        for name in ("inside", "second") for edge in span(found, name)
    ]  # fmt: skip
    assert of_node == [
        [{"sensor": "cpu0", "value": cpu}, {"sensor": "dram0", "value": dram}]
        for cpu, dram in [(15.0, 2.0), (40.0, 4.0), (100.0, 9.0), (107.0, 9.5)]
    ]
    assert span(found, "second")[0]["counters"][0]["sensor"] == "cpu-time"


def test_a_meter_that_rests_is_not_asked_again(home, meter):
    meter.rest_s = 3600.0
    with track("run"):
        first_reading(home)
        for _ in range(10):
            with track("inside"):
                pass
    assert meter.asked == [("cpu0", "dram0")]
    assert values_of(events(home), "cpu0") == [10.0]


def test_a_gauge_is_read_by_its_own_clock_and_nothing_else_is(home, monkeypatch):
    gauge = FakeNodeMeter(energy("gpu0", "gpu:0", unit="W"))
    gauge.interval_s = 0.02
    counter = FakeNodeMeter(CPU)
    machine(monkeypatch, powercap=counter, nvml=gauge)
    configure(interval_s=3600)
    with track("run"):
        wait_until(lambda: len(of(events(home), "reading")) >= 6)
        asked = len(counter.asked)
    found = of(events(home), "reading")
    assert [[c["sensor"] for c in reading["counters"]] for reading in found] == [["cpu0", "gpu0"]] + [["gpu0"]] * (
        len(found) - 1
    )
    assert asked == 1
    first, last = found[1], found[5]
    assert (last["mono_ns"] - first["mono_ns"]) / 1e9 >= 4 * 0.02 - 0.02  # four beats later, each may be late
    rested = len(gauge.asked)
    time.sleep(0.1)
    assert len(gauge.asked) == rested  # no run is open


def test_an_older_value_is_not_written_after_a_newer_one(home, meter):
    with track("run"):
        first_reading(home)
        recorder = sampler.recorder()
        early = recorder._node.edge()
        meter.values = {"cpu0": 11.0, "dram0": 1.5}
        late = recorder._node.edge()
        recorder._keep(late._replace(entries=late.entries[:1]))  # of cpu0 alone
        recorder._keep(early)
    found = events(home)
    assert (values_of(found, "cpu0"), values_of(found, "dram0")) == ([10.0, 11.0, 11.0], [1.0, 1.0, 1.5])


def test_the_use_of_a_gpu_is_a_counter_of_this_process(home, monkeypatch):
    class Use:
        name = "nvml-use"
        busy_s = 2.0

        def read(self):
            return [Reading(f"busy:{GPU.device}", self.busy_s, "s", device=GPU.device)]

    use = Use()
    machine(monkeypatch, nvml=FakeNodeMeter(GPU))
    monkeypatch.setattr(sys.modules["joulebook.collectors.sensors.nvml"], "open_use", lambda where: use, raising=False)
    monkeypatch.setattr(node, "USE_REST_S", 0.0)
    configure(interval_s=3600)
    with track("run"):
        first_reading(home)
        use.busy_s = 5.5
    found = events(home)
    assert values_of(found, "busy:gpu:0") == [2.0, 5.5]
    (counter,) = [c for c in span(found, "run")[1]["counters"] if c["sensor"] == "busy:gpu:0"]
    assert counter["shared"] == 5.5 - 2.0
    (told,) = [event for event in of(found, "sensor") if event["sensor"] == "busy:gpu:0"]
    assert (told["unit"], "scope" in told) == ("s", False)


# What fails --------------------------------------------------------------------------------------------------------


def spans(count):
    for number in range(count):
        with track(f"span {number}"):
            pass


def test_a_sensor_that_fails_is_told_once_until_it_is_back(home, meter, caplog):
    with track("run"):
        first_reading(home)
        meter.values = {"cpu0": "EIO", "dram0": 2.0}
        spans(3)
        meter.values = {"cpu0": "ENOENT", "dram0": 2.0}
        spans(1)
        meter.values = {"cpu0": 30.0, "dram0": 3.0}
    found = events(home)
    assert values_of(found, "cpu0") == [10.0, "EIO", "ENOENT", 30.0]
    assert values_of(found, "dram0") == [1.0, *[2.0] * 8, 3.0]
    reasons = ["sensor cpu0: EIO", "sensor cpu0: ENOENT"]
    assert [gap["reason"] for gap in of(found, "gap")] == reasons
    assert [record.message for record in caplog.records] == reasons


def test_what_goes_on_failing_is_told_again_after_a_minute(home, meter, monkeypatch):
    with track("run"):
        first_reading(home)
        meter.values["cpu0"] = "EIO"
        spans(1)
        monkeypatch.setattr(node, "SAY_AGAIN_S", 0.0)
        spans(1)
        meter.values["cpu0"] = 12.0
    # Not at the end of the first span; at both ends of the second.
    assert values_of(events(home), "cpu0") == [10.0, "EIO", "EIO", "EIO", 12.0]
    assert len(of(events(home), "gap")) == 1


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_value_that_is_no_number_is_a_failure(home, meter, value):
    meter.values["cpu0"] = value
    with track("run"):
        reading = first_reading(home)
    assert reading["counters"] == [{"sensor": "cpu0", "status": "not finite"}, {"sensor": "dram0", "value": 1.0}]


def test_a_meter_that_raises_loses_its_own_sensors_only(home, monkeypatch):
    broken = FakeNodeMeter(CPU)
    broken.values["cpu0"] = RuntimeError("driver bug")
    machine(monkeypatch, powercap=broken, nvml=FakeNodeMeter(GPU))
    with track("run"):
        reading = first_reading(home)
    assert reading["counters"] == [{"sensor": "cpu0", "status": "failed"}, {"sensor": "gpu0", "value": 0.0}]
    assert [gap["reason"] for gap in of(events(home), "gap")] == [
        "sensor powercap: RuntimeError: driver bug", "sensor cpu0: failed",
    ]  # fmt: skip


class Hanging(FakeNodeMeter):
    """A meter whose driver does not answer, from when the test says so until it lets go."""

    def __init__(self, *sensors):
        super().__init__(*sensors)
        self.free = threading.Event()
        self.free.set()

    def read(self, names):
        self.free.wait()
        return super().read(names)


def test_a_sensor_that_hangs_holds_nobody_up(home, monkeypatch):
    meter = Hanging(GPU)
    machine(monkeypatch, nvml=meter)
    configure(interval_s=3600)
    waited = []
    ask = node.NodeSensors.ask

    def asking(self, *args):
        unanswered = self._unanswered
        waited.append(unanswered is None or unanswered.batch is not None)
        return ask(self, *args)

    monkeypatch.setattr(node.NodeSensors, "ask", asking)
    with track("run"):
        first_reading(home)
        meter.free.clear()
        spans(3)
        meter.values["gpu0"] = 50.0
        meter.free.set()
        wait_until(lambda: 50.0 in values_of(events(home), "gpu0"))  # the answer comes late, and is kept
        meter.values["gpu0"] = 60.0
    found = events(home)
    assert waited == [True, *[False] * 5, True]  # only the first edge waited
    assert values_of(found, "gpu0") == [0.0, 50.0, 60.0]
    assert [counter["sensor"] for counter in span(found, "span 0")[0]["counters"]] == ["cpu-time"]
    assert {gap["reason"] for gap in of(found, "gap")} == {"the sensors of the node did not answer within 0.05 s"}


def test_meters_are_read_and_the_journal_is_synced_while_a_sensor_hangs(home, monkeypatch):
    monkeypatch.setattr(sampler, "READINGS_SYNC_S", 0.3)
    monkeypatch.setattr(sampler, "SYNC_S", 0.1)
    synced = []
    monkeypatch.setattr(journal_module, "_fdatasync", synced.append)
    meter = Hanging(GPU)
    machine(monkeypatch, nvml=meter)
    configure(interval_s=0.05)
    with track("run") as run:
        first_reading(home)
        meter.free.clear()
        count = len(of(events(home), "reading"))
        wait_until(lambda: len(of(events(home), "reading")) > count + 5)
        found = of(events(home), "reading")[count + 1 :]  # one more may have been on its way
        assert [[counter["sensor"] for counter in event["counters"]] for event in found] == [["cpu-time"]] * len(found)
        synced.clear()
        run.note("a driver hangs")
        wait_until(lambda: synced)
        wait_until(lambda: not run._recorder.journal.has_news)
        meter.free.set()
        count = len(of(events(home), "reading"))
        wait_until(
            lambda: len([event for event in of(events(home), "reading")[count:] if len(event["counters"]) > 1]) > 5
        )
    reasons = {gap["reason"] for gap in of(events(home), "gap")} - {"sampler late"}
    assert reasons == {"the sensors of the node do not answer: ticks go on without them"}


def test_where_sensors_tick_what_a_job_says_is_synced_within_a_second_and_readings_later(home, monkeypatch):
    monkeypatch.setattr(sampler, "SYNC_S", 0.2)
    monkeypatch.setattr(sampler, "READINGS_SYNC_S", 3600.0)
    synced = []
    monkeypatch.setattr(journal_module, "_fdatasync", synced.append)
    machine(monkeypatch, nvml=FakeNodeMeter(GPU))
    configure(interval_s=0.05)
    with track("run") as run:
        journal = run._recorder.journal
        first_reading(home)
        wait_until(lambda: not journal.has_news)
        count, begun = len(synced), len(of(events(home), "reading"))
        wait_until(lambda: len(of(events(home), "reading")) > begun + 10)
        assert len(synced) == count
        run.note("done")
        wait_until(lambda: len(synced) == count + 1)
        wait_until(lambda: not journal.has_news)
    wait_until(lambda: len(synced) == count + 2)
    wait_until(lambda: not journal.has_news)


def test_a_process_ends_while_a_sensor_hangs(home, tmp_path):
    module = tmp_path / "stuck.py"
    module.write_text("""
import sys, threading, time
from types import SimpleNamespace
sys.path.insert(0, sys.argv[1])
from recording import FakeNodeMeter, energy
from joulebook import track
from joulebook.collectors import node

reading = threading.Event()
class Stuck(FakeNodeMeter):
    def read(self, names):
        reading.set()
        time.sleep(3600)

for kind in node.KINDS:
    found = Stuck(energy("gpu0", "gpu:0")) if kind == "nvml" else None
    sys.modules[f"joulebook.collectors.sensors.{kind}"] = SimpleNamespace(open_meter=lambda where, found=found: found)
with track("run") as run:
    reading.wait()
print("done")
""")
    command = [sys.executable, str(module), str(Path(__file__).parent)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.stderr) == ("done\n", "")
    assert len(of(events(home), "span_end")) == 1


def test_a_span_that_a_finaliser_ends_on_the_sensors_thread_waits_for_nobody(home, monkeypatch):
    @track("abandoned")
    def abandoned():
        yield

    class Collecting(FakeNodeMeter):
        def read(self, names):
            if left:
                left.pop().close()  # as the garbage collector does, on any thread
            return super().read(names)

    left = []
    machine(monkeypatch, nvml=Collecting(GPU))
    configure(interval_s=3600)
    with track("run"):
        first_reading(home)
        items = abandoned()
        next(items)
        left.append(items)
        with track("inside"):
            pass
    found = events(home)
    assert [counter["sensor"] for counter in span(found, "abandoned")[1]["counters"]] == ["cpu-time"]
    assert values_of(found, "gpu0") == [0.0] * 5  # when it was found, at three starts and at two ends
    assert of(found, "gap") == []


# Forks, and the shipping path ---------------------------------------------------------------------------------------


def test_a_fork_during_an_inventory_that_hangs_waits_once(home, monkeypatch):
    monkeypatch.setattr(sampler, "FORK_WAIT_S", 0.01)
    looking, free = threading.Event(), threading.Event()

    def hang(settings):
        looking.set()
        free.wait()

    monkeypatch.setattr(sampler, "_node_sensors", hang)
    with track("run"):
        recorder = sampler.recorder()
        looking.wait()
        for _ in range(3):
            child = os.fork()
            if child == 0:
                os._exit(0)
            os.waitpid(child, 0)
            assert recorder.loading_hangs
        free.set()


RANK = """
import os, sys, time
from joulebook import configure, track
configure(sysfs_root=sys.argv[1], interval_s=0.05)
with track("parent"):
    time.sleep(0.3)
    child = os.fork()
    if child == 0:
        with track("child"):
            time.sleep(0.5)
        os._exit(0)
    os.wait()
print(child)
"""


def test_a_forked_child_reads_at_its_edges_and_leaves_the_ticks_to_its_parent(home, tmp_path):
    with feeding(tmp_path, INTEL_SERVER):
        child = int(python(RANK, str(tmp_path)).stdout)
    journals = [events_in(path) for path in sorted(journal_dir(home).iterdir())]
    read = {
        journal[0]["pid"] == child: len([e for e in of(journal, "reading") if values_of([e], "powercap:dram-0")])
        for journal in journals
    }
    assert read[True] == 1  # at once when it found them; the next ten ticks are its parent's
    assert read[False] >= 1 + 10  # before and while the child runs
    edges = [values_of([edge], "powercap:dram-0") for edge in span(events(home), "child")]
    assert [len(values) for values in edges] == [0, 1]


OUTAGE = """
import sys, time
from joulebook import configure, track
configure(sysfs_root=sys.argv[1], interval_s=0.1)
with track("run"):
    time.sleep(float(sys.argv[2]))
"""


def test_a_counter_that_is_away_for_a_while_tells_all_when_it_is_back(home, tmp_path):
    begin_s = time.monotonic()
    faults = [Fault("intel-rapl:0", "removed", begin_s + 0.8, begin_s + 1.6)]
    with feeding(tmp_path, INTEL_SERVER, faults):
        python(OUTAGE, str(tmp_path), "2.2")
    found = events(home)
    values = values_of(found, "powercap:package-0")
    assert values.count("ENOENT") == 1
    assert all(isinstance(value, int) for value in values if value != "ENOENT")
    reasons = [gap["reason"] for gap in of(found, "gap")]
    assert [reason for reason in reasons if reason.startswith("sensor ")] == ["sensor powercap:package-0: ENOENT"]
    # What the counter showed first and last is what the package has used in between, give or take a renewal each.
    told = [(event["mono_ns"] / 1e9, counter["value"]) for event in found for counter in event.get("counters", ())
            if counter["sensor"] == "powercap:package-0" and "value" in counter]  # fmt: skip
    (from_s, first_uj), (to_s, last_uj) = told[0], told[-1]
    true_j = INTEL_SERVER[0].wave.energy_j(from_s, to_s)
    assert (last_uj - first_uj) / 1e6 == pytest.approx(true_j, abs=2 * 160 * 0.05)


def test_where_there_are_no_locks_everybody_ticks_and_it_is_told_once(home, monkeypatch):
    (home / "lease").parent.mkdir(parents=True)
    (home / "lease").write_text("a file where the folder should be")
    machine(monkeypatch, nvml=FakeNodeMeter(GPU))
    configure(interval_s=0.02)
    with track("run"):
        wait_until(lambda: len(values_of(of(events(home), "reading"), "gpu0")) >= 4)
    (gap,) = [gap for gap in of(events(home), "gap") if gap["reason"] != "sampler late"]
    assert gap["reason"] == "no leases (File exists): each process reads the sensors of the node for itself"


def test_a_process_without_an_open_run_leaves_the_leases_to_others(home, monkeypatch):
    machine(monkeypatch, nvml=FakeNodeMeter(GPU))
    configure(interval_s=0.02)
    other = Leases(home / "lease", ["gpu0"])
    with track("run"):
        wait_until(lambda: len(values_of(of(events(home), "reading"), "gpu0")) >= 3)
        assert not other.hold("gpu0")
    assert wait_until(lambda: other.hold("gpu0"))
    with track("again"):
        count = len(of(events(home), "reading"))
        wait_until(lambda: len(of(events(home), "reading")) >= count + 3)
        other.close()
        wait_until(lambda: len(values_of(of(events(home), "reading")[count:], "gpu0")) >= 2)
    between = of(events(home), "reading")[count : count + 3]
    assert [values_of([reading], "gpu0") for reading in between] == [[], [], []]


def test_where_to_look_may_be_said_by_the_environment(home, tmp_path, monkeypatch):
    asked = []
    machine(monkeypatch)
    monkeypatch.setattr(sys.modules["joulebook.collectors.sensors.nvml"], "open_meter", asked.append)
    monkeypatch.setenv("JOULEBOOK_SYSFS_ROOT", "/other/sys")
    monkeypatch.setenv("JOULEBOOK_PROCFS_ROOT", "/other/proc")
    with track("run"):
        wait_until(lambda: asked)
    configure(sysfs_root=tmp_path)
    with track("again"):
        wait_until(lambda: len(asked) == 2)
    assert asked == [Where(Path("/other/sys"), Path("/other/proc")), Where(tmp_path, Path("/other/proc"))]
