"""What `from joulebook import track` costs a job: nothing that is heavy is loaded."""

from __future__ import annotations

import pytest
from recording import python

import joulebook

HEAVY = {
    "asyncio", "codecarbon", "csv", "dataclasses", "duckdb", "email", "importlib.metadata", "inspect", "json",
    "logging", "numpy", "pandas", "platformdirs", "plotly", "pyarrow", "pynvml", "requests", "rich", "socket",
    "ssl", "streamlit", "subprocess", "typing", "typst", "urllib.request", "uuid",
}  # fmt: skip
# What a first span may load, beyond that, from the standard library.
WITH_THE_FIRST_SPAN = {"dataclasses", "inspect", "json", "typing"}


def loaded_by(code):
    """The modules that some code loads, in a fresh interpreter."""
    program = f"import sys; before = set(sys.modules); {code}; print(*sorted(set(sys.modules) - before))"
    return set(python(program).stdout.split())


def heavy(loaded):
    return {name for name in HEAVY if any(f"{module}.".startswith(f"{name}.") for module in loaded)}


def test_the_front_door_alone_loads_nothing():
    assert loaded_by("import joulebook") == {"joulebook"}


def test_the_import_loads_nothing_heavy():
    loaded = loaded_by("from joulebook import track")
    assert {"joulebook.collectors.track"} < loaded
    assert heavy(loaded) == set()
    assert {name for name in loaded if name.startswith("joulebook.accounting")} == set()


def test_a_run_loads_the_standard_library_only(home):
    # The names of other packages' meters are read on the recorder's thread: that may load importlib.metadata.
    code = "from joulebook import configure, track; configure(meters=[]); track('run').__enter__().step()"
    assert heavy(loaded_by(code)) <= WITH_THE_FIRST_SPAN


def test_what_the_front_door_offers():
    assert joulebook.__all__ == sorted(joulebook.__all__) == ["__version__", "configure", "track"]
    assert {*joulebook.__all__} <= {*dir(joulebook)}
    assert all(getattr(joulebook, name) for name in joulebook.__all__)
    with pytest.raises(AttributeError, match="module 'joulebook' has no attribute 'tracker'"):
        _ = joulebook.tracker
