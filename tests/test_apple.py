"""Apple silicon on a stand-in for zeus_apple_silicon: the same class and fields, with the energies set by hand."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import pytest

from joulebook.collectors.sensors import Sample, Where, apple

M4 = {"cpu_total_mj": 1000, "gpu_mj": 2000, "gpu_sram_mj": 30, "ane_mj": 0, "dram_mj": 400}


class Monitor:
    """The class AppleEnergyMonitor; what it says is `energies`, for every one of them."""

    def get_cumulative_energy(self):
        if Monitor.energies is None:
            raise RuntimeError("IOReport does not answer")
        return SimpleNamespace(**Monitor.energies)


@pytest.fixture
def mac(monkeypatch):
    """`mac(energies)`: a Mac whose counters show these."""
    monkeypatch.setattr(apple, "sys", SimpleNamespace(platform="darwin"))
    monkeypatch.setattr(apple, "platform", SimpleNamespace(machine=lambda: "arm64"))

    def show(energies):
        Monitor.energies = energies
        module = ModuleType("zeus_apple_silicon")
        module.__spec__ = ModuleSpec("zeus_apple_silicon", None)
        module.AppleEnergyMonitor = Monitor
        monkeypatch.setitem(sys.modules, "zeus_apple_silicon", module)

    return show


def test_each_number_is_a_sensor_and_modelled(mac):
    mac(M4)
    sensors = apple.open_meter(Where()).sensors()
    assert [(sensor.sensor, sensor.device, sensor.share_by, sensor.counted) for sensor in sensors] == [
        ("apple:cpu_total", "cpu:0", "cpu", True),
        ("apple:gpu", "gpu:0", "reservation", True),
        ("apple:gpu_sram", "gpu:0", "reservation", False),
        ("apple:ane", "ane:0", "reservation", True),
        ("apple:dram", "dram:0", "cpu", True),
    ]
    assert {(sensor.unit, sensor.method, sensor.accuracy) for sensor in sensors} == {("mJ", "modelled", 0.20)}


def test_values_are_millijoules_as_they_are(mac):
    mac(M4)
    meter = apple.open_meter(Where())
    Monitor.energies = M4 | {"gpu_mj": 2500}
    assert meter.read(["apple:gpu", "apple:ane"]) == [Sample("apple:gpu", 2500), Sample("apple:ane", 0)]


def test_what_a_chip_does_not_tell_is_no_sensor(mac):
    mac(M4 | {"dram_mj": None, "gpu_sram_mj": None})
    devices = [sensor.device for sensor in apple.open_meter(Where()).sensors()]
    assert devices == ["cpu:0", "gpu:0", "ane:0"]
    mac(dict.fromkeys(M4))
    assert apple.open_meter(Where()) is None
    assert apple.diagnose(Where())[0].detail == "this chip tells no energy"


def test_a_failure_is_a_status(mac):
    mac(M4)
    meter = apple.open_meter(Where())
    Monitor.energies = None
    assert meter.read(["apple:gpu"]) == [Sample("apple:gpu", None, "RuntimeError")]
    Monitor.energies = M4 | {"gpu_mj": None}
    assert meter.read(["apple:gpu"]) == [Sample("apple:gpu", None, "missing")]


def test_diagnosis(mac, monkeypatch):
    mac(M4)
    (finding,) = apple.diagnose(Where())
    assert finding.detail == "energy as macOS estimates it: cpu:0, gpu:0, ane:0, dram:0"
    assert (finding.state, finding.tier, finding.interval) == ("ok", "modelled", "±20%")
    monkeypatch.delitem(sys.modules, "zeus_apple_silicon")
    (finding,) = apple.diagnose(Where())
    assert (finding.state, finding.fix) == ("warn", "pip install zeus-apple-silicon")


def test_elsewhere_there_is_nothing():
    if sys.platform != "darwin":
        assert apple.open_meter(Where()) is None
        assert apple.diagnose(Where()) == []
