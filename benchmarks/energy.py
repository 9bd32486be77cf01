"""What measuring energy costs and how right the answer is: joulebook beside codecarbon, zeus and carbontracker.

    make bench-energy                                  all of it: 8 minutes, and once 1 GB into .bench-venv
    .venv/bin/python benchmarks/energy.py [--quick] [--json] [--save]

All do the same job in the same run, each in processes of its own, on the hardware twin of the tests: what the sensors
should show is known. `peers/machine.py` tells where the jobs run, `peers/job.py` what a job is. Every tool reads once a
second where it reads at all: our default and carbontracker's; codecarbon's is 15 s; zeus reads at the edges. Medians.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import re
import sys
import time
from pathlib import Path

from peers.answers import eight, errors, killed
from peers.costs import cold, running, traced
from peers.machine import missing, versions
from peers.table import OURS, QUICK, Line, Plan, drawn

MEASUREMENTS = (cold, running, traced, killed, eight, errors)
RESULTS = Path(__file__).with_name("RESULTS.md")
BEGIN, END = "<!-- energy.py --save -->", "<!-- the end of what it saves -->"


def where() -> str:
    """The day, the machine and how busy it was."""
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    day, load = dt.datetime.now(dt.UTC).date(), ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"Measured {day} on the hardware twin: {os.cpu_count()} cores of {cpu[1] if cpu else 'an unknown CPU'}, "
        f"Linux {platform.release()}, Python {platform.python_version()}; load at the end {load}."
    )


def headings() -> dict[str, str]:
    return {OURS: OURS, **{peer: f"{peer} {version}" for peer, version in versions().items() if peer not in missing()}}


def save(text: str) -> None:
    """Puts the text in the place of the last that was saved."""
    before, _, rest = RESULTS.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    RESULTS.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer and shorter measurements: 2 minutes")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--save", action="store_true", help="also into RESULTS.md")
    parser.add_argument("--only", choices=[one.__name__ for one in MEASUREMENTS], help="one of the measurements")
    given = parser.parse_args()
    lines: list[Line] = []
    for measure in MEASUREMENTS:
        if given.only in (None, measure.__name__):
            began_s = time.monotonic()
            lines += measure(QUICK if given.quick else Plan())
            print(f"{measure.__name__}: {time.monotonic() - began_s:.0f} s", file=sys.stderr)
    told = [where(), drawn(lines, headings()), *(f"{peer} {why}" for peer, why in missing().items())]
    text = "\n\n".join(told)
    print(json.dumps([line._asdict() for line in lines]) if given.json else text)
    if given.save:
        save(text)


if __name__ == "__main__":
    main()
