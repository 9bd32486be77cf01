"""Measured requests, from a file: those that count as arrays, the others by why they do not.

A CSV with a header, or a JSON list of objects. Needed: `prompt_tokens`, `output_tokens`, `runtime_s` (from the request
to the last token). Where there are: `model`, `batch`, `energy_j` (of the whole request) and `energy_method`,
`first_token_s`, `attempt`, `status`, `error`, `cached_tokens`. Other columns, such as `trial`, are left alone. The
names of LLMPerf (`ttft_s`, `number_input_tokens`, …) and of our own ledger are known too.

Left out, and counted: requests that failed, that were turned away (429), that were tried again, that read their prompt
from a cache, that gave no token.
"""

from __future__ import annotations

import csv
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from joulebook.accounting.errors import InputError
from joulebook.models.runtime.closed_form import Floats
from joulebook.models.runtime.profile import Text

NEEDED = ("prompt_tokens", "output_tokens", "runtime_s")
NUMBERS = (*NEEDED, "first_token_s", "energy_j")
ALIASES = {
    "input_tokens": "prompt_tokens", "number_input_tokens": "prompt_tokens", "number_output_tokens": "output_tokens",
    "duration_s": "runtime_s", "end_to_end_latency_s": "runtime_s", "ttft_s": "first_token_s",
    "cache_read_tokens": "cached_tokens", "error_code": "error",
}  # fmt: skip
NO_RETRY = ("", "0", "1", "1.0")  # attempts are counted from 1, by some from 0


@dataclass(frozen=True)
class Samples:
    """Requests that count, one place of each array for each; `nan` where a column is missing."""

    prompt_tokens: Floats
    output_tokens: Floats
    runtime_s: Floats
    first_token_s: Floats
    energy_j: Floats
    left_out: Mapping[str, int] = field(default_factory=dict[str, int])
    energy_method: str = "declared"
    text: Text | None = None  # how many characters its tokens stand for
    model: str = ""  # where the file says
    batch: int = 1

    def __len__(self) -> int:
        return len(self.runtime_s)


def read(path: Path, model: str | None = None, batch: int | None = None) -> Samples:
    """The requests in a file, to one model where there are several. Raises InputError for a row that makes no sense."""
    rows = [_named(row) for row in _rows(path)]
    if not rows:
        raise InputError(f"{path} has no requests; it needs the columns {', '.join(NEEDED)}")
    missing = [name for name in NEEDED if name not in rows[0]]
    if missing:
        raise InputError(f"{path} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}")
    rows = _of(path, rows, "model", model)
    return _samples(path, _of(path, rows, "batch", str(batch) if batch else None))


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix == ".json":
            told = cast("list[dict[str, Any]]", json.loads(text))
            return [{key: "" if value is None else str(value) for key, value in row.items()} for row in told]
        return [{key: value or "" for key, value in row.items()} for row in csv.DictReader(text.splitlines())]
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, ValueError, AttributeError, TypeError, csv.Error) as error:
        raise InputError(f"{path} is neither a CSV with a header nor a JSON list of objects: {error}") from error


def _named(row: Mapping[str, str]) -> dict[str, str]:
    told = {(key or "").strip().lower(): str(value).strip() for key, value in row.items()}
    return {ALIASES.get(key, key): value for key, value in told.items()}


def _of(path: Path, rows: list[dict[str, str]], column: str, wanted: str | None) -> list[dict[str, str]]:
    """The rows of one model, or of one batch; there must be one only, unless it is named."""
    there = sorted({row.get(column, "") for row in rows})
    if wanted is None or there == [""]:
        if len(there) > 1:
            raise InputError(f"{path} has requests of several: {column} {', '.join(there)}; choose one with --{column}")
        return rows
    found = [row for row in rows if row.get(column) == wanted]
    if not found:
        raise InputError(f"{path} has no request with {column} {wanted}; there are {', '.join(there)}")
    return found


