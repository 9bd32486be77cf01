"""`joulebook doctor`: what it says of each sensor, on machines that are not here, and how it says it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Callable
from pathlib import Path

import pytest
from recording import python
from twin.gpu import DRIVER_NOT_LOADED, Gpu, Mig, Node, loaded, uuid
from twin.powercap import INTEL_SERVER, build

from joulebook.accounting.site import Site, write_site
from joulebook.cli import main
from joulebook.cli.arguments import parser
from joulebook.collectors.sensors import Finding, powercap

INTEL = "vendor_id\t: GenuineIntel\nmodel name\t: Intel(R) Xeon(R) Platinum 8280\nflags\t\t: fpu vme\n"
KEYS = ["what", "state", "detail", "fix", "source", "mode", "tier", "interval"]
UDEV_RULE = (
    'SUBSYSTEM=="powercap", ACTION=="add", KERNEL=="intel-rapl*:*", '
    'RUN+="/bin/chgrp energy /sys%p/energy_uj", RUN+="/bin/chmod g+r /sys%p/energy_uj"'
)


@pytest.fixture(autouse=True)
def machine(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with an Intel CPU and without any sensor; its `sys` is to be filled. The site is known."""
    (tmp_path / "sys").mkdir()
    proc = tmp_path / "proc"
    proc.mkdir()
    (proc / "cpuinfo").write_text(INTEL)
    (proc / "stat").write_text("cpu  1000 0 0 5000 0 0 0 0 0 0\n")
    (proc / "meminfo").write_text("MemTotal: 16000000 kB\n")
    monkeypatch.setenv("JOULEBOOK_SYSFS_ROOT", str(tmp_path / "sys"))
    monkeypatch.setenv("JOULEBOOK_PROCFS_ROOT", str(proc))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    write_site(home, Site("FR"))
    return tmp_path


@pytest.fixture
def gpus(machine: Path):
    """`gpus(Gpu(), …)`: a machine with these, until the test ends."""
    with contextlib.ExitStack() as stack:
        yield lambda *of, **node: stack.enter_context(loaded(Node(of or (Gpu(),), **node), machine / "nvml"))


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Callable[[], dict]:
    """What `joulebook doctor --json` says, with its exit code."""

    def run() -> dict:
        code = main(["doctor", "--json"])
        return json.loads(capsys.readouterr().out) | {"code": code}

    return run


def of(found: dict, what: str) -> Finding:
    """The only finding of that name."""
    (check,) = [check for check in found["checks"] if check["what"] == what]
    return Finding(**check)


def driver_in(machine: Path) -> None:
    """The kernel's half of the NVIDIA driver is there."""
    path = machine / "proc/driver/nvidia/version"
    path.parent.mkdir(parents=True)
    path.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.86.15\n")


# No sensors -------------------------------------------------------------------------------------------------------


def test_a_machine_without_sensors_is_no_failure(told, machine):
    found = told()
    assert (found["code"], found["ok"]) == (0, True)
    rapl, nvml = of(found, "RAPL"), of(found, "NVML")
    assert rapl.state == nvml.state == "warn"
    assert rapl.detail == f"{machine}/sys/class/powercap is not there: no RAPL driver is loaded"
    assert rapl.fix.startswith("sudo modprobe intel_rapl_msr")
    assert of(found, "perf power").state == "warn"
    assert nvml.fix == "nothing to do on a machine without an NVIDIA GPU"
    assert of(found, "CPU time").tier == "modelled"
    assert [(use["part"], use["by"], use["tier"]) for use in found["uses"]] == [
        ("CPU", "CPU time", "modelled"), ("DRAM", "CPU time", "modelled"), ("GPU", "", "unknown"),
    ]  # fmt: skip
    assert found["says"] == (
        "A run here reads no energy sensor. Modelled, since no sensor sees it: CPU and DRAM from CPU time. "
        "No GPU is seen: if there is one, its energy is missing."
    )


