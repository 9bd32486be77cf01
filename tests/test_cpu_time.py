"""CPU time of the process tree: every second once, wherever in the tree it was spent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
from recording import python

from joulebook.collectors import cgroup, cpu_time
from joulebook.collectors.cpu_time import CpuTime, open_meter, tree_pids

# Burns CPU by its own clock, says how much it has used in all, and waits.
BURN = """
import sys, time
while time.process_time() < float(sys.argv[1]): pass
print(time.process_time(), flush=True)
sys.stdin.read()
"""
# The same in a grandchild: the child in between waits for it.
RELAY = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[2], sys.argv[1]], check=True)"


def value_s(meter):
    meter.refresh()
    (reading,) = meter.read()
    return reading.value


def burning(code, seconds, *arguments):
    command = [sys.executable, "-c", code, str(seconds), *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_what_the_reading_says_it_is():
    (reading,) = open_meter().read()
    assert reading[:1] + reading[2:] == ("cpu-time", "s", "measured", "cpu", "it")


def test_the_own_time_is_that_of_the_process():
    meter = CpuTime()
    before = value_s(meter), time.process_time()
    while time.process_time() < before[1] + 0.2:
        pass
    after = value_s(meter), time.process_time()
    assert after[0] - before[0] == pytest.approx(after[1] - before[1], abs=0.02)


@pytest.mark.parametrize("arguments", [(BURN,), (RELAY, BURN)], ids=["child", "grandchild"])
def test_a_child_counts_while_it_lives_and_just_as_much_after_it_was_waited_for(arguments):
    meter = CpuTime(outside=True)
    before = value_s(meter)
    with burning(arguments[0], 0.3, *arguments[1:]) as child:
        burnt_s = float(child.stdout.readline())
        alive = value_s(meter) - before
        at_edge = meter.read()[0].value - before  # no walk: asks those that the walk found
        child.stdin.close()
        child.wait()
    ended = value_s(meter) - before
    # The clock of a live process ticks in hundredths, one for each of user and system time, in each process.
    assert alive == pytest.approx(burnt_s, abs=0.1)
    assert alive <= at_edge <= ended
    assert ended == pytest.approx(burnt_s, abs=0.1)


def test_many_children_at_once_are_added():
    meter = CpuTime(outside=True)
    before = value_s(meter)
    children = [burning(BURN, 0.15) for _ in range(3)]
    burnt_s = sum(float(child.stdout.readline()) for child in children)
    alive = value_s(meter) - before
    for child in children:
        child.communicate()
    assert alive == pytest.approx(burnt_s, abs=0.15)
    assert value_s(meter) - before == pytest.approx(burnt_s, abs=0.15)


def test_seen_from_outside_the_own_time_does_not_count():
    meter = CpuTime(outside=True)
    before = value_s(meter)
    end = time.process_time() + 0.1
    while time.process_time() < end:
        pass
    assert value_s(meter) == before


def test_a_forked_child_begins_at_zero():
    code = """
import os, time
from joulebook.collectors.cpu_time import CpuTime
while time.process_time() < 0.3: pass
meter = CpuTime()
meter.refresh()
assert meter.read()[0].value >= 0.3
if os.fork() == 0:
    meter.refresh()
    print(meter.read()[0].value < 0.1)
else:
    os.wait()
"""
    assert python(code).stdout == "True\n"


def test_without_children_nothing_is_walked(monkeypatch):
    monkeypatch.setattr(cpu_time, "_has_children", lambda: False)
    monkeypatch.setattr(cpu_time, "_descendants", lambda: pytest.fail("walked"))
    value_s(CpuTime())


def test_asking_for_children_takes_nothing_from_the_jobs_own_waits():
    child = os.posix_spawn(sys.executable, [sys.executable, "-c", "raise SystemExit(7)"], os.environ)
    while not os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT):
        pass
    value_s(CpuTime())
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_where_children_are_reaped_by_nobody_their_time_stays_counted():
    """With SIGCHLD ignored the kernel forgets a child's time when it ends; the meter does not."""
    code = """
import signal, subprocess, sys, time
from joulebook.collectors.cpu_time import CpuTime
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
meter = CpuTime(outside=True)
child = subprocess.Popen([sys.executable, "-c", sys.argv[1], "0.3"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
burnt_s = float(child.stdout.readline())
meter.refresh()
alive = meter.read()[0].value
child.stdin.close()
child.wait()
for _ in range(2):
    meter.refresh()
    ended = meter.read()[0].value
other = subprocess.Popen([sys.executable, "-c", sys.argv[1], "0.2"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
burnt_s += float(other.stdout.readline())
meter.refresh()
print(burnt_s, meter.read()[0].value, alive == ended)
other.stdin.close()
other.wait()
"""
    burnt_s, counted_s, stood_still = python(code, BURN).stdout.split()
    assert stood_still == "True"
    assert float(counted_s) == pytest.approx(float(burnt_s), abs=0.1)


