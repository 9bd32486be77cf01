"""RAPL through powercap, on the twin: which zones count, what is read from them, and what is said where none can be."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from twin.powercap import (
    AMD,
    AMD_MIRRORED,
    FAMILIES,
    INTEL_CLIENT,
    INTEL_MMIO,
    INTEL_SERVER,
    Fault,
    build,
    feeding,
    true_j,
    value_uj,
)

from joulebook.collectors.sensors import Where
from joulebook.collectors.sensors.powercap import diagnose, open_meter
from joulebook.collectors.sensors.sysfs import NumberFile

INTEL = "vendor_id\t: GenuineIntel\nmodel name\t: Intel(R) Xeon(R) Platinum 8280\nflags\t\t: fpu vme\n"
HIGHEST_W = 160 + 10 + 140 + 12  # of all counters of the server at once


@pytest.fixture
def where(tmp_path):
    proc = tmp_path / "proc"
    (proc / "self").mkdir(parents=True)
    (proc / "cpuinfo").write_text(INTEL)
    return Where(tmp_path / "sys", proc)


def zone_folder(where, name):
    return where.sys / "class/powercap" / name


def ids(meter):
    return [sensor.sensor for sensor in meter.sensors()]


def folders(meter):
    return [Path(sensor.source).parent.name for sensor in meter.sensors()]


def read_all(meter):
    return {sample.sensor: sample for sample in meter.read(ids(meter))}


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_of_cpus_counts_its_cover_set(where, family):
    with feeding(where.sys, FAMILIES[family]):
        meter = open_meter(where)
    assert folders(meter) == [zone.folder for zone in FAMILIES[family] if zone.counted]
    meter.close()


@pytest.mark.parametrize(
    ("zones", "expected"),
    [
        (INTEL_CLIENT, ["powercap:package-0"]),
        (INTEL_SERVER, ["powercap:package-0", "powercap:dram-0", "powercap:package-1", "powercap:dram-1"]),
        (INTEL_MMIO[3:], ["powercap:package-0"]),  # the meter's second way is the only one
    ],
)
def test_a_sensor_is_named_after_what_it_counts(where, zones, expected):
    build(where.sys, zones)
    assert ids(open_meter(where)) == expected


def test_what_a_sensor_says_of_itself(where):
    build(where.sys, INTEL_SERVER)
    package, dram, *_ = open_meter(where).sensors()
    assert (package.device, package.unit, package.method) == ("cpu:0", "uJ", "measured")
    assert package.model == "Intel(R) Xeon(R) Platinum 8280"
    assert (package.wraps_at, package.update_s, package.accuracy) == (262_143_328_850, 0.001, 0.05)
    assert package.max_w == 2 * 205
    assert package.source == str(zone_folder(where, "intel-rapl:0") / "energy_uj")
    assert (package.share_by, package.reserved, package.counted, package.boundary) == ("cpu", 1.0, True, "device")
    assert (dram.device, dram.wraps_at, dram.accuracy, dram.max_w) == ("dram:0", 65_532_610_987, 0.20, 2 * 36)


def test_amd_models_its_energy_and_tells_no_limit(where):
    (where.proc / "cpuinfo").write_text("vendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC 7763\n")
    build(where.sys, AMD)
    (package,) = open_meter(where).sensors()
    assert (package.model, package.accuracy, package.max_w) == ("AMD EPYC 7763", 0.10, 800)


@pytest.mark.parametrize(("limit_w", "max_w"), [(28, 200), (4095.875, 800), (0, 800), (350, 700)])
def test_the_most_a_package_can_draw(where, limit_w, max_w):
    build(where.sys, [INTEL_CLIENT[0]._replace(max_power_w=limit_w)])
    (package,) = open_meter(where).sensors()
    assert package.max_w == max_w


def test_it_wants_to_be_read_twice_in_the_shortest_time_to_go_round(where):
    build(where.sys, INTEL_SERVER)
    # Package: 262 143 J / 410 W = 639 s. DRAM: 65 533 J / 72 W = 910 s.
    assert open_meter(where).interval_s == pytest.approx(262_143.328850 / 410 / 2)


def test_the_raw_values_are_those_of_the_counters_and_give_the_true_energy(where):
    with feeding(where.sys, INTEL_SERVER) as feeder:
        meter = open_meter(where)
        times_s, values = [], []
        for _ in range(2):
            times_s.append(time.monotonic())
            values.append(read_all(meter))
            times_s.append(time.monotonic())
            time.sleep(0.3)
    assert {sample.status for sample in values[1].values()} == {"ok"}
    used_j = sum(values[1][name].value - values[0][name].value for name in ids(meter)) / 1e6
    # A value may be as old as the twin's longest pause, and the reading takes a moment itself, at both ends.
    edge_s = feeder.worst_gap_s + times_s[1] - times_s[0] + times_s[3] - times_s[2]
    assert used_j == pytest.approx(true_j(INTEL_SERVER, times_s[0], times_s[2]), abs=HIGHEST_W * edge_s + 1e-3)


def test_a_counter_that_goes_round_is_told_as_it_stands(where):
    begin_s = time.monotonic()
    range_j, left_j = 1000, 100
    begin_j = range_j - left_j - INTEL_CLIENT[0].wave.energy_j(0, begin_s)
    zone = INTEL_CLIENT[0]._replace(range_uj=range_j * 1_000_000, begin_j=begin_j)
    with feeding(where.sys, [zone]) as feeder:
        meter = open_meter(where)
        assert meter.sensors()[0].wraps_at == range_j * 1e6
        (before,) = meter.read(["powercap:package-0"])
        between_s = time.monotonic()
        while zone.wave.energy_j(begin_s, time.monotonic()) < left_j + 5:
            time.sleep(0.02)
        (after,) = meter.read(["powercap:package-0"])
        end_s = time.monotonic()
    assert (range_j - left_j) * 1e6 <= before.value < range_j * 1e6
    assert 0 <= after.value < (range_j - left_j) * 1e6
    used_j = (after.value - before.value) / 1e6 + range_j
    edge_s = feeder.worst_gap_s + between_s - begin_s
    assert used_j == pytest.approx(true_j([zone], between_s, end_s), abs=160 * edge_s)


@pytest.mark.parametrize(
    ("kind", "status"), [("removed", "ENOENT"), ("directory", "EISDIR"), ("empty", "garbled"), ("frozen", "ok")]
)
def test_a_counter_that_fails_says_why_and_tells_all_when_it_is_back(where, kind, status):
    begin_s = time.monotonic() + 0.3
    end_s = begin_s + 0.4
    zone = INTEL_CLIENT[0]
    with feeding(where.sys, INTEL_CLIENT, [Fault("intel-rapl:0", kind, begin_s, end_s)]) as feeder:
        meter = open_meter(where)
        samples = []
        while time.monotonic() < end_s + 0.1:
            samples += meter.read(["powercap:package-0"])
            time.sleep(0.02)
        before_s = time.monotonic()
        samples += meter.read(["powercap:package-0"])
        after_s = time.monotonic()
    assert {sample.status for sample in samples} == {"ok", status}
    assert all((sample.value is None) == (sample.status != "ok") for sample in samples)
    assert value_uj(zone, before_s - feeder.worst_gap_s) <= samples[-1].value <= value_uj(zone, after_s)


def test_a_counter_that_was_reset_is_told_as_it_stands(where):
    reset_s = time.monotonic()
    with feeding(where.sys, INTEL_CLIENT, [Fault("intel-rapl:0", "reset", reset_s)]):
        (sample,) = open_meter(where).read(["powercap:package-0"])
        seconds = time.monotonic() - reset_s
    assert 0 <= sample.value <= 160e6 * seconds


def test_only_the_names_asked_for_are_read(where):
    build(where.sys, INTEL_SERVER)
    meter = open_meter(where)
    assert [sample.sensor for sample in meter.read(["powercap:dram-1", "nvml:GPU-1"])] == ["powercap:dram-1"]


def test_renaming_the_zones_changes_nothing(where):
    build(where.sys, INTEL_SERVER)
    before = {sensor.sensor: sensor.device for sensor in open_meter(where).sensors()}
    other = {"intel-rapl:0": "intel-rapl:a", "intel-rapl:1": "intel-rapl:0"}
    renamed = [
        zone._replace(folder=other[zone.folder[:12]] + zone.folder[12:], begin_j=n * 1e3)
        for n, zone in enumerate(INTEL_SERVER)
    ]
    shutil.rmtree(where.sys)
    build(where.sys, renamed)
    assert {sensor.sensor: sensor.device for sensor in open_meter(where).sensors()} == before


def test_two_zones_of_one_name_are_two_sensors(where):
    build(where.sys, [zone._replace(name="package-0") for zone in INTEL_SERVER[::2]])
    assert ids(open_meter(where)) == ["powercap:package-0", "powercap:package-0@intel-rapl:1"]


def test_equal_counters_that_do_not_move_are_not_taken_for_mirrors(where):
    build(where.sys, AMD_MIRRORED)
    for name in ("intel-rapl:0", "intel-rapl:1"):
        (zone_folder(where, name) / "energy_uj").write_text("1000000\n")
    assert ids(open_meter(where)) == ["powercap:package-0-die-0", "powercap:package-0-die-1"]


def test_the_links_of_a_real_sysfs_are_followed(where):
    build(where.sys, INTEL_SERVER)
    devices = where.sys / "devices/virtual/powercap"
    devices.mkdir(parents=True)
    for zone in INTEL_SERVER:
        folder = zone_folder(where, zone.folder)
        shutil.move(folder, devices / zone.folder)
        folder.symlink_to(f"../../devices/virtual/powercap/{zone.folder}")
    meter = open_meter(where)
    assert folders(meter) == [zone.folder for zone in INTEL_SERVER]
    assert {sample.status for sample in read_all(meter).values()} == {"ok"}


def test_psys_alone_is_told_but_not_counted(where):
    build(where.sys, INTEL_CLIENT[3:])
    (psys,) = open_meter(where).sensors()
    assert (psys.sensor, psys.device, psys.counted, psys.boundary) == ("powercap:psys-0", "platform:0", False, "it")
    warning, told = diagnose(where)
    assert (warning.state, warning.detail) == ("warn", "no zone here counts a package")
    assert told.detail.startswith("the whole platform: written for comparison, not counted")


def test_a_zone_of_another_kind_is_named_and_left_out(where):
    build(where.sys, [*AMD, AMD[0]._replace(folder="dtpm:0", name="soc")])
    assert ids(open_meter(where)) == ["powercap:package-0"]
    told = [finding.detail for finding in diagnose(where)]
    assert "dtpm:0 is not counted: a zone of dtpm, which does not say what it covers" in told


def test_nothing_here_is_no_meter(where):
    assert open_meter(where) is None


# One number in one file.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("42\n", (42, "ok")),
        ("42", (42, "ok")),
        ("  42  \n", (42, "ok")),
        ("", (None, "garbled")),
        ("x\n", (None, "garbled")),
    ],
)
def test_a_number_in_a_file(tmp_path, text, expected):
    path = tmp_path / "energy_uj"
    path.write_text(text)
    assert NumberFile(path).read() == expected


@pytest.mark.parametrize("first", [b"", b"12", OSError(5, "I/O error")], ids=["empty", "torn", "EIO"])
def test_a_read_that_fails_is_tried_once_more(tmp_path, monkeypatch, first):
    path = tmp_path / "energy_uj"
    path.write_text("1234\n")
    answers = [first]
    pread = os.pread

    def failing_once(fd, length, offset):
        if not answers:
            return pread(fd, length, offset)
        answer = answers.pop()
        if isinstance(answer, OSError):
            raise answer
        return answer

    monkeypatch.setattr(os, "pread", failing_once)
    assert NumberFile(path).read() == (1234, "ok")


def test_a_file_that_was_replaced_is_opened_anew(tmp_path):
    path = tmp_path / "energy_uj"
    path.write_text("1\n")
    file = NumberFile(path)
    assert file.read() == (1, "ok")
    (tmp_path / "new").write_text("2\n")
    (tmp_path / "new").replace(path)
    assert file.read() == (2, "ok")
    path.unlink()
    assert file.read() == (None, "ENOENT")
    file.close()


# What doctor says.


def test_doctor_says_of_each_zone_whether_it_counts(where):
    build(where.sys, INTEL_CLIENT)
    package, *others = diagnose(where)
    assert (package.what, package.state, package.fix) == ("RAPL package-0", "ok", "")
    # 262 143 J / 250 W = 1049 s
    assert package.detail == "counted; its counter goes round after 1049 s at 250 W"
    assert (package.mode, package.tier, package.interval) == ("0444", "measured", "±5 %")
    assert package.source == str(zone_folder(where, "intel-rapl:0") / "energy_uj")
    assert [(other.state, other.detail) for other in others] == [
        ("ok", "intel-rapl:0:0 is not counted: part of package-0"),
        ("ok", "intel-rapl:0:1 is not counted: part of package-0"),
        ("ok", "intel-rapl:1 is not counted: the whole platform, with what other sensors count"),
    ]


@pytest.mark.parametrize(
    ("zones", "expected"),
    [
        (INTEL_MMIO, "intel-rapl-mmio:0 is not counted: the same meter as intel-rapl:0"),
        (AMD_MIRRORED, "intel-rapl:1 is not counted: mirrors package-0-die-0: one meter, shown twice"),
    ],
)
def test_doctor_names_a_meter_that_is_shown_twice(where, zones, expected):
    with feeding(where.sys, zones):
        assert expected in [finding.detail for finding in diagnose(where)]


def test_doctor_without_the_folder(where):
    where.sys.mkdir()
    (finding,) = diagnose(where)
    assert finding.state == "warn"
    assert finding.detail == f"{where.sys}/class/powercap is not there: no RAPL driver is loaded"
    assert "sudo modprobe intel_rapl_msr" in finding.fix
    (where.proc / "cpuinfo").write_text(INTEL.replace("fpu vme", "fpu hypervisor"))
    (finding,) = diagnose(where)
    assert finding.detail.endswith("no RAPL driver is loaded; this is a virtual machine")
    assert "record on the host" in finding.fix


def test_doctor_on_arm_does_not_ask_for_rapl(where):
    (where.proc / "cpuinfo").write_text("processor\t: 0\nCPU implementer\t: 0x41\n")
    (finding,) = diagnose(where)
    assert finding.detail.endswith("RAPL is a meter of x86, and this CPU is another")
    assert finding.fix == ""


def test_doctor_on_a_masked_folder(where):
    folder = where.sys / "class/powercap"
    folder.mkdir(parents=True)
    (empty,) = diagnose(where)
    assert empty.state == "warn"
    assert empty.detail == f"{folder} is there but it is empty: a container runtime masks it, even for root"
    assert "/sys/class/powercap and /sys/devices/virtual/powercap, read-only" in empty.fix
    assert "run the recorder on the host" in empty.fix
    assert "modprobe" in empty.fix  # it could be a machine without the driver, too
    (folder / "intel-rapl:0").symlink_to("../../devices/virtual/powercap/intel-rapl/intel-rapl:0")
    (links,) = diagnose(where)
    assert (
        links.detail == f"{folder} is there but its 1 links lead nowhere: a container runtime masks it, even for root"
    )
    assert "modprobe" not in links.fix


def test_doctor_sees_what_is_mounted_over_the_folder(where):
    (where.sys / "class/powercap").mkdir(parents=True)
    masked = where.sys / "devices/virtual/powercap"
    (where.proc / "self/mountinfo").write_text(f"712 700 0:61 / {masked} ro,relatime - tmpfs tmpfs ro,size=0k\n")
    (finding,) = diagnose(where)
    assert finding.detail.endswith(f"even for root; something is mounted over {masked}")
    assert "modprobe" not in finding.fix


def test_doctor_on_a_counter_that_only_its_owner_may_read(where):
    build(where.sys, INTEL_CLIENT, mode=0o400)
    package = diagnose(where)[0]
    owner = "root" if os.geteuid() == 0 else f"uid {os.geteuid()}"
    assert (package.state, package.mode) == ("warn", "0400")
    assert package.detail.endswith(f"mode 0400: only {owner} may read it, other users get nothing")
    assert "99-joulebook-rapl.rules" in package.fix
    assert ids(open_meter(where)) == ["powercap:package-0"]  # it is read all the same


# Builds a tree that nobody but root may read, and asks as nobody.
AS_NOBODY = """
import json, os, sys
from pathlib import Path
from joulebook.collectors.sensors import Where
from joulebook.collectors.sensors.powercap import diagnose, open_meter
where = Where(Path(sys.argv[1]), Path(sys.argv[1]))
as_root = open_meter(where)
if os.geteuid() == 0:
    os.setuid(65534)
