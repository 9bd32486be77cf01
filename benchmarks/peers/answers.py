"""How right a tool's joules are: of a job that is killed, of eight jobs on one node, and where sensors are awkward.

Truth is the energy from the return of start to the call of stop, or to the kill.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import NamedTuple

from peers.ledger import Device, Range, devices
from peers.machine import (
    INTEL_SERVER,
    Fault,
    Gpu,
    Job,
    JobEnded,
    Told,
    Zone,
    machine,
    reported,
    saved,
    together,
    tools,
)
from peers.table import ERROR, OURS, PLAIN, Line, Plan, median
from twin.gpu import AMPERE, UNKNOWN_ERROR, uuid
from twin.wave import Wave

KILL_AFTER_S = 6.0
PROCESSES = 8
BUSY_PERCENT = 10.0  # each of them, of the GPU
WRAP_J = 400.0  # at 100 W a package wraps every 4 s
OUTAGE_AFTER_S, OUTAGE_S = 9.0, 3.0  # from the loading of the tools; how long
LEAD_S = 4.0  # before the outage the first of them begins
CHOSEN = 2  # of four GPUs
EITHER = "cpu and dram"  # all that carbontracker tells
NO_COUNTER = Gpu(Wave(100, 500, period_s=0.1), "NVIDIA A100-SXM4-80GB", architecture=AMPERE, capability=(8, 0),
                 counter=False, average_s=0, usage_s=0.025)  # fmt: skip


class Scenario(NamedTuple):
    """A machine with something to get wrong, and the devices to look at."""

    what: str
    kinds: Sequence[str]
    zones: Sequence[Zone] = INTEL_SERVER
    gpus: Sequence[Gpu] = (Gpu(),)
    faults: Sequence[Fault] = ()
    chosen: int | None = None  # the only GPU that the job may use

    def true_j(self, kind: str, done: Told) -> float:
        gpus = self.gpus if self.chosen is None else [self.gpus[self.chosen]]
        return true_j(kind, self.zones, gpus, done["from_s"], done["to_s"])


class Answer(NamedTuple):
    """What a tool said of one kind of device, and what is true."""

    said_j: Range | None
    true_j: float

    @property
    def error(self) -> float | None:
        return None if self.said_j is None else 100 * (self.said_j[1] / self.true_j - 1)

    def holds(self) -> bool:
        return self.said_j is not None and self.said_j[0] <= self.true_j <= self.said_j[2]


def killed(plan: Plan) -> list[Line]:
    """What is on disk of a job that was killed, in percent of what was used until then."""
    kept: dict[tuple[str, str], list[float]] = {}
    with machine() as here:
        jobs = [here.job(tool, settle_s=600) for _ in range(plan.repeats) for tool in tools()]
        for job in jobs:
            job.told("ready")
        for job in jobs:
            job.go()
        began = [job.told("started")["from_s"] for job in jobs]
        ended = [_kill_at(job, from_s + KILL_AFTER_S) for job, from_s in zip(jobs, began, strict=True)]
        left = {tool: len(here.left_behind(tool)) / plan.repeats for tool in tools()}
        for job, from_s, to_s in zip(jobs, began, ended, strict=True):
            joules = saved(job.tool, job.folder)
            for kind in ("gpu", "cpu"):
                true = true_j(kind, here.zones, here.gpus, from_s, to_s)
                kept.setdefault((job.tool, kind), []).append(100 * joules.get(kind, (0, 0, 0))[1] / true)
    return [
        *(
            Line(f"{kind} energy on disk at SIGKILL after {KILL_AFTER_S:.0f} s", "%",
                 {tool: median(kept[tool, kind.lower()]) for tool in tools()}, kind=PLAIN)
            for kind in ("GPU", "CPU")
        ),
        Line("processes that live on, of each killed", "", left, 0, PLAIN),
    ]  # fmt: skip


def eight(plan: Plan) -> list[Line]:
    """Eight processes on one node: the sum of what they report, in multiples of what was used."""
    sums: dict[str, dict[str, float]] = {"gpu": {}, "cpu": {}}
    left: dict[str, float] = {}
    notes: dict[str, str] = {}
    for tool in tools():
        with machine() as here:
            given = {"folder": str(here.folder / "ledger")} if tool == OURS else {}  # ours is made to be shared
            jobs = [here.job(tool, hold_s=plan.together_s, is_busy=True, **given) for _ in range(PROCESSES)]
            here.keep_busy(jobs, BUSY_PERCENT)
            done = together(jobs)
            for job in jobs:
                job.process.wait(timeout=60)
            left[tool] = float(len(here.left_behind(tool)))
            ours = devices(jobs[0].folder) if tool == OURS else []
        for kind, of_tool in sums.items():
            true = [true_j(kind, here.zones, here.gpus, one["from_s"], one["to_s"]) for one in done]
            said = _parts(ours, kind) if tool == OURS else [_of_peer(one["joules"], kind) for one in done]
            of_tool[tool] = sum(said) / (sum(true) / PROCESSES)
            if tool == OURS:
                notes[kind] = f"each says of the node {sum(_node(ours, kind)) / sum(true):.3f}"
    of_kind = "eight processes: Σ reported ÷ true"
    return [
        *(Line(f"{of_kind}, {kind.upper()}", "", sums[kind], None, PLAIN, {OURS: notes[kind]}) for kind in sums),
        Line("processes that live on, of eight that ended", "", left, 0, PLAIN),
    ]


def errors(plan: Plan) -> list[Line]:
    """Errors against the twin, all tools at once; how often our range holds the truth."""
    answers: dict[tuple[str, str, str], list[Answer | str]] = {}
    for _ in range(plan.repeats):
        for scenario, tool, said, done in _played(plan):
            for kind in scenario.kinds:
                answer = done if isinstance(done, str) else _answer(scenario, kind, said, done)
                answers.setdefault((scenario.what, kind, tool), []).append(answer)
    rows = [(scenario.what, kind) for scenario in scenarios(0.0) for kind in scenario.kinds]
    return [_error_line(what, kind, {tool: answers[what, kind, tool] for tool in tools()}) for what, kind in rows]


def scenarios(outage_s: float) -> list[Scenario]:
    """`outage_s`: when the sensors fail, on CLOCK_MONOTONIC."""
    wrapping = [zone._replace(range_uj=int(WRAP_J * 1e6)) for zone in INTEL_SERVER]
    several = [Gpu(Wave(60.0 + 20 * place, 300.0 + 50 * place, period_s=1.1 + place / 10)) for place in range(8)]
    out = [Fault(zone.folder, "removed", outage_s, outage_s + OUTAGE_S) for zone in INTEL_SERVER]
    lost = Gpu(error=UNKNOWN_ERROR, error_from_s=outage_s, error_to_s=outage_s + OUTAGE_S)
    return [
        Scenario("counters", ("gpu", "cpu", "dram")),
        Scenario(f"RAPL wraps at {WRAP_J:.0f} J", ("cpu",), wrapping),
        Scenario("eight GPUs", ("gpu",), gpus=several),
        Scenario("one GPU of four, by UUID", ("gpu",), gpus=several[:4], chosen=CHOSEN),
        Scenario("no counter, 25 ms of 100 seen", ("gpu",), gpus=(NO_COUNTER,)),
        Scenario(f"no sensor for {OUTAGE_S:.0f} s", ("gpu", "cpu"), gpus=(lost,), faults=out),
    ]


def true_j(kind: str, zones: Sequence[Zone], gpus: Sequence[Gpu], from_s: float, to_s: float) -> float:
    """What the devices of a kind used between two instants."""
    if kind == "gpu":
        return sum(gpu.energy_j(from_s, to_s) for gpu in gpus)
    counted = [zone for zone in zones if zone.counted and ("dram" in zone.name) == (kind == "dram")]
    return sum(zone.wave.energy_j(from_s, to_s) for zone in counted)


def _kill_at(job: Job, at_s: float) -> float:
    """When it was really killed."""
    time.sleep(max(0.0, at_s - time.monotonic()))
    at_s = time.monotonic()
    job.process.kill()
    job.process.wait()
    return at_s


def _parts(ours: Sequence[Device], kind: str) -> list[float]:
    return [device.run_j[1] for device in ours if device.kind == kind]


def _node(ours: Sequence[Device], kind: str) -> list[float]:
    return [device.node_j[1] for device in ours if device.kind == kind]


def _of_peer(joules: dict[str, float], kind: str) -> float:
    """carbontracker's CPU is CPU and DRAM."""
    return joules.get(kind, joules.get(EITHER, 0.0) if kind == "cpu" else 0.0)


