"""What this machine can measure, and what is missing: one finding a line, with what to do about it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from joulebook.accounting.errors import JoulebookError
from joulebook.accounting.home import journal_dir

POWERCAP = Path("/sys/class/powercap")
NETWORK_FILESYSTEMS = ("nfs", "cifs", "smb", "fuse.sshfs", "9p", "lustre", "gpfs", "beegfs")
LEAST_FREE_BYTES = 200_000_000


@dataclass(frozen=True)
class Finding:
    """`state` is ok, warn or fail; `fix` says what to do, if anything."""

    what: str
    state: str
    detail: str
    fix: str = ""


def examine(home: Path) -> list[Finding]:
    """Look at everything; change nothing but a test file in the home."""
    return [_python(), _home(home), *_filesystem(home), _site(home), _ledger(home), _cpu(), _rapl(), _gpu(), *_extras()]


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


def _cpu() -> Finding:
    return Finding(
        "CPU time", "ok", f"read from the operating system, {os.cpu_count()} logical CPUs; energy is modelled from it"
    )


def _rapl() -> Finding:
    zones = sorted(POWERCAP.glob("intel-rapl:*/energy_uj"))
    if not POWERCAP.exists() or not zones:
        why = "empty, as in many containers" if POWERCAP.exists() else "absent, as in most virtual machines"
        return Finding(
            "CPU energy sensor", "warn", f"none: {POWERCAP} is {why}", "nothing to do here; CPU energy stays modelled"
        )
    unreadable = [zone for zone in zones if not os.access(zone, os.R_OK)]
    if unreadable:
        mode = unreadable[0].stat().st_mode & 0o777
        return Finding("CPU energy sensor", "warn", f"{unreadable[0]} cannot be read (mode {mode:o})",
                       "ask the administrator to make energy_uj readable for you")  # fmt: skip
    return Finding("CPU energy sensor", "warn", f"{len(zones)} zones readable, not yet used by this version")


def _gpu() -> Finding:
    if not Path("/proc/driver/nvidia").exists():
        return Finding("GPU", "warn", "no NVIDIA driver found", "nothing to do on a machine without a GPU")
    return Finding("GPU", "warn", "NVIDIA driver found, not yet used by this version")


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
