"""NVIDIA GPUs, through NVML: the energy counter of each GPU that the job may use, each physical GPU once.

    which GPUs      JOULEBOOK_GPUS, else CUDA_VISIBLE_DEVICES, else all; read as CUDA reads them (`nvml_gpus`)
    which sensor    the counter (mJ since the driver was loaded; Volta and newer, not on many virtual GPUs),
                    else a gauge, read ten times a second; of Grace Hopper the GPU alone, the module only if it must be
    whose energy    busy time by process where NVML tells it, else by reservation: all of it, or a MIG device's slices

**How far off.** NVIDIA states ±5 % of the reading for Fermi and Kepler and nothing for what came later: ±5 % is taken
for all. On A100 (GA100) and H100 the instant gauge is the mean of 25 ms in every 100 ms (Yang et al., SC'24), and it is
not known whether the counter integrates more than that: there, and on what we do not know, ±10 %. Counters move in
steps of about 100 ms. A gauge that is not known to be better is taken for 25 ms in every 100 ms. What the counter of a
Grace Hopper covers is not documented; its gauge of scope GPU is the GPU with its memory.

**No counter.** One that shows 0 while power is drawn is passed over: some virtual GPUs have such. One that stands still
for three seconds while power is drawn gives no value and the status "stuck".

**MIG.** Energy is the whole GPU's: there is no counter of a slice. `reserved` is the compute slices of the job's
devices in those of the GPU; NVML knows no processes there.

NVML is asked through `nvml_library`, our own few functions of nvidia-ml-py.

JOULEBOOK_NVML_FIELDS=all writes every gauge beside the counter, to compare. None of them is counted.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from joulebook.accounting.records import Reading
from joulebook.collectors import cpu_time
from joulebook.collectors.sensors import Finding, Sample, Sensor, Where
from joulebook.collectors.sensors import nvml_gpus as gpus_of
from joulebook.collectors.sensors.nvml_gpus import Connection, Gpu, Part, Selection, asked
from joulebook.collectors.sensors.still import STUCK, Still

UPDATE_S = 0.1
MARGIN = 1.2  # what a GPU may draw above its limit, as a mean over 100 ms
LATE_US = 200_000  # a sample of use may come so late: the driver's shortest period is a sixth of a second
HOST_PIDS = "pid:[4026531836]"  # the kernel's number for the first process namespace: NVML counts in that one
AMPERE, HOPPER, NEWEST = 7, 9, 13  # architectures; the last is Rubin, and we know of none beyond

Read = Callable[[Any, Any], int]  # (nvml_library, handle) -> the raw value


class Gauge(NamedTuple):
    """A reading of power; `window_s` is what one value is the mean of."""

    what: str
    source: str
    read: Read
    window_s: float
    device: str = "gpu"


class Outlet(NamedTuple):
    """A sensor and how it is read."""

    sensor: Sensor
    uuid: str
    read: Read


class Use(NamedTuple):
    """Busy seconds of one GPU, and how far they go: in NVML's time, and when it was asked."""

    seen_us: int
    asked_s: float
    ours_s: float = 0.0
    all_s: float = 0.0


def _counter_mj(nvml: Any, handle: Any) -> int:
    return nvml.nvmlDeviceGetTotalEnergyConsumption(handle)


def _usage_mw(nvml: Any, handle: Any) -> int:
    return nvml.nvmlDeviceGetPowerUsage(handle)


def _field_mw(field: int, scope: int) -> Read:
    def read(nvml: Any, handle: Any) -> int:
        value = nvml.nvmlDeviceGetFieldValues(handle, [(field, scope)])[0]
        if value.nvmlReturn != gpus_of.SUCCESS:
            raise nvml.NVMLError(value.nvmlReturn)
        member = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")[value.valueType]
        return getattr(value.value, member)

    return read


AVERAGE = Gauge("average", "nvmlDeviceGetFieldValues(POWER_AVERAGE, GPU)", _field_mw(185, 0), 1.0)
INSTANT = Gauge("instant", "nvmlDeviceGetFieldValues(POWER_INSTANT, GPU)", _field_mw(186, 0), 0.025)
USAGE = Gauge("usage", "nvmlDeviceGetPowerUsage", _usage_mw, 0.025)
MODULE = Gauge("module", "nvmlDeviceGetFieldValues(POWER_AVERAGE, MODULE)", _field_mw(185, 1), 1.0, "module")


def open_meter(where: Where) -> NvmlMeter | None:
    """The GPUs that this job may use; None where there are none, or no NVML."""
    nvml = gpus_of.opened()
    if nvml is None:
        return None
    chosen = gpus_of.selected(nvml, gpus_of.gpus(nvml)).chosen
    connection = Connection(nvml, {gpu.uuid: gpu.handle for gpu, _ in chosen})
    outlets = [outlet for gpu, part in chosen for outlet in _outlets(nvml, where, gpu, part)]
    if not outlets:
        connection.close()
        return None
    return NvmlMeter(connection, outlets)


