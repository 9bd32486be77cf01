"""What this machine can measure, and what is missing: one finding each, with what to do about it.

    the house      Python, home, site, ledger: without them runs are lost or cannot be read
    the sensors    what each file of `collectors/sensors` finds here, unless JOULEBOOK_SENSORS hides it
    the extras     packages that commands need
    the uses       what a run would go by, part by part: the recorder's own inventory of this node, opened and closed

`fail` is said of what is here and broken: a home that cannot be written, a sensor that is there and may not be read.
What is not here is `warn`: its energy is modelled, or unknown.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module, metadata, util
from pathlib import Path
from typing import NamedTuple

from joulebook.accounting.errors import InputError, JoulebookError, MissingExtra
from joulebook.accounting.home import journal_dir
from joulebook.collectors import cgroup, node
from joulebook.collectors.node import CPU_ENERGY, MODEL, SHARED_BY, Found
from joulebook.collectors.replay import read_trace
from joulebook.collectors.sampler import described
from joulebook.collectors.sensors import Finding, Sensor, Where

NETWORK_FILESYSTEMS = ("nfs", "cifs", "smb", "fuse.sshfs", "9p", "lustre", "gpfs", "beegfs")
LEAST_FREE_BYTES = 200_000_000
ROOTS = {"JOULEBOOK_SYSFS_ROOT": "/sys", "JOULEBOOK_PROCFS_ROOT": "/proc"}
FLOP_COUNTERS = "joulebook.collectors.flops.perf_fp"
PARTS = {"cpu": "CPU", "dram": "DRAM", "gpu": "GPU"}  # class of a device -> as it is called
WHOLE = 0.999  # a larger part of a device is all of it


class Use(NamedTuple):
    """What the energy of one part of the machine goes by in a run."""

    part: str
    by: str  # the kind of sensor; what it is modelled from; "" where it stays unknown
    sensors: tuple[str, ...]
    tier: str
    interval: str


class Examination(NamedTuple):
    """All that doctor says."""

    findings: list[Finding]
    uses: list[Use]
    says: str


def where_to_look() -> tuple[tuple[str, ...], Where]:
    """The kinds of sensors and the folders that a run would look at, as its environment says."""
    sys_root, proc_root = (Path(os.environ.get(name) or usual) for name, usual in ROOTS.items())
    return node.kinds_wanted(os.environ.get("JOULEBOOK_SENSORS")), Where(sys_root, proc_root)


def examine(home: Path) -> Examination:
    """Look at everything; change nothing but a test file in the home."""
    kinds, where = where_to_look()
    house = [_python(), _home(home), *_filesystem(home), _site(home), _ledger(home)]
    found, trouble = _inventory(kinds, where)
    sensors = [*_settings(kinds), *trouble, *_sensors(kinds, where, found), _cpu_time(), _reserved(where)]
    uses = _uses(found)
    return Examination([*house, *sensors, *_extras()], uses, _says(uses))


def _python() -> Finding:
    return Finding("Python", "ok", f"{sys.version.split()[0]} at {sys.executable}")


def _home(home: Path) -> Finding:
    probe = journal_dir(home) / f".probe-{os.getpid()}"
    try:
        probe.parent.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"x")
        probe.unlink()
        free = shutil.disk_usage(home).free
    except OSError as error:
        return Finding("Home", "fail", f"{home} cannot be written ({error.strerror}); runs would be lost",
                       "choose another with --home or JOULEBOOK_HOME")  # fmt: skip
    if free < LEAST_FREE_BYTES:
        return Finding(
            "Home",
            "warn",
            f"{home}: only {free / 1e6:.0f} MB free",
            "make room; journals need about 0.3 MB an hour and process",
        )
    return Finding("Home", "ok", f"{home}, {free / 1e9:.0f} GB free")


def _filesystem(home: Path) -> Iterator[Finding]:
    kind = _mounted_as(home)
    if kind.startswith(NETWORK_FILESYSTEMS):
        yield Finding("File system", "warn", f"{home} is on {kind}: locks and appends are not reliable there",
                      "use a local disk and copy the journals")  # fmt: skip


def _mounted_as(path: Path) -> str:
    """The type of the file system that a path is on, or '' where /proc does not say."""
    try:
        lines = Path("/proc/mounts").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    mounts = [(fields[1], fields[2]) for fields in map(str.split, lines) if len(fields) > 2]
    inside = [(len(point), kind) for point, kind in mounts if path.is_relative_to(point)]
    return max(inside, default=(0, ""))[1]


def _site(home: Path) -> Finding:
    from joulebook.accounting.site import load_site, site_path

    try:
        site = load_site(home)
    except JoulebookError as error:
        return Finding("Site", "fail", str(error))
    if not site_path(home).exists():
        return Finding(
            "Site", "warn", "not set: world averages stand in, with the world's range", "joulebook init --region FR"
        )
    return Finding("Site", "ok", f"region {site.region}, provider {site.provider or 'none'}")


def _ledger(home: Path) -> Finding:
    try:
        from joulebook.accounting.ledger import open_ledger

        ledger = open_ledger(home)
        runs = ledger.rows("select count(*) as n from span where parent_id is null")[0]["n"]
        refused = ledger.rows("select coalesce(sum(line_count), 0) as n from quarantine")[0]["n"]
    except MissingExtra as error:
        return Finding("Ledger", "warn", f"runs are recorded here, to be read elsewhere: {error}")
    except JoulebookError as error:
        return Finding("Ledger", "fail", str(error))
    if refused:
        return Finding(
            "Ledger",
            "warn",
            f"{runs:,} runs; {refused:,} journal lines quarantined",
            "joulebook verify; the lines are in table quarantine",
        )
    return Finding(
        "Ledger", "ok", f"{ledger.path}, {runs:,} runs" if ledger.path.exists() else f"none yet at {ledger.path}"
    )


# The sensors ------------------------------------------------------------------------------------------------------


def _settings(kinds: Sequence[str]) -> Iterator[Finding]:
    """What the environment changes about where and what is looked for."""
    for name, usual in ROOTS.items():
        root = os.environ.get(name)
        if root and Path(root).is_dir():
            yield Finding(name, "ok", f"sensors are looked for in {root}, not in {usual}", source=root)
        elif root:
            yield Finding(name, "fail", f"{root} is no folder, so nothing is found there", f"unset {name}", root)
    wanted = os.environ.get("JOULEBOOK_SENSORS")
    hidden = [kind for kind in node.KINDS if kind not in kinds]
    if wanted is not None and hidden:
        yield Finding("JOULEBOOK_SENSORS", "warn", f"set to {wanted!r}: {', '.join(hidden)} not looked for",
                      "unset JOULEBOOK_SENSORS")  # fmt: skip
    yield from _replay(os.environ.get("JOULEBOOK_REPLAY"))


def _replay(path: str | None) -> Iterator[Finding]:
    if not path:
        return
    told = "a run plays this trace and reads no sensor"
    try:
        read_trace(path)
    except InputError as error:
        yield Finding("JOULEBOOK_REPLAY", "fail", str(error), "unset JOULEBOOK_REPLAY", path)
    else:
        yield Finding("JOULEBOOK_REPLAY", "warn", f"{path}: {told}", "unset JOULEBOOK_REPLAY", path)


def _inventory(kinds: Sequence[str], where: Where) -> tuple[list[Found], list[Finding]]:
    """What a run would read here, closed again."""
    try:
        found = node.inventory(kinds, where)
        for one in found:
            one.meter.close()
    except Exception as error:  # noqa: BLE001 - whatever a driver does, doctor says what else it knows
        return [], [Finding("Inventory", "fail", f"the sensors cannot be opened: {described(error)}")]
    return found, []


def _sensors(kinds: Sequence[str], where: Where, found: Sequence[Found]) -> Iterator[Finding]:
    used = {one.kind for one in found}
    counts_cpu = next((kind for kind in CPU_ENERGY if kind in used), None)
    for kind in (*kinds, SHARED_BY):
        findings = _diagnosed(f"joulebook.collectors.sensors.{kind}", where) or [Finding(kind, "ok", "nothing here")]
        is_spare = counts_cpu is not None and kind in CPU_ENERGY and kind not in used
        yield from (_spared(one, counts_cpu) for one in findings) if is_spare else findings
    yield from _diagnosed(FLOP_COUNTERS, where)


def _diagnosed(module: str, where: Where) -> list[Finding]:
    """What one file of sensors says; nothing where it has nothing to say."""
    try:
        diagnose = getattr(import_module(module), "diagnose", None) if util.find_spec(module) else None
        return list(diagnose(where)) if diagnose else []
    except Exception as error:  # noqa: BLE001 - as above
        what = module.rpartition(".")[2]
        return [Finding(what, "fail", f"it cannot be looked at: {described(error)}", source=module)]


def _spared(finding: Finding, by: str | None) -> Finding:
    """The same of a sensor that nobody would read, since another counts the CPU: nothing to mend."""
    if finding.state == "ok":
        return finding
    return finding._replace(state="ok", detail=f"not needed, {by} counts the CPU: {finding.detail}", fix="")


def _cpu_time() -> Finding:
    cpus = os.cpu_count()
    detail = f"of a job's processes, {cpus} logical CPUs; energy is modelled from it where no sensor sees the CPU"
    return Finding("CPU time", "ok", detail, tier="modelled")


def _reserved(where: Where) -> Finding:
    """What of the node is set aside for a job that starts here: that part of its idle energy is the job's."""
    folder = cgroup.folder(str(where.sys), str(where.proc))
    by = folder or "no cgroup of version 2, so by affinity alone"
    try:
        told = cgroup.reserved_cpus(where), cgroup.cpu_part(where), cgroup.memory_part(where)
        cpus, part, memory = (amount for amount, _ in told)
    except (ValueError, ArithmeticError) as error:
        return Finding("Reserved", "fail", f"{by} cannot be understood: {error}", source=folder or "")
    detail = f"{cpus:g} logical CPUs, {part * 100:.0f} % of the node's; {memory * 100:.0f} % of its memory ({by})"
    return Finding("Reserved", "ok", detail, source=folder or "")


