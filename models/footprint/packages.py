"""The peers whose data is read through them, each in the one version that stands in the name of its engine."""

from __future__ import annotations

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
