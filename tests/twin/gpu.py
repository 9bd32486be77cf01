"""The GPU half of the twin: a fake `libnvidia-ml.so.1`, found by ours and by the real nvidia-ml-py; its truth is known.

    node = Node((Gpu(), Gpu(Wave(30, 300))))
    environment = node.install(folder)                    compiles `nvml.c` once, writes the configuration
    subprocess.run(…, env=os.environ | environment)       a job that sees these GPUs
    node.gpus[0].energy_j(from_s, to_s)                   the truth, between two instants of CLOCK_MONOTONIC
    node.gpus[0].counter_mj(at_s)                         what its counter shows at an instant

The loader reads LD_LIBRARY_PATH when a process starts, so a running one cannot be given GPUs by its environment:
`with loaded(node, folder):` loads the library by its path; its name then leads pynvml and our `nvml_library` to
the same one. Afterwards both are as if they had never looked.
"""

from __future__ import annotations

import _ctypes
import contextlib
import ctypes
import functools
import math
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from joulebook.collectors.sensors import nvml_library
from twin.wave import Wave

SOURCE = Path(__file__).with_name("nvml.c")
SONAME = "libnvidia-ml.so.1"
NEVER_S = 1e18
# NVML's numbers of architectures.
PASCAL, VOLTA, AMPERE, HOPPER, UNKNOWN = 4, 5, 7, 9, 0xFFFFFFFF
# NVML's errors.
NO_PERMISSION, DRIVER_NOT_LOADED, FUNCTION_NOT_FOUND, GPU_IS_LOST, MISMATCH, UNKNOWN_ERROR = 4, 9, 13, 15, 18, 999
ALL_SECONDS = 1e9


class Mig(NamedTuple):
    """A MIG device: its GPU instance and compute instance, and how many slices each has."""

    uuid: str
    gi: int
    ci: int = 0
    gi_slices: int = 1
    ci_slices: int = 1


class Process(NamedTuple):
    """A process that keeps a GPU busy for `percent` of the time; `pid` 0 is the process that asks."""

    pid: int
    percent: float
    from_s: float = 0.0
    to_s: float = ALL_SECONDS


class Gpu(NamedTuple):
    """One GPU. Times are instants of CLOCK_MONOTONIC; what is 0 or None there is not, NVML says NotSupported."""

    wave: Wave = Wave(100.0, 500.0)
    name: str = "NVIDIA H100 80GB HBM3"
    uuid: str = ""  # Node gives each GPU without one its own
    architecture: int = HOPPER
    capability: tuple[int, int] = (9, 0)
    counter: bool = True
    begin_mj: float = 1e9  # on the counter when the clock was 0
    update_s: float = 0.1  # the counter and the gauges are renewed at multiples of it
    reset_s: float = NEVER_S  # the counter begins again at 0
    frozen_s: float = NEVER_S  # the counter stands still from here on
    window_s: float = 0.025  # of the instant gauge
    average_s: float = 1.0  # of the average gauge
    usage_s: float = 1.0  # of nvmlDeviceGetPowerUsage
    gpu_scope: bool = True  # the gauges know the GPU alone
    module_w: float = 0.0  # what the module draws beside the GPU, if it has a gauge
    limit_w: float = 700.0
    error: int = 0  # every question answers with this error, from ... to
    error_from_s: float = 0.0
    error_to_s: float = NEVER_S
    lost: bool = False  # handles from before the error ended go on failing
    mig: tuple[Mig, ...] | None = None  # None: the mode is off
    max_slices: int = 7  # 0: this GPU has no MIG
    utilisation: bool = True
    sample_s: float = 0.2  # how often the driver samples the processes
    processes: tuple[Process, ...] = ()
    garbage: bool = False  # with the processes comes an entry of nonsense, as some drivers give

    def energy_j(self, from_s: float, to_s: float) -> float:
        """What it really used."""
        return self.wave.energy_j(from_s, to_s)

    def counter_mj(self, at_s: float) -> int:
        """What `nvmlDeviceGetTotalEnergyConsumption` says at an instant."""
        to_s = self._renewed_s(min(at_s, self.frozen_s))
        if at_s >= self.reset_s:
            return round(1e3 * self.energy_j(self.reset_s, max(to_s, self.reset_s)))
        return round(self.begin_mj + 1e3 * self.energy_j(0.0, to_s))

    def gauge_mw(self, at_s: float, window_s: float) -> int:
        """What a gauge with this window says at an instant."""
        to_s = self._renewed_s(at_s)
        return round(1e3 * self.energy_j(to_s - window_s, to_s) / window_s)

    def _renewed_s(self, at_s: float) -> float:
        return math.floor(at_s / self.update_s) * self.update_s

    def lines(self) -> list[str]:
        """Itself in the form that `nvml.c` reads."""
        knobs = {**self.wave._asdict(), **self._asdict(), "major": self.capability[0], "minor": self.capability[1]}
        knobs["mig"] = self.mig is not None
        for other in ("wave", "capability", "processes"):
            del knobs[other]
        told = [f"{key} {value if isinstance(value, str) else repr(float(value))}" for key, value in knobs.items()]
        told += [f"process {' '.join(map(str, process))}" for process in self.processes]
        return ["gpu", *told, *(f"mig_device {' '.join(map(str, mig))}" for mig in self.mig or ())]


