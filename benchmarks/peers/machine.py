"""Where the jobs of a benchmark run: on the hardware twin, each in a process of its own, without a network.

    with machine(zones, gpus) as here:                the twin: a fake powercap tree, a fake NVML
        jobs = [here.job("zeus", hold_s=20), …]       processes that load their tool and wait
        done = together(jobs)                         they start, hold and stop; what each tells of itself
        reported("zeus", job, done)                   kind of device -> (low, mid, high) joules

A job sees the tree at /sys/class/powercap by a mount of its own, and has a network namespace with nothing in it. Where
`unshare` may not do that joulebook runs all the same, by JOULEBOOK_SYSFS_ROOT, and the peers are said to be missing.
Every tool has an environment of its own in .bench-venv; joulebook is loaded there as after `pip install`, from a folder
of links, and its joules are what its commands tell (`peers/ledger.py`).
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from peers.ledger import Range, node_j  # noqa: E402
from peers.table import OURS  # noqa: E402
from twin.gpu import Gpu, Node, Process  # noqa: E402
from twin.powercap import INTEL_SERVER, Fault, Zone, feeding  # noqa: E402

PEERS = ("codecarbon", "zeus", "carbontracker")
ROOMS = ("accounting", "collectors", "data", "models", "reports")
VENVS = ROOT / ".bench-venv"
JOB = str(Path(__file__).with_name("job.py"))
MARK = "JOULEBOOK_BENCH"
ENTER = """
[ -d /sys/class/powercap ] || { mount -t tmpfs none /sys/class && mkdir /sys/class/powercap; } || exit 1
mount --bind "$0" /sys/class/powercap && exec "$@"
"""
TRACED = "trace=execve,clone,clone3,fork,vfork,connect"

Told = dict[str, Any]


def python(tool: str) -> str:
    """The interpreter that has the tool and what it needs."""
    path = VENVS / tool / "bin/python"
    return str(path) if path.exists() else sys.executable


@functools.cache
def versions() -> dict[str, str]:
    """The peers that are installed."""
    found = {peer: list(VENVS.glob(f"{peer}/lib/python*/site-packages/{peer}-*.dist-info")) for peer in PEERS}
    return {peer: folders[0].name.split("-")[1].removesuffix(".dist") for peer, folders in found.items() if folders}


@functools.cache
def can_unshare() -> bool:
    """Whether we may give a job mounts of its own and no network."""
    unshare = shutil.which("unshare")
    command = [unshare, "-m", "-n", "sh", "-c", "mount -t tmpfs none /sys/class"] if unshare else ["false"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def missing() -> dict[str, str]:
    """The peers that cannot be measured here, and why."""
    if not can_unshare():
        return dict.fromkeys(PEERS, "cannot see the twin: `unshare -m -n` and a mount on /sys/class need root")
    return {peer: "is not in .bench-venv: `make bench-energy` says why" for peer in PEERS if peer not in versions()}


def tools() -> list[str]:
    return [OURS, *(peer for peer in PEERS if peer not in missing())]


class JobEnded(Exception):
    """A tool ended its job. `reason`: the name of the error, as far as it told one."""

    def __init__(self, tool: str, step: str, told: str) -> None:
        super().__init__(f"{tool} ended its job before it was {step}:\n{told[-2000:]}")
        names = re.findall(r"^(?:\w+\.)*(\w*(?:Error|Exception|_\w+))(?::|$)", told, re.MULTILINE)
        self.reason = names[-1] if names else "no reason given"


class Job:
    """A process under a tool. It writes into `folder`, its standard error too."""

    def __init__(self, tool: str, command: Sequence[str], environment: dict[str, str], folder: Path) -> None:
        self.tool = tool
        self.folder = folder
        with (folder / f"stderr-{uuid.uuid4().hex}").open("wb") as errors:
            self.errors = Path(errors.name)
            self.process = subprocess.Popen(
                command, env=environment, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
            )

    def told(self, step: str) -> Told:
        """Waits until the job has come to a step; what it says then."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            found = json.loads(line)
            if found["step"] == step:
                return found
        raise JobEnded(self.tool, step, self.errors.read_text(errors="replace"))

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()


def together(jobs: Sequence[Job]) -> list[Told]:
    """Lets jobs begin when all are loaded; what they tell when they are done."""
    for job in jobs:
        job.told("ready")
    for job in jobs:
        job.go()
    return [job.told("done") for job in jobs]


