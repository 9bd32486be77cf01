"""An amount with its range, as the formulas give it and the views show it. Standard library only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from joulebook.accounting.records import weakest


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


def ends_of(estimate: Estimate) -> tuple[float, float, float]:
    """Low, mid and high of an amount that is known."""
    assert estimate.low is not None and estimate.mid is not None and estimate.high is not None  # noqa: S101, PT018
    return estimate.low, estimate.mid, estimate.high


def added(operational: Estimate, embodied: Estimate) -> Estimate:
    """Both parts of an impact together, low with low; unknown where one of them is."""
    if operational.known and embodied.known:
        ends = [a + b for a, b in zip(ends_of(operational), ends_of(embodied), strict=True)]
        return between(ends, operational.unit, weakest([operational.method, embodied.method]))
    missing, part = (embodied, "embodied") if operational.known else (operational, "operational")
    return unknown(operational.unit, f"the {part} part is not known: {missing.reason}")


def between(ends: Iterable[float], unit: str, method: str) -> Estimate:
    """An amount from its low, mid and high."""
    low, mid, high = ends
    return Estimate(low, mid, high, unit, method)
