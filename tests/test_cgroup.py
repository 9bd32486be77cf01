"""What a cgroup sets aside, and what all in it has used: on trees as the kernel shows them."""

from __future__ import annotations

import os

import pytest

from joulebook.collectors import cgroup
from joulebook.collectors.sensors import Where

GIB = 1 << 30


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A node of 16 CPUs and 64 GiB; this process is in /job/step and may run on all CPUs."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)))
    put(tmp_path, "sys/devices/system/cpu/online", "0-15\n")
    put(tmp_path, "proc/meminfo", f"MemTotal:       {64 * GIB // 1024} kB\nMemFree:        1 kB\n")
    put(tmp_path, "proc/self/cgroup", "1:name=systemd:/x\n0::/job/step\n")
    put(tmp_path, "sys/fs/cgroup/job/step/cgroup.procs", "")
    return Where(tmp_path / "sys", tmp_path / "proc")


def put(root, path, text):
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_without_a_limit_all_of_the_node_may_be_used(here):
    assert (cgroup.reserved_cpus(here)[0], cgroup.cpu_part(here), cgroup.memory_part(here)) == (
        16,
        (1.0, None),
        (1.0, None),
    )


@pytest.mark.parametrize(
    ("files", "cpus"),
    [
        ({"job/step/cpuset.cpus.effective": "0-3,8\n"}, 5),
        ({"job/cpuset.cpus.effective": "2\n"}, 1),  # of what it lies in
        ({"job/step/cpuset.cpus.effective": "\n"}, 16),  # no cpuset controller
        ({"job/step/cpu.max": "150000 100000\n"}, 1.5),
        ({"job/step/cpu.max": "max 100000\n"}, 16),
        ({"job/cpu.max": "400000 100000\n", "job/step/cpu.max": "800000 100000\n"}, 4),
        ({"job/cpu.max": "3200000 100000\n"}, 16),  # more than there are
        ({"job/cpuset.cpus.effective": "0-7\n", "job/step/cpu.max": "1000000 100000\n"}, 8),
        ({"cpu.max": "200000 100000\n"}, 2),  # in a container the cgroup at the top may have one
    ],
)
def test_the_tightest_of_affinity_cpuset_and_quota_holds(here, files, cpus):
    for path, text in files.items():
        put(here.sys, f"fs/cgroup/{path}", text)
    assert cgroup.reserved_cpus(here)[0] == cpus
    assert cgroup.cpu_part(here)[0] == cpus / 16


def test_an_affinity_is_a_limit_too(here, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 4})
    put(here.sys, "fs/cgroup/job/cpuset.cpus.effective", "0-7\n")
    assert (cgroup.reserved_cpus(here)[0], cgroup.cpu_part(here)) == (2, (0.125, "cpus 3,4"))


@pytest.mark.parametrize(
    ("files", "part"),
    [
        ({"job/step/memory.max": f"{16 * GIB}\n"}, 0.25),
        ({"job/memory.max": f"{32 * GIB}\n", "job/step/memory.max": "max\n"}, 0.5),
        ({"job/step/memory.max": f"{999 * GIB}\n"}, 1.0),
    ],
)
def test_the_memory_that_is_set_aside(here, files, part):
    for path, text in files.items():
        put(here.sys, f"fs/cgroup/{path}", text)
    assert cgroup.memory_part(here)[0] == part


@pytest.mark.parametrize("told", ["", "12:cpu:/x\n", "0::/elsewhere\n", "0::/../other\n"])
def test_without_version_2_or_where_it_is_hidden_only_the_affinity_counts(here, told):
    put(here.proc, "self/cgroup", told)
    put(here.sys, "fs/cgroup/job/step/cpu.max", "100000 100000\n")
    assert cgroup.folder(str(here.sys), str(here.proc)) is None
    assert (cgroup.reserved_cpus(here)[0], cgroup.memory_part(here)) == (16, (1.0, None))


def test_in_a_container_the_cgroup_is_the_root_that_it_sees(here):
    put(here.proc, "self/cgroup", "0::/\n")
    put(here.sys, "fs/cgroup/cgroup.procs", "1\n")
    assert cgroup.folder(str(here.sys), str(here.proc)) == f"{here.sys}/fs/cgroup"


def test_what_is_in_a_cgroup_and_what_it_has_used(here):
    group = f"{here.sys}/fs/cgroup/job"
    put(here.sys, "fs/cgroup/job/cgroup.procs", "11\n12\n")
    put(here.sys, "fs/cgroup/job/step/cgroup.procs", "13\n0\n")
    put(here.sys, "fs/cgroup/job/cpu.stat", "usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\n")
    assert sorted(cgroup.pids(group)) == [0, 11, 12, 13]
    assert cgroup.cpu_s(group) == 2.5
    assert cgroup.cpu_s(f"{group}/step") is None


@pytest.mark.parametrize(("cpus", "count"), [("", 0), ("\n", 0), ("0", 1), ("0-3", 4), ("0-1,4,6-8\n", 6)])
def test_a_list_of_cpus_is_counted(cpus, count):
    assert cgroup.count_of(cpus) == count


def test_what_is_reserved_is_whose_limit_it_is(here):
    """The cgroup of the job has 4 CPUs and half of the memory: all its tasks have that together."""
    put(here.sys, "fs/cgroup/job/cpu.max", "400000 100000\n")
    put(here.sys, "fs/cgroup/job/memory.max", f"{32 * GIB}\n")
    job = f"cgroup {(here.sys / 'fs/cgroup/job').stat().st_ino}"
    assert (cgroup.cpu_part(here), cgroup.memory_part(here)) == ((0.25, job), (0.5, job))
