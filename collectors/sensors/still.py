"""Counters that stand still: some drivers show one that never moves, and 0 J is no answer for what is used."""

from __future__ import annotations

import time

STILL_S = 3.0
STUCK = "stuck"  # the status of a counter that stands still while power is drawn


class Still:
    """When each of some counters last moved."""

    def __init__(self) -> None:
        self._moved: dict[str, tuple[float, float]] = {}  # sensor -> (its value, since when)

    def is_still(self, sensor: str, value: float) -> bool:
        """Takes down what it shows now; whether it has shown that for three seconds."""
        now_s = time.monotonic()
        last, since_s = self._moved.get(sensor, (None, now_s))
        if value != last:
            self._moved[sensor] = (value, now_s)
            return False
        return now_s - since_s >= STILL_S
