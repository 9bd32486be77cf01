"""The energy of a local inference server, shared over the calls that it answered.

    energy over time, calls with their tokens ─> what each call has, what nobody called for, what cannot be shared

Between two readings of its counters a server uses its energy evenly. At every instant the power belongs to the calls
that are open, each by its tokens (of input and output alike) per second that it is open:

    energy of a call = ∫ power(t) × rate ÷ (sum of the rates of the calls open at t) dt,   rate = tokens ÷ seconds open

What it uses while no call is open is idle energy, and while only calls of unknown tokens are open nobody's. The three
add up to the energy of the run. A call's range is what sharing cannot change: at least what was used while it alone was
open, at most all that was used while it was open; each at that end of the run's own range.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from itertools import pairwise
from math import fsum
from typing import NamedTuple

SHORTEST_S = 1e-6  # what is used in no time at all, is used in this
EXACT = 2**40  # watts and rates are counted in whole parts of this: sums of them leave nothing behind


class Ends(NamedTuple):
    """Joules: low, mid, high."""

    low: float = 0
    mid: float = 0
    high: float = 0

    def plus(self, more: Ends) -> Ends:
        return Ends(self.low + more.low, self.mid + more.mid, self.high + more.high)

    def times(self, factor: float) -> Ends:
        return Ends(self.low * factor, self.mid * factor, self.high * factor)


class Piece(NamedTuple):
    """What was used from a time to another, in seconds since the run began."""

    from_s: float
    to_s: float
    energy_j: Ends


class Open(NamedTuple):
    """When a call was open, and its tokens; None where nobody knows."""

    from_s: float
    to_s: float
    tokens: float | None


class Shares(NamedTuple):
    """What the calls used together and one by one, what was used without any, and beside calls of unknown tokens."""

    served: Ends
    idle: Ends
    untold: Ends
    calls: list[Ends]


class _Now(NamedTuple):
    """What holds at an instant, or what changes at one."""

    power: Ends = Ends()  # in W ÷ EXACT, whole numbers
    is_open: int = 0  # so many calls
    is_told: int = 0  # so many of them with tokens
    rate: int = 0  # of those together, in tokens per second ÷ EXACT

    def plus(self, more: _Now) -> _Now:
        told = self.is_told + more.is_told
        return _Now(self.power.plus(more.power), self.is_open + more.is_open, told, self.rate + more.rate)


def shared(pieces: Sequence[Piece], calls: Sequence[Open]) -> Shares:
    """The energy of a server (J), shared over its calls: the docstring of the module is the formula."""
    changes = _changes(pieces, calls)
    times = sorted(changes)
    used = list(_used(changes, times))
    alone = [energy.low if now.is_told and now.is_open == 1 else 0.0 for now, energy in used]
    per_rate = [energy.mid / now.rate if now.is_told else 0.0 for now, energy in used]
    around = [energy.high if now.is_told else 0.0 for now, energy in used]

    def of(call: Open) -> Ends:
        rate, first, last = _rate(call), bisect_left(times, call.from_s), bisect_left(times, _end(call))
        low, mid, high = (fsum(amounts[first:last]) for amounts in (alone, per_rate, around))
        return Ends(low, rate * mid, high) if rate else Ends()

    return Shares(
        served=_total(energy for now, energy in used if now.is_told),
        idle=_total(energy for now, energy in used if not now.is_open),
        untold=_total(energy for now, energy in used if now.is_open and not now.is_told),
        calls=[of(call) for call in calls],
    )


def _changes(pieces: Sequence[Piece], calls: Sequence[Open]) -> dict[float, _Now]:
    """What changes at which time."""
    found: defaultdict[float, _Now] = defaultdict(_Now)
    for piece in pieces:
        to_s = max(piece.to_s, piece.from_s + SHORTEST_S)
        power = Ends(*(round(end_j / (to_s - piece.from_s) * EXACT) for end_j in piece.energy_j))
        found[piece.from_s] = found[piece.from_s].plus(_Now(power))
        found[to_s] = found[to_s].plus(_Now(power.times(-1)))
    for call in calls:
        rate, end_s = _rate(call), _end(call)
        is_told = 1 if rate else 0
        found[call.from_s] = found[call.from_s].plus(_Now(Ends(), 1, is_told, rate))
        found[end_s] = found[end_s].plus(_Now(Ends(), -1, -is_told, -rate))
    return found


def _used(changes: dict[float, _Now], times: Sequence[float]) -> Iterator[tuple[_Now, Ends]]:
    """What holds between each two times, and the energy used there."""
    now = _Now()
    for time_s, next_s in pairwise(times):
        now = now.plus(changes[time_s])
        yield now, now.power.times((next_s - time_s) / EXACT)


def _total(energies: Iterable[Ends]) -> Ends:
    return reduce(Ends.plus, energies, Ends())


def _end(call: Open) -> float:
    return max(call.to_s, call.from_s + SHORTEST_S)


def _rate(call: Open) -> int:
    """Tokens per second that it was open, ÷ EXACT; 0 where nobody knows."""
    return round((call.tokens or 0.0) / (_end(call) - call.from_s) * EXACT)
