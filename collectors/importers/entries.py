"""What an importer yields: the events that a row means, under a name that a second import knows again.

    call   one request. Its name is the id that the tool gave it
    bill   what a provider says of a bucket of time. Its name has two halves, `bucket.statement`: the bucket is told by
           its times and all that it was grouped by, the statement by its amounts. A bucket that fills up makes a new
           statement under the same first half; the last one is what counts (view `latest_bill`)

Both names are made of what stands in the row alone, so they do not depend on files or on their order.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from joulebook.collectors.importers.values import digest, plain

_CALLS = uuid.UUID("6a6f756c-6562-6f6f-6b00-000000000001")


class Entry(NamedTuple):
    """Events that belong together, and the row that they come from."""

    line: int
    source: str
    source_id: str
    at_ns: int  # when it was
    events: tuple[tuple[str, dict[str, Any]], ...]


def call(line: int, source: str, source_id: str, started_ns: int, fields: Mapping[str, Any]) -> Entry:
    """A request. `fields`: what `collectors/api/record.py` says of a call; what is None or empty is left out."""
    about = {"call_id": str(uuid.uuid5(_CALLS, f"{source} {source_id}")), "source": source, "source_id": source_id}
    return Entry(line, source, source_id, started_ns, (("call", about | _told(fields) | {"started_ns": started_ns}),))


def bill(line: int, source: str, times: tuple[int, int], fields: Mapping[str, Any], bucket: Sequence[Any]) -> Entry:
    """A statement. `bucket`: all that tells it from the others of the same time."""
    amounts = [fields.get(key) for key in ("requests", "units", "cost", "currency")]
    source_id = f"{digest(source, *times, *bucket)}.{digest(*amounts)[:8]}"
    about = {"source": source, "source_id": source_id, "from_ns": times[0], "to_ns": times[1]}
    return Entry(line, source, source_id, times[0], (("bill", about | _told(fields)),))


def _told(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None and value not in ([], "")}


def units(**amounts: Decimal | int | None) -> list[list[str]]:
    """Amounts by unit. A part of nothing is left out; a whole of nothing is not, since it was counted."""
    wholes = ("input_tokens", "output_tokens")
    return [
        [unit, plain(Decimal(amount))]
        for unit, amount in sorted(amounts.items())
        if amount or (amount is not None and unit in wholes)
    ]


def pairs(**named: str | None) -> list[list[str]]:
    """Tags or context as the journal has them."""
    return [[key, value] for key, value in sorted(named.items()) if value]
