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
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from math import fsum
from operator import add
from typing import NamedTuple

SHORTEST_S = 1e-6  # what is used in no time at all, is used in this
EXACT = 2**40  # watts and rates are counted in whole parts of this: sums of them leave nothing behind


class Ends(NamedTuple):
    """Joules: low, mid, high."""

    low: float = 0.0
    mid: float = 0.0
    high: float = 0.0


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
    """What holds at an instant, or how much more or less of it from one on."""

    low: int = 0  # the power, in W ÷ EXACT
    mid: int = 0
    high: int = 0
    is_open: int = 0  # so many calls
    is_told: int = 0  # so many of them with tokens
    rate: int = 0  # of those together, in tokens per second ÷ EXACT


def shared(pieces: Sequence[Piece], calls: Sequence[Open]) -> Shares:
    """The energy of a server (J), shared over its calls: the docstring of the module is the formula."""
    edges = sorted([*_power_edges(pieces), *_call_edges(calls)])
    times = [at_s for at_s, _ in edges]
    used = list(_used(edges))
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


def _power_edges(pieces: Sequence[Piece]) -> Iterator[tuple[float, _Now]]:
    """When the power goes up, and down again."""
    for piece in pieces:
        to_s = max(piece.to_s, piece.from_s + SHORTEST_S)
        seconds = to_s - piece.from_s  # of the edges as they are: next to a late hour a microsecond is a rounded one
        low, mid, high = (round(energy_j / seconds * EXACT) for energy_j in piece.energy_j)
        yield piece.from_s, _Now(low, mid, high)
        yield to_s, _Now(-low, -mid, -high)


def _call_edges(calls: Sequence[Open]) -> Iterator[tuple[float, _Now]]:
    """When a call is opened, and closed."""
    for call in calls:
        rate = _rate(call)
        is_told = 1 if rate else 0
        yield call.from_s, _Now(is_open=1, is_told=is_told, rate=rate)
        yield _end(call), _Now(is_open=-1, is_told=-is_told, rate=-rate)


def _used(edges: Sequence[tuple[float, _Now]]) -> Iterator[tuple[_Now, Ends]]:
    """What holds from each edge to the next, and the energy used there."""
    now = _Now()
    for (from_s, change), (to_s, _) in pairwise(edges):
        now = _Now(*map(add, now, change))
        parts = (to_s - from_s) / EXACT
        yield now, Ends(now.low * parts, now.mid * parts, now.high * parts)


def _total(energies: Iterable[Ends]) -> Ends:
    return Ends(*map(fsum, zip(*energies, strict=True)))


def _end(call: Open) -> float:
    return max(call.to_s, call.from_s + SHORTEST_S)


def _rate(call: Open) -> int:
    """Tokens per second that it was open, ÷ EXACT; 0 where nobody knows."""
    return round((call.tokens or 0.0) / (_end(call) - call.from_s) * EXACT)
