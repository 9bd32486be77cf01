"""RAPL through powercap: the energy counters of CPU packages and their DRAM, in microjoules.

    class/powercap/intel-rapl:0      name package-0    counted
                  /intel-rapl:0:0    name core         in package-0 already
                  /intel-rapl:0:1    name dram         counted: a child in sysfs, but not in the package's energy
                  /intel-rapl:1      name psys         the whole platform, the package included: never counted
                  /intel-rapl-mmio:0 name package-0    the meter of intel-rapl:0 by another way: the first one counts

So the energy of the node is its packages without their children, plus DRAM. Zones of other kinds (dtpm, arm-scmi) are
left out: what they cover is not said. Where psys is all there is, it is written for comparison and not counted: it
holds what other sensors count too, a GPU or the DRAM, and the board's maker may not have calibrated it.

**Mirrors.** Dies of some AMD processors (Zen 1, Zen 2) show one meter of the socket once per die. Two zones are one
meter if their counters stand within a joule of each other at two instants between which they moved. Two sockets that
do so by chance are one case in tens of thousands. The waiting, 50 ms at the most, happens only where they look alike.

**How far off.** Intel measures package power since Haswell-EP (Hackenberg et al., IPDPSW 2015): taken as ±5 %. DRAM
follows the truth with an offset, largest when idle (Desrochers et al., MEMSYS 2016): ±20 %. AMD's is a model that does
not see the data (Schöne et al., CLUSTER 2021): ±10 %. The registers are renewed every millisecond.

**How much at most.** `max_w` is twice the largest power limit that the zone tells, or what no known part exceeds.
Every `wraps_at` / `max_w` a counter might go round unseen, so it wants to be read twice in that time.

A counter that only root may read makes no meter: the `power` PMU of perf may be open to us. Any other failure is a
`status`, and the counter, which went on counting, tells the whole energy when it can be read again.
"""

from __future__ import annotations

import os
import re
import stat
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from joulebook.collectors.sensors import Finding, Sensor, Where
from joulebook.collectors.sensors.sysfs import (
    DENIED,
    Cpu,
    FileMeter,
    NumberFile,
    cpu_of,
    names_in,
    number_of,
    readable,
    text_of,
)

KINDS = ("intel-rapl", "intel-rapl-mmio")  # of zones, the better first
PACKAGE = re.compile(r"package-(.+)")  # package-0, package-0-die-1
UPDATE_S = 0.001

PACKAGE_MAX_W = (200.0, 800.0)  # at least, and where no limit is told
DRAM_MAX_W = (50.0, 200.0)
LIMITS = ("max_power", "power_limit")
NO_LIMIT_W = 2000.0  # firmware says "unlimited" with a number such as 4095 W
MODELLED_BY = ("AuthenticAMD", "HygonGenuine")
ACCURACY, MODELLED_ACCURACY, DRAM_ACCURACY = 0.05, 0.10, 0.20

ALIKE_UJ = 1_000_000
LOOKS, BETWEEN_LOOKS_S = 10, 0.005


class Zone(NamedTuple):
    """One folder of class/powercap, and what it counts: "package" "0-die-1", "dram" "0", "core" "0"."""

    path: Path
    name: str
    part: str
    which: str

    @property
    def kind(self) -> str:
        return self.path.name.partition(":")[0]


class Counter(NamedTuple):
    """A zone that is read."""

    zone: Zone
    sensor: Sensor
    file: NumberFile


def open_meter(where: Where) -> FileMeter | None:
    """The counters that are neither part of another nor another's mirror. None where we may read none."""
    counters, _ = _survey(where)
    files = {counter.sensor: counter.file for counter in counters}
    interval_s = min((_wraps_after_s(sensor) / 2 for sensor in files if sensor.wraps_at), default=None)
    return readable(FileMeter("powercap", files, interval_s))


def _survey(where: Where) -> tuple[list[Counter], dict[Zone, str]]:
    """What is read, and each other zone with the reason why it is not."""
    zones = _zones(where)
    left_out = {zone: reason for zone in zones if (reason := _reason(zone, zones))}
    counters = _counters([zone for zone in zones if zone not in left_out], cpu_of(where))
    kept: list[Counter] = []
    for counter in counters:
        twin = next((one for one in kept if _is_mirror(one, counter)), None)
        if twin is None:
            kept.append(counter)
        else:
            counter.file.close()
            left_out[counter.zone] = f"mirrors {twin.zone.name}: one meter, shown twice"
    return (kept, left_out) if kept else _platform(left_out)


def _platform(left_out: dict[Zone, str]) -> tuple[list[Counter], dict[Zone, str]]:
    psys = [zone for zone in left_out if zone.part == "psys" and zone.kind in KINDS][:1]
    return _counters(psys, Cpu()), {zone: reason for zone, reason in left_out.items() if zone not in psys}