def open_use(where: Where) -> NvmlUse | None:
    """Busy seconds of the job's GPUs, ours and everybody's; None where NVML cannot tell them."""
    nvml = gpus_of.opened()
    if nvml is None:
        return None
    chosen = [gpu for gpu, _ in gpus_of.selected(nvml, gpus_of.gpus(nvml)).chosen if _tells_use(nvml, where, gpu)]
    connection = Connection(nvml, {gpu.uuid: gpu.handle for gpu in chosen})
    if not chosen:
        connection.close()
        return None
    return NvmlUse(connection, [gpu.uuid for gpu in chosen])


class NvmlMeter:
    """The meter `nvml`."""

    name = "nvml"
    rest_s = UPDATE_S

    def __init__(self, connection: Connection, outlets: Sequence[Outlet]) -> None:
        self._connection = connection
        self._outlets = outlets
        self._still = Still()
        has_gauge = any(outlet.sensor.window_s is not None for outlet in outlets)
        self.interval_s = UPDATE_S if has_gauge else None

    def sensors(self) -> Sequence[Sensor]:
        return [outlet.sensor for outlet in self._outlets]

    def read(self, names: Collection[str]) -> Sequence[Sample]:
        self._connection.renew()
        samples = [self._sample(outlet) for outlet in self._outlets if outlet.sensor.sensor in names]
        self._connection.settle()
        return samples

    def close(self) -> None:
        self._connection.close()

    def _sample(self, outlet: Outlet) -> Sample:
        name = outlet.sensor.sensor
        value, status = self._connection.ask(outlet.uuid, outlet.read)
        is_still = outlet.sensor.unit == "mJ" and value is not None and self._still.is_still(name, value)
        if is_still and self._connection.ask(outlet.uuid, _usage_mw)[0]:
            return Sample(name, None, STUCK)
        return Sample(name, value, status)


class NvmlUse:
    """The meter `nvml-use`: `busy:gpu:<UUID>` is our processes' time, `busy-all:gpu:<UUID>` everybody's.

    NVML gives one entry for each process that was busy since a timestamp: its mean use since then. Mean × time since
    then is added up, in NVML's own time, and never more than has passed. What it tells is up to a second old, and where
    the GPU was idle for a part of the time it may be too much: the quotient of the two is what counts. A process that
    ended since the last reading still counts as ours.
    """

    name = "nvml-use"

    def __init__(self, connection: Connection, uuids: Sequence[str]) -> None:
        self._connection = connection
        self._pids: frozenset[int] = frozenset()
        self._read_s = time.monotonic()
        self._uses = dict.fromkeys(uuids, Use(_wall_us(), self._read_s))

    def read(self) -> Sequence[Reading]:
        now_s = time.monotonic()
        if now_s - self._read_s >= UPDATE_S:
            self._read_s = now_s
            self._connection.renew()
            pids = frozenset(cpu_time.tree_pids())
            self._uses = {uuid: self._used(uuid, use, pids | self._pids) for uuid, use in self._uses.items()}
            self._pids = pids
            self._connection.settle()
        return [reading for uuid, use in self._uses.items() for reading in _readings(uuid, use)]

    def _used(self, uuid: str, use: Use, pids: frozenset[int]) -> Use:
        entries, _ = self._connection.ask(uuid, _entries(use.seen_us))
        if entries is None:
            return use  # an error: asked again from there
        entries = [entry for entry in entries if entry.timeStamp > use.seen_us and entry.smUtil <= 100]
        if not entries:
            return Use(_idle_until_us(use.seen_us), self._read_s, use.ours_s, use.all_s)
        seen_us = max(entry.timeStamp for entry in entries)
        span_s = min((seen_us - use.seen_us) / 1e6, self._read_s - use.asked_s + 1.0)
        ours_s = use.ours_s + span_s * sum(entry.smUtil for entry in entries if entry.pid in pids) / 100
        all_s = use.all_s + span_s * sum(entry.smUtil for entry in entries) / 100
        return Use(seen_us, self._read_s, ours_s, all_s)


def _idle_until_us(seen_us: int) -> int:
    """Nobody was busy until just now. If the clock was set back, begin again from there."""
    now_us = _wall_us()
    return now_us - LATE_US if now_us < seen_us else max(seen_us, now_us - LATE_US)


def _readings(uuid: str, use: Use) -> Iterator[Reading]:
    device = f"gpu:{uuid}"
    yield Reading(f"busy:{device}", use.ours_s, "s", "attributed", device)
    yield Reading(f"busy-all:{device}", use.all_s, "s", "attributed", device)


def _wall_us() -> int:
    return time.time_ns() // 1000


