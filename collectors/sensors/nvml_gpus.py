"""NVML itself: its initialisation, the GPUs that it shows, and which of them a job may use.

`asked` is how an answer that may be missing is got: whatever an old driver does not know is None, never an exception.
`Connection` keeps the handles of some GPUs. After a fork, a lost GPU or a driver reload it initialises anew, at most
once a second and, as long as that does not help, ever more rarely: each time it costs what the driver likes.

Selection follows CUDA: indices, UUIDs or unique beginnings of them, MIG devices by UUID or as MIG-GPU-…/gi/ci. An entry
that names nothing, or is of another kind than the first, ends the list; CUDA takes a list that names a device twice for
an empty one. NVML counts in the order of the PCI bus; CUDA does so only under CUDA_DEVICE_ORDER=PCI_BUS_ID, and by
default puts the fastest first: on a node of different models the same index may mean another GPU.
"""

from __future__ import annotations

import os
import re
import time
from _ctypes import dlclose, dlopen
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

LIBRARY = "libnvidia-ml.so.1"
OURS = "JOULEBOOK_GPUS"
CUDA = "CUDA_VISIBLE_DEVICES"
LONGEST_WAIT_S = 60.0
MAX_SLICES = 7  # of a GPU that does not say
WHOLE_GPU_PROFILES = (5, 4, 6, 3)  # GPU instances of 8, 7, 6 and 4 slices

SUCCESS, INVALID_ARGUMENT, NOT_SUPPORTED, NO_PERMISSION, NOT_FOUND = 0, 2, 3, 4, 6
DRIVER_NOT_LOADED, LIBRARY_NOT_FOUND, FUNCTION_NOT_FOUND, VERSION_MISMATCH = 9, 12, 13, 18
# Also: not initialised, the GPU is lost, it must be reset, it is not found.
NEEDS_INIT = (1, INVALID_ARGUMENT, DRIVER_NOT_LOADED, 15, 16, VERSION_MISMATCH, 28)


class Mig(NamedTuple):
    """A MIG device: the ids of its GPU and compute instance, and its compute slices."""

    uuid: str
    gi: int | None
    ci: int | None
    slices: int


class Gpu(NamedTuple):
    """One physical GPU. Its number is NVML's, also where another before it cannot be opened."""

    number: int
    uuid: str
    handle: Any
    name: str
    architecture: int | None
    is_ga100: bool
    is_mig: bool
    migs: tuple[Mig, ...]


class Part(NamedTuple):
    """What of a GPU is set aside, 0 to 1, and whose that is: all that see the same MIG devices have it together."""

    reserved: float
    reserved_as: str | None


class Selection(NamedTuple):
    """The GPUs to read and the part of each that is set aside; `unknown`: what ended the list in `variable`."""

    chosen: tuple[tuple[Gpu, Part], ...]
    variable: str | None = None
    unknown: str | None = None


class Connection:
    """The handles of some GPUs, and NVML initialised anew when they stop working."""

    def __init__(self, nvml: Any, handles: dict[str, Any]) -> None:
        self._nvml = nvml
        self._handles = handles
        self._uuids = tuple(handles)
        self._pid = os.getpid()
        self._is_broken = False
        self._wait_s = 1.0
        self._due_s = 0.0

    def ask(self, uuid: str, read: Callable[[Any, Any], Any]) -> tuple[Any, str]:
        """A value and "ok", or None and why not."""
        if uuid not in self._handles:
            self._is_broken = True
            return None, "GpuNotFound"
        try:
            return read(self._nvml, self._handles[uuid]), "ok"
        except self._nvml.NVMLError as error:
            self._is_broken = self._is_broken or error.value in NEEDS_INIT
            return None, status(error)

    def renew(self) -> None:
        """Initialises again if it must be and may be."""
        if self._pid != os.getpid():
            self._pid = os.getpid()  # what was inherited is not ours to shut down
            self._connect()
        elif self._is_broken and (now_s := time.monotonic()) >= self._due_s:
            self._due_s = now_s + self._wait_s
            self._wait_s = min(2 * self._wait_s, LONGEST_WAIT_S)
            self.close()
            self._connect()

    def settle(self) -> None:
        """After a round of questions: where all went well, the next failure is tried again at once."""
        if not self._is_broken:
            self._wait_s = 1.0

    def close(self) -> None:
        asked(self._nvml.nvmlShutdown)

    def _connect(self) -> None:
        self._is_broken = initialise(self._nvml) != SUCCESS
        found = {uuid: asked(self._nvml.nvmlDeviceGetHandleByUUID, uuid) for uuid in self._uuids}
        self._handles = {uuid: handle for uuid, handle in found.items() if handle is not None}


def opened() -> Any | None:
    """NVML, initialised; None where it cannot be. To load ctypes is not free: not where there is no library."""
    if not _has_library():
        return None
    nvml = package()
    return nvml if initialise(nvml) == SUCCESS else None


def _has_library() -> bool:
    try:
        dlclose(dlopen(LIBRARY, 0))
    except OSError:
        return False
    return True


def package() -> Any:
    """Our own few functions of nvidia-ml-py."""
    from joulebook.collectors.sensors import nvml_library  # with ctypes: only where there is NVML

    return nvml_library


def initialise(nvml: Any) -> int:
    """The error, 0 if there is none."""
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        return error.value
    return SUCCESS


def asked(question: Callable[..., Any], *about: Any) -> Any:
    """The answer; None if NVML gives an error."""
    try:
        return question(*about)
    except package().NVMLError:
        return None


