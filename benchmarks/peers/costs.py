"""What a tool costs a job: to begin and end, while it runs, and in what its start sets in motion."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence

from peers.machine import JOB, Machine, Told, machine, together, tools
from peers.table import OURS, Line, Plan, median, p95

OURS_PER_ROUND = 3  # ours is over in an instant: more of them make a steadier percentile
RATES = ((1.0, 0.05), (0.1, 0.5))  # interval in seconds, the gate in percent of a core
FORKS = ("clone(", "clone3(", "fork(", "vfork(")

Wanted = tuple[str, float, bool]  # tool, interval, whether the job is busy


def cold(plan: Plan) -> list[Line]:
    """Fresh processes, one after the other, each tool in turn so that other load hits all alike."""
    done: dict[str, list[Told]] = {tool: [] for tool in tools()}
    with machine() as here:
        for round_number in range(plan.rounds + 1):
            for tool in tools():
                for _ in range(OURS_PER_ROUND if tool == OURS else 1):
                    told = here.job(tool, settle_s=0.5, waits=False).told("done")
                    if round_number:  # the first fills the caches of byte code and of files
                        done[tool].append(told)
    return [
        Line("import above bare Python", "ms", _wall_ms(done, "load", median), 25),
        Line("construct and start", "ms", _wall_ms(done, "start", median), 5),
        Line("construct and start, p95", "ms", _wall_ms(done, "start", p95)),
        Line("stop", "ms", _wall_ms(done, "stop", median), 5),
        Line("stop, p95", "ms", _wall_ms(done, "stop", p95)),
        Line("CPU time from import to stop", "ms", _of_each(done, "cpu_ms")),
    ]


def running(plan: Plan) -> list[Line]:
    """CPU time beside the thread of the work, helpers included. All idle jobs at once, busy ones as planned."""
    done: dict[Wanted, list[Told]] = {}
    intervals_s = [interval_s for interval_s, _ in RATES]
    with machine() as here:
        for _ in range(plan.repeats):
            _hold(here, [(tool, interval_s, False) for tool in tools() for interval_s in intervals_s], plan, done)
            for interval_s in intervals_s:
                for first in range(0, len(tools()), plan.at_once):
                    some = tools()[first : first + plan.at_once]
                    _hold(here, [(tool, interval_s, True) for tool in some], plan, done)
    busy = {tool: done[tool, 1.0, True] for tool in tools()}
    helpers = {tool: f"{told[0]['helpers']} processes" for tool, told in busy.items() if told[0]["helpers"]}
    return [
        *(_share(done, interval_s, gate, is_busy) for interval_s, gate in RATES for is_busy in (False, True)),
        Line("memory added (RSS)", "MB", _of_each(busy, "memory_mb"), 8),
        Line("memory of helper processes (RSS)", "MB", _of_each(busy, "helpers_mb"), notes=helpers),
    ]


def traced(plan: Plan) -> list[Line]:  # noqa: ARG001 - one process of each tells it
    """Programs run and connections tried from import to stop, as strace sees them."""
    whats = ("programs run", "processes forked", "network connections tried")
    if shutil.which("strace") is None:
        return [Line(what, "", dict.fromkeys(tools(), "not known: strace is not installed")) for what in whats]
    with machine() as here:
        calls = {tool: _calls(here, tool) for tool in tools()}
    programs = {tool: _programs(some) for tool, some in calls.items()}
    names = {tool: ", ".join(sorted(set(some))) for tool, some in programs.items()}
    return [
        Line(whats[0], "", {tool: float(len(some)) for tool, some in programs.items()}, 0, notes=names),
        Line(whats[1], "", _count(calls, _forks), 0),
        Line(whats[2], "", _count(calls, _connects), 0),
    ]


def _wall_ms(done: dict[str, list[Told]], step: str, of: Callable[[Iterable[float]], float]) -> dict[str, float]:
    return {tool: of(told[step]["wall_ms"] for told in some) for tool, some in done.items()}


def _of_each(done: dict[str, list[Told]], what: str) -> dict[str, float]:
    return {tool: median(told[what] for told in some) for tool, some in done.items()}


def _hold(here: Machine, wanted: Sequence[Wanted], plan: Plan, done: dict[Wanted, list[Told]]) -> None:
    jobs = [
        here.job(tool, interval_s=interval_s, is_busy=is_busy, settle_s=1.5, hold_s=plan.share_s)
        for tool, interval_s, is_busy in wanted
    ]
    for key, told in zip(wanted, together(jobs), strict=True):
        done.setdefault(key, []).append(told)


def _share(done: dict[Wanted, list[Told]], interval_s: float, gate: float, is_busy: bool) -> Line:
    what = f"CPU of a core at {1 / interval_s:.0f} Hz, {'busy' if is_busy else 'idle'} job"
    shares = {tool: 100 * median(told["share"] for told in done[tool, interval_s, is_busy]) for tool in tools()}
    return Line(what, "%", shares, gate)


def _calls(here: Machine, tool: str) -> list[str]:
    job = here.job(tool, is_traced=True, settle_s=1.0, waits=False)
    job.told("done")
    job.process.wait(timeout=60)
    processes = [path.read_text(errors="replace") for path in job.folder.glob("strace.*")]
    return [line for told in processes for line in told.splitlines()]


def _programs(calls: Sequence[str]) -> list[str]:
    """The names of what was run, but for the job itself."""
    ran = [line for line in calls if line.startswith("execve(") and line.endswith("= 0") and JOB not in line]
    return [line.split('"')[1].rpartition("/")[2] for line in ran]


def _count(calls: dict[str, list[str]], is_one: Callable[[str], bool]) -> dict[str, float]:
    return {tool: float(sum(map(is_one, some))) for tool, some in calls.items()}


def _forks(line: str) -> bool:
    return line.startswith(FORKS) and "CLONE_THREAD" not in line


def _connects(line: str) -> bool:
    return line.startswith("connect(") and "sa_family=AF_INET" in line