def test_every_finding_has_the_same_keys(told, machine):
    build(machine / "sys", INTEL_SERVER)
    found = told()
    assert set(found) == {"ok", "checks", "uses", "says", "code"}
    assert [list(check) for check in found["checks"]] == [KEYS] * len(found["checks"])
    assert [list(use) for use in found["uses"]] == [["part", "by", "sensors", "tier", "interval"]] * len(found["uses"])


# RAPL -------------------------------------------------------------------------------------------------------------


def test_rapl_that_can_be_read_is_what_a_run_reads(told, machine):
    build(machine / "sys", INTEL_SERVER)
    found = told()
    assert found["code"] == 0
    package = of(found, "RAPL package-0")
    assert (package.state, package.mode, package.tier, package.interval) == ("ok", "0444", "measured", "±5 %")
    assert package.source == f"{machine}/sys/class/powercap/intel-rapl:0/energy_uj"
    assert found["uses"][:2] == [
        {"part": "CPU", "by": "powercap", "sensors": ["powercap:package-0", "powercap:package-1"],
         "tier": "measured", "interval": "±5 %"},
        {"part": "DRAM", "by": "powercap", "sensors": ["powercap:dram-0", "powercap:dram-1"],
         "tier": "measured", "interval": "±20 %"},
    ]  # fmt: skip
    assert found["says"] == (
        "A run here reads CPU by powercap (2 sensors, measured, ±5 %); DRAM by powercap (2 sensors, measured, ±20 %). "
        "Nothing of it is modelled. No GPU is seen: if there is one, its energy is missing."
    )


def test_where_one_sensor_counts_the_cpu_there_is_nothing_to_mend_at_another(told, machine):
    build(machine / "sys", INTEL_SERVER)
    spare = of(told(), "perf power")
    assert (spare.state, spare.fix) == ("ok", "")
    assert spare.detail.startswith(f"not needed, powercap counts the CPU: {machine}/sys/bus/event_source/devices/power")


def test_memory_that_nobody_counts_is_modelled(told, machine):
    build(machine / "sys", INTEL_SERVER[:1])
    found = told()
    assert of(found, "DRAM model").detail.startswith("16.4 GB; modelled by a factor per GB")  # 16e6 × 1024 B
    assert "Modelled, since no sensor sees it: DRAM from installed memory." in found["says"]


@pytest.mark.skipif(os.geteuid() != 0, reason="root reads what only root may read")
def test_a_counter_for_root_only_as_root(told, machine):
    build(machine / "sys", INTEL_SERVER, mode=0o400)
    found = told()
    package = of(found, "RAPL package-0")
    assert (package.state, package.mode, found["code"]) == ("warn", "0400", 0)
    assert package.detail.endswith("mode 0400: only root may read it, other users get nothing")
    assert UDEV_RULE in package.fix
    assert "setcap cap_dac_read_search+ep" in package.fix
    assert found["uses"][0]["tier"] == "measured"  # by root


# Looks once as root, so that everything is loaded, and then as nobody.
AS_NOBODY = """
import os, sys
from joulebook.cli import main
sys.stdout = open(os.devnull, "w")
main(["doctor", "--json"])
sys.stdout = sys.__stdout__
if os.geteuid() == 0:
    os.setuid(65534)
sys.exit(main(["doctor", "--json"]))
"""


def test_a_counter_for_root_only_as_somebody_else():
    is_root = os.geteuid() == 0
    with tempfile.TemporaryDirectory() as folder:  # not tmp_path: nobody may not pass through it
        Path(folder).chmod(0o755)
        build(Path(folder), INTEL_SERVER, mode=0o400 if is_root else 0)
        home = Path(folder, "home")
        home.mkdir()
        home.chmod(0o777)
        environment = {**os.environ, "JOULEBOOK_SYSFS_ROOT": folder, "JOULEBOOK_HOME": str(home)}
        environment["JOULEBOOK_PROCFS_ROOT"] = "/proc"
        command = [sys.executable, "-c", "import os; os.umask(0)\n" + AS_NOBODY]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    found = json.loads(done.stdout)
    path = f"{folder}/class/powercap/intel-rapl:0/energy_uj"
    mode, owner, uid = ("0400", "root", 65534) if is_root else ("0000", f"uid {os.geteuid()}", os.geteuid())
    package = of(found, "RAPL package-0")
    assert (package.state, package.mode, package.source) == ("fail", mode, path)
    assert package.detail == f"{path} (mode {mode}, owner {owner}) cannot be read by uid {uid}: EACCES"
    assert UDEV_RULE in package.fix
    assert "setcap cap_dac_read_search+ep" in package.fix
    assert (done.returncode, found["ok"]) == (1, False)  # it is here and cannot be used
    assert found["says"].startswith("A run here reads no energy sensor.")