def _entries(since_us: int) -> Callable[[Any, Any], list[Any]]:
    return lambda nvml, handle: nvml.nvmlDeviceGetProcessUtilization(handle, since_us)


def _tells_use(nvml: Any, where: Where, gpu: Gpu) -> bool:
    """Whether busy time by process is to be had: not on MIG, and not where process ids are others than NVML's."""
    if gpu.is_mig or not _sees_host_pids(where):
        return False
    return asked(_entries(_wall_us()), nvml, gpu.handle) is not None


def _sees_host_pids(where: Where) -> bool:
    try:
        return str((where.proc / "self/ns/pid").readlink()) == HOST_PIDS
    except OSError:
        return False


def _outlets(nvml: Any, where: Where, gpu: Gpu, part: Part) -> list[Outlet]:
    """The sensor that counts, and beside it those that were asked for to compare; none if the GPU tells nothing."""
    share_by = "busy" if _tells_use(nvml, where, gpu) else "reservation"
    base = Sensor("", f"gpu:{gpu.uuid}", "mW", "integrated", "", gpu.name, update_s=UPDATE_S, accuracy=_accuracy(gpu),
                  max_w=_max_w(nvml, gpu), share_by=share_by, reserved=part.reserved,
                  reserved_as=part.reserved_as)  # fmt: skip
    gauges = [gauge for gauge in _gauges(gpu) if asked(gauge.read, nvml, gpu.handle) is not None]
    if _has_counter(nvml, gpu):
        counter = base._replace(sensor=f"nvml:{gpu.uuid}", unit="mJ", method="measured",
                                source="nvmlDeviceGetTotalEnergyConsumption")  # fmt: skip
        outlets = [Outlet(counter, gpu.uuid, _counter_mj)]
    else:
        outlets = [_gauged(base, gpu, gauge) for gauge in gauges[:1]]
        gauges = gauges[1:]
    if os.environ.get("JOULEBOOK_NVML_FIELDS") == "all":
        outlets += [_gauged(base._replace(counted=False), gpu, gauge) for gauge in gauges if gauge is not USAGE]
    return outlets


def _gauged(base: Sensor, gpu: Gpu, gauge: Gauge) -> Outlet:
    sensor = base._replace(sensor=f"nvml:{gpu.uuid}:{gauge.what}", device=f"{gauge.device}:{gpu.uuid}",
                           source=gauge.source, window_s=gauge.window_s)  # fmt: skip
    if gauge.device == "module":
        sensor = sensor._replace(max_w=None)  # the limit is the GPU's
    return Outlet(sensor, gpu.uuid, gauge.read)


def _gauges(gpu: Gpu) -> tuple[Gauge, ...]:
    """From the best to the worst. Ampere, except GA100, and newer know a mean over a second."""
    averages = _is_known(gpu) and (gpu.architecture or 0) >= AMPERE and not gpu.is_ga100
    return (AVERAGE, INSTANT, USAGE, MODULE) if averages else (INSTANT, USAGE, AVERAGE, MODULE)


def _is_known(gpu: Gpu) -> bool:
    return gpu.architecture is not None and gpu.architecture <= NEWEST


def _accuracy(gpu: Gpu) -> float:
    return 0.05 if _is_known(gpu) and not gpu.is_ga100 and gpu.architecture != HOPPER else 0.10


def _has_counter(nvml: Any, gpu: Gpu) -> bool:
    """Whether it counts. An error that will pass is no reason to do without."""
    try:
        counted_mj = _counter_mj(nvml, gpu.handle)
    except nvml.NVMLError as error:
        return error.value not in (gpus_of.NOT_SUPPORTED, gpus_of.FUNCTION_NOT_FOUND)
    return counted_mj > 0 or not asked(_usage_mw, nvml, gpu.handle)


def _max_w(nvml: Any, gpu: Gpu) -> float | None:
    limit_mw = asked(nvml.nvmlDeviceGetEnforcedPowerLimit, gpu.handle)
    return limit_mw * 1e-3 * MARGIN if limit_mw else None


def diagnose(where: Where) -> list[Finding]:
    """What NVML is here, why it cannot be used if so, and what to expect of each GPU."""
    has_driver = (where.proc / "driver/nvidia/version").exists()
    nvml = gpus_of.package()
    error = gpus_of.initialise(nvml)
    if error != gpus_of.SUCCESS:
        return [_not_initialised(where, error, has_driver)]
    try:
        found = gpus_of.gpus(nvml)
        selection = gpus_of.selected(nvml, found)
        of_each = [_of_gpu(nvml, where, gpu, part) for gpu, part in selection.chosen]
        return [*_of_node(nvml, found), *_of_selection(found, selection), *of_each]
    finally:
        asked(nvml.nvmlShutdown)


