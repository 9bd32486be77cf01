"""Transcripts of Claude Code (`~/.claude/projects/**/*.jsonl`): a call for each answer of the model.

An answer stands on several lines, one for each piece of it, with a usage that grows: the last line counts. A session
that was continued repeats the answers of the one before it under their old ids. An answer that may still be coming (the
last of a file that has just been written to, without its reason to stop) is left for the next import.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from joulebook.collectors.importers import tokens
from joulebook.collectors.importers.entries import Entry, call, pairs, units
from joulebook.collectors.importers.rows import BadRow, Row, RowError
from joulebook.collectors.importers.transcripts import Found, folder_name, of_all
from joulebook.collectors.importers.values import inside, label, moment, name, needed, number, table_of

_STILL_COMING_S = 600.0


def entries(path: Path) -> Iterator[Entry | BadRow | None]:
    """A call for each answer in a transcript, or in all of a folder."""
    return of_all(path, _answers)


def _answers(path: Path, found: Iterator[Row | BadRow]) -> Iterator[Found]:
    last: dict[tuple[Any, Any], Row] = {}
    for row in found:
        if isinstance(row, BadRow):
            yield row
        elif _is_answer(row):
            about = (inside(row.values, "message", "id"), row.values.get("request_id"))
            if last.pop(about, None) is not None:
                yield None
            last[about] = _lean(row)
        else:
            yield None
    if last and time.time() - path.stat().st_mtime < _STILL_COMING_S:
        key, row = last.popitem()
        if inside(row.values, "message", "stop_reason") is not None:
            last[key] = row
    for row in last.values():
        yield _call(row)


def _is_answer(row: Row) -> bool:
    """Not the notes that Claude Code itself writes in the place of one."""
    message = row.values.get("message")
    return (
        row.values.get("type") == "assistant"
        and isinstance(message, dict)
        and isinstance(message.get("usage"), dict)
        and message.get("model") != "<synthetic>"
        and not row.values.get("is_api_error_message")
    )


def _lean(row: Row) -> Row:
    """Without what was said."""
    kept = {key: row.values[key] for key in ("request_id", "timestamp", "cwd") if key in row.values}
    message = {key: row.values["message"].get(key) for key in ("id", "model", "usage", "stop_reason")}
    return Row(row.line, kept | {"message": message})


def _call(row: Row) -> Entry | BadRow:
    try:
        return _entry(row)
    except RowError as error:
        return BadRow(row.line, str(error))


def _entry(row: Row) -> Entry:
    message = row.values["message"]
    own_id = needed(label(message["id"]), "message.id")
    request_id = name(row.values, "request_id")
    usage = message["usage"]
    about = {
        "provider": "anthropic",
        "operation": "chat",
        "request_model": label(message["model"]),
        "response_id": own_id,
        "outcome": "ok",
        "units": _units(usage),
        "method": "measured",
        "context": pairs(**{key: name(usage, key) for key in ("service_tier", "speed", "inference_geo")}),
        "project": label(folder_name(row.values.get("cwd"))),
    }
    started_ns = needed(moment(row.values, "timestamp"), "timestamp")
    return call(row.line, "claude-code", f"{own_id} {request_id}" if request_id else own_id, started_ns, about)


def _units(usage: dict[str, Any]) -> list[list[str]]:
    split = table_of(usage.get("cache_creation")) or {}
    hour, five = (number(split, f"ephemeral_{ttl}_input_tokens") or Decimal(0) for ttl in ("1h", "5m"))
    written = number(usage, "cache_creation_input_tokens") or hour + five
    read = number(usage, "cache_read_input_tokens")
    inputs = tokens.anthropic(number(usage, "input_tokens"), read, written, hour)
    searches = number(table_of(usage.get("server_tool_use")) or {}, "web_search_requests")
    return units(**inputs, output_tokens=number(usage, "output_tokens") or Decimal(0), web_searches=searches)