def test_a_masked_folder(told, machine):
    (machine / "sys/class/powercap").mkdir(parents=True)
    (machine / "proc/self").mkdir()
    hidden = machine / "sys/devices/virtual/powercap"
    (machine / "proc/self/mountinfo").write_text(f"712 700 0:61 / {hidden} ro,relatime - tmpfs tmpfs ro,size=0k\n")
    rapl = of(told(), "RAPL")
    assert rapl.detail.startswith(f"{machine}/sys/class/powercap is there but it is empty: a container runtime masks")
    assert "docker run -v /sys:/host/sys:ro -e JOULEBOOK_SYSFS_ROOT=/host/sys" in rapl.fix


# GPUs -------------------------------------------------------------------------------------------------------------


def test_a_gpu_with_a_counter(told, gpus):
    gpus(Gpu())
    found = told()
    gpu = of(found, f"NVIDIA H100 80GB HBM3 {uuid(0)}")
    assert (gpu.state, gpu.tier, gpu.source) == ("ok", "measured", "nvmlDeviceGetTotalEnergyConsumption")
    assert found["says"].startswith("A run here reads GPU by nvml (1 sensor, measured, ±10 %).")


def test_mig_is_attributed_by_slices_with_a_wide_range(told, gpus):
    gpus(Gpu(mig=(Mig("MIG-c6d4f1ef", 1, 0, 3, 3),)))
    found = told()
    gpu = of(found, f"NVIDIA H100 80GB HBM3 {uuid(0)}")
    assert (gpu.state, gpu.tier) == ("ok", "attributed")
    assert gpu.detail.startswith("MIG is on: the energy is the whole GPU's, and 43")  # 3 of 7 slices
    assert "yours by slices" in gpu.detail
    assert gpu.interval.startswith("wide")
    assert found["uses"][0] == {"part": "GPU", "by": "nvml", "sensors": [f"nvml:{uuid(0)}"],
                                "tier": "attributed", "interval": "wide"}  # fmt: skip


def test_a_gpu_without_a_counter_is_integrated(told, gpus):
    gpus(Gpu(), Gpu(counter=False))
    found = told()
    gpu = of(found, f"NVIDIA H100 80GB HBM3 {uuid(1)}")
    assert (gpu.state, gpu.tier) == ("ok", "integrated")
    assert gpu.detail.startswith("no energy counter: power, read ten times a second")
    assert [use["tier"] for use in found["uses"] if use["part"] == "GPU"] == ["measured", "integrated"]


def test_a_driver_that_is_not_loaded(told, gpus):
    gpus(Gpu(), init=DRIVER_NOT_LOADED)
    found = told()
    nvml = of(found, "NVML")
    assert (nvml.state, nvml.detail) == ("fail", "libnvidia-ml.so.1 is here, but the NVIDIA driver is not loaded")
    assert nvml.fix.startswith("sudo modprobe nvidia")
    assert found["code"] == 1
    assert "No GPU is seen: if there is one, its energy is missing." in found["says"]


def test_a_library_that_is_missing(told, machine):
    driver_in(machine)
    nvml = of(told(), "NVML")
    assert (nvml.state, nvml.detail) == ("fail", "the driver is loaded, but libnvidia-ml.so.1 is not found")
    assert "NVIDIA_DRIVER_CAPABILITIES=compute,utility" in nvml.fix