def status(error: Any) -> str:
    """The name of an error, as short as it is: "GpuIsLost", "NotSupported"."""
    return error.name


def gpus(nvml: Any) -> list[Gpu]:
    """Every GPU that can be opened, in NVML's order."""
    count = asked(nvml.nvmlDeviceGetCount) or 0
    return [gpu for gpu in (_gpu(nvml, index) for index in range(count)) if gpu is not None]


def _gpu(nvml: Any, index: int) -> Gpu | None:
    handle = asked(nvml.nvmlDeviceGetHandleByIndex, index)
    uuid = None if handle is None else asked(nvml.nvmlDeviceGetUUID, handle)
    if uuid is None:
        return None
    name = asked(nvml.nvmlDeviceGetName, handle) or "NVIDIA GPU"
    architecture = asked(nvml.nvmlDeviceGetArchitecture, handle)
    is_ga100 = asked(nvml.nvmlDeviceGetCudaComputeCapability, handle) == (8, 0)
    is_mig = (asked(nvml.nvmlDeviceGetMigMode, handle) or [0])[0] == 1
    migs = tuple(_migs(nvml, handle)) if is_mig else ()
    return Gpu(index, uuid, handle, name, architecture, is_ga100, is_mig, migs)


def _migs(nvml: Any, parent: Any) -> Iterator[Mig]:
    for index in range(asked(nvml.nvmlDeviceGetMaxMigDeviceCount, parent) or 0):
        handle = asked(nvml.nvmlDeviceGetMigDeviceHandleByIndex, parent, index)
        uuid = None if handle is None else asked(nvml.nvmlDeviceGetUUID, handle)
        if uuid is not None:
            gi, ci = asked(nvml.nvmlDeviceGetGpuInstanceId, handle), asked(nvml.nvmlDeviceGetComputeInstanceId, handle)
            yield Mig(uuid, gi, ci, _slices(asked(nvml.nvmlDeviceGetAttributes, handle)))


def _slices(attributes: Any) -> int:
    """Compute slices: GPU slices would count twice what two compute instances share."""
    if attributes is None:
        return 1
    return attributes.computeInstanceSliceCount or attributes.gpuInstanceSliceCount or 1


def selected(nvml: Any, found: Sequence[Gpu]) -> Selection:
    """Of the GPUs that were found, those that the environment asks for, each once."""
    variable = next((name for name in (OURS, CUDA) if name in os.environ), None)
    if variable is None:
        return Selection(tuple((gpu, _part(nvml, gpu, set())) for gpu in found))
    picks, unknown = _picks(os.environ[variable], found)
    if variable == CUDA and len(set(picks)) < len(picks):
        picks, unknown = [], "a device twice"
    wanted: dict[str, set[str]] = {}
    for uuid, mig in picks:
        wanted.setdefault(uuid, set()).add(mig)
    gpu_of = {gpu.uuid: gpu for gpu in found}
    chosen = tuple((gpu_of[uuid], _part(nvml, gpu_of[uuid], migs - {""})) for uuid, migs in wanted.items())
    return Selection(chosen, variable, unknown)


def is_by_index(text: str) -> bool:
    """Whether a list of devices goes by their indices."""
    return _kind(text.strip()) == "index"


def _picks(text: str, found: Sequence[Gpu]) -> tuple[list[tuple[str, str]], str | None]:
    """The UUIDs of the GPU and of the MIG device or "" of each entry, and the entry that ended the list if one did."""
    entries = [entry.strip() for entry in text.split(",")]
    picks = []
    for entry in entries:
        pick = _named(entry, found) if _kind(entry) == _kind(entries[0]) else None
        if pick is None:
            return picks, entry if entry not in ("", "-1") else None  # how CUDA is told: no more
        picks.append(pick)
    return picks, None


def _kind(entry: str) -> str:
    return next((kind for kind in ("MIG-", "GPU-") if entry.startswith(kind)), "index")


def _named(entry: str, found: Sequence[Gpu]) -> tuple[str, str] | None:
    """What an entry names: one device, or none."""
    kind, digits = _kind(entry), re.match(r"[+-]?\d+", entry)  # CUDA reads as far as the number goes
    if kind == "MIG-":
        picks = [(gpu.uuid, mig.uuid) for gpu in found for mig in gpu.migs if _is(entry, gpu, mig)]
    elif kind == "GPU-":
        picks = [(gpu.uuid, "") for gpu in found if gpu.uuid.startswith(entry)]
    else:
        picks = [(gpu.uuid, "") for gpu in found if digits and gpu.number == int(digits[0])]
    return picks[0] if len(picks) == 1 else None


def _is(entry: str, gpu: Gpu, mig: Mig) -> bool:
    return entry == f"MIG-{gpu.uuid}/{mig.gi}/{mig.ci}" or mig.uuid.startswith(entry)


def _part(nvml: Any, gpu: Gpu, migs: set[str]) -> Part:
    """The part that is set aside: of a GPU in MIG mode, the slices of the devices named, or of all that we see."""
    ours = [mig for mig in gpu.migs if not migs or mig.uuid in migs]
    slices = sum(mig.slices for mig in ours)
    if not slices:
        return Part(1.0, None)
    return Part(min(1.0, slices / _max_slices(nvml, gpu)), " ".join(sorted(mig.uuid for mig in ours)))


def _max_slices(nvml: Any, gpu: Gpu) -> int:
    profiles = (asked(nvml.nvmlDeviceGetGpuInstanceProfileInfo, gpu.handle, number) for number in WHOLE_GPU_PROFILES)
    return max((profile.sliceCount for profile in profiles if profile is not None), default=MAX_SLICES)
