"""What may have been meant: known names that look like one that is not known. Standard library only."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def near(name: str, known: Iterable[str], likeness: float = 0.6) -> tuple[str, ...]:
    """The known names that look most like a name, in any case, the likeliest first."""
    by_lower = {each.lower(): each for each in known}
    return tuple(by_lower[match] for match in get_close_matches(name.lower(), by_lower, n=3, cutoff=likeness))
