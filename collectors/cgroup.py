"""The cgroup (version 2) of this process: what of the node is set aside for it, and what everything in it has used.

    <proc>/self/cgroup  ->  <sys>/fs/cgroup/<path>:  cpu.max · cpuset.cpus.effective · memory.max · cpu.stat · …

Limits are those of the cgroup and of all that it lies in. Where there is none, the whole node may be used.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

TYPE_CHECKING = False  # what `Where` stands beside is too much to load for its name
if TYPE_CHECKING:
    from joulebook.collectors.sensors import Where


def folder(sys_root: str = "/sys", proc_root: str = "/proc") -> str | None:
    """The folder of this process's cgroup; None without version 2, or where the kernel hides it."""
    for line in _text(f"{proc_root}/self/cgroup").splitlines():
        if line.startswith("0::"):
            found = os.path.normpath(f"{sys_root}/fs/cgroup/{line[3:]}")
            return found if os.path.exists(f"{found}/cgroup.procs") else None  # noqa: PTH110 - no pathlib here
    return None


def reserved_cpus(where: Where) -> tuple[float, str]:
    """How many CPUs this process may keep busy, by affinity, cpuset and quota, and whose limit that is."""
    cpus = _affinity()
    limits = [(float(len(cpus)), f"cpus {','.join(map(str, cpus))}")]
    for group in _groups(where):
        count = count_of(_text(f"{group}/cpuset.cpus.effective"))
        limits += [(float(count), _id(group))] if count else []
        quota = _text(f"{group}/cpu.max").split()
        if len(quota) == 2 and quota[0] != "max":
            limits.append((int(quota[0]) / int(quota[1]), _id(group)))
    return min(limits, key=lambda limit: limit[0])


def cpu_part(where: Where) -> tuple[float, str | None]:
    """The part of the node's CPUs that is set aside for this process, 0 to 1, and for whom, if it is not all."""
    cpus = count_of(_text(f"{where.sys}/devices/system/cpu/online")) or os.cpu_count() or 1
    reserved, whose = reserved_cpus(where)
    return (reserved / cpus, whose) if reserved < cpus else (1.0, None)


def memory_part(where: Where) -> tuple[float, str | None]:
    """The part of the node's memory that is set aside for this process, 0 to 1, and for whom, if it is not all."""
    limits = [(_text(f"{group}/memory.max").strip(), group) for group in _groups(where)]
    limits_byte = [(int(limit), group) for limit, group in limits if limit.isdigit()]
    total_byte = _total_byte(where)
    least_byte, group = min(limits_byte, key=lambda limit: limit[0], default=(total_byte, ""))
    return (least_byte / total_byte, _id(group)) if least_byte < total_byte else (1.0, None)


def cpu_s(group: str) -> float | None:
    """CPU seconds of all that ever was in a cgroup and in those inside it; None where the kernel does not tell."""
    for line in _text(f"{group}/cpu.stat").splitlines():
        if line.startswith("usage_usec "):
            return int(line.split()[1]) / 1e6
    return None


def pids(group: str) -> Iterator[int]:
    """The processes in a cgroup and in those inside it; 0 stands for one that this process cannot see."""
    for path, _, _ in os.walk(group):
        yield from map(int, _text(f"{path}/cgroup.procs").split())


def count_of(cpus: str) -> int:
    """How many CPUs a list of the kernel names: `0-3,8` are five."""
    count = 0
    for part in filter(None, cpus.strip().split(",")):
        first, _, last = part.partition("-")
        count += int(last or first) - int(first) + 1
    return count


def _groups(where: Where) -> Iterator[str]:
    """The cgroup of this process and all that it lies in."""
    root = os.path.normpath(f"{where.sys}/fs/cgroup")
    group = folder(str(where.sys), str(where.proc))
    while group is not None and group.startswith(root):
        yield group
        group = os.path.dirname(group)  # noqa: PTH120 - no pathlib here


def _id(group: str) -> str:
    """A cgroup's inode: its path may be another in each container."""
    return f"cgroup {os.stat(group).st_ino}"  # noqa: PTH116 - no pathlib here


def _affinity() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _total_byte(where: Where) -> int:
    for line in _text(f"{where.proc}/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return 0


def _text(path: str) -> str:
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - no pathlib here
            return file.readall().decode("ascii", "replace")
    except OSError:
        return ""
