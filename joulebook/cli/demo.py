"""The walk, end to end, on this machine: record real jobs, fold them in, verify, report, sum up.

a. a training job on real data, with spans, steps and accuracy
b. a command wrapped from outside
c. a nested job that fails, and one that is killed: what a crash leaves
d. the trace of (a) replayed into a ledger of its own: the same joules must come out
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from joulebook.accounting.errors import JoulebookError, MissingExtra
from joulebook.accounting.home import journal_dir

REPLAY_SPEED = 20.0
COMPRESSED = ("asyncio", "email", "encodings", "json", "unittest", "xml")


def demonstrate(home: Path, *, quiet: bool = False) -> dict[str, Any]:
    """Record, ingest, verify and report; what came of it. Raises JoulebookError when a step does not do its work."""
    say = _silent if quiet else _aloud
    _needs()
    say(f"Home: {home}")
    journal = _record(home, say)
    say("\nReplaying the trace of the training job")
    replayed = _replay(journal)
    say(f"  {replayed['recorded_s']:.3f} CPU-seconds recorded, {replayed['replayed_s']:.3f} replayed")
    return _account(home, say, quiet) | {"replay": replayed}


def _silent(_text: str) -> None:
    pass


def _aloud(text: str) -> None:
    print(text, flush=True)


def _needs() -> None:
    try:
        import sklearn  # noqa: F401 — looked for here, used in the jobs
        import typst  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtra("the demo", "demo") from error


def _record(home: Path, say: Callable[[str], None]) -> Path:
    """Run the jobs; the journal of the training job."""
    before = set(journal_dir(home).glob("*.jsonl"))
    say("\na. Training on handwritten digits: a multilayer perceptron and a boosted forest")
    _job(home, ["-m", "joulebook.cli.demo_jobs", "digits"], expect=0)
    (journal,) = set(journal_dir(home).glob("*.jsonl")) - before
    say("b. Compressing a part of Python's library, wrapped from outside")
    with tempfile.TemporaryDirectory() as folder:
        library = Path(sysconfig.get_paths()["stdlib"])
        command = [
            sys.executable,
            "-m",
            "tarfile",
            "-c",
            f"{folder}/library.tar.gz",
            *(str(library / name) for name in COMPRESSED),
        ]
        wrap = [
            "-m",
            "joulebook",
            "run",
            "--name",
            "compress-library",
            "--project",
            "demo",
            "--tag",
            "tool=tarfile",
            "--",
        ]
        _job(home, [*wrap, *command], expect=0)
    say("c. A nested job that fails, and a job that is killed")
    _job(home, ["-m", "joulebook.cli.demo_jobs", "crash"], expect=1)
    _job(home, ["-m", "joulebook.cli.demo_jobs", "killed"], expect=-9)
    return journal


def _job(home: Path, arguments: list[str], expect: int) -> None:
    environment = os.environ | {"JOULEBOOK_HOME": str(home)}
    done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False)
    if done.returncode != expect:
        raise JoulebookError(
            f"demo: {' '.join(arguments[:3])} ended with {done.returncode}, not {expect}:\n{done.stderr[-2000:]}"
        )


def _replay(journal: Path) -> dict[str, float]:
    """Record the trace of a journal once more, faster, in a home that is thrown away."""
    code = (
        "import sys, time\n"
        "from joulebook import configure, track\n"
        "from joulebook.collectors.replay import ReplayMeter, read_trace\n"
        "trace = read_trace(sys.argv[1])\n"
        f"configure(meters=[ReplayMeter(trace, speed={REPLAY_SPEED})], interval_s=0.05)\n"
        "with track('replay'):\n"
        f"    time.sleep(max(row[0] for row in trace) / {REPLAY_SPEED} + 0.1)\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        _job(Path(folder), ["-c", code, str(journal)], expect=0)
        recorded, replayed = _counted(journal.parent.parent, journal), _counted(Path(folder))
    if abs(recorded - replayed) > 1e-6 * max(recorded, 1e-3):
        raise JoulebookError(f"demo: {recorded} CPU-seconds were recorded but {replayed} replayed")
    return {"recorded_s": recorded, "replayed_s": replayed}


def _counted(home: Path, journal: Path | None = None) -> float:
    """CPU seconds between the first and the last value that a journal holds."""
    from joulebook.collectors.replay import read_trace

    path = journal or next(journal_dir(home).glob("*.jsonl"))
    values = [row[2] for row in read_trace(path)]
    return float(max(values) - min(values))


def _account(home: Path, say: Callable[[str], None], quiet: bool) -> dict[str, Any]:
    from joulebook.accounting.ledger import ingest, open_ledger
    from joulebook.accounting.verify import verify
    from joulebook.reports import views
    from joulebook.reports.as_json import rows
    from joulebook.reports.pdf import write_pdf

    done = ingest(home)
    ledger = open_ledger(home)
    checks = verify(ledger)
    broken = [violation for check in checks for violation in check.violations]
    say(f"\nLedger: {done.events_added:,} events added, {len(checks)} invariants checked, {len(broken)} broken")
    now = datetime.now(UTC)
    period = views.period_of()
    pdf = write_pdf(views.report(ledger, period), home / "reports" / f"joulebook-{now:%Y-%m-%d}.pdf", prepared_at=now)
    summary = views.summary(ledger, period, "name")
    if not quiet:
        from joulebook.reports.terminal import draw

        say("")
        draw(summary)
    say(f"\nPDF:    {pdf}\nLedger: {ledger.path}")
    if broken:
        raise JoulebookError(f"demo: the ledger does not verify: {broken[0]}")
    return {
        "home": str(home),
        "ledger": str(ledger.path),
        "pdf": str(pdf),
        "ingest": asdict(done),
        "verified": True,
        "summary": rows(summary),
    }
