"""A year under another factor set, on ten million readings: from the roll-ups, beside the same sums from raw readings.

    .venv/bin/python benchmarks/restate.py [--readings 10000000] [--json]

The ledger is made by ingesting journals as the recorder writes them: runs all over a year, each with one counter of
joules read every second. Then three answers to "what did the year cause under the old factors, and under the new":

    restate     `joulebook.accounting.assessment.restate`: roll-ups by the hour, both bases, causes; and `assess`
    command     `joulebook restate … --json` as a program, with the start of Python and all that it prints
    raw         the peer: one SQL query over the raw readings, differences by window, a join to the factors per sample

Restating and the peer must find the same total carbon.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from joulebook.accounting import basis as bases
from joulebook.accounting.assessment import assess, restate
from joulebook.accounting.basis import Basis
from joulebook.accounting.in_force import in_force_table, timeline
from joulebook.accounting.ledger import Ledger, ingest, open_ledger
from joulebook.accounting.lines import Scope
from joulebook.accounting.records import uuid7
from joulebook.accounting.site import load_site, write_site

YEAR_S = 365 * 86_400
START_NS = 1_735_689_600_000_000_000  # 2025-01-01
RUN_S = 10_000  # a run of 2.8 hours, which is a journal of its own
POWER_J = 317.3  # per second
BATCH = 100  # journals that are ingested together
SCOPE = Scope(datetime(2025, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC))

# Joules of each step between two readings of a run, at the factors of its second.
RAW = """
    select sum(step_j * it_overhead_mid * pue_mid / 3.6e6 * carbon_intensity_mid) as carbon_g from (
        select read_at_utc, shared - lag(shared) over (partition by process_id, sensor order by mono_ns) as step_j
        from reading
    ) r asof join in_force f on r.read_at_utc >= f.start_utc
"""


def journal(number: int, runs: int) -> Iterator[str]:
    """A journal of one run, as the recorder writes it, somewhere in the year."""
    begin_ns = START_NS + number * (YEAR_S - RUN_S) // max(1, runs - 1) * 10**9
    journal_id, run, seq = uuid7(), uuid7(), 0

    def line(event: str, second: int, told: str) -> str:
        nonlocal seq
        seq += 1
        at = begin_ns + second * 10**9
        return f'{{"event":"{event}","seq":{seq},"at_ns":{at},"mono_ns":{second * 10**9 + 10**9},{told}}}\n'

    def counter(second: int) -> str:
        value = second * POWER_J
        return f'"counters":[{{"sensor":"meter","value":{value},"shared":{value}}}]'

    about = f'"version":1,"journal_id":"{journal_id}","host":"bench","pid":1,"joulebook":"0","python":"3","cpus":8'
    yield line("journal", 0, about)
    yield line("sensor", 0, '"sensor":"meter","unit":"J","method":"measured","device":"gpu:0","boundary":"device"')
    ids = f'"span_id":"{run}","run_id":"{run}"'
    yield line("span_start", 0, f'{ids},"name":"train","project":"p{number % 7}",{counter(0)}')
    for second in range(1, RUN_S):
        yield line("reading", second, counter(second))
    yield line("span_end", RUN_S, f'{ids},"ok":true,{counter(RUN_S)}')


def build(home: Path, readings: int) -> int:
    """A ledger with so many readings; how many runs they are of."""
    runs = max(2, readings // RUN_S)
    (home / "journal").mkdir(parents=True)
    for first in range(0, runs, BATCH):
        for number in range(first, min(first + BATCH, runs)):
            (home / "journal" / f"bench-1-1-{number:06}.jsonl").write_text("".join(journal(number, runs)))
        ingest(home)
        print(f"\r{min(first + BATCH, runs):,} of {runs:,} runs ingested", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return runs


def bases_of(home: Path) -> tuple[Basis, Basis]:
    """The tables of now, and a new edition in which every grid emits a tenth less from July on."""
    write_site(home, replace(load_site(home), region="FR"))
    now = bases.current(home)
    rows = tuple(
        replace(row, low=row.low * 0.9, value=row.value * 0.9, high=row.high * 0.9, basis="revised")
        if row.kind == "carbon_intensity" else row
        for row in now.factors.rows
    )  # fmt: skip
    new = Basis(now.site, replace(now.factors, rows=rows))
    for basis in (new, now):
        bases.keep(home, basis)
    return now, new


def best(times: int, work: Callable[[], Any]) -> tuple[float, Any]:
    """The shortest of some times, in seconds, and what came out."""
    took, found = [], None
    for _ in range(times):
        start = time.perf_counter()
        found = work()
        took.append(time.perf_counter() - start)
    return min(took), found


def raw_carbon_g(ledger: Ledger, basis: Basis) -> float:
    pieces = timeline(basis.site, basis.factors, SCOPE.since.date(), SCOPE.until.date())  # type: ignore[union-attr]
    return ledger.rows(RAW, (), {"in_force": in_force_table(pieces)})[0]["carbon_g"]


def command(home: Path, *words: str) -> bytes:
    told = [sys.executable, "-m", "joulebook.cli", "--home", str(home), *words, "--no-ingest", "--json"]
    return subprocess.run(told, check=True, capture_output=True).stdout


def measure(home: Path, readings: int, times: int) -> dict[str, Any]:
    runs = build(home, readings)
    now, new = bases_of(home)
    ledger = open_ledger(home)
    counted = ledger.rows("select (select count(*) from reading) as r, (select count(*) from rollup_hour) as h")[0]
    one_s, _ = best(times, lambda: assess(ledger, SCOPE, new))
    both_s, told = best(times, lambda: restate(ledger, SCOPE, now, new))
    raw_s, raw = best(times, lambda: (raw_carbon_g(ledger, now), raw_carbon_g(ledger, new)))
    ours = [side.total("carbon_g").mid for side in (told.before, told.after)]
    program_s, _ = best(times, lambda: command(home, "restate", now.basis_id, new.basis_id, *period()))
    old = command(home, "assess", "--factor-set", now.basis_id, *period())
    return {
        "runs": runs, "readings": counted["r"], "rollup_rows": counted["h"], "assess_s": one_s, "restate_s": both_s,
        "program_s": program_s, "raw_s": raw_s, "raw_ratio": raw_s / both_s, "carbon_g": ours, "raw_carbon_g": raw,
        "largest_difference": max(abs(a / b - 1) for a, b in zip(ours, raw, strict=True)),
        "same_bytes": command(home, "assess", "--factor-set", now.basis_id, *period()) == old,
    }  # fmt: skip


def period() -> tuple[str, ...]:
    return ("--since", "2025-01-01", "--until", "2026-01-01")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readings", type=int, default=10_000_000)
    parser.add_argument("--times", type=int, default=5, help="of which the shortest counts")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), args.readings, args.times)
    if args.json:
        print(json.dumps(found, indent=2))
    else:
        print(f"{found['readings']:,} readings of {found['runs']:,} runs, {found['rollup_rows']:,} rows by the hour")
        print(f"a year assessed, with 4,096 draws: {found['assess_s']:.3f} s; restated: {found['restate_s']:.3f} s")
        print(f"as a program, {found['program_s']:.2f} s; twice the same bytes: {found['same_bytes']}")
        print(f"from the raw readings, a join per sample: {found['raw_s']:.2f} s, {found['raw_ratio']:.0f} × as long;"
              f" totals differ by {found['largest_difference']:.1e}")  # fmt: skip
    return int(found["largest_difference"] > 1e-6 or not found["same_bytes"])


if __name__ == "__main__":
    sys.exit(main())
