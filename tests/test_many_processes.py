"""Many jobs, many readers, kills at random moments: nothing is lost or counted twice, nobody sees an error."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

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


def start(code: str, *arguments: str, **options: object) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", code, *arguments], text=True, **options)  # type: ignore[call-overload, no-any-return]


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


@pytest.mark.parametrize("kills", [4, pytest.param(50, marks=pytest.mark.slow)])
def test_what_a_killed_process_acknowledged_is_in_the_ledger(home: Path, kills: int) -> None:
    acknowledged = 0
    for _ in range(kills):
        with start(ACKNOWLEDGE, stdout=subprocess.PIPE) as job:
            assert job.stdout is not None
            job.stdout.readline()
            struck = threading.Timer(random.random() * 0.3, os.kill, (job.pid, signal.SIGKILL))  # noqa: S311 — a moment
            struck.start()
            told = job.stdout.read().split("\n")  # the last piece may be torn: it was not yet told
            acknowledged += 1 + len([line for line in told[:-1] if line])
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
