"""Power and energy that drivers show through hwmon, where it is well defined what they cover.

    power_meter         NVIDIA Grace: power1_oem_info says "Grace Power Socket 0", power1_average is in microwatts, the
                        mean of power1_average_interval milliseconds. Older kernels keep the files in device/
                          Grace   the socket with its DRAM: counted, as device cpu
                          CPU     the rail of the cores      counted, both, where there is no Grace meter
                          SysIO   the rail of the rest       (then the DRAM is seen by nobody)
                          Module  with the GPU, which NVML counts: never counted
    amd_energy, zenergy energyN_input in microjoules; Esocket0 is a socket, Ecore000 a part of it. The driver keeps
                        64 bits, so nothing goes round
    i915, xe            energyN_input of a discrete Intel GPU in microjoules: 1 is the card, 2 the package, a part of
                        it. The driver adds up a register of 32 bits, but only when somebody reads

An unlabelled power_meter is what a board's controller takes for the whole machine, and zenpower tells two rails of a
processor without saying over what time: both are left out, as are power supplies, which no job can be told from.

No validation of these has been published that we know of: ±5 % for Grace, ±10 % for the others. A gauge is read once
in the time that it is the mean of, but at most ten times a second.
"""

from __future__ import annotations

import re
from pathlib import Path

from joulebook.collectors.sensors import Finding, Sensor, Where
from joulebook.collectors.sensors.sysfs import (
    DENIED,
    FileMeter,
    NumberFile,
    cpu_of,
    names_in,
    number_of,
    readable,
    text_of,
)

GRACE = re.compile(r"(Grace|CPU|SysIO|Module) Power Socket (\d+)")
RAILS = ("hwmon:cpu-", "hwmon:sysio-")  # parts of a Grace meter
SOCKET = re.compile(r"Esocket(\d+)")
GPU_DRIVERS = ("i915", "xe")
AMD_DRIVERS = ("amd_energy", "zenergy")

GRACE_ACCURACY, ENERGY_ACCURACY = 0.05, 0.10
SOCKET_MAX_W, GPU_MAX_W = 800.0, 600.0
COUNTER_UPDATE_S = 0.001
LEAST_INTERVAL_S, MOST_INTERVAL_S = 0.1, 1.0  # of a gauge
GPU_INTERVAL_S = 60.0  # its register goes round in some minutes, unseen unless somebody reads it


def open_meter(where: Where) -> FileMeter | None:
    """The meter, None where no driver shows anything that can be counted, or none of it to us."""
    files = {sensor: NumberFile(Path(sensor.source)) for sensor in _sensors(where)}
    intervals_s = [interval_s for sensor in files if (interval_s := _interval_s(sensor)) is not None]
    return readable(FileMeter("hwmon", files, min(intervals_s, default=None)))


def _sensors(where: Where) -> list[Sensor]:
    found = [sensor for folder in _folders(where) for sensor in _sensors_in(folder, where)]
    whole = {sensor.device for sensor in found if sensor.sensor.startswith("hwmon:grace-")}
    return [sensor for sensor in found if not (sensor.device in whole and sensor.sensor.startswith(RAILS))]


def _folders(where: Where) -> list[Path]:
    base = where.sys / "class/hwmon"
    return [base / name for name in sorted(names_in(base))]


def _sensors_in(folder: Path, where: Where) -> list[Sensor]:
    driver = _driver(folder)
    if driver == "power_meter":
        return _of_grace(folder)
    if driver in AMD_DRIVERS:
        return _of_amd(folder, where)
    return _of_gpu(folder, driver) if driver in GPU_DRIVERS else []


def _driver(folder: Path) -> str:
    return text_of(folder / "name") or text_of(folder / "device/name") or ""


def _meter_files(folder: Path) -> tuple[Path, str]:
    """Where a power_meter's files are, and its label."""
    for place in (folder, folder / "device"):
        if (place / "power1_average").exists():
            return place, text_of(place / "power1_oem_info") or ""
    return folder, ""


