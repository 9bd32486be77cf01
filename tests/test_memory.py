"""The installed memory, where no sensor sees what it draws."""

from __future__ import annotations

import pytest

from joulebook.collectors.sensors import Where
from joulebook.collectors.sensors.memory import diagnose, open_meter

MEMINFO = "MemTotal:       131915564 kB\nMemFree:         1000000 kB\n"


@pytest.fixture
def where(tmp_path):
    (tmp_path / "meminfo").write_text(MEMINFO)
    return Where(proc=tmp_path)


def test_gb_are_a_thousand_million_bytes(where):
    # 131 915 564 KiB x 1024 = 135 081 537 536 bytes
    assert open_meter(where).read(["memory"]) == [("memory", 135.081537536, "ok")]
    assert open_meter(where).read(["node-cpu"]) == []


def test_what_it_says_of_itself(where):
    (sensor,) = open_meter(where).sensors()
    assert (sensor.sensor, sensor.device, sensor.unit, sensor.method) == ("memory", "dram:model", "GB", "modelled")
    assert (sensor.share_by, sensor.counted, sensor.source) == ("reservation", True, str(where.proc / "meminfo"))
    assert open_meter(where).interval_s is None


def test_doctor_says_that_it_is_a_model(where):
    (finding,) = diagnose(where)
    assert (finding.state, finding.tier) == ("ok", "modelled")
    assert finding.detail == "135.1 GB; modelled by a factor per GB, only where no sensor counts the DRAM"


@pytest.mark.parametrize("text", ["", "MemFree: 1 kB\n", "MemTotal: much kB\n", "MemTotal:\n"])
def test_a_node_that_does_not_say_is_no_meter(where, text):
    (where.proc / "meminfo").write_text(text)
    assert open_meter(where) is None
    (finding,) = diagnose(where)
    assert (finding.state, finding.detail) == ("warn", f"{where.proc}/meminfo does not say MemTotal")


def test_no_file_is_no_meter(tmp_path):
    assert open_meter(Where(proc=tmp_path)) is None
