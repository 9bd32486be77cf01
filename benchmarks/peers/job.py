"""One job under one tool: load it, start it, hold for a while, stop it, and say what each step cost.

    python job.py TOOL '{"folder": …, "interval_s": 1, "settle_s": 2, "hold_s": 20, "is_busy": false, "waits": true}'
    python job.py TOOL saved FOLDER

One line of JSON on standard output for each of ready, started and done; after `ready` a job that waits wants a line on
standard input. What the tool prints goes to standard error. Nothing is loaded before the tool that it would load too.
"""

from __future__ import annotations

import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LOOPS = 10_000


def costs() -> tuple[float, float]:
    """Wall time and CPU time of this process, its threads and the children it has waited for, in seconds."""
    spent = os.times()
    return time.perf_counter(), time.process_time() + spent.children_user + spent.children_system


def content(path: str) -> str:
    """What a file holds; nothing if its process has ended. Without pathlib, which a tool may have to pay for."""
    try:
        with open(path) as file:  # noqa: PTH123
            return file.read()
    except OSError:
        return ""


def cost_ms(before: tuple[float, float], after: tuple[float, float]) -> dict[str, float]:
    return {"wall_ms": (after[0] - before[0]) * 1e3, "cpu_ms": (after[1] - before[1]) * 1e3}


def helpers() -> list[int]:
    """The processes that descend from this one."""
    parents = {int(name): _parent(name) for name in os.listdir("/proc") if name.isdigit()}  # noqa: PTH208
    found = [os.getpid()]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found[1:]


def _parent(pid: str) -> int:
    return int((content(f"/proc/{pid}/stat") or ") ? 0").rpartition(")")[2].split()[1])


def memory_mb(pids: list[int]) -> float:
    """What these processes hold resident."""
    pages = [int((content(f"/proc/{pid}/statm") or "0 0").split()[1]) for pid in pids]
    return sum(pages) * os.sysconf("SC_PAGE_SIZE") / 1e6


def helpers_cpu_s(pids: list[int]) -> float:
    """Their CPU time, to the nanosecond: the kernel's clock of another process."""
    return sum(time.clock_gettime(~pid << 3 | 2) for pid in pids)


def hold(seconds: float, is_busy: bool) -> float:
    """Works or idles; the share of a core that was used beside it."""
    pids = helpers()
    wall_s, cpu_s = costs()
    own_s, theirs_s = time.thread_time(), helpers_cpu_s(pids)
    until_s = wall_s + seconds
    if is_busy:
        while time.perf_counter() < until_s:
            for _ in range(LOOPS):
                pass
    else:
        time.sleep(seconds)
    own_s, theirs_s = time.thread_time() - own_s, helpers_cpu_s(pids) - theirs_s
    spent = costs()
    return (spent[1] - cpu_s - own_s + theirs_s) / (spent[0] - wall_s)


def main() -> None:
    tool, asked = sys.argv[1:3]
    answers = os.dup(1)
    os.dup2(2, 1)
    bare_mb, before = memory_mb([os.getpid()]), costs()
    module = __import__(f"with_{tool}")
    loaded = costs()
    import json

    def say(step: str, **told: Any) -> None:
        os.write(answers, json.dumps({"step": step, **told}).encode() + b"\n")

    if asked == "saved":
        say("done", joules=module.saved(sys.argv[3]))
        return
    given = json.loads(asked)
    say("ready")
    if given["waits"]:
        sys.stdin.readline()
    to_start = costs()
    tracker = module.start(given["folder"], given["interval_s"])
    from_s, started = time.monotonic(), costs()
    say("started", from_s=from_s)
    time.sleep(given["settle_s"])
    share = hold(given["hold_s"], given["is_busy"])
    helping = helpers()
    memory = {"memory_mb": memory_mb([os.getpid()]) - bare_mb, "helpers_mb": memory_mb(helping)}
    to_s, to_stop = time.monotonic(), costs()
    module.stop(tracker)
    stopped = costs()
    say("done", load=cost_ms(before, loaded), start=cost_ms(to_start, started), stop=cost_ms(to_stop, stopped),
        cpu_ms=(stopped[1] - before[1]) * 1e3, share=share, helpers=len(helping), from_s=from_s, to_s=to_s,
        joules=None if tool == "joulebook" else module.saved(given["folder"]), **memory)  # fmt: skip


if __name__ == "__main__":
    main()