def test_a_selection_that_matches_nothing(told, gpus, monkeypatch):
    gpus(Gpu())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-ffffffff")
    found = told()
    selection = of(found, "GPU selection")
    assert selection.state == "warn"
    assert selection.detail == "CUDA_VISIBLE_DEVICES=GPU-ffffffff names GPU-ffffffff; 0 of 1 GPUs are counted"
    assert selection.fix == "nvidia-smi -L lists what is here"
    assert found["uses"][-1]["tier"] == "unknown"


# The environment --------------------------------------------------------------------------------------------------


def test_sensors_that_are_hidden(told, gpus, machine, monkeypatch):
    build(machine / "sys", INTEL_SERVER)
    gpus(Gpu())
    monkeypatch.setenv("JOULEBOOK_SENSORS", "none")
    found = told()
    hidden = of(found, "JOULEBOOK_SENSORS")
    assert (hidden.state, hidden.fix) == ("warn", "unset JOULEBOOK_SENSORS")
    assert hidden.detail == "set to 'none': powercap, perf, hwmon, nvml, amd, apple, memory not looked for"
    assert [check for check in found["checks"] if "RAPL" in check["what"] or "NVIDIA" in check["what"]] == []
    assert found["says"].startswith("A run here reads no energy sensor.")
    monkeypatch.setenv("JOULEBOOK_SENSORS", "powercap")
    found = told()
    assert of(found, "RAPL package-0").state == "ok"
    assert of(found, "JOULEBOOK_SENSORS").detail.startswith("set to 'powercap': perf, hwmon, nvml")
    assert found["uses"][2]["tier"] == "unknown"  # the GPU is hidden


def test_folders_that_the_environment_names(told, machine, monkeypatch):
    found = told()
    assert of(found, "JOULEBOOK_SYSFS_ROOT").detail == f"sensors are looked for in {machine}/sys, not in /sys"
    assert of(found, "JOULEBOOK_PROCFS_ROOT").detail == f"sensors are looked for in {machine}/proc, not in /proc"
    monkeypatch.setenv("JOULEBOOK_SYSFS_ROOT", "/nowhere")
    monkeypatch.delenv("JOULEBOOK_PROCFS_ROOT")
    found = told()
    wrong = of(found, "JOULEBOOK_SYSFS_ROOT")
    assert (wrong.state, wrong.detail) == ("fail", "/nowhere is no folder, so nothing is found there")
    assert (wrong.fix, found["code"]) == ("unset JOULEBOOK_SYSFS_ROOT", 1)
    assert "JOULEBOOK_PROCFS_ROOT" not in {check["what"] for check in found["checks"]}


def test_a_trace_that_is_played_instead(told, tmp_path, monkeypatch):
    path = tmp_path / "t.csv"
    path.write_text("elapsed_s,sensor,value\n0,gpu0,1\n")
    monkeypatch.setenv("JOULEBOOK_REPLAY", str(path))
    found = told()
    assert of(found, "JOULEBOOK_REPLAY").detail == f"{path}: a run plays this trace and reads no sensor"
    assert (found["uses"], found["says"]) == ([], "A run here plays a trace and reads no sensor.")
    path.write_text("")
    found = told()
    assert of(found, "JOULEBOOK_REPLAY").state == "fail"
    assert "its first line does not name" in of(found, "JOULEBOOK_REPLAY").detail


def test_what_is_reserved_for_a_job(told, machine):
    group = machine / "sys/fs/cgroup/job"
    group.mkdir(parents=True)
    (machine / "proc/self").mkdir()
    (machine / "proc/self/cgroup").write_text("0::/job\n")
    for name, text in {"cgroup.procs": "1", "cpu.max": "50000 100000", "memory.max": str(4_096_000_000)}.items():
        (group / name).write_text(f"{text}\n")
    cpus = machine / "sys/devices/system/cpu"
    cpus.mkdir(parents=True)
    (cpus / "online").write_text("0-3\n")
    reserved = of(told(), "Reserved")
    # half a CPU of four; 4.096 GB of 16.384 GB
    assert reserved.detail == f"0.5 logical CPUs, 12 % of the node's; 25 % of its memory ({group})"
    assert reserved.source == str(group)


# What goes wrong --------------------------------------------------------------------------------------------------


