"""A session: every request of a plan, each kept as soon as it is answered, so that nothing is asked twice.

    <folder>/plan.json       what is asked of whom; another plan needs another folder
    <folder>/samples.jsonl   one line a request
    <folder>/energy.jsonl    one line a size: how often a run of this folder's own journal asked it

A run of a few milliseconds is too short for a sensor that looks every tenth of a second: for its energy a size is asked
again and again for a while.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from statistics import fmean
from typing import Any

from joulebook.accounting.errors import InputError, NotFound
from joulebook.collectors.probe import Answer, Engine, Size
from joulebook.collectors.probe.plan import MOST_TRIALS, Plan, shuffled, trials_of

Progress = Callable[[int, int], None]
Track = Callable[..., AbstractContextManager[Any]]
PLAN, SAMPLES, ENERGY = "plan.json", "samples.jsonl", "energy.jsonl"
WARM_UPS = 2
MOST_LEFT_OUT = 20  # answers in a row that do not count: then none will


def begin(folder: Path, plan: Plan, engine: Engine) -> bool:
    """Makes the folder for a plan; whether there is something in it to go on with.

    Raises InputError where it holds another plan, or another model.
    """
    asked = {"plan": plan._asdict() | {"trials": None, "seconds": None}, "about": engine.about()._asdict()}
    text, path = json.dumps(asked, indent=2), folder / PLAN
    if path.exists():
        if path.read_text("utf-8") != text:
            raise InputError(
                f"{folder} holds probes of another plan, model or version of it: give --fresh to throw them away, or "
                "--name for another place"
            )
        return (folder / SAMPLES).exists()
    folder.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".tmp")
    draft.write_text(text, "utf-8")
    draft.replace(path)
    return False


def times(path: Path, some: Sequence[Size], plan: Plan, engine: Engine, progress: Progress) -> None:
    """Asks each of some sizes as often as is planned, less what the file has, and keeps each answer in it at once."""
    took_s: dict[Size, list[float]] = {size: [] for size in some}
    for row in rows(path):
        took_s.get(Size(*row["asked"]), []).append(row["runtime_s"])
    in_vain = 0
    for trial in range(max(plan.trials, MOST_TRIALS)):
        for size in shuffled(some, trial, plan.seed):
            if trial < len(took_s[size]) or trial >= _wanted(plan, took_s[size]):
                continue
            answer = engine.ask(*size)
            in_vain = in_vain + 1 if answer.left_out else 0
            if in_vain > MOST_LEFT_OUT:
                raise NotFound(f"{in_vain} answers in a row do not count: {answer.left_out}")
            _add(path, {"trial": trial, "asked": size, **_told(answer)})
            took_s[size].append(answer.runtime_s)
            progress(sum(map(len, took_s.values())), sum(_wanted(plan, each) for each in took_s.values()))


def _wanted(plan: Plan, took_s: Sequence[float]) -> int:
    """How often a size is to be asked, by what it took so far."""
    return trials_of(plan, fmean(took_s)) if took_s else plan.trials


def warm_up(engine: Engine, plan: Plan) -> tuple[Answer, Answer]:
    """The first requests load what later ones find: the smallest and the largest, twice; the second of each."""
    smallest, largest = (Size(which(plan.prompts), which(plan.outputs)) for which in (min, max))
    return [(engine.ask(*smallest), engine.ask(*largest)) for _ in range(WARM_UPS)][-1]


def energies(folder: Path, some: Iterable[Size], engine: Engine, track: Track, seconds: float) -> Iterator[Size]:
    """Asks each size again and again for so many seconds, as a run; yields it when it is done."""
    done = {tuple(row["asked"]) for row in rows(folder / ENERGY)}
    for size in some:
        if tuple(size) not in done:
            with track("probe") as run:
                requests = _again(engine, size, seconds)
            _add(folder / ENERGY, {"asked": size, "requests": requests, "run_id": run.run_id})
        yield size


def _again(engine: Engine, size: Size, seconds: float) -> int:
    until_s, requests = time.monotonic() + seconds, 0
    while requests == 0 or time.monotonic() < until_s:
        engine.ask(*size)
        requests += 1
    return requests


def rows(path: Path) -> list[dict[str, Any]]:
    """The lines of a file; none where there is no file. A line that was cut off by a kill is none."""
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in text.split("\n")[:-1] if line]


def _add(path: Path, row: dict[str, Any]) -> None:
    """One line, after the end of what may be half a line."""
    data = json.dumps(row).encode() + b"\n"
    with path.open("ab+") as file:
        size = file.seek(0, os.SEEK_END)
        if size:
            file.seek(size - 1)
            if file.read(1) != b"\n":
                file.truncate(_whole_lines(path))
        file.write(data)


def _whole_lines(path: Path) -> int:
    return path.read_bytes().rfind(b"\n") + 1


def _told(answer: Answer) -> dict[str, Any]:
    return {name: value for name, value in answer._asdict().items() if value not in (None, "")}
