"""Which price a part of a call has: that of the narrowest priced unit that it lies in.

Cached audio tokens are input tokens, cached ones and audio ones; a list that prices several of these prices what lies
in all of them, too, so that there is one narrowest.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from itertools import combinations

from joulebook.accounting.usage import units


@cache
def narrowest(unit: str, priced: frozenset[str], first: frozenset[str] = frozenset()) -> str | None:
    """The narrowest of the priced units that holds a unit; of two as narrow, the one that is in `first`."""
    known = units()
    around = [name for name in priced if known[name].dimensions <= known[unit].dimensions]
    return max(around, key=lambda name: (len(known[name].dimensions), name in first, name), default=None)


def unpriced_overlap(priced: Collection[str]) -> tuple[str, str, str] | None:
    """`(both, one, other)`: two priced units that overlap in a unit without a price of its own."""
    by_dimensions = {unit.dimensions: unit.name for unit in units().values()}
    for one, other in combinations(sorted(priced), 2):
        both = by_dimensions.get(units()[one].dimensions | units()[other].dimensions)
        if both is not None and both not in priced:
            return both, one, other
    return None
