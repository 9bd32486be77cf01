"""The closed-form power of the twin: a square wave on the monotonic clock. `nvml.c` evaluates the same one."""

from __future__ import annotations

from typing import NamedTuple


class Wave(NamedTuple):
    """`high_w` for the first `duty` of each period, then `low_w`; `phase_s` is when a period began."""

    low_w: float
    high_w: float
    period_s: float = 1.7
    duty: float = 0.5
    phase_s: float = 0.0

    def power_w(self, at_s: float) -> float:
        return self.high_w if (at_s - self.phase_s) % self.period_s < self.duty * self.period_s else self.low_w

    def energy_j(self, from_s: float, to_s: float) -> float:
        """The exact integral of the power between two instants."""
        return self._since_phase_j(to_s - self.phase_s) - self._since_phase_j(from_s - self.phase_s)

    def _since_phase_j(self, t_s: float) -> float:
        periods, rest_s = divmod(t_s, self.period_s)
        high_s = self.duty * self.period_s
        whole_j = self.high_w * high_s + self.low_w * (self.period_s - high_s)
        return periods * whole_j + self.high_w * min(rest_s, high_s) + self.low_w * max(0.0, rest_s - high_s)
