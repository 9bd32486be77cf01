"""The calls of model APIs: their sums, their latency, the newest of them, or one of them."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from joulebook.accounting.errors import InputError
from joulebook.cli.commands import answer, asked, ledger_of, print_json

if TYPE_CHECKING:
    from joulebook.reports.view import View

MOST_ROWS = 50  # on the screen


def calls(args: argparse.Namespace) -> int:
    """Answer what was asked of calls; `--json` has all rows."""
    if args.limit is not None and args.limit < 1:
        raise InputError(f"--limit must be 1 or more, not {args.limit}")
    if args.call_id is not None:
        return _one(args)
    return answer(args, _view(args))


def _one(args: argparse.Namespace) -> int:
    from joulebook.reports import as_json, views

    view = views.call(ledger_of(args), args.call_id)
    if args.json:
        print_json(as_json.call(view))
        return 0
    return answer(args, view)


def _view(args: argparse.Namespace) -> View:
    from joulebook.reports import views

    ledger, period = ledger_of(args), asked(args)
    limit = args.limit or (None if args.json else MOST_ROWS)
    if args.latency:
        return views.latency(ledger, period, args.project)
    if args.by == "call":
        return views.calls(ledger, period, args.project, limit)
    return views.api_usage(ledger, period, args.project, args.by, limit)
