"""AMD GPUs on a stand-in for amdsmi: the same functions, answering for cards whose true energy is known."""

from __future__ import annotations

import sys
import time
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import NamedTuple

import pytest
from twin.wave import Wave

from joulebook.collectors.sensors import Where, amd, still

RESOLUTION_UJ = 15.3


class Gpu(NamedTuple):
    uuid: str
    wave: Wave | None = Wave(100.0, 500.0)  # None: it shows 0
    model: str = "AMD Instinct MI300X"
    hip_id: int | None = None
    begin: int = 10**9  # of the accumulator when the clock was 0
    error: str = ""
    frozen_s: float = 1e18
    power_w: int = 300


class AmdSmiException(Exception):
    pass


class AmdSmiLibraryException(AmdSmiException):
    def __init__(self, err_info):
        super().__init__(err_info)
        self.err_info = err_info


def accumulator(gpu: Gpu, at_s: float) -> int:
    if gpu.wave is None:
        return 0
    return gpu.begin + int(gpu.wave.energy_j(0, min(at_s, gpu.frozen_s)) * 1e6 / RESOLUTION_UJ)


class StandIn(ModuleType):
    """The functions of amdsmi 7.0 that we use. `gpus` may be changed at any time; the handle of a GPU is its place."""

    AmdSmiException, AmdSmiLibraryException = AmdSmiException, AmdSmiLibraryException

    def __init__(self, gpus, energy_key="energy_accumulator", init_error=""):
        super().__init__("amdsmi")
        self.__spec__ = ModuleSpec("amdsmi", None)
        self.gpus = list(gpus)
        self.energy_key = energy_key
        self.init_error = init_error
        self.users = 0

    def amdsmi_init(self):
        if self.init_error:
            raise AmdSmiLibraryException(self.init_error)
        self.users += 1

    def amdsmi_shut_down(self):
        self.users -= 1

    def amdsmi_get_processor_handles(self):
        return list(range(len(self.gpus)))

    def amdsmi_get_energy_count(self, handle):
        gpu = self.gpus[handle]
        if gpu.error:
            raise AmdSmiLibraryException(gpu.error)
        now_s = time.monotonic()
        return {
            self.energy_key: accumulator(gpu, now_s),
            "counter_resolution": RESOLUTION_UJ,
            "timestamp": int(now_s * 1e9),
        }

    def amdsmi_get_gpu_device_uuid(self, handle):
        return self.gpus[handle].uuid

    def amdsmi_get_gpu_asic_info(self, handle):
        return {"market_name": self.gpus[handle].model}

    def amdsmi_get_power_cap_info(self, handle):
        return {"power_cap": 750_000_000, "max_power_cap": 750_000_000}

    def amdsmi_get_power_info(self, handle):
        return {"average_socket_power": "N/A", "current_socket_power": self.gpus[handle].power_w}

    def amdsmi_get_gpu_enumeration_info(self, handle):
        gpu = self.gpus[handle]
        number = "N/A" if gpu.hip_id is None else gpu.hip_id
        return {"hip_id": number, "hip_uuid": f"GPU-{gpu.uuid[:8]}"}


