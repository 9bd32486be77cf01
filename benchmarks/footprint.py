"""A million calls through the engines, as arrays and as SQL, beside the packages' own functions call by call.

    .venv/bin/python benchmarks/footprint.py [--calls 1000000] [--json]

Both are asked for all impacts of each call, with their ranges. Times are CPU seconds, all threads together; the
packages' for a million is taken from as many calls as two seconds allow.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import time
from collections.abc import Callable
from typing import Any

import duckdb
import ecocost as ecocost_package
import numpy as np
from ecologits.tracers.utils import llm_impacts

from joulebook.accounting.column import Column
from joulebook.accounting.site import Site
from joulebook.models.footprint import ecocost, ecologits, place_for
from joulebook.models.footprint.answer import amounts_at
from joulebook.models.footprint.call import Rates, Usage, used

MODELS = (("openai", "gpt-4o"), ("openai", "gpt-5"), ("google", "gemini-2.5-pro"), ("anthropic", "claude-sonnet-4-5"))
COLUMNS = ("input_tokens", "cached_tokens", "output_tokens")
ENGINES = {"ecologits": ecologits.rates, "ecocost": ecocost.rates}
FRANCE = place_for("openai", "FR", Site())
GRIDS = [FRANCE.grid(end) for end in range(3)]


def calls(count: int) -> tuple[np.ndarray, np.ndarray]:
    """The number of the model of each call, and its tokens."""
    random = np.random.default_rng(1)
    entering = random.integers(1, 20_000, count)
    return random.integers(0, len(MODELS), count), np.stack(
        [entering, (entering * random.random(count)).astype(int), random.integers(1, 2_000, count)]
    )


def impacts(usage: Usage[Any], rates: Rates) -> list[dict[str, Any]]:
    """Every impact of some calls of one model, at each end of its range."""
    embodied = [
        {f"embodied_{name}": used(usage, ends[end]) for name, ends in rates.embodied.items()} for end in range(3)
    ]
    return [amounts_at(usage, rates, GRIDS[end], end) | embodied[end] for end in range(3)]


def as_arrays(engine: Callable[[str, str], Any], models: np.ndarray, tokens: np.ndarray) -> float:
    """Low, mid and high of all impacts of all calls; the sum of the mid energy, in Wh."""
    total = 0.0
    for number, named in enumerate(MODELS):
        told = impacts(Usage(*tokens[:, models == number]), engine(*named))
        total += float(told[1]["energy_wh"].sum())
    return total


def as_sql(engine: Callable[[str, str], Any], con: duckdb.DuckDBPyConnection) -> float:
    """The same, summed in DuckDB by the text of the same formula."""
    total = 0.0
    for number, named in enumerate(MODELS):
        told = impacts(Usage(*map(Column, COLUMNS)), engine(*named))
        sums = ", ".join(f"sum({text})" for amounts in told for text in amounts.values())
        row = con.execute(f"select {sums} from call where model = {number}").fetchall()[0]
        total += row[len(told[0]) + list(told[1]).index("energy_wh")]
    return total


def by_ecologits(model: int, tokens: list[int]) -> float:
    provider, name = MODELS[model]
    told: Any = llm_impacts(ecologits.PROVIDERS.get(provider, provider), name, tokens[2], math.inf, "FRA")
    return getattr(told.energy.value, "mean", told.energy.value) * 1e3


def by_ecocost(model: int, tokens: list[int]) -> float:
    provider, name = MODELS[model]
    told = ecocost_package.estimate(
        name, provider=ecocost.PROVIDERS.get(provider, provider), region="FR",
        input_tokens=tokens[0], cached_input_tokens=tokens[1], output_tokens=tokens[2],
    )  # fmt: skip
    return told["energy"]["value"]


PEERS = {"ecologits": by_ecologits, "ecocost": by_ecocost}


def timed(work: Callable[[], float]) -> tuple[float, float]:
    start = time.process_time()
    answer = work()
    return time.process_time() - start, answer


def peer(one: Callable[[int, list[int]], float], models: np.ndarray, tokens: np.ndarray) -> tuple[float, float, int]:
    """Seconds a call, the sum of the calls that were done, and how many."""
    start, total, done = time.process_time(), 0.0, 0
    while time.process_time() - start < 2 and done < len(models):
        total += one(int(models[done]), [int(count) for count in tokens[:, done]])
        done += 1
    return (time.process_time() - start) / done, total, done


def measure(name: str, models: np.ndarray, tokens: np.ndarray, con: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    engine, one = ENGINES[name], PEERS[name]
    as_arrays(engine, models[:10], tokens[:, :10])  # the packages' tables are read once
    arrays_s, total = timed(lambda: as_arrays(engine, models, tokens))
    sql_s, in_sql = timed(lambda: as_sql(engine, con))
    one(0, [1, 0, 1])
    call_s, theirs, done = peer(one, models, tokens)
    assert math.isclose(total, in_sql, rel_tol=1e-9), (total, in_sql)
    ours = as_arrays(engine, models[:done], tokens[:, :done])
    assert math.isclose(ours, theirs, rel_tol=2e-3), (ours, theirs)
    peer_s = call_s * len(models)
    return {
        "engine": name, "calls": len(models), "arrays_cpu_s": arrays_s, "sql_cpu_s": sql_s,
        "peer_cpu_us_per_call": call_s * 1e6, "peer_cpu_s": peer_s,
        "peer_over_arrays": peer_s / arrays_s, "peer_over_sql": peer_s / sql_s,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    logging.disable(logging.WARNING)  # EcoLogits warns of each model
    models, tokens = calls(args.calls)
    con = duckdb.connect()
    con.register("rows", {"model": models, **dict(zip(COLUMNS, tokens, strict=True))})
    con.execute("create table call as select * from rows")
    results = [measure(name, models, tokens, con) for name in ENGINES]
    if args.json:
        print(json.dumps(results, indent=2))
        return
    for each in results:
        print(
            f"{each['engine']:10} {each['calls']:,} calls: arrays {each['arrays_cpu_s']:.2f} s, "
            f"SQL {each['sql_cpu_s']:.2f} s; the package {each['peer_cpu_us_per_call']:.0f} µs a call, "
            f"{each['peer_over_arrays']:,.0f} × and {each['peer_over_sql']:,.0f} × as long"
        )


if __name__ == "__main__":
    main()
