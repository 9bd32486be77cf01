"""What drivers show through hwmon: which of it is counted, with its unit and its window, and what is left out."""

from __future__ import annotations

import pytest

from joulebook.collectors.sensors import Where
from joulebook.collectors.sensors.hwmon import diagnose, open_meter


@pytest.fixture
def where(tmp_path):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text("vendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC 7742\n")
    return Where(tmp_path / "sys", tmp_path / "proc")


def chip(where, number, driver, files, *, legacy=False):
    """class/hwmon/hwmonN; `legacy`: the driver puts everything into device/."""
    folder = where.sys / f"class/hwmon/hwmon{number}"
    place = folder / "device" if legacy else folder
    place.mkdir(parents=True)
    for name, text in {"name": driver, **files}.items():
        (place / name).write_text(f"{text}\n")
    return place


def grace(where, number, label, power_uw, **how):
    interval_ms = how.get("interval_ms", 1000)
    files = {"power1_oem_info": label, "power1_average": power_uw, "power1_average_interval": interval_ms}
    return chip(where, number, "power_meter", files, legacy=how.get("legacy", False))


def gpu(where, number, driver, pci, files):
    folder = chip(where, number, driver, files)
    device = where.sys / "devices/pci0000:00" / pci
    device.mkdir(parents=True, exist_ok=True)
    (folder / "device").symlink_to(device)


def values(meter):
    samples = meter.read([sensor.sensor for sensor in meter.sensors()])
    assert {sample.status for sample in samples} == {"ok"}
    return {sample.sensor: sample.value for sample in samples}


@pytest.mark.parametrize("legacy", [False, True], ids=["hwmonN", "hwmonN/device"])
def test_grace_hopper_counts_its_grace_and_neither_its_parts_nor_the_module(where, legacy):
    for number, (label, power_uw) in enumerate(
        [
            ("Module Power Socket 0", 412_000_000),
            ("Grace Power Socket 0", 142_000_000),
            ("CPU Power Socket 0", 97_000_000),
            ("SysIO Power Socket 0", 21_000_000),
        ]
    ):
        grace(where, number, label, power_uw, legacy=legacy)
    meter = open_meter(where)
    assert values(meter) == {"hwmon:grace-0": 142_000_000}
    (sensor,) = meter.sensors()
    assert (sensor.device, sensor.unit, sensor.method, sensor.window_s) == ("cpu:0", "uW", "integrated", 1.0)
    assert (sensor.model, sensor.share_by, sensor.accuracy) == ("NVIDIA Grace, with its DRAM", "cpu", 0.05)
    assert [finding.detail for finding in diagnose(where)] == [
        "NVIDIA Grace, with its DRAM, the mean of 1 s; used where neither powercap nor perf counts the CPU",
        "Module Power Socket 0 is not counted: it holds the GPU",
        "CPU Power Socket 0 is not counted: a part of the Grace meter",
        "SysIO Power Socket 0 is not counted: a part of the Grace meter",
    ]


def test_a_gauge_is_read_again_each_time(where):
    place = grace(where, 0, "Grace Power Socket 0", 142_000_000)
    meter = open_meter(where)
    assert values(meter) == {"hwmon:grace-0": 142_000_000}
    (place / "power1_average").write_text("160000000\n")
    assert values(meter) == {"hwmon:grace-0": 160_000_000}
    (place / "power1_average").unlink()
    assert meter.read(["hwmon:grace-0"]) == [("hwmon:grace-0", None, "ENOENT")]
    meter.close()


def test_two_grace_sockets_are_two_devices(where):
    grace(where, 0, "Grace Power Socket 0", 100_000_000)
    grace(where, 1, "Grace Power Socket 1", 110_000_000)
    meter = open_meter(where)
    assert values(meter) == {"hwmon:grace-0": 100_000_000, "hwmon:grace-1": 110_000_000}
    assert [sensor.device for sensor in meter.sensors()] == ["cpu:0", "cpu:1"]


def test_without_a_grace_meter_its_two_rails_are_counted(where):
    grace(where, 0, "CPU Power Socket 0", 97_000_000)
    grace(where, 1, "SysIO Power Socket 0", 21_000_000)
    meter = open_meter(where)
    assert values(meter) == {"hwmon:cpu-0": 97_000_000, "hwmon:sysio-0": 21_000_000}
    assert [sensor.device for sensor in meter.sensors()] == ["cpu:0", "cpu:0"]


