"""What one `run.record(...)` costs a job: events a second and how long the job waits, with 1 and with 8 processes.

    .venv/bin/python benchmarks/write_path.py [--events 100000] [--json]

Each process records to its own journal, with the sampler and its `fdatasync` at work. Beside it, in the same run and
with as many processes, a bare `os.write` of a line of the same length: the floor that no journal can be below.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

PROCESSES = (1, 8)


def with_joulebook(home: Path, events: int, ready: Barrier) -> list[int]:
    """Nanoseconds of each call."""
    from joulebook import configure, track

    configure(home=home)
    with track("bench", project="bench") as run:
        ready.wait()
        return timed(lambda: run.record("token", 4096.0, "token"), events)


def with_os_write(home: Path, events: int, ready: Barrier) -> list[int]:
    line = b"x" * 256 + b"\n"  # as long as a usage line
    fd = os.open(home / f"bare-{os.getpid()}", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    ready.wait()
    return timed(lambda: os.write(fd, line), events)


def timed(call: Callable[[], Any], times: int) -> list[int]:
    clock = time.perf_counter_ns
    taken = [0] * times
    for number in range(times):
        began = clock()
        call()
        taken[number] = clock() - began
    return taken


def one_process(work: Callable[..., list[int]], home: Path, events: int, ready: Barrier, answers: Any) -> None:
    ns = sorted(work(home, events, ready))
    answers.put((sum(ns), ns[len(ns) // 2], ns[len(ns) * 99 // 100]))


def measure(work: Callable[..., list[int]], processes: int, events: int) -> dict[str, float]:
    """Events a second of all processes together; the median of their p50 and p99 in µs."""
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        ready, answers = spawn.Barrier(processes), spawn.Queue()
        arguments = (work, Path(folder), events, ready, answers)
        workers = [spawn.Process(target=one_process, args=arguments) for _ in range(processes)]
        for worker in workers:
            worker.start()
        found = [answers.get(timeout=600) for _ in workers]
        for worker in workers:
            worker.join()
        assert_all_on_file(work, Path(folder), processes * events)
    rate = sum(events / (total / 1e9) for total, _, _ in found)
    p50, p99 = (sorted(one[at] for one in found)[processes // 2] / 1e3 for at in (1, 2))
    return {"events_per_s": rate, "p50_us": p50, "p99_us": p99}


def assert_all_on_file(work: Callable[..., list[int]], home: Path, events: int) -> None:
    if work is with_joulebook:
        journals = (home / "journal").glob("*.jsonl")
        assert sum(path.read_bytes().count(b'"event":"usage"') for path in journals) == events


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = {
        f"{name}, {processes} process{'es' if processes > 1 else ''}": measure(work, processes, given.events)
        for processes in PROCESSES
        for name, work in (("os.write", with_os_write), ("run.record", with_joulebook))
    }
    if given.json:
        print(json.dumps(found))
        return
    for name, one in found.items():
        waits = f"p50 {one['p50_us']:6.1f} µs   p99 {one['p99_us']:6.1f} µs"
        print(f"{name:<24}{one['events_per_s']:>10,.0f} events/s   {waits}")


if __name__ == "__main__":
    main()