package = diagnose(where)[0]
kept = as_root.read(["powercap:package-0"]) if as_root else []
told = {name: getattr(package, name) for name in ("state", "mode", "source", "detail", "fix")}
print(json.dumps([open_meter(where) is None, os.geteuid(), told, [sample.status for sample in kept]]))
"""


def test_doctor_on_a_counter_that_we_may_not_read():
    is_root = os.geteuid() == 0
    with tempfile.TemporaryDirectory() as folder:  # not tmp_path: nobody may not pass through it
        Path(folder).chmod(0o755)
        build(Path(folder), INTEL_CLIENT, mode=0o400 if is_root else 0)
        command = [sys.executable, "-c", AS_NOBODY, folder]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    no_meter, uid, package, kept = json.loads(told)
    path = f"{folder}/class/powercap/intel-rapl:0/energy_uj"
    mode, owner = ("0400", "root") if is_root else ("0000", f"uid {uid}")
    assert no_meter  # perf may be open to us
    assert (package["state"], package["mode"], package["source"]) == ("fail", mode, path)
    assert package["detail"] == f"{path} (mode {mode}, owner {owner}) cannot be read by uid {uid}: EACCES"
    assert "CVE-2020-8694" in package["fix"]
    rule = (
        'SUBSYSTEM=="powercap", ACTION=="add", KERNEL=="intel-rapl*:*", '
        'RUN+="/bin/chgrp energy /sys%p/energy_uj", RUN+="/bin/chmod g+r /sys%p/energy_uj"'
    )
    assert rule in package["fix"]
    assert f"sudo setcap cap_dac_read_search+ep {Path(sys.executable).resolve()}" in package["fix"]
    if is_root:
        assert kept == ["ok"]  # what was opened before the job gave up its privileges is read on
