"""What `from joulebook import track` and a first span cost a job: nothing that is heavy is loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import platformdirs
import pytest

import joulebook
from joulebook.accounting.home import home_dir

ROOT = Path(__file__).parents[1]
HEAVY = {
    "asyncio", "codecarbon", "csv", "ctypes", "dataclasses", "duckdb", "email", "importlib.metadata", "inspect",
    "logging", "numpy", "pandas", "pathlib", "platformdirs", "plotly", "pyarrow", "pynvml", "requests", "rich",
    "socket", "ssl", "streamlit", "subprocess", "typst", "urllib", "uuid",
}  # fmt: skip
ROOMS = ("accounting", "collectors", "data", "models", "reports")


@pytest.fixture
def loaded_by(tmp_path):
    """The modules that `code` loads after `before`, where nothing else is loaded but what Python itself needs."""
    package = tmp_path / "site/joulebook"
    package.mkdir(parents=True)
    for path in [*(ROOT / "joulebook").iterdir(), *(ROOT / room for room in ROOMS)]:
        (package / path.name).symlink_to(path)

    def loaded(code, before="pass"):
        program = f"""
import sys
sys.path.append({str(package.parent)!r})
{before}
before = set(sys.modules)
{code}
print(*sorted(set(sys.modules) - before))
"""
        command = [sys.executable, "-I", "-S", "-c", program]
        return set(subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.split())

    return loaded


def heavy(loaded):
    return {name for name in HEAVY if any(f"{module}.".startswith(f"{name}.") for module in loaded)}


def test_the_front_door_alone_loads_nothing(loaded_by):
    assert loaded_by("import joulebook") == {"joulebook", "__future__"}


def test_the_import_loads_the_recorder_and_nothing_heavy(loaded_by):
    loaded = loaded_by("from joulebook import track")
    assert {"joulebook.collectors.track", "joulebook.collectors.sampler", "joulebook.accounting.journal"} < loaded
    assert heavy(loaded) == set()


def test_a_first_span_loads_nothing_more(loaded_by):
    # What looks for the machine's sensors is another thread's business, and loaded there.
    before = "from joulebook import configure, track; configure(meters=[])"
    assert loaded_by("track('run').__enter__().step()", before) == set()


@pytest.mark.parametrize("xdg", [None, "", "/data", "/data/", "relative/data", "~/data"])
def test_the_users_data_folder_is_where_platformdirs_has_it(monkeypatch, xdg):
    monkeypatch.delenv("JOULEBOOK_HOME")
    if xdg is None:
        monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    else:
        monkeypatch.setenv("XDG_DATA_HOME", xdg)
    assert home_dir() == Path(platformdirs.user_data_dir("joulebook", appauthor=False))


def test_what_the_front_door_offers():
    calls = ["async_http_client", "http_client", "observe_bedrock"]
    assert joulebook.__all__ == sorted(joulebook.__all__) == sorted(["__version__", "configure", "track", *calls])
    assert {*joulebook.__all__} <= {*dir(joulebook)}
    assert all(getattr(joulebook, name) for name in joulebook.__all__)
    with pytest.raises(AttributeError, match="module 'joulebook' has no attribute 'tracker'"):
        _ = joulebook.tracker
