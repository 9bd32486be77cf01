"""`joulebook doctor --record FILE`: captures a trace, with a bar on a terminal. Ctrl-C keeps what there is."""

from __future__ import annotations

import os
import select
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from joulebook.cli.doctor import where_to_look
from joulebook.collectors import capture
from joulebook.collectors.capture import Captured, Wait
from joulebook.reports.format import number

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def record(path: Path, seconds: float, interval_s: float, force: bool) -> tuple[Captured, int]:
    """What was written, and the signal that ended it before its time, else 0.

    Raises InputError for a file that a trace must not replace, JoulebookError when nothing can be recorded.
    """
    capture.refuse(path, force)
    sources = capture.sources(*where_to_look())
    with _stoppable() as (wait, signals), _bar(seconds) as advance:
        captured = capture.record(sources, path, seconds, interval_s, lambda more_s: advance() or wait(more_s))
    return captured, signals[0] if signals else 0


def as_json(captured: Captured, number: int) -> dict[str, Any]:
    """The same for `--json`."""
    sensors = [{"sensor": row.sensor, "device": row.device, "method": row.method, "boundary": row.boundary,
                "amount": row.value, "unit": row.unit} for row in captured.last]  # fmt: skip
    return {
        "path": str(captured.path),
        "began_at": EPOCH + timedelta(microseconds=captured.began_ns // 1000),
        "duration_s": captured.seconds,
        "values": captured.rows,
        "energy_j": sum(row.value for row in captured.last if row.unit == "J"),
        "interrupted": bool(number),
        "sensors": sensors,
        "missing": captured.failed,
    }


def tell(captured: Captured, number_of_signal: int) -> None:
    """The same for people."""
    energy_j = sum(row.value for row in captured.last if row.unit == "J")
    early = f" ({signal.Signals(number_of_signal).name} ended it early)" if number_of_signal else ""
    print(f"Trace written to {captured.path}: {captured.rows:,} values in {captured.seconds:.1f} s{early}, "
          f"{number(energy_j)} J in all")  # fmt: skip
    for row in captured.last:
        mean = f", {number(row.value / captured.seconds)} W" if row.unit == "J" and captured.seconds else ""
        print(f"  {row.sensor}  {number(row.value)} {row.unit}{mean}, {row.method}")
    for sensor, status in captured.failed.items():
        print(f"  {sensor}  values are missing: {status}")
    print(f"Play it: JOULEBOOK_REPLAY={shlex.quote(str(captured.path))} joulebook run -- COMMAND")


@contextmanager
def _stoppable() -> Iterator[tuple[Wait, list[int]]]:
    """A `wait` that SIGINT and SIGTERM end, and those that came. A pipe tells it: nothing is interrupted half-way."""
    signals: list[int] = []
    come, go = os.pipe()

    def take_down(signum: int, _: object) -> None:
        signals.append(signum)
        os.write(go, b"!")

    before = {signum: signal.signal(signum, take_down) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda seconds: bool(select.select([come], [], [], seconds)[0]), signals
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
        os.close(come)
        os.close(go)


@contextmanager
def _bar(seconds: float) -> Iterator[Callable[[], None]]:
    """A bar over the time, on a terminal only."""
    if not (sys.stderr.isatty() and find_spec("rich")):
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = TextColumn("recording, Ctrl-C ends it"), BarColumn(), TimeElapsedColumn(), TextColumn(f"of {seconds:g} s")
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        began_s, task = time.monotonic(), bar.add_task("", total=seconds)
        yield lambda: bar.update(task, completed=time.monotonic() - began_s)
