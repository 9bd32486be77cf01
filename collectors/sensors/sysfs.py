"""Small files of the kernel: a line of text, a number, and numbers that are read again and again.

`FileMeter` is a meter whose sensors are one file each. `NumberFile` keeps its file open and reads it with one `pread`,
so that a job which gives up its privileges goes on reading. A file that went away and came back is another file and is
opened anew: the kernel's own fail to be read then; a plain one (a copy, a mount) shows its last number for ever, so one
that shows the same number twice is looked at. What cannot be read is None with the name of the errno; a read that is
empty, torn or refused is tried once more before that.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from joulebook.collectors.sensors import Sample, Sensor, Where

DENIED = ("EACCES", "EPERM")
MAX_BYTES = 4096
NUMBER_BYTES = 64
GARBLED = "garbled"  # the status where a file holds no number


class Cpu(NamedTuple):
    """What /proc/cpuinfo says of the first CPU."""

    vendor: str = ""  # "GenuineIntel", "AuthenticAMD"; on ARM a code such as "0x41"
    model: str | None = None
    is_virtual: bool = False


class NumberFile:
    """The number in one file, as often as it is asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = -1
        self._last = b""

    def read(self) -> tuple[int | None, str]:
        """The number and "ok", or None and why not."""
        status, before = GARBLED, None
        for _ in range(2):
            try:
                text = self._text()
                # Without its end of line it may be the first half of a number: believed when it says the same twice.
                if text.endswith(b"\n") or text == before:
                    return int(text), "ok"
                status, before = GARBLED, text
            except OSError as error:
                status = errno_name(error)
                self.close()  # the next try opens what stands there by then
            except ValueError:
                status, before = GARBLED, None
        return None, status

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def _text(self) -> bytes:
        if self._fd < 0:
            self._open()
        text = os.pread(self._fd, NUMBER_BYTES, 0)
        if text == self._last and os.fstat(self._fd).st_nlink == 0:  # another file has taken its place, or none
            self._open()
            text = os.pread(self._fd, NUMBER_BYTES, 0)
        self._last = text
        return text

    def _open(self) -> None:
        fd = os.open(self.path, os.O_RDONLY)
        self.close()
        self._fd = fd


class FileMeter:
    """Sensors that are one file each."""

    def __init__(self, name: str, files: Mapping[Sensor, NumberFile], interval_s: float | None) -> None:
        self.name = name
        self.rest_s = min((sensor.update_s for sensor in files), default=0.0)
        self.interval_s = interval_s
        self._sensors = list(files)
        self._files = {sensor.sensor: file for sensor, file in files.items()}

    def sensors(self) -> Sequence[Sensor]:
        return self._sensors

    def read(self, names: Collection[str]) -> Sequence[Sample]:
        return [Sample(name, *self._files[name].read()) for name in names if name in self._files]

    def close(self) -> None:
        for file in self._files.values():
            file.close()


def readable(meter: FileMeter) -> FileMeter | None:
    """The same meter; None where we are allowed none of its files: another kind of meter may be open to us."""
    samples = meter.read([sensor.sensor for sensor in meter.sensors()])
    if all(sample.status in DENIED for sample in samples):
        meter.close()
        return None
    return meter


def errno_name(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, "EIO")


def text_of(path: Path) -> str | None:
    """What the file says, None where it cannot be read."""
    try:
        with path.open("rb", buffering=0) as file:
            return (file.read(MAX_BYTES) or b"").decode("utf-8", "replace").strip()
    except OSError:
        return None


def number_of(path: Path) -> int | None:
    """The whole number in the file, None where there is none."""
    try:
        return int(text_of(path) or "")
    except ValueError:
        return None


def names_in(folder: Path) -> list[str]:
    """What stands in the folder; nothing where it cannot be listed."""
    try:
        return [path.name for path in folder.iterdir()]
    except OSError:
        return []


def cpu_of(where: Where) -> Cpu:
    """The CPU of the node. Only the first is read: the file is long on a large machine, and slow to make."""
    facts: dict[str, str] = {}
    for line in (text_of(where.proc / "cpuinfo") or "").splitlines():
        key, _, value = line.partition(":")
        facts.setdefault(key.strip(), value.strip())
    vendor = facts.get("vendor_id") or facts.get("CPU implementer", "")
    return Cpu(vendor, facts.get("model name") or None, "hypervisor" in facts.get("flags", "").split())