class Node(NamedTuple):
    """A machine with GPUs. `init` is the error of nvmlInit, `missing` names functions that its driver has not."""

    gpus: tuple[Gpu, ...] = (Gpu(),)
    init: int = 0
    latency_s: float = 0.0  # of each question to a GPU
    missing: tuple[str, ...] = ()
    driver: str = "570.86.15"

    def install(self, folder: Path) -> dict[str, str]:
        """Writes library and configuration into a folder; the environment of a job that shall see these GPUs."""
        library(folder)
        path = folder / "nvml.conf"
        gpus = [gpu if gpu.uuid else gpu._replace(uuid=uuid(index)) for index, gpu in enumerate(self.gpus)]
        lines = [f"init {self.init}", f"latency_s {self.latency_s}", f"driver {self.driver}"]
        lines += [f"missing {name}" for name in self.missing]
        lines += [line for gpu in gpus for line in gpu.lines()]
        path.write_text("\n".join(lines) + "\n")
        return {"LD_LIBRARY_PATH": str(folder), "JOULEBOOK_TWIN_NVML": str(path)}


def uuid(index: int) -> str:
    """The UUID of a GPU that was given none. The first eight digits tell the GPUs of a node apart."""
    return f"GPU-{0x5D5BA0D6 + index:08x}-d33d-2b2c-524d-9e3d8d2b8a77"


def library(folder: Path) -> Path:
    """Puts the library into a folder. Skips the test where there is no compiler."""
    path = folder / SONAME
    folder.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        shutil.copyfile(Path(_compiled().name) / SONAME, path)
    return path


@functools.cache
def _compiled() -> tempfile.TemporaryDirectory[str]:
    """Where this process has compiled it; it goes when the process ends."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler: the fake NVML cannot be built (install gcc or clang)")
    folder = tempfile.TemporaryDirectory(prefix="joulebook-twin-")
    flags = ["-std=gnu11", "-O1", "-ffp-contract=off", "-shared", "-fPIC", f"-Wl,-soname,{SONAME}"]
    subprocess.run([compiler, *flags, "-o", f"{folder.name}/{SONAME}", SOURCE, "-lm"], check=True, capture_output=True)
    return folder


@contextlib.contextmanager
def loaded(node: Node, folder: Path) -> Iterator[ctypes.CDLL]:
    """These GPUs, in this process, while the block runs."""
    import pynvml

    before = os.environ.get("JOULEBOOK_TWIN_NVML")
    os.environ.update({"JOULEBOOK_TWIN_NVML": node.install(folder)["JOULEBOOK_TWIN_NVML"]})
    twin = ctypes.CDLL(str(library(folder)), ctypes.RTLD_GLOBAL)
    _forget(pynvml)
    _forget_ours()
    try:
        yield twin
    finally:
        _forget(pynvml)
        _forget_ours()
        _ctypes.dlclose(twin._handle)
        os.environ.pop("JOULEBOOK_TWIN_NVML")
        if before is not None:
            os.environ["JOULEBOOK_TWIN_NVML"] = before


def _forget_ours() -> None:
    if nvml_library._library is not None:
        _ctypes.dlclose(nvml_library._library._handle)
    nvml_library._library = None


def _forget(pynvml) -> None:
    if pynvml.nvmlLib is not None:
        _ctypes.dlclose(pynvml.nvmlLib._handle)
    pynvml.nvmlLib = None
    pynvml._nvmlLib_refcount = 0
    pynvml._nvmlGetFunctionPointer_cache.clear()
