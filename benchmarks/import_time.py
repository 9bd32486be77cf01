"""What `from joulebook import track` costs a job, beside codecarbon: wall time of fresh interpreters above a bare one.

    .venv/bin/python benchmarks/import_time.py [--rounds 9] [--json]

As after `pip install joulebook`: without `site`, because the hook of an editable install loads half of what is to be
measured, and with byte code cached. One of each kind in turn, the median of all, so that other load hits all alike.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = ("accounting", "collectors", "data", "models", "reports")
SPAN = "track('run').__enter__()"
PROGRAMS = {
    "bare": "pass",
    "joulebook": "from joulebook import track",
    "joulebook and a first span": f"from joulebook import track; {SPAN}",
    "the same where dataclasses and json are loaded": f"import dataclasses, json; from joulebook import track; {SPAN}",
    "dataclasses and json": "import dataclasses, json",
    "codecarbon": "from codecarbon import EmissionsTracker",
}


def as_installed(folder: Path) -> Path:
    """A folder of links that shows the packages under their installed names."""
    (folder / "joulebook").mkdir()
    for path in (*(ROOT / "joulebook").iterdir(), *(ROOT / room for room in ROOMS)):
        (folder / "joulebook" / path.name).symlink_to(path)
    return folder


def measure(rounds: int) -> dict[str, float]:
    """Name of a program -> median wall time in ms."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "packages").mkdir()
        paths = [str(as_installed(folder / "packages")), sysconfig.get_path("purelib")]
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(folder / "pyc"), "JOULEBOOK_HOME": str(folder / "home")}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        times: dict[str, list[float]] = {name: [] for name in PROGRAMS}
        for round_number in range(rounds + 1):
            for name, code in PROGRAMS.items():
                command = [sys.executable, "-P", "-S", "-c", f"import sys; sys.path += {paths!r}; {code}"]
                began = time.perf_counter()
                subprocess.run(command, check=True, env=environment, capture_output=True)
                if round_number:  # the first fills the cache of byte code
                    times[name].append((time.perf_counter() - began) * 1e3)
        return {name: statistics.median(some) for name, some in times.items()}


def above(ms: dict[str, float]) -> dict[str, float]:
    """What each adds, in ms."""
    bare = ms["bare"]
    loaded = "dataclasses and json"
    added = {name: value - bare for name, value in ms.items() if name not in ("bare", loaded)}
    added["the same where dataclasses and json are loaded"] -= ms[loaded] - bare
    return added


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    ms = measure(given.rounds)
    added = above(ms)
    ratios = {name: added["codecarbon"] / max(value, 0.1) for name, value in added.items()}
    if given.json:
        print(json.dumps({"bare_ms": ms["bare"], "above_bare_ms": added, "codecarbon_is_times": ratios}))
        return
    print(f"bare python: {ms['bare']:.1f} ms; above it, median of {given.rounds}:")
    for name, value in added.items():
        print(f"  {name:<50}{value:8.1f} ms   codecarbon is {ratios[name]:6.1f} times that")


if __name__ == "__main__":
    main()