def _samples(path: Path, rows: Sequence[Mapping[str, str]]) -> Samples:
    left_out: Counter[str] = Counter()
    kept: list[list[float]] = []
    for number, row in enumerate(rows, start=1):
        why = why_left_out(row)
        if why is None:
            kept.append([_number(path, number, row, name) for name in NUMBERS])
        else:
            left_out[why] += 1
    if not kept:
        raise InputError(f"{path} has no request that counts: {told_of(left_out)}")
    methods = {row.get("energy_method", "") for row in rows} - {""}
    columns = dict(zip(NUMBERS, np.array(kept).T, strict=True))
    method = methods.pop() if len(methods) == 1 else "declared"
    return Samples(**columns, left_out=left_out, energy_method=method, model=rows[0].get("model", ""),
                   batch=_batch(path, rows[0].get("batch") or "1"))  # fmt: skip


def _batch(path: Path, text: str) -> int:
    value = _amount(text)
    if not (1 <= value < math.inf and value == int(value)):
        raise InputError(f"{path}: batch is {text!r}, not a whole number of 1 or more")
    return int(value)


def why_left_out(row: Mapping[str, Any]) -> str | None:
    """Why a request does not count, or None when it does."""
    status = str(row.get("status") or "")
    if status.startswith("429"):
        return "turned away (429)"
    if row.get("error") or (status[:1].isdigit() and not status.startswith("2")):
        return "failed"
    if str(row.get("attempt") or "") not in NO_RETRY:
        return "tried again"
    if _amount(row.get("cached_tokens")) > 0:
        return "read from a cache"
    return "without an answer" if _amount(row["output_tokens"]) < 1 else None


def _amount(value: Any) -> float:
    """A number as it stands; what is none is for `_number` to say."""
    try:
        return float(value or 0)
    except ValueError:
        return math.nan


def _number(path: Path, number: int, row: Mapping[str, str], name: str) -> float:
    text = row.get(name, "")
    if not text and name not in NEEDED:
        return math.nan
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf or (value == 0 and name.endswith("_s")):
        raise InputError(f"{path}, request {number}: {name} is {text!r}, not a number above 0")
    return value


def told_of(left_out: Mapping[str, int]) -> str:
    """`3 failed, 2 tried again`, or that nothing was left out."""
    return ", ".join(f"{count} {why}" for why, count in sorted(left_out.items())) or "nothing was left out"


@dataclass(frozen=True)
class Cells:
    """Requests of the same sizes as one: `place` says for each request which cell it is in."""

    prompt_tokens: Floats
    output_tokens: Floats
    place: Any
    trials: Any

    def each(self, values: Floats, how: Any) -> Floats:
        """One value a cell: `np.minimum` its least, `np.add` its sum."""
        order = np.argsort(self.place, kind="stable")
        starts = np.concatenate([[0], np.cumsum(self.trials)[:-1]])
        return cast("Floats", how.reduceat(values[order], starts))

    def mean(self, values: Floats) -> Floats:
        return self.each(values, np.add) / self.trials


def cells(samples: Samples) -> Cells:
    sizes = np.stack([samples.prompt_tokens, samples.output_tokens], axis=1)
    unique, place, trials = np.unique(sizes, axis=0, return_inverse=True, return_counts=True)
    return Cells(unique[:, 0], unique[:, 1], place.ravel(), trials)


def pick(samples: Samples, which: Iterable[Any]) -> Samples:
    """Some of the requests."""
    at = np.asarray(which)
    return replace(samples, **{name: getattr(samples, name)[at] for name in NUMBERS})


def chars_per_token(chars: Iterable[float | None], tokens: Iterable[float]) -> float | None:
    """How many characters a token stands for, over all requests that have both."""
    pairs = [(c, t) for c, t in zip(chars, tokens, strict=True) if c and t]
    return sum(c for c, _ in pairs) / sum(t for _, t in pairs) if pairs else None
