"""Runs of more than one process, and of one that is killed."""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import subprocess
import sys
import threading

import pytest
from recording import (
    events,
    events_in,
    fresh_settings,
    names_and_parents,
    of,
    python,
    span,
)

from joulebook import configure, track
from joulebook.accounting.home import journal_dir
from joulebook.accounting.records import uuid7
from joulebook.collectors import sampler

ID = "01a209d7-77c2-7eb1-bd53-e027ad8b2145"


@pytest.fixture(autouse=True)
def settings():
    """Each test begins and ends with no settings of its own, and closes what it opens."""
    with fresh_settings():
        yield


def test_a_subprocess_knows_whose_child_it_is(home):
    child = "from joulebook import track\nwith track('child'):\n    with track('grandchild'): pass"
    assert sampler.PARENT not in os.environ
    with track("run", project="search/ß %") as run:
        value = os.environ[sampler.PARENT]
        with track("epoch"):
            python(child)
    assert value == f"{run.run_id}/{run.span_id}/search%2F%C3%9F%20%25"
    assert sampler.PARENT not in os.environ
    python(child.replace("child", "orphan"))
    assert names_and_parents(home) == {
        "run": None, "epoch": "run", "child": "run", "grandchild": "child", "orphan": None, "grandorphan": "orphan",
    }  # fmt: skip
    start = span(events(home), "child")[0]
    assert (start["run_id"], start["project"], start["open"]) == (run.run_id, "search/ß %", 1)


def test_what_somebody_outside_has_set_stays(home, monkeypatch):
    outside = f"{uuid7()}/{uuid7()}/theirs"
    monkeypatch.setenv(sampler.PARENT, outside)
    configure(interval_s=5)  # a process reads it when it first records
    with track("run") as run:
        assert os.environ[sampler.PARENT] == outside
    assert os.environ[sampler.PARENT] == outside
    assert (run.run_id, run.parent_id, run.project) == (*outside.split("/")[:2], "theirs")
    assert [event["open"] for event in events(home) if "open" in event] == [1, 0]  # no parent in this process


@pytest.mark.parametrize("text", ["", "x", "a/b/c", f"{ID}/{ID}", f"{ID}//p", f"{ID}/{'g' * 36}/p"])
def test_a_parent_that_is_none_is_ignored(home, monkeypatch, text):
    monkeypatch.setenv(sampler.PARENT, text)
    configure(interval_s=5)
    with track("run") as run:
        pass
    assert run.parent_id is None


def test_while_any_run_is_open_subprocesses_have_a_parent(home):
    go_on, opened = threading.Event(), threading.Event()

    def work():
        with track("in a thread"):
            opened.set()
            go_on.wait()

    thread = threading.Thread(target=work)
    thread.start()
    opened.wait()
    with track("second") as second:
        first = next(e["run_id"] for e in events(home) if e.get("name") == "in a thread")
        assert os.environ[sampler.PARENT] == f"{first}/{first}/"
        go_on.set()
        thread.join()
        assert os.environ[sampler.PARENT] == f"{second.run_id}/{second.span_id}/"
    assert sampler.PARENT not in os.environ


FORK = """
import os, sys
from joulebook import configure, track
configure(interval_s=3600)
with track("run") as run:
    with track("epoch") as epoch:
        child = os.fork()
        if child == 0:
            epoch.record("token", 5, "token")
            with track("in the child"):
                pass
        else:
            os.waitpid(child, 0)
            run.step()
if child == 0:
    with track("after, in the child"):
        pass
    os._exit(0)
print(child)
"""


def test_a_forked_child_writes_its_own_journal_and_ends_nobodys_spans(home):
    child = int(python(FORK).stdout)
    paths = {events_in(path)[0]["pid"] == child: events_in(path) for path in journal_dir(home).iterdir()}
    parents, childs = paths[False], paths[True]
    names = {e["span_id"]: e["name"] for e in of(parents + childs, "span_start")}
    assert [names[e["span_id"]] for e in of(parents, "span_end")] == ["epoch", "run"]
    assert [names[e["span_id"]] for e in of(childs, "span_end")] == ["in the child", "after, in the child"]
    assert names_and_parents(home) == {
        "run": None, "epoch": "run", "in the child": "epoch",
        # The child has left both spans; its process was started inside the run and stays in it.
        "after, in the child": "run",
    }  # fmt: skip
    (usage,) = of(childs, "usage")
    assert names[usage["span_id"]] == "epoch"
    assert [(e["event"], e["open"]) for e in childs if "open" in e] == [("span_start", 1), ("span_end", 0)] * 2
    assert len(of(parents, "usage")) == 1
    # The child's CPU time begins at zero in its own journal.
    assert of(childs, "span_start")[0]["counters"][0]["value"] < of(parents, "span_end")[-1]["counters"][0]["value"]


