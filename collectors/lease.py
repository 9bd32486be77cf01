"""Who reads a sensor at every tick: one process of the node, by a lock that the kernel lets go when it dies.

    <home>/lease/<boot id>.<sensor>      empty files, one for each sensor; whoever holds `flock` on one reads it

A lease is a matter of economy, not of truth: a sensor that two processes read counts once all the same. So where there
are no locks, everybody holds everything. The files stay: one that is removed while somebody holds it would be two.

A lock belongs to the open file, which a forked child has too: it closes its own at once, which does not unlock.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterable
from pathlib import Path

_open: set[int] = set()


class Leases:
    """The leases of some sensors. `problem`: why there are no locks, if there are none."""

    def __init__(self, folder: Path, sensors: Iterable[str]) -> None:
        self.problem: str | None = None
        self._held: set[str] = set()
        self._fds: dict[str, int] = {}
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for sensor in sensors:
                self._fds[sensor] = _opened(folder / f"{_boot_id()}.{_file_safe(sensor)}")
        except OSError as error:
            self._without(error)

    def hold(self, sensor: str) -> bool:
        """Whether this process holds the lease of a sensor, now that it has tried."""
        if sensor not in self._held and (sensor not in self._fds or self._take(self._fds[sensor])):
            self._held.add(sensor)
        return sensor in self._held

    def held(self, sensors: tuple[str, ...]) -> tuple[str, ...]:
        """Those of some sensors whose lease this process holds."""
        return sensors if self._held.issuperset(sensors) else tuple(filter(self.hold, sensors))

    def release(self) -> None:
        """Lets go of all of them, for others to take."""
        self._held.clear()
        for fd in self._fds.values():
            with contextlib.suppress(OSError):
                fcntl.flock(fd, fcntl.LOCK_UN)

    def close(self) -> None:
        self.release()
        for fd in self._fds.values():
            _closed(fd)
        self._fds.clear()

    def _take(self, fd: int) -> bool:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                return False
            self._without(error)
        return True

    def _without(self, error: OSError) -> None:
        self.problem = f"no leases ({error.strerror}): each process reads the sensors of the node for itself"


def _opened(path: Path) -> int:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    _open.add(fd)
    return fd


def _closed(fd: int) -> None:
    _open.discard(fd)
    with contextlib.suppress(OSError):
        os.close(fd)


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return _file_safe(os.uname().nodename)


def _file_safe(text: str) -> str:
    """A name for each text, and no other text's."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "._-") else f"%{ord(c):x}." for c in text)


def _leave_to_parent() -> None:
    """In a forked child."""
    for fd in tuple(_open):
        _closed(fd)


os.register_at_fork(after_in_child=_leave_to_parent)
