"""Quality against what it takes: which systems nobody beats, and who beats the others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class System:
    """One system: its quality (more is better) and what it takes (less is better)."""

    name: str
    quality: float
    takes: float


def beats(one: System, other: System) -> bool:
    """Whether one is as good and takes no more, and is better in at least one of the two."""
    no_worse = one.quality >= other.quality and one.takes <= other.takes
    return no_worse and (one.quality > other.quality or one.takes < other.takes)


def frontier(systems: Iterable[System]) -> dict[str, tuple[str, ...]]:
    """Each system with those that beat it, the best of them first; nobody, where it is on the frontier."""
    some = tuple(systems)
    return {
        each.name: tuple(
            other.name
            for other in sorted(some, key=lambda other: (-other.quality, other.takes, other.name))
            if beats(other, each)
        )
        for each in some
    }