@pytest.fixture(autouse=True)
def no_selection(monkeypatch):
    for name in ("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def where(tmp_path, monkeypatch) -> Where:
    """A machine with the driver and with ROCm."""
    (tmp_path / "sys/module/amdgpu").mkdir(parents=True)
    (tmp_path / "rocm/lib").mkdir(parents=True)
    (tmp_path / "rocm/lib/libamd_smi.so").touch()
    monkeypatch.setenv("ROCM_PATH", str(tmp_path / "rocm"))
    return Where(sys=tmp_path / "sys")


@pytest.fixture
def amdsmi(monkeypatch):
    """`amdsmi(Gpu(…), …)`: the package is installed and shows these."""

    def install(*gpus, **given):
        module = StandIn(gpus, **given)
        monkeypatch.setitem(sys.modules, "amdsmi", module)
        return module

    return install


def names(meter) -> list[str]:
    return [sensor.sensor for sensor in meter.sensors()]


@pytest.mark.parametrize("energy_key", ["energy_accumulator", "power"])  # its name before ROCm 6.2
def test_the_counter_is_the_accumulator_times_its_resolution(amdsmi, where, energy_key):
    gpus = [Gpu("aaaa1111"), Gpu("bbbb2222", Wave(50, 900))]
    amdsmi(*gpus, energy_key=energy_key)
    meter = amd.open_meter(where)
    before_s = time.monotonic()
    found = meter.read(names(meter))
    after_s = time.monotonic()
    for gpu, sample in zip(gpus, found, strict=True):
        least, most = (accumulator(gpu, at_s) * RESOLUTION_UJ for at_s in (before_s, after_s))
        assert least <= sample.value <= most
        assert (sample.sensor, sample.status) == (f"amd:{gpu.uuid}", "ok")


def test_a_sensor_says_what_its_counter_is(amdsmi, where):
    amdsmi(Gpu("aaaa1111"))
    (sensor,) = amd.open_meter(where).sensors()
    assert sensor == amd.Sensor(
        sensor="amd:aaaa1111",
        device="gpu:aaaa1111",
        unit="uJ",
        method="measured",
        source="amdsmi_get_energy_count",
        model="AMD Instinct MI300X",
        update_s=0.1,
        accuracy=0.10,
        max_w=pytest.approx(900),  # 1.2 × 750 W
        share_by="reservation",
    )


def die(uuid, wave=None):
    return Gpu(uuid, wave, "AMD Instinct MI250X")


TWO_CARDS = (die("aaaa1111", Wave(90, 500)), die("aaaa2222"), die("bbbb1111", Wave(90, 300)), die("bbbb2222"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, [("amd:aaaa1111", 1.0), ("amd:bbbb1111", 1.0)]),
        ("1", [("amd:aaaa1111", 0.5)]),  # the second die alone: half of the card that the first shows
        ("1,2", [("amd:aaaa1111", 0.5), ("amd:bbbb1111", 0.5)]),
        ("0,1", [("amd:aaaa1111", 1.0)]),
    ],
)
def test_a_card_of_two_dies_is_read_once(amdsmi, where, monkeypatch, text, expected):
    amdsmi(*TWO_CARDS)
    if text is not None:
        monkeypatch.setenv("HIP_VISIBLE_DEVICES", text)
    assert [(sensor.sensor, sensor.reserved) for sensor in amd.open_meter(where).sensors()] == expected


FOUR = tuple(Gpu(f"{letter * 8}-0000") for letter in "abcd")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "abcd"),
        ({"HIP_VISIBLE_DEVICES": "2,0"}, "ac"),
        ({"HIP_VISIBLE_DEVICES": ""}, ""),
        ({"HIP_VISIBLE_DEVICES": "1,9,2"}, "b"),  # what names nothing ends the list
        ({"ROCR_VISIBLE_DEVICES": "1,3", "HIP_VISIBLE_DEVICES": "1"}, "d"),  # HIP counts what ROCR has left
        ({"ROCR_VISIBLE_DEVICES": "GPU-cccccccc"}, "c"),
        ({"CUDA_VISIBLE_DEVICES": "3"}, "d"),
        ({"HIP_VISIBLE_DEVICES": "0", "CUDA_VISIBLE_DEVICES": "3"}, "a"),
        ({"HIP_VISIBLE_DEVICES": "0", "JOULEBOOK_GPUS": "1,bbbbbbbb-0000,2"}, "bc"),
    ],
)
def test_selection(amdsmi, where, monkeypatch, given, expected):
    amdsmi(*FOUR)
    for name, text in given.items():
        monkeypatch.setenv(name, text)
    meter = amd.open_meter(where)
    assert "".join(name[4] for name in names(meter)) == expected if meter else expected == ""


