"""`joulebook calibrate`: probes of a model, and the profile that they give.

    engine ─> warm up ─> what it will take ─> every size of the grid, and some that it lacks ─> its energy
           ─> fit, check ─> a profile, in the home and where `--out` says

What was asked and answered is kept under `calibrations/` in the home, so that a session that was broken off goes on
where it was. The energy of a size is that of a run in a journal of the session's own.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from joulebook.accounting.errors import InputError
from joulebook.cli.commands import answer as draw
from joulebook.cli.commands import home_of, print_json

if TYPE_CHECKING:
    from joulebook.accounting.estimates import Estimate
    from joulebook.collectors.probe import About, Answer, Engine, Size
    from joulebook.collectors.probe.plan import Plan
    from joulebook.collectors.probe.session import Progress
    from joulebook.models.runtime.calibrated import Checked, Ran
    from joulebook.models.runtime.profile import Profile

TINY = "tiny"


class Session(NamedTuple):
    """What is probed, as planned, and where it is kept."""

    engine: Engine
    about: About
    plan: Plan
    folder: Path

    @property
    def is_here(self) -> bool:
        """Whether the probes cost this machine's electricity, and its sensors may see it."""
        return self.about.where != "elsewhere"


class Load(NamedTuple):
    """What the probes will take, before they begin."""

    requests: int
    prompt_tokens: int
    output_tokens: int
    duration_s: float | None  # None of a server that is not here: it has not been asked yet
    cost_usd: float | None  # at list prices, of a server that is not here; None where nobody knows


def calibrate(args: argparse.Namespace) -> int:
    """Probe, fit, check, keep."""
    from joulebook.collectors.probe import plan as plans
    from joulebook.collectors.probe import session as sessions

    session = _session(args)
    load = _load(args, session)
    if args.dry_run:
        return _say_load(args, session, load)
    _ask_leave(args, session, load)
    _begin(args, session)
    energies = _probe(args, session)
    from joulebook.models.runtime import calibrated, store

    told, held_out = sessions.rows(session.folder / sessions.SAMPLES), plans.between(session.plan)
    rows = calibrated.kept(row for row in told if tuple(row["asked"]) not in held_out)
    profile = calibrated.profile(rows, energies, _ran(args, session), _origin(session))
    checks = calibrated.checked(profile, calibrated.kept(row for row in told if tuple(row["asked"]) in held_out))
    _write_samples(session.folder / "samples.csv", calibrated.table(rows, energies, session.about.batch))
    store.keep(home_of(args), profile)
    if args.out:
        store.write(profile, Path(args.out))
    return _say(args, session, profile, checks)


# What is probed -----------------------------------------------------------------------------------------------------


def _session(args: argparse.Namespace) -> Session:
    from joulebook.collectors.probe import plan as plans

    engine = _engine(args)
    about = engine.about()
    seconds = 0.0 if about.where == "elsewhere" else args.seconds
    plan = plans.fitted(plans.Plan(args.prompts, args.outputs, args.trials, args.seed, seconds), about.context)
    name = _file_name(args.name or "-".join(filter(None, (about.model, about.stack, about.device, f"b{about.batch}"))))
    return Session(engine, about, plan, home_of(args) / "calibrations" / name)


def _engine(args: argparse.Namespace) -> Engine:
    if args.endpoint is not None:
        from joulebook.collectors.probe.endpoint import Endpoint

        if not args.model:
            raise InputError("--endpoint needs --model, the name under which the server knows the model")
        if args.batch != 1:
            raise InputError("--batch is for --local: how many requests a server works on at once is its own choice")
        return Endpoint(args.endpoint, args.model, args.api_key_env)
    if args.local == TINY:
        if "numpy" not in sys.modules:  # so small a model gains nothing by a second thread, and would wait for it
            os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        from joulebook.collectors.probe.tiny import Tiny

        if args.batch != 1:
            raise InputError(f"the built-in model {TINY!r} works on one request at a time: leave --batch out")
        return Tiny()
    from joulebook.collectors.probe.in_process import InProcess

    return InProcess(Path(args.local), args.batch, args.dtype)


def _file_name(name: str) -> str:
    """A name that any file system takes, and nothing that leads elsewhere."""
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in name).strip("._")
    return kept[:120] or "session"


# What it will take --------------------------------------------------------------------------------------------------


