"""Busy CPU seconds of the node."""

from __future__ import annotations

import os
import time

import pytest

from joulebook.collectors.sensors import Where
from joulebook.collectors.sensors.node_cpu import diagnose, open_meter

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
# user 1000 + nice 20 + system 300 + irq 4 + softirq 50 = 1374; idle, iowait, steal and the guests' parts are not added.
STAT = "cpu  1000 20 300 90000 700 4 50 6000 80 9\ncpu0 1 1 1 1 1 1 1 1 1 1\nintr 5 0\n"


@pytest.fixture
def where(tmp_path):
    (tmp_path / "stat").write_text(STAT)
    return Where(proc=tmp_path)


def test_busy_is_what_ran_for_somebody_here(where):
    (sample,) = open_meter(where).read(["node-cpu"])
    assert sample == ("node-cpu", 1374 / TICKS_PER_S, "ok")


def test_what_it_says_of_itself(where):
    (sensor,) = open_meter(where).sensors()
    assert (sensor.sensor, sensor.device, sensor.unit, sensor.method) == ("node-cpu", "cpu", "s", "measured")
    assert (sensor.counted, sensor.source) == (False, str(where.proc / "stat"))


def test_it_is_read_again_from_the_same_file(where):
    meter = open_meter(where)
    (where.proc / "stat").write_text(STAT.replace("cpu  1000", "cpu  1500"))
    assert meter.read(["node-cpu"])[0].value == 1874 / TICKS_PER_S
    assert meter.read(["powercap:package-0"]) == []
    meter.close()


@pytest.mark.parametrize("text", ["", "\n", "cpu 1 2 3\n", "cpu0 1 2 3 4 5 6 7 8\n", "cpu a b c d e f g h\n"])
def test_another_text_is_no_number(where, text):
    (where.proc / "stat").write_text(text)
    assert open_meter(where).read(["node-cpu"]) == [("node-cpu", None, "garbled")]


def test_no_file_is_no_meter(tmp_path):
    assert open_meter(Where(proc=tmp_path)) is None
    (finding,) = diagnose(Where(proc=tmp_path))
    assert finding.state == "fail"
    assert finding.detail.startswith(f"{tmp_path}/stat cannot be read: ENOENT")


def test_a_file_that_is_none_says_so(tmp_path):
    (tmp_path / "stat").mkdir()
    assert open_meter(Where(proc=tmp_path)).read(["node-cpu"]) == [("node-cpu", None, "EISDIR")]


def test_what_this_process_burns_is_seen_on_this_node():
    meter = open_meter(Where())
    (before,) = meter.read(["node-cpu"])
    begin_s = time.process_time()
    while time.process_time() - begin_s < 0.3:
        pass
    (after,) = meter.read(["node-cpu"])
    # All the node's CPUs count in ticks, and others run here too: at least our own, short of a tick for each CPU.
    assert after.value - before.value >= 0.3 - (os.cpu_count() or 1) * 2 / TICKS_PER_S
    assert diagnose(Where())[0].state == "ok"
