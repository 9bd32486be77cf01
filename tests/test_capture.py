"""Capturing a trace: what stands in it, what is kept when it ends early, and that a replay uses what it says."""

from __future__ import annotations

import csv
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest
from recording import python, wait_until
from twin.gpu import Gpu, Node, uuid
from twin.powercap import DRAM, INTEL_CLIENT, INTEL_SERVER, Fault, Zone, build, feeding, true_j
from twin.wave import Wave

from joulebook.accounting.errors import InputError, JoulebookError
from joulebook.accounting.ledger import ingest, open_ledger
from joulebook.collectors import capture
from joulebook.collectors.capture import Source, Total
from joulebook.collectors.node import KINDS
from joulebook.collectors.replay import read_trace
from joulebook.collectors.sensors import Sample, Sensor, Where

HIGHEST_W = 160 + 10 + 140 + 12  # of all counters of the server at once
COUNTER = Sensor("rapl", "cpu:0", "uJ", "measured", "energy_uj", wraps_at=1000e6, max_w=200.0)
GAUGE = Sensor("gauge", "gpu:0", "mW", "integrated", "power")
ENERGY_SQL = "select sensor, sum(amount) as amount from rollup_hour group by sensor"


@pytest.fixture
def where(tmp_path: Path) -> Where:
    """A node whose CPUs have been busy for 10 s, by a clock of 100 Hz."""
    proc = tmp_path / "proc"
    proc.mkdir()
    (proc / "stat").write_text("cpu  1000 0 0 5000 0 0 0 0 0 0\n")
    return Where(tmp_path / "sys", proc)


def values(sensor: Sensor, *samples: tuple[float, float]) -> list[float]:
    total = Total(sensor, sensor.device)
    return [pytest.approx(total.add(*sample).value) for sample in samples]


# From raw values to joules ----------------------------------------------------------------------------------------


def test_a_counter_begins_at_nothing_and_goes_on_by_differences():
    # 5 J, then 10 J more; between them somebody else may have read nothing
    assert values(COUNTER, (0.0, 700e6), (1.0, 705e6), (7.0, 715e6)) == [0, 5, 15]


def test_a_counter_that_goes_round_goes_on():
    # 10 J up to 1000 J, 20 J after it: 30 J in a second, below 200 W
    assert values(COUNTER, (0.0, 990e6), (1.0, 20e6)) == [0, 30]


def test_a_counter_that_begins_again_has_what_it_shows():
    # 400 J to 1000 J and 20 J after it would be 620 J in a second at 200 W at the most: it began again, and shows 20 J
    assert values(COUNTER, (0.0, 400e6), (1.0, 20e6), (2.0, 25e6)) == [0, 20, 25]
    assert values(COUNTER._replace(wraps_at=None), (0.0, 400e6), (1.0, 20e6)) == [0, 20]


def test_a_gauge_is_integrated_by_the_trapezoid():
    # (100 + 300)/2 W × 1 s = 200 J; (300 + 100)/2 W × 0.5 s = 100 J
    assert values(GAUGE, (0.0, 100e3), (1.0, 300e3), (1.5, 100e3)) == [0, 200, 300]


class Script:
    """A meter that gives the samples of a list, one a reading, then the last for ever."""

    name, rest_s, interval_s = "script", 0.0, None

    def __init__(self, *samples: Sample) -> None:
        self._samples = list(samples)
        self.reads = 0
        self.is_closed = False

    def sensors(self):
        return [COUNTER]

    def read(self, names):
        self.reads += 1
        return [self._samples.pop(0) if len(self._samples) > 1 else self._samples[0]]

    def close(self):
        self.is_closed = True


def source_of(meter: Script, sensor: Sensor = COUNTER) -> Source:
    return Source(meter, [Total(sensor, sensor.device)])


def sleep(seconds: float) -> bool:
    time.sleep(seconds)
    return False


def test_what_could_not_be_read_has_no_row_and_is_told(tmp_path):
    meter = Script(Sample("rapl", 1e6), Sample("rapl", None, "EIO"), Sample("rapl", float("nan")), Sample("rapl", 4e6))
    captured = capture.record([source_of(meter)], tmp_path / "t.csv", 0.15, 0.05, sleep)
    rows = read_trace(tmp_path / "t.csv")
    assert [row.value for row in rows] == [0, *[3] * (captured.rows - 1)]  # 4 J - 1 J, over the gap
    assert captured.rows == meter.reads - 2
    assert captured.failed == {"rapl": "not finite"}
    assert meter.is_closed


