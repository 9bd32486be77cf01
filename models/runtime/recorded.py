"""Requests that the ledger has: the calls of a period as samples, by provider and model.

Only attempts that were answered whole count, with tokens that the provider reported. Reasoning comes before the first
token that is seen: of such a call that time tells nothing, its end still does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from joulebook.accounting.ledger import Ledger
from joulebook.models.runtime.profile import Text
from joulebook.models.runtime.samples import Samples, chars_per_token, why_left_out


def recorded(ledger: Ledger, since: datetime, until: datetime, project: str | None = None) -> dict[str, Samples]:
    """The requests of a period, by `provider/model`; models without any that count are not there."""
    begun = (_naive(since), _naive(until))
    asked = "and c.of_project = ?" if project is not None else ""
    rows = ledger.rows(_SQL.replace("$project", asked), begun if project is None else (*begun, project))
    by_model: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_model.setdefault(row["model"], []).append(row)
    found = {model: _samples(some) for model, some in by_model.items()}
    return {model: samples for model, samples in found.items() if len(samples)}


def _naive(when: datetime) -> datetime:
    return when.astimezone(UTC).replace(tzinfo=None)


def _samples(rows: Sequence[Mapping[str, Any]]) -> Samples:
    whys = [_why(row) for row in rows]
    kept = [row for row, why in zip(rows, whys, strict=True) if why is None]
    columns: dict[str, Any] = {name: np.array([row[name] for row in kept], dtype=float) for name in _COLUMNS}
    left_out = Counter(why for why in whys if why)
    return Samples(**columns, energy_j=np.full(len(kept), np.nan), left_out=left_out, text=_text(kept))


def _text(rows: Sequence[Mapping[str, Any]]) -> Text | None:
    """How many characters the prompt tokens of some calls stand for, where the length of what was sent was noted."""
    size = chars_per_token([row["sent_chars"] for row in rows], [row["prompt_tokens"] for row in rows])
    return Text(size) if size else None


def _why(row: Mapping[str, Any]) -> str | None:
    """Why an attempt does not count."""
    if row["status"] is None and row["outcome"] not in (None, "ok"):
        return "failed"
    why = why_left_out({**row, "error": row["outcome"] not in (None, "ok")})
    if why is None and (not row["is_reported"] or not row["runtime_s"] or row["prompt_tokens"] is None):
        return "without the provider's own count of tokens, or its time"
    return why


_COLUMNS = ("prompt_tokens", "output_tokens", "runtime_s", "first_token_s")
_SQL = """
    select coalesce(c.provider || '/', '') || coalesce(c.model, '(no model)') as model,
           c.input_tokens as prompt_tokens, coalesce(c.output_tokens, 0) as output_tokens, c.duration_s as runtime_s,
           case when coalesce(c.reasoning_tokens, 0) = 0 then c.first_token_s end as first_token_s,
           c.attempt, c.status, c.outcome, c.cache_read_tokens as cached_tokens,
           c.usage_method = 'measured' as is_reported, c.sent_chars
    from api_call c
    where c.counted and c.started_at_utc >= ? and c.started_at_utc < ? $project
    order by c.started_at_utc, c.call_no
"""
