"""The plain values that pass between the rooms. Standard library only."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol, runtime_checkable

# From the best evidence to the weakest. A sum carries the weakest of its parts.
METHODS = ("measured", "integrated", "attributed", "modelled", "declared", "default", "unknown")


def weakest(methods: Sequence[str]) -> str:
    """The weakest of some methods; `unknown` when there are none."""
    return max(methods, key=METHODS.index, default="unknown")


def uuid7() -> str:
    """A new time-ordered id (RFC 9562, version 7) as text."""
    value = (time.time_ns() // 1_000_000 << 80) | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


class Reading(NamedTuple):
    """The cumulative value of one counter now. It only goes up; the recorder stamps the clocks.

    `unit` is `J` (energy) or `s` (CPU time); `boundary` says which energy the joules are: `device` or `it`.
    """

    sensor: str
    value: float
    unit: str
    method: str = "measured"
    device: str = "cpu"
    boundary: str = "device"


@runtime_checkable
class Meter(Protocol):
    """What observes a machine or a process tree.

    `read` returns one `Reading` per counter and is called at the edges of runs and once per interval, from any
    thread, one call at a time. It may raise: the recorder notes a gap and reads again at the next tick.
    """

    name: str

    def read(self) -> Sequence[Reading]: ...


@dataclass(frozen=True)
class Estimate:
    """An amount as low, mid and high, with its unit and method; all three are None when it is unknown."""

    low: float | None
    mid: float | None
    high: float | None
    unit: str
    method: str
    reason: str | None = None  # why it is unknown

    @property
    def known(self) -> bool:
        return self.mid is not None

    def as_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {"low": self.low, "mid": self.mid, "high": self.high}
        out |= {"unit": self.unit, "method": self.method}
        return out if self.reason is None else out | {"reason": self.reason}

    def scaled(self, factor: float, unit: str) -> Estimate:
        """The same amount in another unit: each of low, mid and high times `factor`."""
        if self.low is None or self.mid is None or self.high is None:
            return replace(self, unit=unit)
        return replace(self, low=self.low * factor, mid=self.mid * factor, high=self.high * factor, unit=unit)


def unknown(unit: str, reason: str) -> Estimate:
    """An amount that nobody knows, and why. Never zero."""
    return Estimate(None, None, None, unit, "unknown", reason)


def exactly(value: float, unit: str, method: str) -> Estimate:
    """An amount without a range of its own."""
    return Estimate(value, value, value, unit, method)