def _of_grace(folder: Path) -> list[Sensor]:
    place, label = _meter_files(folder)
    named = GRACE.fullmatch(label)
    if named is None or named[1] == "Module":
        return []
    part, socket = named[1].lower(), named[2]
    window_s = (number_of(place / "power1_average_interval") or 1000) / 1e3
    return [
        Sensor(
            f"hwmon:{part}-{socket}",
            f"cpu:{socket}",
            "uW",
            "integrated",
            str(place / "power1_average"),
            model="NVIDIA Grace, with its DRAM" if part == "grace" else "NVIDIA Grace",
            update_s=window_s,
            window_s=window_s,
            accuracy=GRACE_ACCURACY,
            max_w=SOCKET_MAX_W,
        )
    ]


def _of_amd(folder: Path, where: Where) -> list[Sensor]:
    sensors = []
    for name in names_in(folder):
        socket = SOCKET.fullmatch(text_of(folder / name) or "") if name.endswith("_label") else None
        if socket is not None:
            source = str(folder / name.replace("_label", "_input"))
            sensor = Sensor(f"hwmon:socket-{socket[1]}", f"cpu:{socket[1]}", "uJ", "measured", source)
            sensors.append(_counter(sensor, cpu_of(where).model, SOCKET_MAX_W))
    return sorted(sensors)


def _of_gpu(folder: Path, driver: str) -> list[Sensor]:
    pci = (folder / "device").resolve().name
    for name in ("energy1_input", "energy2_input"):
        if (folder / name).exists():
            sensor = Sensor(f"hwmon:gpu-{pci}", f"gpu:{pci}", "uJ", "measured", str(folder / name))
            rated_w = (number_of(folder / "power1_rated_max") or 0) / 1e6
            return [_counter(sensor, f"Intel GPU ({driver})", 2 * rated_w or GPU_MAX_W, share_by="reservation")]
    return []


def _counter(sensor: Sensor, model: str | None, max_w: float, share_by: str = "cpu") -> Sensor:
    return sensor._replace(
        model=model, update_s=COUNTER_UPDATE_S, accuracy=ENERGY_ACCURACY, max_w=max_w, share_by=share_by
    )


def _interval_s(sensor: Sensor) -> float | None:
    if sensor.window_s is not None:
        return min(max(sensor.window_s, LEAST_INTERVAL_S), MOST_INTERVAL_S)
    return GPU_INTERVAL_S if sensor.device.startswith("gpu:") else None


# For `joulebook doctor`.

UNREADABLE = "sudo chmod a+r {path} (until the machine starts again; a udev rule for good), or record as root"


def diagnose(where: Where) -> list[Finding]:
    """One finding for each sensor and for each meter that is left out; none where hwmon has nothing of the kind."""
    counted = _sensors(where)
    findings = [_of_sensor(sensor) for sensor in counted]
    used = {Path(sensor.source).parent for sensor in counted}
    return findings + [
        Finding(
            f"hwmon {_driver(folder)}", "ok", f"{label or 'without a label'} is not counted: {reason}", "", str(place)
        )
        for folder in _folders(where)
        for place, label, reason in [_left_out(folder)]
        if reason and place not in used
    ]


def _of_sensor(sensor: Sensor) -> Finding:
    file = NumberFile(Path(sensor.source))
    value, status = file.read()
    file.close()
    what = f"hwmon {sensor.sensor.partition(':')[2]}"
    if value is None:
        fix = UNREADABLE.format(path=sensor.source) if status in DENIED else ""
        return Finding(what, "fail", f"{sensor.source} cannot be read: {status}", fix, sensor.source, "", sensor.method)
    window = f", the mean of {sensor.window_s:g} s" if sensor.window_s else ""
    about = f"{sensor.model}{window}; used where neither powercap nor perf counts the CPU"
    detail = about if sensor.device.startswith("cpu") else f"{sensor.model}{window}"
    interval = f"±{sensor.accuracy * 100:.0f} %"
    return Finding(what, "ok", detail, "", sensor.source, tier=sensor.method, interval=interval)


def _left_out(folder: Path) -> tuple[Path, str, str]:
    """Where a meter is, its label and why it is not counted; no reason for what is no meter."""
    driver = _driver(folder)
    if driver == "zenpower":
        return folder, "", "two rails of the processor, over no stated time"
    if driver != "power_meter":
        return folder, "", ""
    place, label = _meter_files(folder)
    named = GRACE.fullmatch(label)
    if named is None:
        return place, label, "not a meter of the processor"
    return place, label, "it holds the GPU" if named[1] == "Module" else "a part of the Grace meter"
