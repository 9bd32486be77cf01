"""Calls for other tools, and beside what a provider says that they were: `export` and `reconcile`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from joulebook.accounting.errors import InputError
from joulebook.cli.commands import asked, ledger_of, print_json
from joulebook.collectors.importers import importer
from joulebook.collectors.importers.entries import Entry
from joulebook.collectors.importers.rows import BadRow


def export(args: argparse.Namespace) -> int:
    """Write a file, and say what it holds and what could not be told in it."""
    from joulebook.reports import focus
    from joulebook.reports.format import money
    from joulebook.reports.terminal import literal
    from joulebook.reports.views.common import plural

    done = focus.export(ledger_of(args), Path(args.out), asked(args), args.project, force=args.force)
    if done.left_out_calls:
        calls = f"{plural(done.left_out_calls, 'call')} ({done.left_out_tokens:,.0f} tokens)"
        why = "nobody knows what they cost, and FOCUS has no way to say so. Which, and why: joulebook calls"
        print(f"joulebook: left out of the file: {calls}; {why}", file=sys.stderr)
    if args.json:
        print_json(asdict(done))
    else:
        told = f"{plural(done.rows, 'row')} of {plural(done.days, 'day')}, {money(done.cost_usd)}"
        print(f"{told}, FOCUS {done.focus_version}, written to {literal(done.path)}")
    return 0


def reconcile(args: argparse.Namespace) -> int:
    """Draw what differs; 1 when something does."""
    from joulebook.reports import as_json, views
    from joulebook.reports.terminal import draw
    from joulebook.reports.views.common import plural
    from joulebook.reports.views.reconcile import MATCHED, TOLERANCE, differences, sums

    told, bad = _bills(args.format, sorted({Path(name) for name in args.files}, key=_age))
    view = views.reconcile(ledger_of(args), told, asked(args), args.project)
    shown = view if args.all else differences(view)
    is_ok = bool(view.rows) and not bad and all(row["verdict"] == MATCHED for row in view.rows)
    if bad:
        print(f"joulebook: {plural(len(bad), 'row')} cannot be used; {bad[0]}", file=sys.stderr)
    if args.json:
        remarks = [*shown.alerts, *shown.notes]
        answer = {"ok": is_ok, "tolerance": TOLERANCE, **sums(view.rows), "unusable_rows": len(bad)}
        print_json({**answer, "rows": as_json.rows(shown), "remarks": remarks})
    else:
        draw(shown)
    return 0 if is_ok else 1


def _bills(name: str, files: Iterable[Path]) -> tuple[list[dict[str, Any]], list[str]]:
    """What a provider states in files, the last statement of each bucket; and what is wrong with other rows."""
    stated: dict[tuple[str, str], dict[str, Any]] = {}
    bad: list[str] = []
    for path in files:
        for one in importer(name)(path):
            if isinstance(one, Entry):
                stated[one.source, one.source_id.partition(".")[0]] = one.events[-1][1]
            elif isinstance(one, BadRow):
                bad.append(f"{path}, line {one.line}: {one.reason}")
    if bad and not stated:
        raise InputError(f"no row can be used; {bad[0]}; is it another format?")
    return list(stated.values()), bad


def _age(path: Path) -> tuple[float, str]:
    """The oldest first: of two statements of one bucket the newer one counts."""
    try:
        return path.stat().st_mtime, str(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); nothing was compared") from error