class Machine:
    """The twin, and the jobs on it."""

    def __init__(self, folder: Path, zones: Sequence[Zone], gpus: Sequence[Gpu]) -> None:
        self.folder, self.zones, self.gpus = folder, zones, gpus
        self._mark = uuid.uuid4().hex
        self._jobs: list[Job] = []
        self._numbers = itertools.count()
        self._environment = {**os.environ, **Node(tuple(gpus)).install(folder / "nvml")}
        self._environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self._environment |= {"JOULEBOOK_SYSFS_ROOT": str(folder / "sys"), "PYTHONPATH": str(as_installed(folder))}
        self._environment["PATH"] = f"{with_nvidia_smi(folder)}:{os.environ['PATH']}"

    def job(self, tool: str, *, is_traced: bool = False, gpu: str | None = None, **given: Any) -> Job:
        """A job with what `job.py` is given, on one GPU if it is named, in a folder of its own unless one is given."""
        asked = {"folder": str(self.folder / f"{next(self._numbers)}-{tool}"), "interval_s": 1.0, "settle_s": 0.0,
                 "hold_s": 0.0, "is_busy": False, "waits": True, **given}  # fmt: skip
        folder = Path(asked["folder"])
        folder.mkdir(exist_ok=True)
        trace = ["strace", "-ff", "-s", "200", "-o", str(folder / "strace"), "-e", TRACED] if is_traced else []
        own = {"HOME": str(folder), "JOULEBOOK_HOME": str(folder), "JOULEBOOK_INTERVAL_S": str(asked["interval_s"]),
               MARK: f"{self._mark}-{tool}", **({} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu})}  # fmt: skip
        command = [*self._enter(), *trace, python(tool), JOB, tool, json.dumps(asked)]
        self._jobs.append(Job(tool, command, self._environment | own, folder))
        return self._jobs[-1]

    def keep_busy(self, jobs: Sequence[Job], percent: float) -> None:
        """These processes keep every GPU busy, each for so much of the time; for who looks at NVML from now on."""
        busy = tuple(Process(job.process.pid, percent) for job in jobs)
        Node(tuple(gpu._replace(processes=busy) for gpu in self.gpus)).install(self.folder / "nvml")

    def left_behind(self, tool: str) -> list[int]:
        """What lives on of a tool's jobs that have ended."""
        running = {job.process.pid for job in self._jobs if job.process.poll() is None}
        return [pid for pid in _marked(f"{MARK}={self._mark}-{tool}") if pid not in running]

    def clean(self) -> None:
        for job in self._jobs:
            job.process.kill()
            job.process.wait()
            for stream in (job.process.stdin, job.process.stdout):
                assert stream is not None
                with contextlib.suppress(OSError):
                    stream.close()
        for tool in {job.tool for job in self._jobs}:
            for pid in self.left_behind(tool):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _enter(self) -> list[str]:
        tree = str(self.folder / "sys/class/powercap")
        return ["unshare", "-m", "-n", "sh", "-c", ENTER, tree] if can_unshare() else []


@contextlib.contextmanager
def machine(
    zones: Sequence[Zone] = INTEL_SERVER, gpus: Sequence[Gpu] = (Gpu(),), faults: Sequence[Fault] = ()
) -> Iterator[Machine]:
    """A machine with these sensors, until the block ends."""
    with tempfile.TemporaryDirectory(prefix="joulebook-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with feeding(folder / "sys", zones, faults):
            nested(folder / "sys/class/powercap")
            here = Machine(folder, zones, gpus)
            try:
                yield here
            finally:
                here.clean()


def nested(tree: Path) -> None:
    """Shows the zones also where the kernel shows them a second time, inside their parents: peers look there."""
    zones = list(tree.glob("*:*"))
    for zone in zones:
        parent = zone.name.rpartition(":")[0]
        place = tree / parent if ":" in parent else tree / zone.name.split(":")[0]
        (place / zone.name).symlink_to(f"../{zone.name}")
        (zone / "subsystem").symlink_to("..")
    for control in {tree / zone.name.split(":")[0] for zone in zones}:
        (control / "subsystem").symlink_to("..")
        (control / "enabled").write_text("1\n")


def with_nvidia_smi(folder: Path) -> Path:
    """A folder with a program of that name, as machines with NVIDIA GPUs have one: codecarbon asks whether it runs."""
    program = folder / "bin/nvidia-smi"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return program.parent


def as_installed(folder: Path) -> Path:
    """A folder of links that shows the packages of joulebook under their installed names."""
    packages = folder / "packages"
    (packages / "joulebook").mkdir(parents=True)
    for path in (*(ROOT / "joulebook").iterdir(), *(ROOT / room for room in ROOMS)):
        (packages / "joulebook" / path.name).symlink_to(path)
    return packages


def reported(tool: str, job: Job, done: Told) -> dict[str, Range]:
    """What a job that has ended says its machine used."""
    return saved(tool, job.folder) if tool == OURS else _exactly(done["joules"])


def saved(tool: str, folder: Path) -> dict[str, Range]:
    """What the files of a tool say a machine used."""
    if tool == OURS:
        return node_j(folder)
    answer = subprocess.run([python(tool), JOB, tool, "saved", str(folder)], check=True, capture_output=True).stdout
    return _exactly(json.loads(answer)["joules"])


def _exactly(joules: dict[str, float]) -> dict[str, Range]:
    return {kind: (value, value, value) for kind, value in joules.items()}


def _marked(mark: str) -> list[int]:
    pids = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark.encode() in (path / "environ").read_bytes().split(b"\0"):
                pids.append(int(path.name))
    return pids
