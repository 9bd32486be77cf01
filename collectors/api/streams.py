"""The body of an answer, taken apart into its events: server-sent events, JSON lines, frames of AWS, or one JSON.

    pieces as they arrived ─> joined ─> events, each with where it ends ─> which piece completed it

A piece may end anywhere, in the middle of a character too: the pieces are joined before they are cut.
"""

from __future__ import annotations

import base64
import json
import re
import struct
from bisect import bisect_left
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Iterator, Reversible
from itertools import accumulate
from typing import Any

_NEWLINE = rb"(?>\r\n|\n|\r)"
_BLANK_LINE = re.compile(_NEWLINE + _NEWLINE)
_LINE = re.compile(rb"\n")
_BLANK = b"\n\n"
_PRELUDE = struct.Struct(">III")  # of a frame: its length, that of its headers, a checksum
_CHECKSUM_BYTES = 4
_TEXT_HEADER = 7
DONE = b"[DONE]"
_decode = json.JSONDecoder().decode

Event = tuple[int | None, bytes | dict[str, Any]]  # where it ends, None where nobody knows; its JSON, parsed or not


def kind_of(content_type: str) -> str | None:
    """How a body is taken apart, by its type: None for what is no answer of a model (a file, audio, a page)."""
    plain = content_type.partition(";")[0].strip().lower()
    return KINDS.get(plain, "json" if plain.endswith("+json") else None)


def events(kind: str, body: bytes) -> Reversible[Event]:
    """The events of a body."""
    return ServerSent(body) if kind == "sse" and b"\r" not in body else list(_CUTS[kind](body))


def piece_at(end: int, sizes: Iterable[int]) -> int:
    """Which of the pieces of these sizes has the byte before `end`; the last, where they end without a blank line."""
    ends = list(accumulate(sizes))
    return min(bisect_left(ends, end), len(ends) - 1)


def of_botocore(event: dict[str, Any]) -> bytes | dict[str, Any]:
    """An event as botocore has parsed it; of `invoke`, the model's own JSON in it."""
    chunk = event.get("chunk")
    return chunk["bytes"] if isinstance(chunk, dict) and isinstance(chunk.get("bytes"), bytes) else event


def parsed(data: bytes | dict[str, Any]) -> dict[str, Any] | None:
    """An event as JSON; None for what is none, e.g. `[DONE]` or the beginning of one."""
    if isinstance(data, dict):
        return data
    if data == DONE:
        return None
    try:
        value = _decode(data.removeprefix(BOM_UTF8).decode())
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


class ServerSent:
    """Server-sent events, as nearly all servers end their lines: from either end, each cut when it is asked for."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def __iter__(self) -> Iterator[Event]:
        start, size = 0, len(self._body)
        while start < size:
            found = self._body.find(_BLANK, start)
            end = size if found < 0 else found
            if (data := _data_of(self._body[start:end])) is not None:
                yield end + len(_BLANK), data
            start = end + len(_BLANK)

    def __reversed__(self) -> Iterator[Event]:
        end = len(self._body)
        while end > 0:
            found = self._body.rfind(_BLANK, 0, end)
            start = 0 if found < 0 else found + len(_BLANK)
            if (data := _data_of(self._body[start:end])) is not None:
                yield end + len(_BLANK), data
            end = found


def _server_sent(body: bytes) -> Iterator[Event]:
    for start, end, after in _between(body):
        if (data := _data_of(body[start:end])) is not None:
            yield after, data


def _between(body: bytes) -> Iterator[tuple[int, int, int]]:
    """What stands between blank lines, however a server ends its lines."""
    start = 0
    for blank in _BLANK_LINE.finditer(body):
        yield start, blank.start(), blank.end()
        start = blank.end()
    yield start, len(body), len(body)  # a server that ends without a blank line


def _data_of(block: bytes) -> bytes | None:
    """The data of an event; None where it has none."""
    if block.startswith(b"data: ") and b"\n" not in block and b"\r" not in block:  # most
        return block[6:]
    lines = [line[5:].removeprefix(b" ") for line in block.splitlines() if line.startswith(b"data:")]
    return b"\n".join(lines) if lines else None


def _lines(body: bytes) -> Iterator[Event]:
    start = 0
    for newline in (*_LINE.finditer(body), None):
        end = len(body) if newline is None else newline.end()
        if line := body[start:end].strip():
            yield end, line
        start = end


def _whole(body: bytes) -> Iterator[Event]:
    """One JSON, or a list of them: Gemini's streams without `alt=sse`."""
    if body.lstrip().startswith(b"["):
        try:
            yield from ((None, one) for one in json.loads(body) if isinstance(one, dict))
        except (ValueError, RecursionError):
            return
    elif body:
        yield None, body


def _frames(body: bytes) -> Iterator[Event]:
    """AWS: `application/vnd.amazon.eventstream`. A frame of Bedrock's `invoke` has the model's own JSON in base64."""
    at, least = 0, _PRELUDE.size + _CHECKSUM_BYTES
    while at + least <= len(body):
        length, headers_length, _ = _PRELUDE.unpack_from(body, at)
        if length < least + headers_length or at + length > len(body):
            return
        start = at + _PRELUDE.size + headers_length
        headers = _headers(body[at + _PRELUDE.size : start])
        data = parsed(body[start : at + length - _CHECKSUM_BYTES])
        at += length
        if data is not None:
            yield at, _of_frame(headers, data)


def _headers(block: bytes) -> dict[str, str]:
    found, at = {}, 0
    while at < len(block):
        name_end = at + 1 + block[at]
        if block[name_end] != _TEXT_HEADER:
            break
        value_at = name_end + 3
        value_end = value_at + int.from_bytes(block[name_end + 1 : value_at], "big")
        found[block[at + 1 : name_end].decode()] = block[value_at:value_end].decode()
        at = value_end
    return found


def _of_frame(headers: dict[str, str], data: dict[str, Any]) -> bytes | dict[str, Any]:
    if ":exception-type" in headers:
        return {"error": {"type": headers[":exception-type"]}}
    if isinstance(data.get("bytes"), str):
        return base64.b64decode(data["bytes"])
    return {headers.get(":event-type", ""): data}


KINDS = {
    "": "json", "application/json": "json", "text/event-stream": "sse", "application/x-ndjson": "lines",
    "application/jsonl": "lines", "application/stream+json": "lines", "application/vnd.amazon.eventstream": "frames",
}  # fmt: skip
_CUTS: dict[str, Callable[[bytes], Iterator[Event]]] = {
    "sse": _server_sent, "lines": _lines, "json": _whole, "frames": _frames,
}  # fmt: skip