def test_a_sensor_that_cannot_even_be_looked_at_hides_no_other(told, gpus, monkeypatch):
    gpus(Gpu())
    monkeypatch.setattr(powercap, "diagnose", lambda where: 1 / 0)
    monkeypatch.setattr(powercap, "open_meter", lambda where: 1 / 0)
    found = told()
    broken = of(found, "powercap")
    assert (broken.state, broken.detail) == ("fail", "it cannot be looked at: ZeroDivisionError: division by zero")
    assert of(found, f"NVIDIA H100 80GB HBM3 {uuid(0)}").state == "ok"
    assert found["uses"][0]["part"] == "GPU"


def test_without_the_packages_of_the_extras_runs_are_recorded_all_the_same():
    code = """
import sys
sys.modules.update(dict.fromkeys(["duckdb", "pyarrow", "rich"]))
from joulebook.cli import main
sys.exit(main(["doctor"]))
"""
    done = python(code)
    assert "\nwarn  Ledger: runs are recorded here, to be read elsewhere: the ledger needs packages" in done.stdout
    assert "\nwarn  Extra ledger: duckdb, pyarrow, rich not installed\n" in done.stdout


# How it looks -----------------------------------------------------------------------------------------------------


def in_terminal(columns: int) -> list[str]:
    """The lines of `joulebook doctor` in a terminal of that width, without colours."""
    main_end, its_end = pty.openpty()
    fcntl.ioctl(its_end, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environment = {**os.environ, "TERM": "xterm", "NO_COLOR": "1"}
    environment.pop("COLUMNS", None)
    command = [sys.executable, "-m", "joulebook", "doctor"]
    shown = b""
    with subprocess.Popen(command, stdout=its_end, stderr=its_end, stdin=its_end, env=environment):
        os.close(its_end)
        with contextlib.suppress(OSError):  # how a terminal says that nobody writes any more
            while more := os.read(main_end, 65536):
                shown += more
    os.close(main_end)
    plain = shown.decode()
    for code in ("\x1b[1m", "\x1b[2m", "\x1b[0m", "\x1b[3m"):
        plain = plain.replace(code, "")
    return [line.rstrip() for line in plain.splitlines()]


def test_in_a_terminal_of_80_columns(machine):
    build(machine / "sys", INTEL_SERVER, mode=0o400)
    lines = in_terminal(80)
    assert UDEV_RULE in lines  # in one piece, to be copied
    assert [line for line in lines if len(line) > 80 and line != UDEV_RULE] == []
    assert lines[0].startswith("ok   Python ")
    assert len([line for line in lines if "CVE-2020-8694" in line]) == 1  # four zones, one fix
    assert any(line.startswith(("warn RAPL package-0", "fail RAPL package-0")) for line in lines)


def test_in_a_narrow_terminal_the_detail_stands_below(machine):
    build(machine / "sys", INTEL_SERVER)
    lines = in_terminal(40)
    assert [line for line in lines if len(line) > 40] == []
    at = lines.index("ok   RAPL package-0")
    assert lines[at + 1] == "     counted; its counter goes round"


def test_in_a_pipe_each_finding_is_a_line_with_its_facts_below(machine, capsys):
    build(machine / "sys", INTEL_SERVER)
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    at = lines.index("ok    RAPL package-0: counted; its counter goes round after 639 s at 410 W")
    assert lines[at + 1] == f"      measured ±5 % · {machine}/sys/class/powercap/intel-rapl:0/energy_uj · mode 0444"
    assert lines[-2] == ""
    assert lines[-1].startswith("A run here reads CPU by powercap")


def test_what_the_environment_says_does_not_reach_the_screen_as_it_is(gpus, capsys, monkeypatch):
    gpus(Gpu())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "\x1b[31mred")
    main(["doctor"])
    out = capsys.readouterr().out
    assert "\\x1b[31mred" in out
    assert "\x1b" not in out


def test_the_help_shows_an_example():
    (commands,) = [action for action in parser()._actions if action.dest == "command"]
    shown = commands.choices["doctor"].format_help()
    assert shown.endswith("Example:\n  joulebook doctor --record trace.csv --seconds 60\n")
