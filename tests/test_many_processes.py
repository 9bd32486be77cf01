"""Many jobs, many readers, kills at random moments: nothing is lost or counted twice, nobody sees an error."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from recording import values_of, wait_until
from twin.powercap import INTEL_SERVER, feeding

from joulebook.accounting.home import journal_dir
from joulebook.accounting.ledger import ingest, open_ledger
from joulebook.accounting.verify import verify

SPANS = """
import sys
from joulebook import track
with track("worker", project="many"):
    for number in range(int(sys.argv[1]) - 1):
        with track("span") as span:
            span.step()
"""

ACKNOWLEDGE = """
import itertools, sys
from joulebook import track
with track("victim", project="kills") as run:
    for number in itertools.count(1):
        run.record("lines", 1, "line")
        sys.stdout.write(f"{number}\\n")
        sys.stdout.flush()
"""


# Tells of every line of the journal, whoever wrote it, when its write has returned.
ECHO = """
import os, sys
from joulebook import configure, track
write = os.write

def told(fd, data):
    written = write(fd, data)
    write(1, data.partition(b'"seq":')[2].partition(b",")[0] + b"\\n")
    return written

os.write = told
configure(sysfs_root=sys.argv[1], interval_s=0.01)
with track("victim") as run:
    while True:
        run.step()
        with track("inside"):
            pass
"""

RANK = """
import sys
from joulebook import configure, track
configure(sysfs_root=sys.argv[1], interval_s=float(sys.argv[2]))
with track("rank"):
    print("open", flush=True)
    sys.stdin.read()
"""
INTERVAL_S = 0.5
SENSOR = "powercap:package-0"


def start(code: str, *arguments: str, **options: object) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", code, *arguments], text=True, **options)  # type: ignore[call-overload, no-any-return]


def is_in_use(group: int) -> bool:
    """Whether any process is left of a group."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def clean(home: Path) -> list[str]:
    return [violation for check in verify(open_ledger(home)) for violation in check.violations]


