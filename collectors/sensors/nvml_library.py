"""NVML as the driver's library has it: the few functions that we ask, by ctypes, under the names of nvidia-ml-py.

To load all of nvidia-ml-py would cost a job 3.6 MB and 20 ms in which its own threads wait, for 2,000 names of which
these 20 are used. The tests hold each of them against nvidia-ml-py: the same answer, the same error, the same layout.
Two differ on purpose: an error's name is text, and `nvmlDeviceGetProcessUtilization` asks once and gives an empty list
where nobody was busy.
"""
# ruff: noqa: N802 - the names are NVIDIA's

from __future__ import annotations

from collections.abc import Sequence
from ctypes import (
    CDLL,
    Structure,
    Union,
    byref,
    c_char,
    c_char_p,
    c_double,
    c_int,
    c_int64,
    c_longlong,
    c_uint,
    c_uint32,
    c_ulong,
    c_ulonglong,
    c_ushort,
    c_void_p,
    create_string_buffer,
)
from typing import Any

LIBRARY = "libnvidia-ml.so.1"
TEXT_BYTES = 96
PROFILE_VERSION = 0x02000098
MOST_ENTRIES = 32  # of processes that were busy; the driver says so if there are more
UNINITIALIZED, NOT_FOUND, INSUFFICIENT_SIZE, LIBRARY_NOT_FOUND, FUNCTION_NOT_FOUND = 1, 6, 7, 12, 13
NAMES = {
    1: "Uninitialized", 2: "InvalidArgument", 3: "NotSupported", 4: "NoPermission", 5: "AlreadyInitialized",
    6: "NotFound", 7: "InsufficientSize", 8: "InsufficientPower", 9: "DriverNotLoaded", 10: "Timeout", 11: "IrqIssue",
    12: "LibraryNotFound", 13: "FunctionNotFound", 14: "CorruptedInforom", 15: "GpuIsLost", 16: "ResetRequired",
    17: "OperatingSystem", 18: "LibRmVersionMismatch", 19: "InUse", 20: "Memory", 21: "NoData",
    22: "VgpuEccNotSupported", 23: "InsufficientResources", 24: "FreqNotSupported", 25: "ArgumentVersionMismatch",
    26: "Deprecated", 27: "NotReady", 28: "GpuNotFound", 29: "InvalidState", 30: "ResetTypeNotSupported",
    999: "Unknown",
}  # fmt: skip

_library: CDLL | None = None


class NVMLError(Exception):
    """NVML gave an error: `value`, and `name` as nvidia-ml-py has it, e.g. "GpuIsLost"."""

    def __init__(self, value: int) -> None:
        super().__init__(value)
        self.value = value

    @property
    def name(self) -> str:
        return NAMES.get(self.value, f"error {self.value}")


class Value(Union):
    """What a field holds; its type says which of these."""

    _fields_ = (
        ("dVal", c_double), ("uiVal", c_uint), ("ulVal", c_ulong), ("ullVal", c_ulonglong), ("sllVal", c_longlong),
        ("siVal", c_int), ("usVal", c_ushort),
    )  # fmt: skip


class FieldValue(Structure):
    """One answer of nvmlDeviceGetFieldValues."""

    _fields_ = (
        ("fieldId", c_uint32), ("scopeId", c_uint32), ("timestamp", c_int64), ("latencyUsec", c_int64),
        ("valueType", c_uint), ("nvmlReturn", c_uint), ("value", Value),
    )  # fmt: skip


class ProcessUtilization(Structure):
    """How busy one process kept a GPU, in percent."""

    _fields_ = (
        ("pid", c_uint), ("timeStamp", c_ulonglong), ("smUtil", c_uint), ("memUtil", c_uint), ("encUtil", c_uint),
        ("decUtil", c_uint),
    )  # fmt: skip


class Attributes(Structure):
    """Of a MIG device."""

    _fields_ = (
        ("multiprocessorCount", c_uint), ("sharedCopyEngineCount", c_uint), ("sharedDecoderCount", c_uint),
        ("sharedEncoderCount", c_uint), ("sharedJpegCount", c_uint), ("sharedOfaCount", c_uint),
        ("gpuInstanceSliceCount", c_uint), ("computeInstanceSliceCount", c_uint), ("memorySizeMB", c_ulonglong),
    )  # fmt: skip


class ProfileInfo(Structure):
    """Of a way to cut a GPU into instances."""

    _fields_ = (
        ("version", c_uint), ("id", c_uint), ("isP2pSupported", c_uint), ("sliceCount", c_uint),
        ("instanceCount", c_uint), ("multiprocessorCount", c_uint), ("copyEngineCount", c_uint),
        ("decoderCount", c_uint), ("encoderCount", c_uint), ("jpegCount", c_uint), ("ofaCount", c_uint),
        ("memorySizeMB", c_ulonglong), ("name", c_char * TEXT_BYTES),
    )  # fmt: skip


def nvmlInit() -> None:
    global _library  # noqa: PLW0603
    if _library is None:
        try:
            _library = CDLL(LIBRARY)
        except OSError:
            raise NVMLError(LIBRARY_NOT_FOUND) from None
    _call("nvmlInitWithFlags", 0)


