"""What a call would cost, and what the calls of the ledger cost by the prices as of a day."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

from joulebook.cli.commands import answer, asked, home_of, ledger_of, print_json


def price(args: argparse.Namespace) -> int:
    """Price one call. A model that no list knows is no error: its cost is null, with the reason."""
    from joulebook.accounting.ledger.quote import Question, quote
    from joulebook.reports import views

    at = args.at or datetime.now(UTC)
    quoted = quote(home_of(args), Question(args.provider, args.model, args.usage, at, dict(args.context)))
    if args.json:
        print_json(quoted)
        return 0
    return answer(args, views.price(quoted))


def reprice(args: argparse.Namespace) -> int:
    """A second column beside the cost at ingest; nothing is written."""
    from joulebook.reports import views

    view = views.reprice(ledger_of(args), asked(args), args.as_of.date(), args.by, args.project)
    return answer(args, view)
