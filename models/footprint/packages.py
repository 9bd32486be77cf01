"""The peers whose data is read through them, each in the one version that stands in the name of its engine."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from importlib.metadata import PackageNotFoundError, version

from joulebook.models.footprint.call import Absent

INSTALL = "pip install 'joulebook[footprint]'"


def lacking(package: str, wanted: str) -> Absent | None:
    """Why a package cannot be read, or None when the wanted version is installed."""
    try:
        found = version(package)
    except PackageNotFoundError:
        return Absent(f"the package {package} is not installed: {INSTALL}")
    if found != wanted:
        return Absent(f"{package} {found} is installed and this engine is {wanted}: {INSTALL}")
    return None


def near(name: str, known: Iterable[str], likeness: float = 0.6) -> tuple[str, ...]:
    """The known names that look most like a name, in any case."""
    by_lower = {each.lower(): each for each in known}
    return tuple(by_lower[match] for match in get_close_matches(name.lower(), by_lower, n=3, cutoff=likeness))