# What a run goes by -----------------------------------------------------------------------------------------------


def _uses(found: Sequence[Found]) -> list[Use]:
    """One for each part of the machine, those that nobody sees included."""
    if os.environ.get("JOULEBOOK_REPLAY"):
        return []
    alike: dict[tuple[str, str, str, str], list[str]] = {}
    for one in found:
        for sensor in (sensor for sensor in one.sensors if sensor.counted):
            by = "installed memory" if one.kind == MODEL else one.kind
            alike.setdefault((_part(sensor), by, *_worth(sensor)), []).append(sensor.sensor)
    uses = [Use(part, by, tuple(names), tier, interval) for (part, by, tier, interval), names in alike.items()]
    return [*uses, *_unseen({use.part for use in uses})]


def _part(sensor: Sensor) -> str:
    kind = sensor.device.partition(":")[0]
    return PARTS.get(kind, kind)


def _worth(sensor: Sensor) -> tuple[str, str]:
    """The tier and the interval to expect."""
    if sensor.method == "modelled":
        return "modelled", "wide"
    if sensor.reserved < WHOLE:
        return "attributed", "wide"
    is_seen = sensor.window_s is None or sensor.window_s >= sensor.update_s
    return sensor.method, f"±{sensor.accuracy * 100:.0f} %" if is_seen else "wide"