def _played(plan: Plan) -> list[tuple[Scenario, str, dict[str, Range], Told | str]]:
    """Every scenario once under every tool: what the tool said of the machine, what its job told or why it ended."""
    with ExitStack() as stack:
        begun = [one for number in range(len(scenarios(0.0))) for one in _begun(number, plan, stack)]
        told = [(scenario, job, failure or _done(job)) for scenario, job, failure in begun]
        return [
            (scenario, job.tool, {} if isinstance(done, str) else reported(job.tool, job, done), done)
            for scenario, job, done in told
        ]


def _begun(number: int, plan: Plan, stack: ExitStack) -> list[tuple[Scenario, Job, str | None]]:
    """The jobs of a scenario, begun one after the other, and why one was not. They go on while others begin."""
    after_s = OUTAGE_AFTER_S
    while True:
        outage_s = time.monotonic() + after_s
        scenario = scenarios(outage_s)[number]
        here = stack.enter_context(machine(scenario.zones, scenario.gpus, scenario.faults))
        gpu = None if scenario.chosen is None else uuid(scenario.chosen)
        jobs = [here.job(tool, hold_s=plan.hold_s, gpu=gpu) for tool in tools()]
        for job in jobs:
            job.told("ready")
        if scenario.faults:
            time.sleep(max(0.0, outage_s - LEAD_S - time.monotonic()))
        begun = [(scenario, job, _started(job)) for job in jobs]
        if not scenario.faults or time.monotonic() < outage_s:
            return begun
        after_s *= 2  # a busy machine: the outage came before everybody had begun