@pytest.mark.parametrize(("interval_ms", "interval_s"), [(50, 0.1), (500, 0.5), (5000, 1.0)])
def test_a_gauge_is_read_once_in_its_window_but_not_more_than_ten_times_a_second(where, interval_ms, interval_s):
    grace(where, 0, "Grace Power Socket 0", 1, interval_ms=interval_ms)
    meter = open_meter(where)
    assert (meter.interval_s, meter.sensors()[0].window_s) == (interval_s, interval_ms / 1000)


def test_the_meter_of_the_whole_machine_and_power_supplies_are_left_out(where):
    chip(where, 0, "power_meter", {"power1_average": 300_000_000})
    chip(where, 1, "pmbus", {"power1_input": 300_000_000, "power1_label": "pin"})
    chip(where, 2, "zenpower", {"power1_input": 60_000_000, "power1_label": "SVI2_P_Core"})
    chip(where, 3, "nvme", {"temp1_input": 40_000})
    assert open_meter(where) is None
    assert [finding.detail for finding in diagnose(where)] == [
        "without a label is not counted: not a meter of the processor",
        "without a label is not counted: two rails of the processor, over no stated time",
    ]


def test_amd_counts_sockets_and_never_cores(where):
    files = {"energy1_label": "Ecore000", "energy1_input": 7, "energy2_label": "Ecore001", "energy2_input": 8}
    files |= {"energy129_label": "Esocket0", "energy129_input": 5_000_000}
    files |= {"energy130_label": "Esocket1", "energy130_input": 6_000_000}
    chip(where, 4, "amd_energy", files)
    meter = open_meter(where)
    assert values(meter) == {"hwmon:socket-0": 5_000_000, "hwmon:socket-1": 6_000_000}
    sensor = meter.sensors()[1]
    assert (sensor.device, sensor.unit, sensor.method, sensor.wraps_at) == ("cpu:1", "uJ", "measured", None)
    assert (sensor.model, sensor.accuracy, sensor.max_w) == ("AMD EPYC 7742", 0.10, 800)
    assert meter.interval_s is None


@pytest.mark.parametrize(
    ("files", "expected_uj"),
    [
        ({"energy1_input": 900, "energy1_label": "card", "energy2_input": 700, "energy2_label": "pkg"}, 900),
        ({"energy2_input": 700, "energy2_label": "pkg"}, 700),
    ],
    ids=["card", "package"],
)
def test_an_intel_gpu_is_its_card_or_else_its_package(where, files, expected_uj):
    gpu(where, 0, "xe", "0000:03:00.0", files | {"power1_rated_max": 190_000_000})
    meter = open_meter(where)
    assert values(meter) == {"hwmon:gpu-0000:03:00.0": expected_uj}
    (sensor,) = meter.sensors()
    assert (sensor.device, sensor.unit, sensor.method) == ("gpu:0000:03:00.0", "uJ", "measured")
    assert (sensor.max_w, sensor.share_by) == (2 * 190, "reservation")
    assert meter.interval_s == 60  # its driver must be asked before the register went round


def test_the_tiles_of_an_intel_gpu_are_parts_of_it(where):
    gpu(where, 0, "i915", "0000:4d:00.0", {"energy1_input": 1000})
    gpu(where, 1, "i915_gt0", "0000:4d:00.0", {"energy1_input": 600})
    gpu(where, 2, "i915_gt1", "0000:4d:00.0", {"energy1_input": 400})
    assert values(open_meter(where)) == {"hwmon:gpu-0000:4d:00.0": 1000}


def test_doctor_on_a_file_that_fails(where):
    place = grace(where, 0, "Grace Power Socket 0", "n/a")
    (finding,) = diagnose(where)
    assert (finding.what, finding.state) == ("hwmon grace-0", "fail")
    assert finding.detail == f"{place}/power1_average cannot be read: garbled"


def test_nothing_of_the_kind_is_no_meter_and_no_finding(where):
    assert open_meter(where) is None
    assert diagnose(where) == []
