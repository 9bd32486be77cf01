"""The claims journal of a home: `claims.jsonl`, one line a version, only ever added to.

    claim add ──lock, check, append, sync──▶ claims.jsonl ──read──▶ versions, oldest first

Claims are facts that people stated, so they stand beside the journals of runs and outlive the ledger, which `rebuild`
makes anew. Each line holds the hash of the line before: one that was changed or removed later breaks the chain, and
that is said. The last version of an id counts.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, cast

from joulebook.accounting.errors import InputError, LedgerError, NotFound
from joulebook.accounting.returns.claims import Claim, check_shares, parse
from joulebook.accounting.returns.fields import Table

FILE_NAME = "claims.jsonl"
FORMAT = 1


@dataclass(frozen=True)
class Version:
    """One version of a claim as it was recorded. `told`: as it was written, `claim`: as it is understood."""

    number: int
    added_at: datetime
    line_hash: str
    told: Table
    claim: Claim


def path_of(home: Path) -> Path:
    return home / FILE_NAME


def versions(home: Path) -> list[Version]:
    """All versions of all claims, oldest first.

    Raises LedgerError when a line cannot be read or is not the one that was written.
    """
    try:
        data = path_of(home).read_bytes()
    except FileNotFoundError:
        return []
    return list(_chain(path_of(home), data))


def standing(recorded: Sequence[Version]) -> list[Version]:
    """The last version of each claim that was not withdrawn, in the order of their ids."""
    last = {version.claim.id: version for version in recorded}
    return [last[name] for name in sorted(last) if not last[name].claim.withdrawn]


def history(recorded: Sequence[Version], claim_id: str) -> list[Version]:
    """The versions of one claim, oldest first. Raises NotFound when there is none."""
    found = [version for version in recorded if version.claim.id == claim_id]
    if not found:
        raise NotFound(f"no claim {claim_id!r} is on record: `joulebook claim list` has them all")
    return found


def add(home: Path, told: Table, now: datetime | None = None) -> Version:
    """Record a claim, or a new version of one, and return it. The same words again are no new version.

    Raises InputError where it would count an effect twice or its review lies ahead, LedgerError for a broken journal.
    """
    now = now or datetime.now(UTC)
    claim = parse(told)
    _check_review(claim, now.date())
    home.mkdir(parents=True, exist_ok=True)
    with path_of(home).open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        recorded = versions(home)
        others = [version.claim for version in standing(recorded) if version.claim.id != claim.id]
        if not claim.withdrawn:
            check_shares([*others, claim])
        before = [version for version in recorded if version.claim.id == claim.id]
        if before and before[-1].told == told:
            return before[-1]
        line = _line(told, len(before) + 1, now, recorded[-1].line_hash if recorded else "")
        os.write(file.fileno(), line)
        os.fsync(file.fileno())
    return versions(home)[-1]


def _check_review(claim: Claim, today: date) -> None:
    if claim.review and claim.review.day > today:
        raise InputError(f"[review] date {claim.review.day} has not come yet")


def _line(told: Table, number: int, now: datetime, previous: str) -> bytes:
    entry = {"format": FORMAT, "version": number, "added_at": now.isoformat(), "previous": previous, "claim": told}
    return json.dumps(entry, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"


def _chain(path: Path, data: bytes) -> Iterator[Version]:
    previous = ""
    for number, line in enumerate(data.splitlines(keepends=True), start=1):
        where = f"{path}, line {number}"
        entry = _entry(where, line)
        if entry.get("previous") != previous:
            raise LedgerError(
                f"{where}: a line before it was changed or removed after it was written; restore the file"
            )
        previous = hashlib.sha256(line).hexdigest()
        yield _version(where, entry, previous)


def _entry(where: str, line: bytes) -> dict[str, Any]:
    try:
        entry = json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        entry = None
    if not isinstance(entry, dict):
        raise LedgerError(f"{where}: this is no whole line of a claims journal; restore the file, or remove that line")
    return cast("dict[str, Any]", entry)


def _version(where: str, entry: dict[str, Any], line_hash: str) -> Version:
    try:
        told = entry["claim"]
        return Version(entry["version"], datetime.fromisoformat(entry["added_at"]), line_hash, told, parse(told))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise LedgerError(f"{where}: this claim cannot be understood ({error}); it needs a newer joulebook") from error
