"""Journals made by hand, line by line, so that a test knows what the ledger must say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from joulebook.accounting.records import uuid7
from joulebook.collectors.sensors import Sensor

START_NS = 1_767_225_600_000_000_000  # 2026-01-01T00:00:00Z


class HandmadeJournal:
    """Collects events; times are seconds since 2026-01-01 UTC.

    `begun_s`: when the process wrote the header and said what its sensors are; `header` may say version=2, boot_id=….
    Counters of the process are given as `counters={"cpu_time": 1.5}`; those of the node, by their whole names, as
    `node={"powercap:package-0": 1e6, "powercap:dram-0": "EIO"}`: a text is the status of one that could not be read.
    """

    def __init__(self, home: Path, host: str = "testhost", *, begun_s: float = 0.0, **header: Any) -> None:
        self.begun_s = begun_s
        self.journal_id = uuid7()
        self.path = home / "journal" / f"{host}-1-1-{self.journal_id}.jsonl"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.lines: list[bytes] = []
        about = {"version": 1, "cpus": 8, "cpu_model": "Test CPU", "joulebook": "0.1.0", "python": "3.11", "pid": 1}
        self.event("journal", begun_s, journal_id=self.journal_id, host=host, **(about | header))

    def event(self, kind: str, at_s: float, /, **fields: Any) -> None:
        clocks = {"at_ns": START_NS + round(at_s * 1e9), "mono_ns": round((at_s + 1000) * 1e9)}
        self.raw(json.dumps({"event": kind, "seq": len(self.lines), **clocks, **fields}).encode() + b"\n")

    def raw(self, line: bytes) -> None:
        self.lines.append(line)

    def sensor(self, name: str = "cpu-time", unit: str = "s", **fields: Any) -> None:
        facts = {"device": "cpu", "method": "measured", "boundary": "it"} | fields
        self.event("sensor", self.begun_s, sensor=name, unit=unit, **facts)

    def node_sensor(self, sensor: Sensor, /, **fields: Any) -> None:
        told = {name: value for name, value in sensor._asdict().items() if value is not None}
        self.event("sensor", self.begun_s, **(told | {"scope": "node"} | fields))

    def start(self, at_s: float, name: str = "job", *, parent: tuple[str, str] | None = None, **fields: Any) -> str:
        """Begin a span; `parent` is (run_id, span_id)."""
        span_id = uuid7()
        run_id, parent_id = parent or (span_id, None)
        if parent_id:
            fields["parent_id"] = parent_id
        self.event("span_start", at_s, span_id=span_id, run_id=run_id, name=name, **_counters(fields))
        return span_id

    def end(self, at_s: float, span_id: str, run_id: str | None = None, *, ok: bool = True, **fields: Any) -> None:
        self.event("span_end", at_s, span_id=span_id, run_id=run_id or span_id, ok=ok, **_counters(fields))

    def tick(self, at_s: float, *, node: dict[str, float | str] | None = None, **counters: float) -> None:
        self.event("reading", at_s, **_counters({"counters": counters, "node": node}))

    def write(self) -> Path:
        self.path.write_bytes(b"".join(self.lines))
        return self.path


def _counters(fields: dict[str, Any]) -> dict[str, Any]:
    own, node = fields.pop("counters", None) or {}, fields.pop("node", None) or {}
    named = {name.replace("_", "-"): value for name, value in own.items()}
    entries: list[dict[str, Any]] = [{"sensor": name, "value": value, "shared": value} for name, value in named.items()]
    entries += [{"sensor": name, _field(value): value} for name, value in node.items()]
    if entries:
        fields["counters"] = entries
    return fields


def _field(value: float | str) -> str:
    return "status" if isinstance(value, str) else "value"