def test_a_forked_child_leaves_the_parents_lock_alone(home):
    code = """
import fcntl, os, sys, time
from pathlib import Path
from joulebook import track
def held(path):
    with open(path, "rb") as file:
        try: fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError: return True
        return False
with track("run"):
    (path,) = Path(os.environ["JOULEBOOK_HOME"], "journal").iterdir()
    to_child, from_parent = os.pipe()
    if os.fork() == 0:
        os.close(from_parent)
        os.read(to_child, 1)          # returns when the parent is dying; it closes its files one by one
        tries = 1000
        while held(path) and tries:
            tries -= 1
            time.sleep(0.01)
        os.write(1, str(held(path)).encode())
        os._exit(0)
    os.close(to_child)
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)              # a child ended: its copy of the lock went with it
    print(held(path), end=" ", flush=True)
    os.kill(os.getpid(), 9)
"""
    done = python(code, check=False)
    assert done.returncode == -9
    assert done.stdout == "True False"  # held while the owner lives; free when it is dead, though its child lives


MULTIPROCESSING = """
import multiprocessing, sys
from joulebook import track

def work(n):
    with track(f"worker {n}") as span:
        span.step(n)
    return n

if __name__ == "__main__":
    with track("run", project="p"):
        with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
            print(sum(pool.map(work, range(4))))
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing_works_in_every_way(home, tmp_path, method):
    program = tmp_path / "program.py"
    program.write_text(MULTIPROCESSING)
    command = [sys.executable, str(program), method]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr, done.returncode) == ("6\n", "", 0)
    found = events(home)
    starts = {start["name"]: start for start in of(found, "span_start")}
    assert set(starts) == {"run", "worker 0", "worker 1", "worker 2", "worker 3"}
    assert {starts[f"worker {n}"]["parent_id"] for n in range(4)} == {starts["run"]["span_id"]}
    assert {starts[f"worker {n}"]["project"] for n in range(4)} == {"p"}
    assert sum(usage["amount"] for usage in of(found, "usage")) == 0 + 1 + 2 + 3
    assert len(of(found, "span_end")) == 5


KILLED = """
import os
from joulebook import track
with track("run") as run:
    number = 0
    while True:
        run.step(number)
        os.write(1, b"%d\\n" % number)
        number += 1
"""


@pytest.mark.parametrize("kill", range(5))
def test_what_was_acknowledged_is_on_file_after_a_kill(home, kill):
    with subprocess.Popen([sys.executable, "-c", KILLED], stdout=subprocess.PIPE) as child:
        acknowledged = [child.stdout.readline() for _ in range(50 * (kill + 1))]
        child.send_signal(signal.SIGKILL)
        acknowledged += child.stdout.read().splitlines(keepends=True)
    last = int([line for line in acknowledged if line.endswith(b"\n")][-1])
    (path,) = journal_dir(home).iterdir()
    written = path.read_bytes()
    path.write_bytes(written[: written.rfind(b"\n") + 1])  # a write may stop at a page's end: a line nobody was told of
    found = events_in(path)
    steps = [int(usage["amount"]) for usage in of(found, "usage")]
    assert steps[: last + 1] == list(range(last + 1))
    assert len(steps) <= last + 2  # at most the one that was not acknowledged yet
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # nobody holds it any more


AUDITED = """
import sys
seen = []
sys.addaudithook(lambda event, args: seen.append(event))
from joulebook import track
with track("run") as run:
    run.step()
    import time
    time.sleep(0.3)
bad = [e for e in seen if e.startswith(("socket.", "subprocess.", "os.system", "os.exec", "os.fork", "os.posix_spawn",
                                        "os.spawn", "urllib.", "http.", "signal."))]
print(bad, "open" in seen)
"""


def test_a_run_opens_no_socket_and_starts_no_process(home):
    assert python(AUDITED, JOULEBOOK_INTERVAL_S="0.1").stdout == "[] True\n"


def test_the_log_can_be_heard(home, caplog):
    with caplog.at_level(logging.WARNING, logger="joulebook"), track("run") as run:
        run.step(-1)
    (record,) = caplog.records
    assert (record.name, record.message) == ("joulebook", "step: the amount is negative")
