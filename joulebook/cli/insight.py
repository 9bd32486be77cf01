"""Explore and compare: one measure cut in any way, two of a kind with the range of their difference."""

from __future__ import annotations

import argparse

from joulebook.accounting.errors import InputError
from joulebook.cli.commands import answer, asked, ledger_of


def explore(args: argparse.Namespace) -> int:
    from joulebook.reports import views
    from joulebook.reports.views.explore_cut import splits_of

    cut = views.Cut(args.measure, args.by or splits_of(args.measure)[0], args.per)
    return answer(args, views.explore(ledger_of(args), asked(args), args.project, cut))


def compare(args: argparse.Namespace) -> int:
    """Two of a kind. A period is compared with as much time before it, so it needs a beginning."""
    from joulebook.reports import views

    if len(args.what) not in (0, 2):
        raise InputError(f"compare needs two {'models' if args.models else 'runs'}, or none to compare two times")
    ledger, when = ledger_of(args), asked(args)
    if args.models:
        if not args.what:
            raise InputError("compare --models needs two models: joulebook calls lists them")
        return answer(args, views.compare_models(ledger, when, (args.what[0], args.what[1]), args.project))
    if args.what:
        return answer(args, views.compare_runs(ledger, args.what[0], args.what[1]))
    if not args.since:
        raise InputError(
            "compare needs --since, so that there is as much time before it: joulebook compare --since 30d"
        )
    return answer(args, views.compare_periods(ledger, when, views.before(when), args.project))