def test_a_meter_that_raises_is_a_sensor_without_a_value(tmp_path):
    meter = Script(Sample("rapl", None))
    meter.read = lambda names: 1 / 0
    with pytest.raises(JoulebookError, match=r"nothing was recorded: no energy sensor gave a value \(rapl: failed\)"):
        capture.record([source_of(meter)], tmp_path / "t.csv", 0.1, 0.1, sleep)
    assert list(tmp_path.glob("t.csv*")) == []


def test_how_often_a_meter_is_read():
    meter = Script(Sample("rapl", 0.0))
    assert source_of(meter).step_s(0.5) == 0.5
    meter.rest_s, meter.interval_s = 0.1, 0.2
    assert source_of(meter).step_s(0.5) == 0.2  # a gauge wants to be read more often
    assert source_of(meter).step_s(0.01) == 0.1  # sooner it says nothing new


def test_everything_is_read_at_the_beginning_and_at_the_end(tmp_path):
    meter = Script(Sample("rapl", 1e6), Sample("rapl", 9e6))
    begin_s = time.monotonic()
    captured = capture.record([source_of(meter)], tmp_path / "t.csv", 0.05, 10.0, sleep)
    took_s = time.monotonic() - begin_s
    assert (captured.rows, [row.value for row in captured.last]) == (2, [8.0])
    first, last = read_trace(tmp_path / "t.csv")
    assert 0.05 - 1e-6 <= last.elapsed_s - first.elapsed_s <= took_s + 1e-6


# What is captured -------------------------------------------------------------------------------------------------


def captured_sensors(where: Where) -> dict[str, tuple[str, str, str]]:
    opened = capture.sources(KINDS, where)
    rows = [total.row for source in opened for total in source.totals.values()]
    for source in opened:
        source.meter.close()
    return {row.sensor: (row.device, row.unit, row.boundary) for row in rows}


def test_what_counts_is_captured_and_nothing_twice(where):
    build(where.sys, INTEL_CLIENT)  # its core, its uncore and its platform are in no total
    (where.proc / "meminfo").write_text("MemTotal: 1000 kB\n")  # GB of memory are no energy yet
    assert captured_sensors(where) == {
        "powercap:package-0": ("cpu:0", "J", "device"),
        "node-cpu": ("node", "s", "it"),  # not on `cpu`: the model would be added to the measurement
    }


def test_where_no_sensor_sees_the_cpu_its_seconds_are_what_energy_is_modelled_from(where):
    build(where.sys, [Zone("intel-rapl:0", "dram", DRAM, counted=True)])
    assert captured_sensors(where) == {"powercap:dram-0": ("dram:0", "J", "device"), "node-cpu": ("cpu", "s", "it")}


def test_nothing_to_record_is_one_clear_sentence(where):
    where.sys.mkdir()
    with pytest.raises(JoulebookError) as error:
        capture.sources(KINDS, where)
    assert str(error.value) == (
        "there is nothing to record: no energy sensor can be read here; joulebook doctor says why"
    )


@pytest.mark.parametrize(
    ("name", "force", "wrong"),
    [
        ("t.csv", False, "there is a file already; give --force to replace it"),
        (".", True, "this is no regular file; name one that is to be written"),
        ("/dev/null", True, "this is no regular file; name one that is to be written"),
        ("new.jsonl", False, "a trace is CSV, and .jsonl is read as a journal; call it .csv"),
    ],
)
def test_what_a_trace_must_not_replace(tmp_path, name, force, wrong):
    (tmp_path / "t.csv").write_text("kept")
    with pytest.raises(InputError) as error:
        capture.refuse(tmp_path / name, force)
    assert str(error.value) == f"{tmp_path / name}: {wrong}"
    capture.refuse(tmp_path / "t.csv", force=True)
    capture.refuse(tmp_path / "new.csv", force=False)


# On the twin ------------------------------------------------------------------------------------------------------


def on_twin(monkeypatch: pytest.MonkeyPatch, where: Where) -> None:
    monkeypatch.setenv("JOULEBOOK_SYSFS_ROOT", str(where.sys))
    monkeypatch.setenv("JOULEBOOK_PROCFS_ROOT", str(where.proc))


def doctor(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "joulebook", "doctor", *words]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **environment}
    )


