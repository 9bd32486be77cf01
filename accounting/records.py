"""The plain values that pass between the rooms. Standard library only."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple, Protocol
else:
    from joulebook.accounting.named import NamedTuple, Protocol

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


class Meter(Protocol):
    """What observes a machine or a process tree.

    `read` returns one `Reading` per counter and is called at the edges of runs and once per interval, from any
    thread, one call at a time. It may raise: the recorder notes a gap and reads again at the next tick.
    """

    name: str

    def read(self) -> Sequence[Reading]: ...