def _zones(where: Where) -> list[Zone]:
    """Every zone, parents first. A link that leads nowhere is none."""
    base = _folder(where)
    folders = sorted((name for name in names_in(base) if ":" in name), key=_order)
    names = {folder: text_of(base / folder / "name") or "" for folder in folders if (base / folder).is_dir()}
    return [Zone(base / folder, name, *_part(folder, names)) for folder, name in names.items()]


def _order(folder: str) -> tuple[str, list[int]]:
    """`intel-rapl:a:1` after `intel-rapl:2`: the kernel counts in hexadecimal."""
    kind, *numbers = folder.split(":")
    return kind, [int(number, 16) if re.fullmatch("[0-9a-f]+", number) else -1 for number in numbers]


def _part(folder: str, names: dict[str, str]) -> tuple[str, str]:
    name = names[folder]
    package = PACKAGE.fullmatch(name)
    if package:
        return "package", package[1]
    if name == "psys":
        return "psys", "0"
    parent = folder.rpartition(":")[0]
    return name, _part(parent, names)[1] if parent in names else folder.rpartition(":")[2]


def _reason(zone: Zone, zones: Sequence[Zone]) -> str:
    """Why the zone is not counted; "" where it is."""
    if zone.kind not in KINDS:
        return f"a zone of {zone.kind}, which does not say what it covers"
    if not zone.name:
        return "its name cannot be read"
    if zone.part == "psys":
        return "the whole platform, with what other sensors count"
    if zone.part not in ("package", "dram"):
        return f"part of package-{zone.which}"
    better = KINDS[: KINDS.index(zone.kind)]
    same = [one for one in zones if (one.part, one.which) == (zone.part, zone.which) and one.kind in better]
    return f"the same meter as {same[0].path.name}" if same else ""


def _counters(zones: Sequence[Zone], cpu: Cpu) -> list[Counter]:
    counters: dict[str, Counter] = {}
    for zone in zones:
        sensor = _sensor(zone, cpu)
        if sensor.sensor in counters:
            sensor = sensor._replace(sensor=f"{sensor.sensor}@{zone.path.name}")
        counters[sensor.sensor] = Counter(zone, sensor, NumberFile(zone.path / "energy_uj"))
    return list(counters.values())


def _sensor(zone: Zone, cpu: Cpu) -> Sensor:
    device = {"package": "cpu", "dram": "dram", "psys": "platform"}[zone.part]
    range_uj = number_of(zone.path / "max_energy_range_uj")
    return Sensor(
        f"powercap:{zone.part}-{zone.which}",
        f"{device}:{zone.which}",
        "uJ",
        "measured",
        str(zone.path / "energy_uj"),
        model=cpu.model if zone.part == "package" else None,
        wraps_at=float(range_uj) if range_uj else None,
        update_s=UPDATE_S,
        accuracy=accuracy_of(zone.part, cpu),
        max_w=_max_w(zone),
        counted=zone.part != "psys",
        boundary="it" if zone.part == "psys" else "device",
    )


def accuracy_of(part: str, cpu: Cpu) -> float:
    """How far off RAPL is, either way, whoever reads it."""
    if part != "package":
        return DRAM_ACCURACY
    return MODELLED_ACCURACY if cpu.vendor in MODELLED_BY else ACCURACY


def _max_w(zone: Zone) -> float:
    least_w, default_w = DRAM_MAX_W if zone.part == "dram" else PACKAGE_MAX_W
    told = [number_of(zone.path / f"constraint_{n}_{what}_uw") for n in range(3) for what in LIMITS]
    limit_w = max((value or 0) / 1e6 for value in told)
    return max(least_w, 2 * limit_w) if 0 < limit_w < NO_LIMIT_W else default_w


def _wraps_after_s(sensor: Sensor) -> float:
    return (sensor.wraps_at or 0) / 1e6 / (sensor.max_w or 1)


def _is_mirror(one: Counter, other: Counter) -> bool:
    if one.zone.part != other.zone.part or not _are_alike(one, other):
        return False
    first, _ = one.file.read()
    for _ in range(LOOKS):
        time.sleep(BETWEEN_LOOKS_S)
        if one.file.read()[0] != first:
            return _are_alike(one, other)
    return False


def _are_alike(one: Counter, other: Counter) -> bool:
    left, right = one.file.read()[0], other.file.read()[0]
    if left is None or right is None or one.sensor.wraps_at != other.sensor.wraps_at:
        return False
    apart = abs(left - right)
    return min(apart, (one.sensor.wraps_at or apart) - apart) < ALIKE_UJ


# For `joulebook doctor`.

