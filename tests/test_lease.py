"""Leases: one holder at a time, and free as soon as it is gone."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from recording import wait_until

from joulebook.collectors.lease import Leases

HOLD = """
import os, sys
from pathlib import Path
from joulebook.collectors.lease import Leases
leases = Leases(Path(sys.argv[1]), ["cpu"])
assert leases.hold("cpu")
"""
WAIT = "print('held', flush=True)\nsys.stdin.read()\n"
# The child lives on after its parent; it ends when the test closes the pipe that is its standard input.
FORK = """
if os.fork() == 0:
    print("held", flush=True)
    sys.stdin.read()
    os._exit(0)
os.wait()
"""


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "home/lease"


def holder(folder, code):
    command = [sys.executable, "-c", HOLD + code, str(folder)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    return process


def test_each_sensor_has_one_holder(folder):
    one, other = Leases(folder, ["cpu", "gpu"]), Leases(folder, ["cpu", "gpu"])
    assert [one.hold("cpu"), one.hold("cpu"), other.hold("cpu"), other.hold("gpu"), one.hold("gpu")] == [
        True, True, False, True, False,
    ]  # fmt: skip
    one.release()
    assert [other.hold("cpu"), one.hold("cpu")] == [True, False]
    other.close()
    assert [one.hold("cpu"), one.hold("gpu")] == [True, True]
    one.close()


def test_a_holder_that_is_killed_lets_go(folder):
    with holder(folder, WAIT) as process:
        leases = Leases(folder, ["cpu"])
        assert not leases.hold("cpu")
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert leases.hold("cpu")
    leases.close()


def test_a_forked_child_keeps_nothing_of_its_parents(folder):
    with holder(folder, FORK) as process:
        leases = Leases(folder, ["cpu"])
        assert not leases.hold("cpu")  # the child has closed its copy, the parent still holds
        process.send_signal(signal.SIGKILL)
        assert wait_until(lambda: leases.hold("cpu"))  # though the child is alive
        process.stdin.close()
        assert process.stdout.read() == ""  # returns when the child has ended
    leases.close()


def test_a_program_that_is_started_inherits_nothing(folder):
    leases = Leases(folder, ["cpu"])
    assert leases.hold("cpu")
    with subprocess.Popen(["sleep", "60"], close_fds=False) as child:
        leases.close()
        other = Leases(folder, ["cpu"])
        assert other.hold("cpu")
        other.close()
        child.kill()


def test_the_files_stay_and_each_sensor_has_its_own(folder):
    names = ["nvml:GPU-9f/0", "nvml:GPU-9f_0", "nvml:GPU-9f%2f.0", "größe", "x" * 150]
    leases = Leases(folder, names)
    assert all(map(leases.hold, names))
    leases.close()
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    files = [path.name for path in folder.iterdir()]
    assert len(files) == len(names)
    assert {name.partition(".")[0] for name in files} == {boot_id}
    assert f"{boot_id}.nvml%3a.GPU-9f%2f.0" in files


@pytest.mark.parametrize("error", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_where_there_are_no_locks_everybody_reads(folder, monkeypatch, error):
    def unsupported(fd, how):
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(fcntl, "flock", unsupported)
    one, other = Leases(folder, ["cpu"]), Leases(folder, ["cpu"])
    assert (one.hold("cpu"), other.hold("cpu")) == (True, True)
    assert one.problem == f"no leases ({os.strerror(error)}): each process reads the sensors of the node for itself"
    one.close()
    other.close()


def test_where_no_file_can_be_made_everybody_reads(folder):
    folder.parent.write_text("a file where the folder should be")
    leases = Leases(folder, ["cpu"])
    assert leases.hold("cpu")
    assert leases.problem is not None
    assert leases.problem.startswith("no leases (Not a directory)")
    leases.close()