def _unseen(seen: set[str]) -> Iterator[Use]:
    if not seen & {"CPU", "module"}:
        yield Use("CPU", "CPU time", (), "modelled", "wide")
        if "DRAM" not in seen:
            yield Use("DRAM", "CPU time", (), "modelled", "wide")
    if not seen & {"GPU", "module"}:
        yield Use("GPU", "", (), "unknown", "")


def _says(uses: Sequence[Use]) -> str:
    """The uses as a sentence for each."""
    if not uses:
        return "A run here plays a trace and reads no sensor."
    seen = "; ".join(_sentence(use) for use in uses if use.tier not in ("modelled", "unknown"))
    model = _modelled([use for use in uses if use.tier == "modelled"])
    missing = " and ".join(use.part for use in uses if use.tier == "unknown")
    told = [f"A run here reads {seen}." if seen else "A run here reads no energy sensor.",
            f"Modelled, since no sensor sees it: {model}." if model else "Nothing of it is modelled.",
            f"No {missing} is seen: if there is one, its energy is missing." if missing else ""]  # fmt: skip
    return " ".join(filter(None, told))


def _modelled(uses: Sequence[Use]) -> str:
    """`CPU and DRAM from CPU time`."""
    from_what = dict.fromkeys(use.by for use in uses)
    return "; ".join(f"{' and '.join(use.part for use in uses if use.by == by)} from {by}" for by in from_what)


def _sentence(use: Use) -> str:
    count = len(use.sensors)
    return f"{use.part} by {use.by} ({count} sensor{'s' * (count > 1)}, {use.tier}, {use.interval})"


def _extras() -> Iterator[Finding]:
    needs = {
        "ledger": ("duckdb", "pyarrow", "rich"),
        "app": ("streamlit", "plotly", "pandas"),
        "report": ("typst", "font_source_sans_pro"),
    }
    for extra, modules in needs.items():
        missing = [name for name in modules if util.find_spec(name) is None]
        if missing:
            yield Finding(
                f"Extra {extra}", "warn", f"{', '.join(missing)} not installed", f"pip install 'joulebook[{extra}]'"
            )
        else:
            yield Finding(f"Extra {extra}", "ok", ", ".join(f"{name} {_version(name)}" for name in modules))


def _version(module: str) -> str:
    try:
        return metadata.version(module.replace("_", "-"))
    except metadata.PackageNotFoundError:
        return "?"
