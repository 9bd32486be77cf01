"""A meter that plays a trace: for tests, for the demo, and to see what a run would have read elsewhere.

    trace.csv    elapsed_s,sensor,value,unit,method,device,boundary     the last four may be left out
    *.jsonl      a journal: its counters as they were read; those of the node, where they count, in joules

Values between two rows are interpolated; before the first row and after the last they stand still.
`JOULEBOOK_REPLAY=trace.csv` makes it the only meter of a job.
"""

from __future__ import annotations

import csv
import json
import math
import os
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from joulebook.accounting.errors import InputError
from joulebook.accounting.records import METHODS, Reading
from joulebook.collectors.sensors import COUNTER_UNITS, GAUGE_UNITS, Sensor

Clock = Callable[[], float]

SLACK_S = 0.5  # between what a counter was read at and what it shows
MOST_W = 1e5  # of a device that does not tell


class TraceRow(NamedTuple):
    """The cumulative value of one counter `elapsed_s` seconds after the beginning of the trace."""

    elapsed_s: float
    sensor: str
    value: float
    unit: str = "J"
    method: str = "measured"
    device: str = "gpu"
    boundary: str = "device"


class Total:
    """What one sensor has counted since its first value, in J or s."""

    def __init__(self, sensor: Sensor, device: str) -> None:
        self.is_gauge = sensor.unit in GAUGE_UNITS
        self._sensor = sensor
        self._scale = COUNTER_UNITS.get(sensor.unit) or GAUGE_UNITS.get(sensor.unit) or 1.0
        self._last: tuple[float, float] | None = None  # at what time, raw
        unit = "s" if sensor.unit == "s" else "J"
        self.row = TraceRow(0.0, sensor.sensor, 0.0, unit, sensor.method, device, sensor.boundary)

    def add(self, elapsed_s: float, value: float) -> TraceRow:
        """The row of a raw value."""
        begin_s, before = self._last or (elapsed_s, value)
        more = self._between(before, value, elapsed_s - begin_s) * self._scale
        self._last = (elapsed_s, value)
        self.row = self.row._replace(elapsed_s=elapsed_s, value=self.row.value + more)
        return self.row

    def _between(self, before: float, value: float, seconds: float) -> float:
        """What it counted between two raw values, in its own unit."""
        if self.is_gauge:
            return (before + value) / 2 * seconds
        if value >= before:
            return value - before
        wrapped = value + (self._sensor.wraps_at or math.inf) - before
        most = (self._sensor.max_w or MOST_W) * (seconds + SLACK_S) / self._scale
        return wrapped if wrapped <= most else value


class ReplayMeter:
    """The meter `replay`: the counters of a trace, whose clock starts at the first reading.

    `speed` is how many seconds of the trace pass in one second of `clock`.
    """

    name = "replay"

    def __init__(self, trace: Sequence[Sequence[Any]], speed: float = 1.0, clock: Clock = time.monotonic) -> None:
        self._speed = speed
        self._clock = clock
        self._began_s: float | None = None
        self._rows: dict[str, list[TraceRow]] = {}
        for row in sorted((TraceRow(*given) for given in trace), key=lambda row: row.elapsed_s):
            self._rows.setdefault(row.sensor, []).append(row)

    def read(self) -> Sequence[Reading]:
        now_s = self._clock()
        if self._began_s is None:
            self._began_s = now_s
        elapsed_s = (now_s - self._began_s) * self._speed
        return [Reading(sensor, _value_at(rows, elapsed_s), *rows[0][3:]) for sensor, rows in self._rows.items()]


def open_meter() -> ReplayMeter | None:
    """The trace that `JOULEBOOK_REPLAY` names, None where it names none. Raises InputError for a bad file."""
    path = os.environ.get("JOULEBOOK_REPLAY")
    return ReplayMeter(read_trace(path)) if path else None


