"""Each breach is told once: to each target, for each rule, in each period.

    breach ─> id of (budget as written, rule, period or day) ─> is there a note of it? ─> send ─> write the note

Notes stand in `<home>/alerts/`, one file for each alert and target. They are looked for, and written, under one lock
of the operating system, so that of two checks at once the second one waits and then finds the note; a process that is
killed lets go of it. What could not be sent leaves no note and is sent by the next check. A budget whose limit or scope
was changed is another budget, and is told of again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from joulebook.accounting.budgets.check import Checked, Verdict
from joulebook.accounting.budgets.webhook import NotSent, Target
from joulebook.accounting.errors import MissingExtra

FOLDER = "alerts"


@dataclass(frozen=True)
class Alert:
    """What is to be told: in words, and as facts that JSON can hold."""

    alert_id: str
    text: str
    facts: Mapping[str, Any]


class Told(NamedTuple):
    """What became of an alert at a target."""

    alert: Alert
    target: str
    outcome: Literal["sent", "sent before", "failed"]
    reason: str = ""


def alert_id(checked: Checked, verdict: Verdict) -> str:
    """The same for the same rule of the same budget in the same period, or on the same day."""
    budget = checked.budget
    when = [verdict.day] if verdict.day else [checked.start, checked.end]
    about = [budget.name, budget.measure.name, budget.limit, sorted(budget.scope.items()), sorted(budget.tags.items()),
             verdict.rule.kind, verdict.rule.value, *map(str, when)]  # fmt: skip
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]


def deliver(home: Path, alerts: Sequence[Alert], targets: Sequence[Target]) -> list[Told]:
    """Tell each target of each alert that it has not been told of."""
    pairs = [(alert, target) for alert in alerts for target in targets]
    if not pairs:
        return []
    try:
        with _alone(home / FOLDER) as folder:
            return [_tell(folder, alert, target) for alert, target in pairs]
    except OSError as error:  # who cannot note what was told would tell it again and again
        why = f"{home / FOLDER}: {error.strerror or error}"
        return [Told(alert, target.shown, "failed", why) for alert, target in pairs]


@contextmanager
def _alone(folder: Path) -> Generator[Path]:
    """The folder, while no other check may look into it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield folder


def _tell(folder: Path, alert: Alert, target: Target) -> Told:
    address = hashlib.sha256(target.address.encode()).hexdigest()[:8]
    note = folder / f"{alert.alert_id}-{address}.json"
    if note.exists():
        return Told(alert, target.shown, "sent before")
    try:
        target.send(alert.text, alert.facts)
    except (NotSent, MissingExtra) as error:
        return Told(alert, target.shown, "failed", str(error))
    sent = {"alert_id": alert.alert_id, "sent_at": datetime.now(UTC).isoformat(), "target": target.shown}
    _write(note, {**sent, "text": alert.text, "facts": alert.facts})
    return Told(alert, target.shown, "sent")


def _write(path: Path, value: Mapping[str, Any]) -> None:
    """Whole or not at all."""
    draft = path.with_suffix(".draft")
    with draft.open("w", encoding="utf-8") as file:
        json.dump(value, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def sent(home: Path) -> list[dict[str, Any]]:
    """The notes of what was told, the newest first; a file that is no note is left out."""
    notes = [note for path in (home / FOLDER).glob("*.json") if (note := _note(path))]
    return sorted(notes, key=lambda note: note["sent_at"], reverse=True)


def _note(path: Path) -> dict[str, Any] | None:
    try:
        note = json.loads(path.read_bytes())
        return {
            "sent_at": datetime.fromisoformat(note["sent_at"]),
            **{key: str(note[key]) for key in ("target", "text")},
        }
    except (OSError, ValueError, TypeError, KeyError):
        return None