def _load(args: argparse.Namespace, session: Session) -> Load:
    from joulebook.collectors.probe import plan as plans
    from joulebook.collectors.probe import session as sessions

    grid, checks = plans.sizes(session.plan), plans.between(session.plan)
    if not session.is_here:  # not even a warm-up is sent before a yes
        asked = [*grid, *checks] * session.plan.trials
        tokens = _tokens(asked)
        return Load(len(asked), *tokens, None, _list_price_usd(args, session, *tokens))
    smallest, largest = sessions.warm_up(session.engine, session.plan)
    guessed = {size: _guess_s(size, smallest, largest) for size in (*grid, *checks)}
    asked = [size for size, runtime_s in guessed.items() for _ in range(plans.trials_of(session.plan, runtime_s))]
    seconds = sum(guessed[size] for size in asked) + len(grid) * args.energy_seconds
    return Load(len(asked), *_tokens(asked), seconds, None)


def _tokens(asked: Sequence[Size]) -> tuple[int, int]:
    return sum(size.prompt_tokens for size in asked), sum(size.output_tokens for size in asked)


def _guess_s(size: Size, smallest: Answer, largest: Answer) -> float:
    """What a request takes, from two: the prompt's part and the answer's each grow with their tokens."""
    first_s = largest.first_token_s or largest.runtime_s / 2
    of_prompt_s = first_s * size.prompt_tokens / max(largest.prompt_tokens, 1)
    of_answer_s = (largest.runtime_s - first_s) * size.output_tokens / max(largest.output_tokens, 1)
    return max(smallest.runtime_s, of_prompt_s + of_answer_s)


def _list_price_usd(args: argparse.Namespace, session: Session, prompt: int, output: int) -> float | None:
    from datetime import UTC, datetime

    from joulebook.accounting.ledger.quote import Question, quote

    amounts = {"input_tokens": float(prompt), "output_tokens": float(output)}
    told = quote(home_of(args), Question(None, session.about.model, amounts, datetime.now(UTC), {}))
    return None if told["cost_usd"] is None else float(told["cost_usd"])


def _in_words(load: Load) -> str:
    took = f"{load.requests:,} requests, {load.prompt_tokens:,} tokens in and {load.output_tokens:,} out"
    if load.duration_s is not None:
        long = load.duration_s > 90
        return (
            f"{took}, about {load.duration_s / (60 if long else 1):.0f} {'minutes' if long else 's'} on this machine."
        )
    money = f"USD {load.cost_usd:.2f} at list prices" if load.cost_usd is not None else "at a price that no list knows"
    return f"{took}, {money}."


def _say_load(args: argparse.Namespace, session: Session, load: Load) -> int:
    if args.json:
        print_json({"model": session.about.model, "estimate": load._asdict(), "session": str(session.folder)})
    else:
        print(f"{session.about.model}: {_in_words(load)}")
    return 0


def _ask_leave(args: argparse.Namespace, session: Session, load: Load) -> None:
    """Says what it will take; what costs money elsewhere begins only with a yes. Raises InputError without one."""
    if not args.json:
        print(f"{session.about.model}: {_in_words(load)}", file=sys.stderr)
    if session.is_here or args.yes:
        return
    if not sys.stdin.isatty():
        raise InputError(f"the probes of {session.about.model} may cost money ({_in_words(load)}): give --yes")
    if input("Begin? [y/N] ").strip().lower() not in ("y", "yes"):
        raise InputError("nothing was begun")


# The probes ---------------------------------------------------------------------------------------------------------


def _begin(args: argparse.Namespace, session: Session) -> None:
    from joulebook.collectors.probe import session as sessions

    if args.fresh and session.folder.exists():
        shutil.rmtree(session.folder)
    if sessions.begin(session.folder, session.plan, session.engine) and not args.json:
        print(f"Going on with what {session.folder} holds.", file=sys.stderr)


def _probe(args: argparse.Namespace, session: Session) -> dict[tuple[int, int], Estimate]:
    """Asks everything; the energy of each size."""
    from joulebook.collectors.probe import plan as plans
    from joulebook.collectors.probe import session as sessions

    engine, _, plan, folder = session.engine, session.about, session.plan, session.folder
    grid = plans.sizes(plan)
    if not session.is_here:
        sessions.warm_up(engine, plan)
    with _bar("timing") as progress:
        sessions.times(folder / sessions.SAMPLES, [*grid, *plans.between(plan)], plan, engine, progress)
    if not args.energy_seconds or not session.is_here:
        return {}
    with _bar("metering") as progress:
        _meter(args, session, grid, progress)
    return _energies(session)


