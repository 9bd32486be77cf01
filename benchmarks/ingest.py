"""Ingest speed: a million journal events into an empty ledger, beside a bare `read_json` of the same files.

    .venv/bin/python benchmarks/ingest.py [--events 1000000] [--json]

Three journals of events: usage lines, nested spans, and runs of their own (each with its roll-ups).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb

from joulebook.accounting.ledger import ingest
from joulebook.accounting.records import uuid7

JOURNALS = 8


def lines_of(kind: str, count: int, start_ns: int) -> Iterator[bytes]:
    """A journal as the recorder writes it: header, sensor, one open run, then `count` events."""
    journal_id, run = uuid7(), uuid7()
    seq = 0

    def line(event: str, at_us: int, **fields: Any) -> bytes:
        nonlocal seq
        head = {"event": event, "seq": seq, "at_ns": start_ns + at_us * 1000, "mono_ns": 10**12 + at_us * 1000}
        seq += 1
        return json.dumps({**head, **fields}, separators=(",", ":")).encode() + b"\n"

    yield line("journal", 0, version=1, journal_id=journal_id, host="bench", pid=1, joulebook="0", python="3", cpus=2)
    yield line("sensor", 0, sensor="cpu-time", unit="s", method="measured", device="cpu", boundary="it")
    yield line("span_start", 0, span_id=run, run_id=run, name="run", open=1, counters=counter(0))
    yield from KINDS[kind](line, run, count)


def counter(at_us: int) -> list[dict[str, Any]]:
    return [{"sensor": "cpu-time", "value": at_us / 1e6, "shared": at_us / 1e6}]


def usage(line: Callable[..., bytes], run: str, count: int) -> Iterator[bytes]:
    for at in range(count):
        yield line(
            "usage", at, span_id=run, run_id=run, kind="tokens", amount=at + 0.5, unit="token", method="measured"
        )


def spans(line: Callable[..., bytes], run: str, count: int, *, own_run: bool = False) -> Iterator[bytes]:
    for at in range(0, count * 500, 1000):
        span = uuid7()
        ids = {"span_id": span, "run_id": span} if own_run else {"span_id": span, "run_id": run, "parent_id": run}
        yield line("span_start", at, **ids, name="step", open=1, counters=counter(at))
        ids.pop("parent_id", None)
        yield line("span_end", at + 500, **ids, ok=True, open=1, counters=counter(at + 500))


def runs(line: Callable[..., bytes], run: str, count: int) -> Iterator[bytes]:
    return spans(line, run, count, own_run=True)


KINDS = {"usage": usage, "spans": spans, "runs": runs}


def measure(kind: str, events: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "journal").mkdir()
        for number in range(JOURNALS):
            written = b"".join(lines_of(kind, events // JOURNALS, time.time_ns() - 10**9))
            (home / "journal" / f"bench-{number}.jsonl").write_bytes(written)
        floor_s = bare_insert(home)
        done, again = ingest(home), ingest(home)
        size = sum(path.stat().st_size for path in (home / "journal").iterdir())
    return {
        "kind": kind, "events": done.events_read, "megabytes": size / 1e6, "ingest_s": done.seconds,
        "events_per_s": done.events_read / done.seconds, "bare_insert_s": floor_s, "ratio": done.seconds / floor_s,
        "second_added": again.events_added, "second_s": again.seconds,
    }  # fmt: skip


def bare_insert(home: Path) -> float:
    """The floor: DuckDB keeps every field of the same files as it finds it. No checks, no watermark, no roll-ups."""
    start = time.perf_counter()
    with duckdb.connect(str(home / "floor.duckdb")) as con:
        files = f"{home}/journal/*.jsonl"
        con.execute(f"create table event as select * from read_json('{files}', format = 'newline_delimited')")
    return time.perf_counter() - start


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    results = [measure(kind, args.events) for kind in KINDS]
    if args.json:
        print(json.dumps(results, indent=2))
        return 0
    for row in results:
        print(
            f"{row['kind']:6} {row['events']:>9,} events, {row['megabytes']:4.0f} MB:"
            f" {row['events_per_s']:>9,.0f} events/s; {row['ratio']:.2f} × a bare insert;"
            f" second ingest adds {row['second_added']} in {row['second_s'] * 1000:.1f} ms"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
