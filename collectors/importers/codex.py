"""Transcripts of Codex (`~/.codex/sessions/**/*.jsonl`): a call for each answer of the model.

`token_count` events carry a total that only grows, and are repeated: a call is the difference to the total before it.
The first of a session, whose total may be that of the session it continues, and one whose total fell are what
`last_token_usage` says. An event that is repeated in another file with the same time and totals is the same call.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from joulebook.collectors.importers.entries import Entry, call, units
from joulebook.collectors.importers.rows import BadRow, Row, RowError
from joulebook.collectors.importers.transcripts import Found, folder_name, of_all
from joulebook.collectors.importers.values import digest, label, moment, needed, number, table_of

# Codex' word, and our unit: cached tokens are inside the input, reasoning inside the output.
_UNITS = {
    "input_tokens": "input_tokens",
    "cached_input_tokens": "cache_read_tokens",
    "output_tokens": "output_tokens",
    "reasoning_output_tokens": "output_reasoning_tokens",
}
Amounts = dict[str, Decimal]


def entries(path: Path) -> Iterator[Entry | BadRow | None]:
    """A call for each answer in a session, or in all of a folder."""
    return of_all(path, _answers)


def _answers(_path: Path, found: Iterator[Row | BadRow]) -> Iterator[Found]:
    session: dict[str, Any] = {"provider": "openai"}
    before: Amounts | None = None
    for row in found:
        if isinstance(row, BadRow):
            yield row
            continue
        payload = table_of(row.values.get("payload")) or {}
        session |= _about(row.values.get("type"), payload)
        info = table_of(payload.get("info")) if payload.get("type") == "token_count" else None
        try:
            total = _amounts((info or {}).get("total_token_usage"))
            yield None if info is None or not total or total == before else _call(row, session, info, before)
            before = total or before
        except RowError as error:
            yield BadRow(row.line, str(error))


def _about(kind: Any, payload: dict[str, Any]) -> dict[str, Any]:
    """What a line says of the session: where, with which model, whose API."""
    if kind not in ("session_meta", "turn_context"):
        return {}
    told = {"request_model": label(payload.get("model")), "provider": label(payload.get("model_provider")),
            "project": label(folder_name(payload.get("cwd")))}  # fmt: skip
    return {key: value for key, value in told.items() if value}


def _amounts(usage: Any) -> Amounts:
    told = table_of(usage) or {}
    return {unit: number(told, word) or Decimal(0) for word, unit in _UNITS.items()} if told else {}


def _call(row: Row, session: dict[str, Any], info: dict[str, Any], before: Amounts | None) -> Entry:
    total, last = _amounts(info["total_token_usage"]), _amounts(info.get("last_token_usage"))
    used = last or total
    if before is not None and all(total[unit] >= before[unit] for unit in total):
        used = {unit: total[unit] - before[unit] for unit in total}
    stamp = needed(moment(row.values, "timestamp"), "timestamp")
    about = session | {"operation": "responses", "outcome": "ok", "units": units(**used), "method": "measured"}
    own_id = digest(stamp, *(f"{total[unit]:f}" for unit in sorted(total)))
    return call(row.line, "codex", own_id, stamp, about)
