"""100,000 draws × 11 years × 4 criteria, and Sobol's indices: ours, and what a peer takes for the same.

    .venv/bin/python benchmarks/projection.py [--draws 100000] [--json]

The peer is the same formula draw by draw, in plain Python: of as many draws as a second allows, and checked to give the
same numbers. Times are CPU seconds, all threads together. A number of draws is raised to the
next power of two, which Sobol's points need.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from joulebook.accounting.site import Site
from joulebook.models.projection.base import Base, base_of
from joulebook.models.projection.engines import CATEGORIES, engine_of
from joulebook.models.projection.outcome import Sampling, outcomes, project, sample, uncertain
from joulebook.models.projection.portfolio import of_the_paper
from joulebook.models.projection.scenarios import Scenario, preset
from joulebook.models.projection.sensitivity import sobol

UNTIL = 2034  # 11 years from 2024 on
PEER_S = 1.0


def cpu(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """CPU seconds, wall seconds, and what came out."""
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    out = work()
    return time.process_time() - cpu_s, time.perf_counter() - wall_s, out


def draw_by_draw(base: Base, scenario: Scenario, values: dict[str, Any], count: int) -> tuple[float, int, list[float]]:
    """The walk of single draws: CPU seconds, how many, and the energy of the last year."""
    began, last = time.process_time(), []
    for n in range(count):
        one = {name: float(value[n]) if hasattr(value, "shape") else value for name, value in values.items()}
        last.append(float(outcomes(base, scenario, range(2024, UNTIL + 1), one)[-1]["energy"]))
        if time.process_time() - began > PEER_S:
            break
    return time.process_time() - began, len(last), last


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=100_000)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    scenario, told = preset("intermediate"), {}
    for engine in ("paper2501", "evidence"):
        base = base_of(of_the_paper("calibrated", "FR"), engine_of(engine), Site(region="FR"))
        project(base, scenario, UNTIL, Sampling(64))  # what is imported late is imported now
        runs = [cpu(lambda base=base: project(base, scenario, UNTIL, Sampling(args.draws))) for _ in range(3)]
        cpu_s, wall_s, made = min(runs, key=lambda run: run[0])
        assert len(made.years) == 11
        assert {*CATEGORIES} <= {*made.years[0].amounts}
        values = sample(uncertain(base, scenario), scenario, 4096, 0)
        peer_s, count, last = draw_by_draw(base, scenario, values, 4096)
        ours = outcomes(base, scenario, range(2024, UNTIL + 1), values)[-1]["energy"]
        assert np.allclose(ours[:count], last)
        sobol_s, _, _ = cpu(lambda base=base: sobol(base, scenario))
        peer = peer_s / count * made.draws
        told[engine] = {"draws": made.draws, "cpu_s": cpu_s, "wall_s": wall_s, "draw_by_draw_s": peer,
                        "ratio": peer / cpu_s, "sobol_s": sobol_s}  # fmt: skip
    if args.json:
        print(json.dumps(told, indent=2))
        return
    for engine, row in told.items():
        print(
            f"{engine}: {row['draws']:,} draws × 11 years × 4 criteria and energy, with the range of each index: "
            f"{row['cpu_s']:.2f} s CPU, {row['wall_s']:.2f} s wall; draw by draw {row['ratio']:,.0f} × that; "
            f"Sobol's indices {row['sobol_s']:.2f} s"
        )


if __name__ == "__main__":
    main()
