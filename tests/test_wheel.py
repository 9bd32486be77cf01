"""The built wheel, alone in an empty environment, records a run: the base install needs nothing else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOT_SOURCE = shutil.ignore_patterns(".*", "build", "dist", "out", "store", "*.egg-info", "__pycache__")
TRACK = """
from joulebook import track

with track("first run", project="wheel"):
    sum(range(1000))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that the checkout stays clean."""
    tree = shutil.copytree(ROOT, tmp_path_factory.mktemp("wheel") / "tree", ignore=NOT_SOURCE)
    subprocess.run([sys.executable, "-m", "build", "--wheel", "--no-isolation"], cwd=tree, check=True)
    (built,) = (tree / "dist").iterdir()
    return built


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of an environment that holds the wheel and nothing else, not even pip."""
    environment = tmp_path_factory.mktemp("empty") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    pip = [sys.executable, "-m", "pip", "--python", environment, "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-index", wheel], check=True)
    return environment / "bin"


def run(command: list[str | Path], folder: Path) -> str:
    """What a command says, run away from the checkout, with the test's own home."""
    environment = {"PATH": os.environ["PATH"], "JOULEBOOK_HOME": os.environ["JOULEBOOK_HOME"]}
    return subprocess.run(
        command, cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True, timeout=60
    ).stdout


def spans(home: Path) -> list[tuple[str, str | bool]]:
    """The starts, by name, and the ends, by whether all went well, in the only journal there is."""
    (journal,) = (home / "journal").glob("*.jsonl")
    events = [json.loads(line) for line in journal.read_text("utf-8").splitlines()]
    tells = {"span_start": "name", "span_end": "ok"}
    return [(event["event"], event[tells[event["event"]]]) for event in events if event["event"] in tells]


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"joulebook", wheel.name.split("-py3")[0] + ".dist-info"}
    tables = [f"joulebook/data/tables/{path.name}" for path in (ROOT / "data" / "tables").glob("*.csv")]
    assert tables
    wanted = [*tables, "joulebook/reports/report.typ", "joulebook/py.typed", "joulebook/accounting/records.py"]
    assert [name for name in wanted if name not in names] == []


def test_nothing_else_is_installed(programs, tmp_path):
    listing = "import importlib.metadata as m; print(*(d.name for d in m.distributions()))"
    assert run([programs / "python", "-c", listing], tmp_path).split() == ["joulebook"]


def test_a_run_is_recorded(programs, home, tmp_path):
    run([programs / "python", "-c", TRACK], tmp_path)
    assert spans(home) == [("span_start", "first run"), ("span_end", True)]


def test_a_command_is_recorded(programs, home, tmp_path):
    run([programs / "joulebook", "run", "--", "true"], tmp_path)
    assert spans(home) == [("span_start", "true"), ("span_end", True)]
