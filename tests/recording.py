"""What the tests of the recording path share: reading journals back, a meter whose values they set, fresh processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from joulebook import configure
from joulebook.accounting.home import journal_dir
from joulebook.accounting.records import Reading
from joulebook.collectors import node, sampler
from joulebook.collectors.sensors import Sample, Sensor

Event = dict[str, Any]


def events(home: Path) -> list[Event]:
    """Every line of every journal, in the order of the lines; the numbers of the lines must follow it."""
    return [event for path in sorted(journal_dir(home).glob("*.jsonl")) for event in events_in(path)]


def events_in(path: Path) -> list[Event]:
    data = path.read_bytes()
    assert data.endswith(b"\n")
    lines = [json.loads(line) for line in data.split(b"\n")[:-1]]
    numbers = [line["seq"] for line in lines]
    assert numbers == sorted(set(numbers))
    return lines


def of(found: list[Event], kind: str) -> list[Event]:
    return [event for event in found if event["event"] == kind]


def span(found: list[Event], name: str) -> tuple[Event, Event]:
    """Start and end of the only span of that name."""
    (start,) = [event for event in of(found, "span_start") if event["name"] == name]
    (end,) = [event for event in of(found, "span_end") if event["span_id"] == start["span_id"]]
    return start, end


def amount(found: list[Event], name: str, sensor: str) -> float:
    """What a span used of a counter: its share at the end less its share at the start."""
    shares = [{c["sensor"]: c["shared"] for c in edge["counters"]}[sensor] for edge in span(found, name)]
    return shares[1] - shares[0]


class DialMeter:
    """A meter whose counters stand where the test sets them; an exception in place of a value is raised."""

    name = "dial"

    def __init__(self, **values: float) -> None:
        self.values: dict[str, Any] = dict(values)

    def read(self) -> Sequence[Reading]:
        for value in self.values.values():
            if isinstance(value, Exception):
                raise value
        return [Reading(sensor, value, "J", device="gpu") for sensor, value in self.values.items()]


class FakeNodeMeter:
    """Sensors of the node that show what the test sets: a value, a status, or an exception that is raised."""

    name = "fake"
    rest_s = 0.0
    interval_s: float | None = None

    def __init__(self, *sensors: Sensor) -> None:
        self._sensors = sensors
        self.values: dict[str, Any] = {sensor.sensor: 0.0 for sensor in sensors}
        self.asked: list[tuple[str, ...]] = []
        self.closed = False

    def sensors(self) -> Sequence[Sensor]:
        return self._sensors

    def read(self, names: Collection[str]) -> Sequence[Sample]:
        self.asked.append(tuple(names))
        return [self._sample(name, self.values[name]) for name in names]

    def close(self) -> None:
        self.closed = True

    @staticmethod
    def _sample(name: str, value: Any) -> Sample:
        if isinstance(value, Exception):
            raise value
        return Sample(name, None, value) if isinstance(value, str) else Sample(name, value)


def energy(sensor: str, device: str, **said: Any) -> Sensor:
    """A counter of energy that is shared by nothing, so that nothing else is looked for."""
    told = {"unit": "J", "method": "measured", "source": "a test", "share_by": "reservation", **said}
    return Sensor(sensor, device, **told)


def machine(monkeypatch: pytest.MonkeyPatch, **meters: Any) -> None:
    """A node that has these kinds of sensors and no others. A meter may be an exception: it is raised."""

    def opener(meter: Any) -> Callable[[Any], Any]:
        def open_meter(where: Any) -> Any:
            if isinstance(meter, Exception):
                raise meter
            return meter

        return open_meter

    for kind in (*node.KINDS, node.SHARED_BY):
        module = SimpleNamespace(open_meter=opener(meters.get(kind)))
        monkeypatch.setitem(sys.modules, f"joulebook.collectors.sensors.{kind}", module)


def values_of(found: list[Event], sensor: str) -> list[float | str]:
    """What the journal has of a sensor of the node, in order: values, and statuses in place of them."""
    counters = [counter for event in found for counter in event.get("counters", ()) if counter["sensor"] == sensor]
    return [counter.get("value", counter.get("status")) for counter in counters]


def python(code: str, *arguments: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a program in a fresh interpreter, with the environment of the test."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, **environment},
        check=check,
        capture_output=True,
        text=True,
        timeout=60,
    )


def wait_until(condition: Callable[[], Any], seconds: float = 30) -> Any:
    """Waits for something that another thread or process does."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError("it did not happen in time")


def names_and_parents(home: Path) -> dict[str, str | None]:
    """Name of each span -> name of its parent, None for a root."""
    starts = of(events(home), "span_start")
    names = {start["span_id"]: start["name"] for start in starts}
    return {start["name"]: names.get(start.get("parent_id")) for start in starts}


class Mute(Exception):
    """An error, or anything else, that cannot be shown as text."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


@contextmanager
def fresh_settings() -> Iterator[None]:
    """A test begins and ends with no settings of its own, and has closed what it opened."""
    configure()
    sampler._logged.clear()
    yield
    assert sampler.recorder().tops == []
    configure()