def _started(job: Job) -> str | None:
    job.go()
    try:
        job.told("started")
    except JobEnded as error:
        return f"fails to start: {error.reason}"
    return None


def _done(job: Job) -> Told | str:
    try:
        return job.told("done")
    except JobEnded as error:
        return f"ends the job: {error.reason}"


def _answer(scenario: Scenario, kind: str, said: dict[str, Range], done: Told) -> Answer:
    if kind == "cpu" and EITHER in said:
        return Answer(said[EITHER], scenario.true_j("cpu", done) + scenario.true_j("dram", done))
    return Answer(said.get(kind), scenario.true_j(kind, done))


def _error_line(what: str, kind: str, answers: dict[str, list[Answer | str]]) -> Line:
    """The median error; of ours the range too, and how often it holds the truth."""
    values: dict[str, float | str] = {}
    for tool, some in answers.items():
        known = [answer.error for answer in some if isinstance(answer, Answer) and answer.error is not None]
        failed = next((answer for answer in some if isinstance(answer, str)), "says nothing")
        values[tool] = median(known) if known else failed
    return Line(f"error, {what}: {kind.upper()}", "%", values, None, ERROR, {OURS: _range_held(answers[OURS])})


def _range_held(answers: Sequence[Answer | str]) -> str:
    """The median ends of the range around the truth, and how often it holds it."""
    known = [answer for answer in answers if isinstance(answer, Answer) and answer.said_j is not None]
    if not known:
        return ""
    low, high = (median(100 * (one.said_j[end] / one.true_j - 1) for one in known if one.said_j) for end in (0, 2))
    return f"{low:+.1f} to {high:+.1f} %, holds {sum(map(Answer.holds, known))} of {len(known)}"
