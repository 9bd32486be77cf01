"""CPU seconds of the whole process tree: what every machine can tell, without rights and without hardware.

    value = this process + children already reaped + live descendants

A child's time stands in the second term once its parent has waited for it and in the third until then. Each is read
before what it could move from, so that no second counts twice; what is missed for a moment is there at the next
reading, and until then the value stands still. A descendant that leaves the tree without being waited for (a daemon)
takes its time out of the sum: a sum that is still too low at the next walk is taken as the new beginning.

Where all that is in our cgroup is known to be of our tree, the kernel's own sum for the cgroup takes the place of ours:
it has the daemons too. The value goes on from where it was, whichever sum moves it. A process without children does
not ask: its own clock is finer than a cgroup's, which the scheduler brings up to date now and then.

Live descendants are found by walking /proc and only if there are children at all. The walk is done by `refresh`, at
the edges of a run and at ticks a second and a half apart at least; `read` asks the descendants that the last walk
found. Without /proc there are only the first two terms.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Sequence

from joulebook.accounting.records import Reading
from joulebook.collectors import cgroup

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")

_tree: tuple[int, frozenset[int]] = (0, frozenset())  # the last walk: whose tree, and the live descendants


class CpuTime:
    """The meter `cpu-time`. With `outside`, this process itself does not count: only what it started."""

    name = "cpu-time"

    def __init__(self, outside: bool = False) -> None:
        self._outside = outside
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._live: dict[int, int] = {}  # process id -> when it started: ids are used again
        self._value_s = 0.0
        self._walked = False
        self._left_s = 0.0  # of descendants that left the tree
        self._dip_s: float | None = None  # the sum, if it was too low at the last walk
        self._known: dict[int, int] = {}  # what of our tree is in our cgroup, also if it has left the tree
        self._group: str | None = None  # our cgroup, where it is the one that counts
        self._ahead_s = 0.0  # the value less what the cgroup says

    def refresh(self) -> None:
        """Finds the live descendants anew; the next `read` then settles what has left the tree."""
        global _tree  # noqa: PLW0603
        self._in_this_process()
        self._walked = True
        if not (self._live or self._known or self._group or _tree[1]) and not _has_children():
            return  # as before: so it is at nearly every tick
        self._live = _descendants() if _has_children() else {}
        _tree = (self._pid, frozenset(self._live))
        group = self._own_group()
        if group != self._group:
            self._change_to(group)

    def read(self) -> Sequence[Reading]:
        """CPU seconds so far; never less than before."""
        self._in_this_process()
        used_s = None if self._group is None else cgroup.cpu_s(self._group)
        if used_s is not None:
            self._value_s = max(self._value_s, used_s + self._ahead_s)
        else:
            self._add_up()
        return (Reading("cpu-time", self._value_s, "s", "measured", "cpu", "it"),)

    def _add_up(self) -> None:
        sum_s = self._sum_s()
        if self._group is not None:  # it cannot be read any more
            self._begin_sum(sum_s)
        elif self._walked:
            self._settle(sum_s)
        self._value_s = max(self._value_s, sum_s + self._left_s)

    def _change_to(self, group: str | None) -> None:
        """The value as it is now is where another source goes on from."""
        self.read()
        used_s = None if group is None else cgroup.cpu_s(group)
        if group is None or used_s is None:
            self._begin_sum(max(self._sum_s(), self._sum_s()))  # one may miss a child that is just being waited for
        else:
            self._group, self._ahead_s = group, self._value_s - used_s

    def _begin_sum(self, sum_s: float) -> None:
        self._group, self._walked, self._dip_s = None, False, None
        self._left_s = self._value_s - sum_s

    def _own_group(self) -> str | None:
        """Our cgroup, if it holds our tree, more than this process, and nothing that is not known to be of it."""
        if self._outside or not (self._live or self._known):
            return None
        left = ((pid, started) for pid, started in self._known.items() if pid not in self._live)
        self._known = self._live | {pid: started for pid, started in left if _is_running(pid, started)}
        group = cgroup.folder()
        if group is None:
            return None
        inside: set[int] = set()
        for pid in cgroup.pids(group):
            if pid != self._pid and pid not in self._known:
                return None
            inside.add(pid)
        elsewhere = [pid for pid in self._live if pid not in inside and _is_running(pid, self._live[pid])]
        return None if elsewhere or cgroup.cpu_s(group) is None else group

    def _in_this_process(self) -> None:
        if self._pid != os.getpid():
            self._begin()  # a fork begins with all its counters at zero

    def _sum_s(self) -> float:
        if not self._live:
            return self._own_s() + _reaped_s()
        sum_s = 0.0
        for _ in range(3):  # again if a child was waited for meanwhile: its time would be in neither term
            reaped_s = _reaped_s()
            sum_s = self._own_s() + reaped_s + self._live_s()
            if reaped_s == _reaped_s():
                break
        return sum_s

    def _own_s(self) -> float:
        return 0.0 if self._outside else time.process_time()

    def _settle(self, sum_s: float) -> None:
        """Takes a sum that is too low at two walks in a row for final."""
        self._walked = False
        if sum_s + self._left_s >= self._value_s:
            self._dip_s = None
        elif self._dip_s is None:
            self._dip_s = sum_s
        else:
            self._left_s = self._value_s - self._dip_s
            self._dip_s = None

    def _live_s(self) -> float:
        if not self._live:
            return 0.0
        found = ((_times(pid), started) for pid, started in self._live.items())
        return sum(times[0] for times, started in found if times is not None and times[1] == started)


def open_meter() -> CpuTime:
    """The factory named in the entry point."""
    return CpuTime()


def tree_pids() -> frozenset[int]:
    """This process and its live descendants, as of the last walk."""
    pid, live = _tree
    own = os.getpid()
    return live | {own} if pid == own else frozenset({own})


def _is_running(pid: int, started: int) -> bool:
    """Whether that process has not ended: a zombie has, and is in no cgroup any more."""
    fields = _stat(pid)
    return len(fields) >= 20 and fields[0] not in (b"Z", b"X") and int(fields[19]) == started


def _reaped_s() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime


def _has_children() -> bool:
    """Asks the kernel without waiting and without taking anything from the job's own waits."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _descendants() -> dict[int, int]:
    """The process tree below this one: id -> start."""
    found: dict[int, int] = {}
    todo = _children(os.getpid())
    while todo:
        pid = todo.pop()
        times = _times(pid)
        if times is not None:
            found[pid] = times[1]
            todo += _children(pid)
    return found


def _children(pid: int) -> list[int]:
    folder = f"/proc/{pid}/task"
    try:
        threads = os.listdir(folder)  # noqa: PTH208 - five times as fast, once a second for each process
    except OSError:
        return []  # it has ended, or there is no /proc
    return [int(child) for thread in threads for child in content(f"{folder}/{thread}/children").split()]


def _times(pid: int) -> tuple[float, int] | None:
    """CPU seconds of a process and the children it has waited for, and its start in ticks; None if it is gone."""
    fields = _stat(pid)
    if len(fields) < 20:
        return None
    return sum(map(int, fields[11:15])) / _TICKS_PER_S, int(fields[19])


def _stat(pid: int) -> list[bytes]:
    return content(f"/proc/{pid}/stat").rpartition(b")")[2].split()  # its name may hold spaces and brackets


def content(path: str) -> bytes:
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - as above
            return file.read() or b""
    except OSError:
        return b""