class Scene:
    """Seconds that the kernel would tell, set by hand: reaped, and of each live process."""

    def __init__(self, monkeypatch):
        self.reaped_s = 0.0
        self.live = {}
        monkeypatch.setattr(cpu_time, "_reaped_s", lambda: self.reaped_s)
        monkeypatch.setattr(cpu_time, "_has_children", lambda: True)
        monkeypatch.setattr(cpu_time, "_descendants", lambda: dict.fromkeys(self.live, 0))
        monkeypatch.setattr(cpu_time, "_times", lambda pid: (self.live[pid], 0) if pid in self.live else None)


def test_a_child_that_ends_between_two_looks_is_missed_for_a_moment_and_never_counted_twice(monkeypatch):
    scene = Scene(monkeypatch)
    meter = CpuTime(outside=True)
    scene.live = {1: 5.0, 2: 1.0}
    assert value_s(meter) == 6.0
    del scene.live[1]  # its grandparent's count does not have it yet
    assert value_s(meter) == 6.0  # 1.0 would be too low: it stands still
    scene.reaped_s = 5.5
    assert value_s(meter) == 5.5 + 1.0


def test_a_daemon_that_leaves_the_tree_takes_nothing_back_and_hides_nothing(monkeypatch):
    scene = Scene(monkeypatch)
    meter = CpuTime(outside=True)
    scene.live = {1: 100.0, 2: 1.0}
    assert value_s(meter) == 101.0
    del scene.live[1]  # it is nobody's child now
    assert value_s(meter) == 101.0
    scene.live[2] = 3.0
    assert value_s(meter) == 103.0  # the second walk: gone for good; the 2 s of the other count
    scene.live[2] = 10.0
    assert value_s(meter) == 110.0


def test_a_process_that_got_the_id_of_another_is_not_it(monkeypatch):
    scene = Scene(monkeypatch)
    meter = CpuTime(outside=True)
    scene.live = {1: 5.0}
    assert value_s(meter) == 5.0
    scene.reaped_s, scene.live = 5.0, {}
    monkeypatch.setattr(cpu_time, "_times", lambda pid: (400.0, 9999))  # started later
    assert meter.read()[0].value == 5.0


def test_a_child_that_is_waited_for_during_a_look_is_looked_at_again(monkeypatch):
    scene = Scene(monkeypatch)
    meter = CpuTime(outside=True)
    scene.live = {1: 5.0}
    assert value_s(meter) == 5.0
    reaped = iter([0.0, 5.25, 5.25, 5.25])  # it ends between the two terms of the first look
    monkeypatch.setattr(cpu_time, "_reaped_s", lambda: next(reaped))
    scene.live = {}
    assert meter.read()[0].value == 5.25


def test_a_name_with_brackets_and_spaces_does_not_move_the_fields(tmp_path):
    program = tmp_path / "a ) b (c"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([str(program), "60"]) as child:
        times = cpu_time._times(child.pid)
        child.send_signal(signal.SIGKILL)
    assert times is not None
    assert times[0] == pytest.approx(0, abs=0.05)
    assert times[1] > 0
    assert cpu_time._times(child.pid) is None


# A cgroup of our own ------------------------------------------------------------------------------------------------


class Group:
    """Our cgroup as the kernel would show it: who is in it, and the seconds that all of them have used."""

    def __init__(self, monkeypatch, scene):
        self.inside = {os.getpid()}
        self.used_s: float | None = 0.0
        monkeypatch.setattr(cgroup, "folder", lambda: "ours")
        monkeypatch.setattr(cgroup, "pids", lambda group: iter(self.inside))
        monkeypatch.setattr(cgroup, "cpu_s", lambda group: self.used_s)
        monkeypatch.setattr(cpu_time, "_is_running", lambda pid, started: pid in scene.live or pid in self.daemons)
        self.daemons: set[int] = set()