UNREADABLE = (
    "Since Linux 5.10 only root may read it, because power tells secrets (CVE-2020-8694). One of: "
    "(1) let a group read it, for good: `sudo groupadd -f energy && sudo usermod -aG energy $USER`, put into "
    "/etc/udev/rules.d/99-joulebook-rapl.rules the line\n"
    'SUBSYSTEM=="powercap", ACTION=="add", KERNEL=="intel-rapl*:*", '
    'RUN+="/bin/chgrp energy /sys%p/energy_uj", RUN+="/bin/chmod g+r /sys%p/energy_uj"\n'
    "then `sudo udevadm control --reload && sudo udevadm trigger --action=add --subsystem-match=powercap` "
    "and log in again; "
    "(2) `sudo setcap cap_dac_read_search+ep {python}`: this interpreter may then read every file, and ignores "
    "LD_LIBRARY_PATH; (3) record as root; (4) use perf instead: `sudo sysctl kernel.perf_event_paranoid=0`"
)
NO_DRIVER = (
    "sudo modprobe intel_rapl_msr (for AMD too; it brings intel_rapl_common; before Linux 5.3: intel_rapl). "
    "In a virtual machine record on the host: a guest is not shown these counters"
)
MASKED = (
    "Show the container the host's /sys/class/powercap and /sys/devices/virtual/powercap, read-only and at another "
    "place, since at their own they are masked again: `docker run -v /sys:/host/sys:ro -e "
    "JOULEBOOK_SYSFS_ROOT=/host/sys …`; podman also knows `--security-opt unmask=/sys/devices/virtual/powercap`. "
    "Or run the recorder on the host"
)


def diagnose(where: Where) -> list[Finding]:
    """One finding for each zone, or the one reason why there is none."""
    counters, left_out = _survey(where)
    findings = [_of_counter(counter) for counter in counters]
    findings += [_of_other(zone, reason) for zone, reason in left_out.items()]
    for counter in counters:
        counter.file.close()
    if not findings:
        return [_of_nothing(where)]
    if not any(counter.sensor.counted for counter in counters):
        findings.insert(0, Finding("RAPL", "warn", "no zone here counts a package", source=str(_folder(where))))
    return findings


def _of_counter(counter: Counter) -> Finding:
    mode, owner = _mode_of(counter.file.path)
    state, detail, fix = _verdict(counter, mode, owner)
    return Finding(
        what=f"RAPL {counter.zone.part}-{counter.zone.which}",
        state=state,
        detail=detail,
        fix=fix,
        source=counter.sensor.source,
        mode=mode,
        tier="measured",
        interval=f"±{counter.sensor.accuracy * 100:.0f} %",
    )


def _verdict(counter: Counter, mode: str, owner: str) -> tuple[str, str, str]:
    """State, detail, fix."""
    sensor = counter.sensor
    unreadable = UNREADABLE.format(python=Path(sys.executable).resolve())
    value, status = counter.file.read()
    if value is None:
        why = f"{sensor.source} (mode {mode}, owner {owner}) cannot be read by uid {os.geteuid()}: {status}"
        return "fail", why, unreadable if status in DENIED else ""
    used = "counted" if sensor.counted else "the whole platform: written for comparison, not counted"
    detail = f"{used}; its counter goes round after {_wraps_after_s(sensor):.0f} s at {sensor.max_w:.0f} W"
    if mode and not int(mode, 8) & (stat.S_IRGRP | stat.S_IROTH):
        return "warn", f"{detail}; mode {mode}: only {owner} may read it, other users get nothing", unreadable
    return "ok", detail, ""


def _of_other(zone: Zone, reason: str) -> Finding:
    what = f"RAPL {zone.part}-{zone.which}" if zone.name else "RAPL"
    return Finding(what, "ok", f"{zone.path.name} is not counted: {reason}", source=str(zone.path))


def _of_nothing(where: Where) -> Finding:
    folder = _folder(where)
    cpu = cpu_of(where)
    if not folder.is_dir():
        virtual = "; this is a virtual machine" if cpu.is_virtual else ""
        arm = cpu.vendor.startswith("0x")
        why = "RAPL is a meter of x86, and this CPU is another" if arm else f"no RAPL driver is loaded{virtual}"
        return Finding("RAPL", "warn", f"{folder} is not there: {why}", "" if arm else NO_DRIVER, str(folder))
    listed = names_in(folder)
    what = f"its {len(listed)} links lead nowhere" if listed else "it is empty"
    hidden = [path for path in (folder, where.sys / "devices/virtual/powercap") if str(path) in _mount_points(where)]
    proof = f"; something is mounted over {hidden[0]}" if hidden else ""
    why = f"{folder} is there but {what}: a container runtime masks it, even for root{proof}"
    doubt = "" if hidden or listed else f". Outside a container no RAPL driver is loaded: {NO_DRIVER}"
    return Finding("RAPL", "fail" if hidden or listed else "warn", why, MASKED + doubt, str(folder))


def _folder(where: Where) -> Path:
    return where.sys / "class/powercap"


def _mode_of(path: Path) -> tuple[str, str]:
    """The permission bits and the owner; "" where the file is not there."""
    try:
        found = path.stat()
    except OSError:
        return "", ""
    return f"{stat.S_IMODE(found.st_mode):04o}", "root" if found.st_uid == 0 else f"uid {found.st_uid}"


def _mount_points(where: Where) -> set[str]:
    try:
        with (where.proc / "self/mountinfo").open(encoding="utf-8", errors="replace") as lines:
            return {fields[4] for line in lines if len(fields := line.split()) > 4}
    except OSError:
        return set()