def test_indices_are_those_of_hip_where_they_are_told(amdsmi, where, monkeypatch):
    amdsmi(Gpu("aaaa1111", hip_id=1), Gpu("bbbb2222", hip_id=0))
    monkeypatch.setenv("HIP_VISIBLE_DEVICES", "0")
    assert names(amd.open_meter(where)) == ["amd:bbbb2222"]


def test_an_error_is_a_status_and_passes(amdsmi, where):
    module = amdsmi(Gpu("aaaa1111"), Gpu("bbbb2222"))
    meter = amd.open_meter(where)
    module.gpus[0] = module.gpus[0]._replace(error="AMDSMI_STATUS_BUSY - Device busy")
    failed, fine = meter.read(names(meter))
    assert (failed.value, failed.status, fine.status) == (None, "BUSY", "ok")
    module.gpus[0] = module.gpus[0]._replace(error="")
    assert [sample.status for sample in meter.read(names(meter))] == ["ok", "ok"]


def test_a_counter_that_stands_still_while_power_is_drawn_tells_nothing(amdsmi, where, monkeypatch):
    now_s = time.monotonic()
    amdsmi(Gpu("aaaa1111", frozen_s=now_s), Gpu("bbbb2222", frozen_s=now_s, power_w=0))
    meter = amd.open_meter(where)
    clock = iter([0.0, 0.0, 3.1, 3.1])
    monkeypatch.setattr(still, "time", type("Clock", (), {"monotonic": staticmethod(lambda: next(clock))}))
    statuses = [[sample.status for sample in meter.read(names(meter))] for _ in range(2)]
    assert statuses == [["ok", "ok"], ["stuck", "ok"]]


def test_a_gpu_without_a_counter_makes_no_sensor(amdsmi, where):
    module = amdsmi(Gpu("aaaa1111", error="AMDSMI_STATUS_NOT_SUPPORTED - Feature not supported"), Gpu("bbbb2222"))
    assert names(amd.open_meter(where)) == ["amd:bbbb2222"]
    blind, seen = amd.diagnose(where)
    assert (blind.state, blind.fix) == ("warn", "measure on bare metal")
    assert (seen.state, seen.tier, seen.interval) == ("ok", "measured", "±10%")
    module.gpus.pop()
    assert amd.open_meter(where) is None


def test_what_was_opened_is_shut(amdsmi, where):
    module = amdsmi(Gpu("aaaa1111"))
    meter = amd.open_meter(where)
    amd.diagnose(where)
    assert module.users == 1
    meter.close()
    assert module.users == 0


def test_diagnosis_of_a_card_of_two_dies(amdsmi, where, monkeypatch):
    amdsmi(*TWO_CARDS[:2])
    monkeypatch.setenv("HIP_VISIBLE_DEVICES", "0")
    (finding,) = amd.diagnose(where)
    assert "that of both dies, of which 50% is yours" in finding.detail


def test_why_there_is_nothing(amdsmi, where, tmp_path, monkeypatch):
    amdsmi(Gpu("aaaa1111"), init_error="AMDSMI_STATUS_DRIVER_NOT_LOADED - Driver not loaded")
    assert amd.open_meter(where) is None
    assert amd.diagnose(where)[0].detail == "amdsmi cannot be initialised (DRIVER_NOT_LOADED)"
    monkeypatch.delitem(sys.modules, "amdsmi")
    assert amd.open_meter(where) is None
    assert amd.diagnose(where)[0].fix == f"pip install {tmp_path}/rocm/share/amd_smi"
    (tmp_path / "amdsmi.py").write_text("raise KeyError('libamd_smi.so')\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert amd.open_meter(where) is None
    assert amd.diagnose(where)[0].state == "fail"
    (tmp_path / "rocm/lib/libamd_smi.so").unlink()
    assert amd.diagnose(where)[0].state == "warn"
    assert amd.diagnose(Where(sys=tmp_path / "elsewhere")) == []
    assert amd.open_meter(Where(sys=tmp_path / "elsewhere")) is None