def span_s(told: dict) -> tuple[float, float]:
    """Beginning and end of a trace on CLOCK_MONOTONIC."""
    behind_s = time.time() - time.monotonic()
    began_s = datetime.fromisoformat(told["began_at"]).timestamp() - behind_s
    return began_s, began_s + told["duration_s"]


def test_a_trace_has_the_true_energy_and_a_run_that_replays_it_too(where, home, tmp_path, monkeypatch):
    on_twin(monkeypatch, where)
    path = tmp_path / "folder" / "t.csv"
    with feeding(where.sys, INTEL_SERVER) as feeder:
        told = json.loads(doctor("--record", str(path), "--seconds", "2", "--json").stdout)
    truth_j = true_j(INTEL_SERVER, *span_s(told))
    # Each edge may be one renewal old; a millisecond for what lies between the clocks and the readings.
    assert told["energy_j"] == pytest.approx(truth_j, abs=2 * (feeder.worst_gap_s + 0.001) * HIGHEST_W)
    assert (told["path"], told["interrupted"], told["missing"]) == (str(path), False, {})
    ends = {row.sensor: row.value for row in read_trace(path)}
    assert sum(value for sensor, value in ends.items() if sensor != "node-cpu") == pytest.approx(told["energy_j"])

    code = "import time; from joulebook import track\nwith track('replayed'): time.sleep(2.5)"
    python(code, JOULEBOOK_REPLAY=str(path))
    ingest(home)
    replayed = {row["sensor"]: row["amount"] for row in open_ledger(home).rows(ENERGY_SQL)}
    assert replayed == pytest.approx(ends, abs=1e-5)