def _meter(args: argparse.Namespace, session: Session, grid: Sequence[Size], progress: Progress) -> None:
    """Each size for a while, as a run in the session's own journal, at the site of the home."""
    from joulebook import configure, track
    from joulebook.accounting.site import site_path
    from joulebook.collectors.probe import session as sessions

    site = site_path(home_of(args))
    if site.exists():
        shutil.copyfile(site, site_path(session.folder))
    configure(home=session.folder)
    with track("begin"):  # finds the sensors
        sessions.warm_up(session.engine, session.plan)
    done = sessions.energies(session.folder, grid, session.engine, track, args.energy_seconds)
    for count, _ in enumerate(done, start=1):
        progress(count, len(grid))
    configure()


def _energies(session: Session) -> dict[tuple[int, int], Estimate]:
    """The energy of one request of each size: of this process, or of a server here that of the whole node."""
    from joulebook.accounting.ledger import ingest, open_ledger
    from joulebook.collectors.probe import session as sessions

    ingest(session.folder)
    ledger = open_ledger(session.folder)
    told = _of_process(ledger) if session.about.where == "process" else _of_node(ledger)
    metered = sessions.rows(session.folder / sessions.ENERGY)
    return {
        tuple(row["asked"]): told[row["run_id"]].scaled(1 / (row["requests"] * session.about.batch), "J")
        for row in metered
        if row["run_id"] in told
    }


def _of_process(ledger: Any) -> dict[str, Estimate]:
    from joulebook.reports import views

    return {row["run_id"]: row["energy_j"] for row in views.runs(ledger, views.period_of(None, None)).rows}


def _of_node(ledger: Any) -> dict[str, Estimate]:
    """What sensors saw of the devices of this machine, which a server on it shares with nobody while it is probed."""
    from joulebook.accounting.estimates import between
    from joulebook.reports import views

    told: dict[str, Estimate] = {}
    for row in views.runs(ledger, views.period_of(None, None)).rows:
        parts = {part.key: part for part in views.run(ledger, row["run_id"]).parts}
        seen = [one["node_energy_j"] for one in parts["devices"].rows if one["counted"] and one["node_energy_j"].known]
        if seen:
            ends = (sum(getattr(one, end) for one in seen) for end in ("low", "mid", "high"))
            told[row["run_id"]] = between(ends, "J", "measured")
    return told


# The profile --------------------------------------------------------------------------------------------------------


def _ran(args: argparse.Namespace, session: Session) -> Ran:
    from joulebook.models.roofline.hardware import known_as
    from joulebook.models.runtime.calibrated import Ran
    from joulebook.models.runtime.profile import Hardware, Software

    about = session.about
    device, gpus = args.hardware or about.device, about.gpus if args.gpus is None else args.gpus
    known = known_as(device)
    tdp_w = args.tdp_w or (known.tdp_w if known else None)
    hardware = Hardware(device, gpus, tdp_w, args.usd_per_gpu_hour)
    boundary = "it" if about.where == "process" else "device"
    software = Software(args.software or about.stack, about.versions)
    return Ran(args.model or about.model, hardware, software, about.batch, boundary)


def _origin(session: Session) -> Any:
    from joulebook.models.runtime.profile import Origin

    plan = session.plan
    basis = f"{len(plan.prompts)} × {len(plan.outputs)} sizes, the fastest third of {plan.trials} trials or more each"
    return Origin(basis, "joulebook calibrate", "", "own")


def _write_samples(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    draft = path.with_suffix(".tmp")
    with draft.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    draft.replace(path)


def _say(args: argparse.Namespace, session: Session, profile: Profile, checks: Sequence[Checked]) -> int:
    from joulebook.models.runtime.profile import as_json
    from joulebook.reports import views

    if args.json:
        told = [{**check._asdict(), "relative_error": check.relative_error} for check in checks]
        print_json({"profile_id": profile.profile_id, "session": str(session.folder), "out": args.out,
                    "check": told, "profile": as_json(profile)})  # fmt: skip
        return 0
    return draw(args, views.calibration(profile, checks))


@contextmanager
def _bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """Progress over requests, on a terminal only."""
    from rich.console import Console
    from rich.progress import Progress, TimeRemainingColumn

    console = Console(stderr=True)
    with Progress(*Progress.get_default_columns()[:-1], TimeRemainingColumn(), console=console, transient=True,
                  disable=not console.is_terminal) as shown:  # fmt: skip
        task = shown.add_task(title, total=None)
        yield lambda done, total: shown.update(task, completed=done, total=total)