def _not_initialised(where: Where, error: int, has_driver: bool) -> Finding:
    library = gpus_of.LIBRARY
    if error == gpus_of.LIBRARY_NOT_FOUND and not has_driver:
        told, fix = f"no NVIDIA driver here ({library} not found)", "nothing to do on a machine without an NVIDIA GPU"
        return Finding("NVML", "warn", told, fix, library)
    mode = _mode(Path("/dev/nvidiactl"))
    told, fix = {
        gpus_of.LIBRARY_NOT_FOUND: (
            f"the driver is loaded, but {library} is not found",
            "in a container: --gpus all and NVIDIA_DRIVER_CAPABILITIES=compute,utility; else install its libraries",
        ),
        gpus_of.DRIVER_NOT_LOADED: (
            f"{library} is here, but the NVIDIA driver is not loaded",
            "sudo modprobe nvidia, then nvidia-smi; in a container: start it with --gpus all",
        ),
        gpus_of.VERSION_MISMATCH: (
            f"{library} and the loaded driver are of different versions ({_driver(where)})",
            "reboot, or unload and load the nvidia modules; start containers anew",
        ),
        gpus_of.NO_PERMISSION: (
            "NVML may not talk to the driver" + (f" (/dev/nvidiactl has mode {mode})" if mode else ""),
            "sudo chmod 666 /dev/nvidiactl /dev/nvidia[0-9]*, or join the group that owns them",
        ),
        gpus_of.FUNCTION_NOT_FOUND: ("the NVIDIA driver is too old", "install driver 410 or newer"),
    }.get(error, (f"NVML cannot be initialised (error {error})", "see what nvidia-smi says"))
    return Finding("NVML", "fail", told, fix, library, mode)


def _mode(path: Path) -> str:
    try:
        return f"{path.stat().st_mode & 0o7777:04o}"
    except OSError:
        return ""


def _driver(where: Where) -> str:
    try:
        text = (where.proc / "driver/nvidia/version").read_text("utf-8", "replace")
    except OSError:
        text = ""
    version = re.search(r"\d+\.\d+(\.\d+)?", text)
    return f"the driver is {version[0]}" if version else "the driver does not tell its own"


def _of_node(nvml: Any, found: Sequence[Gpu]) -> Iterator[Finding]:
    count = asked(nvml.nvmlDeviceGetCount) or 0
    if not count:
        yield Finding("NVML", "warn", "NVML works but shows no GPU", "in a container: start it with --gpus all")
    elif len(found) < count:
        yield Finding("NVML", "fail", f"{count - len(found)} of {count} GPUs cannot be opened: lost, or not permitted",
                      "see what nvidia-smi and dmesg say of them")  # fmt: skip


def _of_selection(found: Sequence[Gpu], selection: Selection) -> Iterator[Finding]:
    variable = selection.variable
    if variable is None or not found:
        return
    told = f"{variable}={os.environ[variable]}"
    if selection.unknown:
        told += f" names {selection.unknown}; {len(selection.chosen)} of {len(found)} GPUs are counted"
        yield Finding("GPU selection", "warn", told, "nvidia-smi -L lists what is here")
    elif not selection.chosen:
        yield Finding("GPU selection", "ok", f"{told} selects no GPU")
    is_ambiguous = variable == gpus_of.CUDA and gpus_of.is_by_index(os.environ[variable])
    is_mixed = len({gpu.name for gpu in found}) > 1 and os.environ.get("CUDA_DEVICE_ORDER") != "PCI_BUS_ID"
    if selection.chosen and is_ambiguous and is_mixed:
        yield Finding("GPU selection", "warn", f"{told}: the GPUs differ, so CUDA may count them in another order",
                      "export CUDA_DEVICE_ORDER=PCI_BUS_ID, or select by UUID")  # fmt: skip


def _of_gpu(nvml: Any, where: Where, gpu: Gpu, part: Part) -> Finding:
    what = f"{gpu.name} {gpu.uuid}"
    sensor = next((outlet.sensor for outlet in _outlets(nvml, where, gpu, part)), None)
    if sensor is None:
        return Finding(what, "warn", "tells neither energy nor power", "nothing to do; it stays unknown", "NVML")
    detail = "energy counter" if sensor.unit == "mJ" else "no energy counter: power, read ten times a second"
    detail += ", shared by busy time" if sensor.share_by == "busy" else ", shared by reservation"
    tier, interval = sensor.method, f"±{sensor.accuracy:.0%}"
    if sensor.window_s == INSTANT.window_s:
        interval = "wide: 25 ms of every 100 ms are seen"
    if gpu.is_mig:
        detail = f"MIG is on: the energy is the whole GPU's, and {part.reserved:.0%} of it is yours by slices; {detail}"
        tier, interval = "attributed", f"wide: {interval} of the whole GPU, of which others use what is not told"
    return Finding(what, "ok", detail, source=sensor.source, tier=tier, interval=interval)