def shown(home: Path) -> dict:
    done = subprocess.run(
        [sys.executable, "-m", "joulebook", "show", "last", "--json"], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def test_joulebook_run_replays_a_trace_and_shows_its_energy(where, home, tmp_path, monkeypatch):
    path = tmp_path / "t.csv"
    path.write_text(
        "elapsed_s,sensor,value,unit,method,device,boundary\n"
        "0,powercap:package-0,0,J,measured,cpu:0,device\n0.2,powercap:package-0,30,J,measured,cpu:0,device\n"
        "0,nvml:GPU-1:average,0,J,integrated,gpu:GPU-1,device\n0.2,nvml:GPU-1:average,12,J,integrated,gpu:GPU-1,device\n"
        "0,node-cpu,0,s,measured,node,it\n0.2,node-cpu,1,s,measured,node,it\n"
    )
    command = [sys.executable, "-m", "joulebook", "run", "--", "sleep", "0.5"]
    subprocess.run(command, check=True, env={**os.environ, "JOULEBOOK_REPLAY": str(path)})
    run = shown(home)
    told = {row["sensor"]: (row["tier"], row["energy_j"]["mid"]) for row in run["devices"]}
    assert told == {
        "powercap:package-0": ("measured", pytest.approx(30)),
        "nvml:GPU-1:average": ("integrated", pytest.approx(12)),
    }
    assert run["energy_j"]["method"] == "integrated"  # the CPU seconds, which are only modelled, are not in it


def test_counters_that_go_round_during_the_capture(where, tmp_path):
    zones = [INTEL_SERVER[0]._replace(range_uj=20_000_000), *INTEL_SERVER[1:]]  # 20 J: eight times a second at 160 W
    with feeding(where.sys, zones) as feeder:
        opened = capture.sources(KINDS, where)
        captured = capture.record(opened, tmp_path / "t.csv", 1.5, 0.02, sleep)
    began_s = captured.began_ns / 1e9 - (time.time() - time.monotonic())
    truth_j = true_j(zones, began_s, began_s + captured.seconds)
    energy_j = sum(row.value for row in captured.last if row.unit == "J")
    assert energy_j == pytest.approx(truth_j, abs=2 * (feeder.worst_gap_s + 0.001) * HIGHEST_W)


def test_a_counter_that_is_away_for_a_while_is_told_and_loses_nothing(where, tmp_path):
    away_s = time.monotonic() + 1.0
    with feeding(where.sys, INTEL_SERVER, [Fault("intel-rapl:0", "directory", away_s, away_s + 0.5)]) as feeder:
        opened = capture.sources(KINDS, where)
        captured = capture.record(opened, tmp_path / "t.csv", 2.0, 0.05, sleep)
    began_s = captured.began_ns / 1e9 - (time.time() - time.monotonic())
    truth_j = true_j(INTEL_SERVER, began_s, began_s + captured.seconds)
    assert captured.failed == {"powercap:package-0": "EISDIR"}
    energy_j = sum(row.value for row in captured.last if row.unit == "J")
    assert energy_j == pytest.approx(truth_j, abs=2 * (feeder.worst_gap_s + 0.001) * HIGHEST_W)


def test_gpus_with_a_counter_and_without_one(where, tmp_path, monkeypatch):
    where.sys.mkdir()
    on_twin(monkeypatch, where)
    waves = [Wave(100, 500), Wave(250, 250)]
    environment = Node((Gpu(waves[0]), Gpu(waves[1], counter=False))).install(tmp_path / "nvml")
    done = doctor("--record", str(tmp_path / "t.csv"), "--seconds", "2", "--json", **environment)
    told = json.loads(done.stdout)
    found = {row["sensor"]: (row["method"], row["amount"]) for row in told["sensors"]}
    began_s, ended_s = span_s(told)
    method, counted_j = found[f"nvml:{uuid(0)}"]
    # The counter is renewed every 0.1 s: at 500 W each edge is up to 50 J off.
    assert (method, counted_j) == ("measured", pytest.approx(waves[0].energy_j(began_s, ended_s), abs=2 * 51))
    method, integral_j = found[f"nvml:{uuid(1)}:average"]
    assert (method, integral_j) == ("integrated", pytest.approx(250 * (ended_s - began_s), abs=250 * 0.05))


# Ends -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_capture_that_is_stopped_keeps_what_it_has(where, tmp_path, monkeypatch, number):
    on_twin(monkeypatch, where)
    path = tmp_path / "t.csv"
    build(where.sys, INTEL_CLIENT)
    command = [sys.executable, "-m", "joulebook", "doctor", "--record", str(path), "--seconds", "60"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        begun = wait_until(lambda: [part for part in tmp_path.glob("t.csv.*.part") if part.stat().st_size > 100])
        assert not path.exists()  # until it is whole
        child.send_signal(number)
        out, err = child.communicate(timeout=30)
    assert (child.returncode, err) == (128 + number, "")
    assert out.startswith(f"Trace written to {path}: ")
    assert f"({signal.Signals(number).name} ended it early)" in out
    assert not begun[0].exists()
    assert {row.sensor for row in read_trace(path)} == {"powercap:package-0", "node-cpu"}
    with path.open(newline="") as file:
        assert {len(row) for row in csv.reader(file)} == {7}


def test_no_file_is_replaced_without_force(where, tmp_path, monkeypatch):
    on_twin(monkeypatch, where)
    build(where.sys, INTEL_CLIENT)
    path = tmp_path / "my trace.csv"
    path.write_text("kept")
    refused = doctor("--record", str(path))
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == f"joulebook: {path}: there is a file already; give --force to replace it\n"
    assert path.read_text() == "kept"
    done = doctor("--record", str(path), "--seconds", "0.05", "--force")
    assert (done.returncode, done.stderr) == (0, "")  # no bar in a pipe
    assert done.stdout.endswith(f"Play it: JOULEBOOK_REPLAY={shlex.quote(str(path))} joulebook run -- COMMAND\n")
    assert {row.sensor for row in read_trace(path)} == {"powercap:package-0", "node-cpu"}


def test_nothing_to_record_and_a_folder_that_cannot_be_written(where, tmp_path, monkeypatch):
    on_twin(monkeypatch, where)
    where.sys.mkdir()
    nothing = doctor("--record", str(tmp_path / "t.csv"))
    assert (nothing.returncode, nothing.stdout) == (1, "")
    assert nothing.stderr.startswith("joulebook: there is nothing to record: no energy sensor can be read here")
    build(where.sys, INTEL_CLIENT)
    (tmp_path / "file").write_text("")
    refused = doctor("--record", str(tmp_path / "file" / "t.csv"))
    assert refused.returncode == 1
    assert refused.stderr == f"joulebook: {tmp_path / 'file'}: File exists\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "proc", "sys"]


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        (["--record", "t.csv", "--seconds", "0"], "argument --seconds: '0' is not a positive number of seconds"),
        (["--record", "t.csv", "--interval", "inf"], "argument --interval: 'inf' is not a positive number of seconds"),
        (["--seconds", "3"], "--seconds, --interval and --force go with --record FILE"),
        (["--force"], "--seconds, --interval and --force go with --record FILE"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(words: list[str], wrong: str):
    done = doctor(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"joulebook: {wrong}")
    assert done.stderr.count("\n") == 1
