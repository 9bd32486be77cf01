"""Captures a trace: what the sensors of this node show for a while, in the form that `replay` plays.

    sources ─> every sensor whose energy counts, and the busy CPU seconds of the node
    record  ─> a row for each value: begin, each interval, end ─> FILE.part ─> FILE, when it is whole

A value of the trace is cumulative and begins at 0: joules, or CPU seconds. A counter's are its differences, also when
it goes round (`wraps_at`) or begins again at 0 (then what it shows is the least it can be). A gauge's are its integral
by the trapezoid; it is read at least as often as its meter asks for. A value that could not be read makes no row: a
counter has the energy in its next one, over a gauge's gap stands the straight line.

The trace is of the whole device, also where a run would have a part of it. Left out is what a replay would count twice
(sensors that are there to compare) and what is no energy yet (GB of memory). CPU seconds stand on the device `cpu`,
from which energy is modelled, only where no sensor sees that of the CPU; else on `node`.
"""

from __future__ import annotations

import csv
import math
import os
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from joulebook.accounting.errors import InputError, JoulebookError
from joulebook.collectors.node import inventory
from joulebook.collectors.replay import Total, TraceRow, is_energy
from joulebook.collectors.sampler import attempt, next_s
from joulebook.collectors.sensors import NodeMeter, Sample, Sensor, Where, node_cpu

Wait = Callable[[float], bool]  # waits so many seconds; True: it is enough

SEEN_WITH_CPU = ("cpu", "module", "platform")


class Captured(NamedTuple):
    """What is in the file. `began_ns`: the clock of the world when `elapsed_s` was 0."""

    path: Path
    began_ns: int
    seconds: float
    rows: int
    last: tuple[TraceRow, ...]  # of each sensor that gave a value: what it came to
    failed: dict[str, str]  # sensor -> why values of it are missing


class Source:
    """A meter, its sensors that are captured, and when it is due."""

    def __init__(self, meter: NodeMeter, totals: Sequence[Total]) -> None:
        self.meter = meter
        self.totals = {total.row.sensor: total for total in totals}
        self.due_s = 0.0

    def step_s(self, interval_s: float) -> float:
        """How often it is read. A counter of energy needs no more than is asked for; a gauge does."""
        own_s = self.meter.interval_s
        return max(self.meter.rest_s, interval_s if own_s is None else min(interval_s, own_s))

    def read(self) -> tuple[float, Sequence[Sample]]:
        """When, halfway through the reading, and what."""
        before_s = time.monotonic()
        samples = attempt(f"sensor {self.meter.name}", None, self.meter.read, self.totals.keys())
        at_s = (before_s + time.monotonic()) / 2
        return at_s, [Sample(name, None, "failed") for name in self.totals] if samples is None else samples


def sources(kinds: Sequence[str], where: Where) -> list[Source]:
    """What can be captured here. Raises JoulebookError when no sensor shows energy."""
    found = inventory(kinds, where)
    counted = [(one.meter, [sensor for sensor in one.sensors if is_energy(sensor)]) for one in found]
    seen = [sensor for _, sensors in counted for sensor in sensors]
    for meter, sensors in counted:
        if not sensors:
            attempt(f"sensor {meter.name}", None, meter.close)
    if not seen:
        raise JoulebookError("there is nothing to record: no energy sensor can be read here; joulebook doctor says why")
    opened = [Source(meter, [Total(one, one.device) for one in sensors]) for meter, sensors in counted if sensors]
    return opened + _cpu_time(where, sees_cpu=any(_class(sensor) in SEEN_WITH_CPU for sensor in seen))


def record(opened: Sequence[Source], path: Path, seconds: float, interval_s: float, wait: Wait) -> Captured:
    """Writes the trace of so many seconds, or until `wait` says that it is enough, and closes the sensors.

    Raises InputError for a file that cannot be a trace, OSError for one that cannot be written.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("w", encoding="utf-8", newline="") as file:
            captured = _write(path, file, _ticks(opened, seconds, interval_s, wait))
            os.fsync(file.fileno())
        if not any(row.unit == "J" for row in captured.last):
            told = "; ".join(f"{sensor}: {status}" for sensor, status in captured.failed.items())
            raise JoulebookError(f"nothing was recorded: no energy sensor gave a value ({told})")
        part.replace(path)
    finally:
        with suppress(OSError):
            part.unlink()
        for source in opened:
            attempt(f"sensor {source.meter.name}", None, source.meter.close)
    return captured


def refuse(path: Path, force: bool) -> None:
    """Raises InputError where a trace must not, or cannot, be written."""
    if path.suffix == ".jsonl":
        raise InputError(f"{path}: a trace is CSV, and .jsonl is read as a journal; call it .csv")
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: this is no regular file; name one that is to be written")
    if path.exists() and not force:
        raise InputError(f"{path}: there is a file already; give --force to replace it")


def _write(path: Path, file: Any, ticks: Iterator[Collection[Source]]) -> Captured:
    began_s, began_ns = time.monotonic(), time.time_ns()
    table = csv.writer(file, lineterminator="\n")
    table.writerow(TraceRow._fields)
    failed: dict[str, str] = {}
    last: dict[str, TraceRow] = {}
    rows = 0
    for due in ticks:
        for row in (row for source in due for row in _rows(source, began_s, failed)):
            table.writerow((f"{row.elapsed_s:.6f}", row.sensor, f"{row.value:.6f}", *row[3:]))
            last[row.sensor] = row
            rows += 1
        file.flush()
    return Captured(path, began_ns, time.monotonic() - began_s, rows, tuple(last.values()), failed)


def _rows(source: Source, began_s: float, failed: dict[str, str]) -> Iterator[TraceRow]:
    at_s, samples = source.read()
    for name, value, status in samples:
        if value is None or not math.isfinite(value):
            failed[name] = status if value is None else "not finite"
        else:
            yield source.totals[name].add(at_s - began_s, value)


def _ticks(opened: Sequence[Source], seconds: float, interval_s: float, wait: Wait) -> Iterator[Collection[Source]]:
    """Who is to be read, now and again: everybody at the beginning and at the end."""
    begin_s = time.monotonic()
    end_s = begin_s + seconds
    yield opened
    for source in opened:
        source.due_s = next_s(begin_s, source.step_s(interval_s))
    is_enough = False
    while not is_enough:
        next_due_s = min(end_s, *(source.due_s for source in opened))
        is_enough = wait(max(0.0, next_due_s - time.monotonic())) or next_due_s >= end_s
        now_s = time.monotonic()
        due = opened if is_enough else [source for source in opened if source.due_s <= now_s]
        yield due
        for source in due:
            source.due_s = next_s(begin_s, source.step_s(interval_s))


def _cpu_time(where: Where, sees_cpu: bool) -> list[Source]:
    """The busy CPU seconds of the node."""
    meter = attempt("sensor node_cpu", None, node_cpu.open_meter, where)
    if meter is None:
        return []
    device = "node" if sees_cpu else "cpu"
    return [Source(meter, [Total(sensor._replace(boundary="it"), device) for sensor in meter.sensors()])]


def _class(sensor: Sensor) -> str:
    return sensor.device.partition(":")[0]