def read_trace(path: str | os.PathLike[str]) -> list[TraceRow]:
    """The rows of a trace file. Raises InputError, in one sentence, when it cannot be used."""
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the trace {path}: {error}") from error
    read = _journal_rows if Path(path).suffix == ".jsonl" else _csv_rows
    try:
        rows = list(read(text))
    except (ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
        raise InputError(f"cannot use the trace {path}: {error}") from error
    if not rows:
        raise InputError(f"cannot use the trace {path}: it holds no counter values")
    return rows


def _value_at(rows: list[TraceRow], elapsed_s: float) -> float:
    after = bisect_right(rows, elapsed_s, key=lambda row: row.elapsed_s)
    if after in (0, len(rows)):
        return rows[min(after, len(rows) - 1)].value
    before, behind = rows[after - 1], rows[after]
    passed = (elapsed_s - before.elapsed_s) / (behind.elapsed_s - before.elapsed_s)
    return before.value + passed * (behind.value - before.value)


def _csv_rows(text: str) -> Iterator[TraceRow]:
    reader = csv.DictReader(text.splitlines(), strict=True)
    missing = [name for name in TraceRow._fields[:3] if name not in (reader.fieldnames or ())]
    if missing:
        raise InputError(f"its first line does not name {', '.join(missing)}")
    for row in reader:
        given = {name: row[name] for name in TraceRow._fields if row.get(name)}
        yield _checked(given, f"line {reader.line_num}")


def _journal_rows(text: str) -> Iterator[TraceRow]:
    """The counters of the complete lines; a line that is torn is passed over, as in any journal."""
    sensors: dict[str, dict[str, Any] | Total | None] = {}
    begin_ns = None
    for event in _events(text):
        if event.get("event") == "sensor":
            sensors.setdefault(event["sensor"], _described(event))
        for counter in event.get("counters", ()):
            begin_ns = event["mono_ns"] if begin_ns is None else begin_ns
            sensor = counter["sensor"]
            if sensor not in sensors:
                raise InputError(f"no line says what the counter {sensor} is")
            elapsed_s, of = (event["mono_ns"] - begin_ns) / 1e9, sensors[sensor]
            if isinstance(of, dict):
                given = {"elapsed_s": elapsed_s, "sensor": sensor, "value": counter["value"], **of}
                yield _checked(given, f"event {event.get('seq')}")
            elif of is not None and "value" in counter:
                yield of.add(elapsed_s, _number(counter["value"], f"event {event.get('seq')}"))


def _described(event: dict[str, Any]) -> dict[str, Any] | Total | None:
    """What a line says of a counter; of one of the node what adds it up, and None if it is no energy that counts."""
    if event.get("scope") != "node":
        return {key: event[key] for key in TraceRow._fields[3:] if key in event}
    sensor = Sensor(**{key: event[key] for key in Sensor._fields if key in event})
    return Total(sensor, sensor.device) if is_energy(sensor) else None


def is_energy(sensor: Sensor) -> bool:
    """Whether a sensor of the node shows energy, and counts."""
    return sensor.counted and sensor.unit in (*COUNTER_UNITS, *GAUGE_UNITS)


def _events(text: str) -> Iterator[dict[str, Any]]:
    for line in text.splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict):
            yield event


def _checked(given: dict[str, Any], where: str) -> TraceRow:
    missing = [name for name in TraceRow._fields[:3] if name not in given]
    if missing:
        raise InputError(f"{where} has no {missing[0]}")
    row = TraceRow(**given)
    row = row._replace(elapsed_s=_number(row.elapsed_s, where), value=_number(row.value, where))
    if row.unit not in ("J", "s"):
        raise InputError(f"{where}: the unit {row.unit!r} is neither J nor s")
    if row.method not in METHODS:
        raise InputError(f"{where}: the method {row.method!r} is none of {', '.join(METHODS)}")
    return row


def _number(text: Any, where: str) -> float:
    try:
        value = float(text)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{where}: {text!r} is not a number")
    return value