def nvmlShutdown() -> None:
    _call("nvmlShutdown")


def nvmlDeviceGetCount() -> int:
    return _number(c_uint, "nvmlDeviceGetCount_v2")


def nvmlDeviceGetHandleByIndex(index: int) -> c_void_p:
    return _handle("nvmlDeviceGetHandleByIndex_v2", c_uint(index))


def nvmlDeviceGetHandleByUUID(uuid: str) -> c_void_p:
    return _handle("nvmlDeviceGetHandleByUUID", c_char_p(uuid.encode()))


def nvmlDeviceGetUUID(handle: c_void_p) -> str:
    return _text("nvmlDeviceGetUUID", handle)


def nvmlDeviceGetName(handle: c_void_p) -> str:
    return _text("nvmlDeviceGetName", handle)


def nvmlDeviceGetArchitecture(handle: c_void_p) -> int:
    return _number(c_uint, "nvmlDeviceGetArchitecture", handle)


def nvmlDeviceGetCudaComputeCapability(handle: c_void_p) -> tuple[int, int]:
    return _two(c_int, "nvmlDeviceGetCudaComputeCapability", handle)


def nvmlDeviceGetTotalEnergyConsumption(handle: c_void_p) -> int:
    return _number(c_ulonglong, "nvmlDeviceGetTotalEnergyConsumption", handle)


def nvmlDeviceGetPowerUsage(handle: c_void_p) -> int:
    return _number(c_uint, "nvmlDeviceGetPowerUsage", handle)


def nvmlDeviceGetEnforcedPowerLimit(handle: c_void_p) -> int:
    return _number(c_uint, "nvmlDeviceGetEnforcedPowerLimit", handle)


def nvmlDeviceGetFieldValues(handle: c_void_p, fields: Sequence[tuple[int, int]]) -> Any:
    """`fields`: pairs of a field and its scope."""
    values = (FieldValue * len(fields))(*fields)
    _call("nvmlDeviceGetFieldValues", handle, c_int(len(fields)), values)
    return values


def nvmlDeviceGetProcessUtilization(handle: c_void_p, since_us: int) -> list[ProcessUtilization]:
    count = c_uint(MOST_ENTRIES)
    while True:
        entries = (ProcessUtilization * count.value)()
        result = _result("nvmlDeviceGetProcessUtilization", handle, entries, byref(count), c_ulonglong(since_us))
        if result == NOT_FOUND:
            return []
        if result != INSUFFICIENT_SIZE or count.value <= len(entries):
            break
    if result:
        raise NVMLError(result)
    return entries[: count.value]


def nvmlDeviceGetMigMode(handle: c_void_p) -> tuple[int, int]:
    return _two(c_uint, "nvmlDeviceGetMigMode", handle)


def nvmlDeviceGetMaxMigDeviceCount(handle: c_void_p) -> int:
    return _number(c_uint, "nvmlDeviceGetMaxMigDeviceCount", handle)


def nvmlDeviceGetMigDeviceHandleByIndex(handle: c_void_p, index: int) -> c_void_p:
    return _handle("nvmlDeviceGetMigDeviceHandleByIndex", handle, c_uint(index))


def nvmlDeviceGetGpuInstanceId(handle: c_void_p) -> int:
    return _number(c_uint, "nvmlDeviceGetGpuInstanceId", handle)


def nvmlDeviceGetComputeInstanceId(handle: c_void_p) -> int:
    return _number(c_uint, "nvmlDeviceGetComputeInstanceId", handle)


def nvmlDeviceGetAttributes(handle: c_void_p) -> Attributes:
    attributes = Attributes()
    _call("nvmlDeviceGetAttributes_v2", handle, byref(attributes))
    return attributes


def nvmlDeviceGetGpuInstanceProfileInfo(handle: c_void_p, profile: int) -> ProfileInfo:
    info = ProfileInfo(version=PROFILE_VERSION)
    _call("nvmlDeviceGetGpuInstanceProfileInfoV", handle, c_uint(profile), byref(info))
    return info


def _result(name: str, *about: Any) -> int:
    try:
        function = getattr(_library, name)
    except AttributeError:  # the driver is older than it
        raise NVMLError(UNINITIALIZED if _library is None else FUNCTION_NOT_FOUND) from None
    return function(*about)


def _call(name: str, *about: Any) -> None:
    result = _result(name, *about)
    if result:
        raise NVMLError(result)


def _number(kind: Any, name: str, *about: Any) -> int:
    number = kind()
    result = _result(name, *about, byref(number))
    if result:
        raise NVMLError(result)
    return number.value


def _two(kind: Any, name: str, handle: c_void_p) -> tuple[int, int]:
    first, second = kind(), kind()
    _call(name, handle, byref(first), byref(second))
    return first.value, second.value


def _handle(name: str, *about: Any) -> c_void_p:
    handle = c_void_p()
    _call(name, *about, byref(handle))
    return handle


def _text(name: str, handle: c_void_p) -> str:
    text = create_string_buffer(TEXT_BYTES)
    _call(name, handle, text, c_uint(TEXT_BYTES))
    return text.value.decode("utf-8", "replace")
