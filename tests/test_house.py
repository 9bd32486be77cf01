"""The house holds: imports point down, the packaging map is whole, nothing of one machine is in the repository."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path, PurePosixPath

import pytest

import joulebook

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
FOLDER_OF = PROJECT["tool"]["setuptools"]["package-dir"]  # "joulebook.accounting" -> "accounting"
ROOMS = {folder.split("/")[0] for folder in FOLDER_OF.values()}

FLOOR_0 = {f"joulebook.accounting.{name}" for name in ("errors", "units", "named", "records", "home")}
# What a recording job loads, beside the collectors.
RECORDING = FLOOR_0 | {"joulebook.accounting.journal"}
# The only other packages that the recording path may load, each late and each by one module.
LATE = {"joulebook.accounting.home": {"platformdirs"}}
DEVICE_LIBRARIES = {"pynvml", "amdsmi", "zeus_apple_silicon"}
# Rooms for those who use a framework already: its file loads it.
FRAMEWORKS = {
    "joulebook.collectors.api.bedrock": {"botocore"},
    "joulebook.collectors.api.otel": {"opentelemetry"},
    "joulebook.collectors.api.receiver": {"opentelemetry", "google"},
    "joulebook.collectors.flops": {"torch"},
    "joulebook.collectors.importers": {"pyarrow"},
    "joulebook.collectors.probe": {"numpy", "torch", "transformers"},
    "joulebook.collectors.integrations": {"transformers", "lightning", "pytorch_lightning", "pytest", "IPython"},
}
# Room -> the rooms that it may import from. An arrow never points up; siblings never see each other.
MAY_SEE = {
    "joulebook.accounting": {"joulebook.accounting"},
    "joulebook.collectors": {"joulebook.collectors", "joulebook.accounting"},
    "joulebook.data": set(),
    "joulebook.models": {"joulebook.models", "joulebook.accounting"},
    "joulebook.reports": {"joulebook.reports", "joulebook.models", "joulebook.accounting"},
}


@cache
def files() -> tuple[PurePosixPath, ...]:
    """Every file that git tracks or would track, as it lies on the disk."""
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    return tuple(PurePosixPath(name) for name in sorted(filter(None, listed)) if (ROOT / name).is_file())


def in_rooms() -> list[PurePosixPath]:
    return [path for path in files() if path.parts[0] in ROOMS]


@cache
def syntax(path: PurePosixPath) -> ast.Module:
    return ast.parse((ROOT / path).read_bytes())


def module_name(path: PurePosixPath) -> str:
    """`accounting/ledger/parse.py` -> `joulebook.accounting.ledger.parse`: the name that the map gives it."""
    parts = [part for part in path.with_suffix("").parts if part not in ("joulebook", "__init__")]
    return ".".join(["joulebook", *parts])


@cache
def modules() -> dict[str, PurePosixPath]:
    return {module_name(path): path for path in in_rooms() if path.suffix == ".py"}


def imports(path: PurePosixPath) -> set[str]:
    """The full names that a file imports, at its top or late: `from a import b` gives `a.b`."""
    found = set()
    for node in ast.walk(syntax(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides the floor that it points to"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def is_in(name: str, packages: set[str]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def own(module: str) -> set[str]:
    """What a module imports from this house."""
    return {name for name in imports(modules()[module]) if is_in(name, {"joulebook"})}


def others(module: str) -> set[str]:
    """The packages that a module imports and that come neither with Python nor from this house."""
    return {name.split(".")[0] for name in imports(modules()[module])} - sys.stdlib_module_names - {"joulebook"}


def outside(names: set[str], packages: set[str]) -> set[str]:
    return {name for name in names if not is_in(name, packages)}


def test_floor_0_needs_the_standard_library_only():
    for module in FLOOR_0:
        assert others(module) <= LATE.get(module, set()), module
        assert outside(own(module), FLOOR_0) == set(), module


@pytest.mark.parametrize("room", MAY_SEE)
def test_no_import_points_up_or_sideways(room):
    for module in (name for name in modules() if is_in(name, {room})):
        assert outside(own(module), MAY_SEE[room]) == set(), module


def test_only_the_front_door_and_the_demo_see_the_reports():
    seeing = {module for module in modules() if any(is_in(name, {"joulebook.reports"}) for name in own(module))}
    assert outside(seeing, {"joulebook.reports", "joulebook.cli", "joulebook.demo"}) == set()


def test_the_short_names_are_never_imported():
    short = ROOMS - {"joulebook"}
    scripts = [path for path in files() if path.suffix == ".py"]
    assert [(path, name) for path in scripts for name in imports(path) if is_in(name, short)] == []


def test_a_recording_job_loads_nothing_heavy():
    for module in modules():
        is_collector = is_in(module, {"joulebook.collectors"})
        if not is_collector and module not in RECORDING:
            continue
        room = next((room for room in FRAMEWORKS if is_in(module, {room})), None)
        late = FRAMEWORKS[room] if room else DEVICE_LIBRARIES if is_collector else LATE.get(module, set())
        assert others(module) <= late, module
        # a plugin tells at the end what its spans used: it asks the ledger, when the work is done
        seen = "joulebook.accounting" if room == "joulebook.collectors.integrations" else "joulebook.collectors"
        assert outside(own(module), {*RECORDING, "joulebook.collectors", seen}) == set(), module


def test_every_folder_is_in_the_packaging_map():
    rooms = {module_name(path): str(path.parent) for path in in_rooms() if path.name == "__init__.py"}
    assert rooms == FOLDER_OF
    assert {str(path.parent) for path in modules().values()} == set(rooms.values())
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == set(rooms)


def test_every_data_file_goes_into_the_wheel():
    patterns = [
        f"{FOLDER_OF[package]}/{pattern}"
        for package, some in PROJECT["tool"]["setuptools"]["package-data"].items()
        for pattern in some
    ]
    carried = [path for path in in_rooms() if path.suffix not in (".py", ".md")]
    assert [path for path in carried if not any(path.match(pattern) for pattern in patterns)] == []


def test_every_module_says_what_it_is_for():
    assert [path for path in modules().values() if not ast.get_docstring(syntax(path))] == []


def test_there_is_one_version():
    newest = re.search(r"^## v?(\d\S*)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert newest is not None
    assert newest[1] == PROJECT["project"]["version"] == joulebook.__version__


def test_no_file_names_a_package_index_or_is_a_lock():
    # In two halves each, so that this file does not name them either.
    hosts = ["pypi" + ".org", "python" + "hosted.org", "registry.npm" + "js", "conda.ana" + "conda", "yarn" + "pkg.com"]
    locks = re.compile(r"(.*[.-]lock(\.\w+)?|pnpm-lock\.ya?ml|pylock.*\.toml|npm-shrinkwrap\.json)")
    assert [path for path in files() if locks.fullmatch(path.name.lower())] == []
    texts = {path: (ROOT / path).read_bytes() for path in files()}
    assert [(path, host) for path, text in texts.items() for host in hosts if host.encode() in text] == []


def test_every_pin_is_exact_and_sorted():
    pins = [line for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines() if not line.startswith("#")]
    assert [pin for pin in pins if not re.fullmatch(r"[\w.-]+==\w[\w.+]*", pin)] == []
    assert pins == sorted(pins, key=lambda pin: pin.split("==")[0].lower())


def test_pynvml_comes_from_nvidia_and_not_from_its_deprecated_namesake():
    assert importlib.metadata.packages_distributions().get("pynvml") == ["nvidia-ml-py"]