@pytest.mark.parametrize(("processes", "spans"), [(8, 50), pytest.param(64, 500, marks=pytest.mark.slow)])
def test_jobs_and_readers_do_not_disturb_each_other(home: Path, processes: int, spans: int) -> None:
    """n processes × m spans while two readers ask in a loop: n·m spans, n runs, no error."""
    jobs = [start(SPANS, str(spans), stderr=subprocess.PIPE) for _ in range(processes)]
    while any(job.poll() is None for job in jobs):
        readers = [
            subprocess.Popen(
                [sys.executable, "-m", "joulebook", "runs", "--json"],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(2)
        ]
        for reader in readers:
            out, error = reader.communicate(timeout=100)
            assert (reader.returncode, error) == (0, "")
            assert isinstance(json.loads(out), list)
    for job in jobs:
        assert (job.communicate()[1], job.returncode) == ("", 0)
    ingest(home)
    rows = open_ledger(home).rows("select count(*) as spans, count(distinct run_id) as runs from span")
    assert rows == [{"spans": processes * spans, "runs": processes}]
    assert open_ledger(home).rows("select distinct state from work") == [{"state": "ended"}]
    assert clean(home) == []


@pytest.mark.parametrize("kills", [4, pytest.param(200, marks=pytest.mark.slow)])
def test_what_a_killed_process_acknowledged_is_in_the_ledger(home: Path, kills: int) -> None:
    acknowledged = 0
    for _ in range(kills):
        with start(ACKNOWLEDGE, stdout=subprocess.PIPE, start_new_session=True) as job:
            assert job.stdout is not None
            job.stdout.readline()
            struck = threading.Timer(random.random() * 0.3, os.kill, (job.pid, signal.SIGKILL))  # noqa: S311 — a moment
            struck.start()
            told = job.stdout.read().split("\n")  # the last piece may be torn: it was not yet told
            acknowledged += 1 + len([line for line in told[:-1] if line])
        assert not is_in_use(job.pid)
    ingest(home)
    kept = open_ledger(home).rows("select count(*) as n from usage")[0]["n"]
    assert acknowledged <= kept <= acknowledged + kills  # a line may be on file before it is told, one for each kill
    runs = subprocess.run(
        [sys.executable, "-m", "joulebook", "runs", "--json"], capture_output=True, text=True, check=True
    )
    rows = json.loads(runs.stdout)
    assert [(row["state"], row["ok"], row["ended_at"]) for row in rows] == [("lost", None, None)] * kills
    assert all(row["gaps"][0]["reason"] == "ended without a word" for row in rows)
    assert clean(home) == []


@pytest.mark.parametrize("kills", [4, pytest.param(200, marks=pytest.mark.slow)])
def test_every_line_whose_write_returned_is_on_file_after_a_kill(home: Path, tmp_path: Path, kills: int) -> None:
    """Spans, usage, and the readings of two threads. A write may also be on file before anybody is told."""
    with feeding(tmp_path / "sys", INTEL_SERVER):
        for _ in range(kills):
            with start(ECHO, str(tmp_path / "sys"), stdout=subprocess.PIPE, start_new_session=True) as job:
                assert job.stdout is not None
                told = [job.stdout.readline()]
                struck = threading.Timer(random.random() * 0.3, os.kill, (job.pid, signal.SIGKILL))  # noqa: S311 — a moment
                struck.start()
                told += job.stdout.read().splitlines(keepends=True)
            assert not is_in_use(job.pid)
            (path,) = journal_dir(home).glob(f"*-{job.pid}-*.jsonl")
            written = [json.loads(line)["seq"] for line in path.read_bytes().split(b"\n")[:-1]]
            assert written == list(range(len(written)))
            acknowledged = {int(line) for line in told if line.endswith("\n")}
            assert acknowledged <= set(written)
            assert len(written) <= len(acknowledged) + 3  # each of the three threads may have had one in hand
            path.unlink()


@pytest.fixture
def ranks(home: Path, tmp_path: Path) -> Iterator[list[subprocess.Popen[str]]]:
    """Eight processes on one node, each in a run of its own."""
    with feeding(tmp_path / "sys", INTEL_SERVER), contextlib.ExitStack() as stack:
        command = (RANK, str(tmp_path / "sys"), str(INTERVAL_S))
        started = [
            stack.enter_context(start(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)) for _ in range(8)
        ]
        for rank in started:
            assert rank.stdout is not None
            assert rank.stdout.readline() == "open\n"
        wait_until(lambda: len(readings(home)) >= 8 + 2)  # each has read once, and one of them has begun to tick
        yield started
        for rank in started:
            rank.kill()


def readings(home: Path) -> list[tuple[float, int, bool]]:
    """When, by which process, and whether it is not the process's first: a tick."""
    found = []
    for path in journal_dir(home).glob("*.jsonl"):
        lines = [json.loads(line) for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
        mine = [line["mono_ns"] / 1e9 for line in lines if line["event"] == "reading" and values_of([line], SENSOR)]
        found += [(at_s, lines[0]["pid"], number > 0) for number, at_s in enumerate(mine)]
    return sorted(found)


def holders(home: Path, since_s: float = 0.0) -> list[int]:
    """Who has read the sensor at ticks, in order, each once in a row."""
    pids = [pid for at_s, pid, is_tick in readings(home) if is_tick and at_s > since_s]
    return [pid for pid, before in zip(pids, [None, *pids], strict=False) if pid != before]


def test_of_eight_processes_on_a_node_one_reads_a_sensor_at_ticks(
    home: Path, ranks: list[subprocess.Popen[str]]
) -> None:
    def ticks(since_s: float) -> list[float]:
        return [at_s for at_s, _, is_tick in readings(home) if is_tick and since_s <= at_s]

    begin_s = time.monotonic()
    wait_until(lambda: len(ticks(begin_s)) >= 4)
    end_s = time.monotonic()
    for rank in ranks:
        rank.communicate("")
    # one an interval, and not eight; on a busy machine one may be late
    assert len([at_s for at_s in ticks(begin_s) if at_s < end_s]) <= (end_s - begin_s) / INTERVAL_S + 1
    assert len(holders(home)[:1]) == 1
    assert set(holders(home, begin_s)) <= {holders(home)[0], *holders(home, end_s)}
    edges = [json.loads(line) for path in journal_dir(home).glob("*.jsonl") for line in path.read_text().splitlines()]
    ends = [edge for edge in edges if edge["event"] == "span_end"]
    assert [len(values_of([end], SENSOR)) for end in ends] == [1] * 8  # at its edges every process reads for itself


def test_when_the_holder_is_killed_another_goes_on(home: Path, ranks: list[subprocess.Popen[str]]) -> None:
    (holder,) = holders(home)
    (victim,) = [rank for rank in ranks if rank.pid == holder]
    victim.kill()
    victim.wait()
    killed_s = time.monotonic()
    wait_until(lambda: len([1 for at_s, _, is_tick in readings(home) if is_tick and at_s > killed_s]) >= 3)
    (heir,) = holders(home, killed_s)
    assert heir in {rank.pid for rank in ranks} - {holder}
    times_s = [at_s for at_s, _, is_tick in readings(home) if is_tick]
    assert max(after - before for before, after in pairwise(times_s)) <= 2 * INTERVAL_S + 0.2  # a busy machine is late