@pytest.fixture
def scene(monkeypatch):
    made = Scene(monkeypatch)
    monkeypatch.setattr(CpuTime, "_own_s", lambda self: 0.0)
    return made


@pytest.fixture
def group(monkeypatch, scene):
    return Group(monkeypatch, scene)


def test_a_cgroup_of_our_tree_alone_is_the_counter(scene, group):
    meter = CpuTime()
    scene.live = {1: 2.0}
    group.inside |= {1}
    group.used_s = 50.0  # since before this process
    assert value_s(meter) == 2.0  # it goes on from there
    group.used_s = 53.0
    scene.live[1] = 4.0
    assert value_s(meter) == 2.0 + 3.0
    group.used_s = 53.5  # also at an edge, without a walk
    assert meter.read()[0].value == 5.5


def test_a_daemon_that_was_seen_in_our_tree_stays_counted(scene, group):
    meter = CpuTime()
    scene.live = {1: 1.0, 2: 1.0}
    group.inside |= {1, 2}
    group.used_s = 2.0
    assert value_s(meter) == 2.0
    del scene.live[2]  # nobody's child any more, but alive, in our cgroup
    group.daemons = {2}
    group.used_s = 7.0
    assert value_s(meter) == 7.0


def test_with_a_stranger_in_it_the_cgroup_is_not_ours_and_the_value_goes_on(scene, group):
    meter = CpuTime()
    scene.live = {1: 1.0}
    group.inside |= {1}
    group.used_s = 10.0
    assert value_s(meter) == 1.0
    group.used_s, scene.live[1] = 14.0, 4.5
    group.inside |= {99}
    assert value_s(meter) == 1.0 + 4.0  # the last of the cgroup
    group.used_s, scene.live[1] = 100.0, 5.0
    assert value_s(meter) == 5.0 + 0.5  # 95.5 s of the stranger's are not ours
    group.inside -= {99}
    assert value_s(meter) == 5.5
    group.used_s = 101.0
    assert value_s(meter) == 6.5


def test_a_child_in_another_cgroup_makes_ours_too_little(scene, group):
    meter = CpuTime()
    scene.live = {1: 1.0, 2: 2.0}
    group.inside |= {1}
    group.used_s = 500.0
    assert value_s(meter) == 3.0
    group.used_s, scene.live[2] = 501.0, 12.0
    assert value_s(meter) == 13.0


def test_a_cgroup_that_cannot_be_read_any_more_is_left(scene, group):
    meter = CpuTime()
    scene.live = {1: 1.0}
    group.inside |= {1}
    assert value_s(meter) == 1.0
    group.used_s = 2.0
    assert value_s(meter) == 3.0
    group.used_s, scene.live[1] = None, 2.5
    assert value_s(meter) == 3.0  # from here on the tree counts
    scene.live[1] = 3.0
    assert value_s(meter) == 3.5


def test_without_children_and_from_outside_no_cgroup_is_asked(monkeypatch, scene):
    monkeypatch.setattr(cgroup, "folder", lambda: pytest.fail("asked"))
    assert value_s(CpuTime()) == 0.0
    scene.live = {1: 2.0}
    assert value_s(CpuTime(outside=True)) == 2.0


def test_a_zombie_runs_no_more():
    with subprocess.Popen([sys.executable, "-c", "pass"]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and nobody has waited for it
        times = cpu_time._times(child.pid)
        assert times is not None
        assert not cpu_time._is_running(child.pid, times[1])
    own = cpu_time._times(os.getpid())
    assert own is not None
    assert cpu_time._is_running(os.getpid(), own[1])
    assert not cpu_time._is_running(os.getpid(), own[1] + 1)


def test_the_processes_of_our_tree_are_those_of_the_last_walk():
    with burning(BURN, 0) as child:
        child.stdout.readline()
        CpuTime().refresh()
        assert tree_pids() == {os.getpid(), child.pid}
        child.stdin.close()
    assert tree_pids() == {os.getpid(), child.pid}
    CpuTime().refresh()
    assert tree_pids() == {os.getpid()}


def test_a_forked_child_is_a_tree_of_its_own():
    code = """
import os, subprocess
from joulebook.collectors.cpu_time import CpuTime, tree_pids
child = subprocess.Popen(["sleep", "60"])
CpuTime().refresh()
assert len(tree_pids()) == 2
if os.fork() == 0:
    print(tree_pids() == {os.getpid()})
else:
    os.wait()
    child.kill()
"""
    assert python(code).stdout == "True\n"
