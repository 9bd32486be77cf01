"""Factors and impacts: what a run or period did, its scores, its scopes; and hourly factors from a file."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from joulebook.accounting.errors import InputError
from joulebook.cli.commands import answer, asked, home_of, ledger_of, print_json

if TYPE_CHECKING:
    from joulebook.accounting.factors import Series
    from joulebook.reports.view import View
    from joulebook.reports.views.impact import Subject

NOT_SAID = "not said; not to be passed on"


def impact(args: argparse.Namespace) -> int:
    """A run or a period in every category."""
    from joulebook.reports import views

    return _answer(args, views.impact(_subject(args)))


def sci(args: argparse.Namespace) -> int:
    """The scores of a run or period per a unit."""
    from joulebook.reports import views

    return _answer(args, views.sci(_subject(args), args.per))


def embodied(args: argparse.Namespace) -> int:
    """What making the hardware took."""
    from joulebook.reports import views

    return _answer(args, views.embodied(ledger_of(args), asked(args), args.project))


def scopes(args: argparse.Namespace) -> int:
    """Greenhouse gas by scope."""
    from joulebook.reports import views

    return _answer(args, views.scopes(ledger_of(args), asked(args), args.project))


def _subject(args: argparse.Namespace) -> Subject:
    from joulebook.reports.views.impact import of_period, of_run

    if args.run_id is None:
        return of_period(ledger_of(args), asked(args), args.project)
    if args.since or args.until or args.project:
        raise InputError("a run is asked about whole: --since, --until and --project go with a period, not with a run")
    return of_run(ledger_of(args), args.run_id)


def _answer(args: argparse.Namespace, view: View) -> int:
    """The View drawn; as JSON its rows, then each part by its key."""
    from joulebook.reports import as_json
    from joulebook.reports.terminal import draw

    if args.json:
        print_json(as_json.whole(view))
    else:
        draw(view)
    return 0


# Factors ----------------------------------------------------------------------------------------------------------


def factors(args: argparse.Namespace) -> int:
    """The factors in force or of a kind; or a file of them into the home."""
    from joulebook.accounting.basis import kept
    from joulebook.accounting.site import load_site
    from joulebook.reports import views

    if args.action == "import":
        return _import(args)
    home = home_of(args)
    if args.regions:
        return answer(args, views.cloud_regions(args.region))
    if args.hardware:
        return answer(args, views.hardware())
    if args.series:
        return answer(args, views.series(home))
    if args.sets:
        return answer(args, views.kept_bases(kept(home)))
    return answer(args, views.factors(load_site(home), args.kind, args.region, home))


def _import(args: argparse.Namespace) -> int:
    """A file of hourly or monthly factors, whole or not at all."""
    from joulebook.accounting.factors import load, locate, unknown_region
    from joulebook.accounting.factors.imports import About, read_series

    if not (args.file and args.format and args.region):
        raise InputError("factors import needs a FILE, --format and --region, e.g. joulebook factors import --help")
    place = locate(args.region).place
    if not load().knows_place("carbon_intensity", place):
        raise InputError(unknown_region(args.region, load()))
    day, kind = datetime.now(UTC).date(), args.kind or "carbon_intensity"
    about = About(Path(args.file), place, day, args.licence or NOT_SAID, kind)
    told = [_stored(home_of(args), each) for each in read_series(about, args.format)]
    if args.json:
        print_json(told)
        return 0
    for row in told:
        values = f"{row['values']:,} {row['resolution']} values of {row['kind']} for {row['region']}"
        print(f"{values}, {row['from']:%Y-%m-%d %H:%M} to {row['until']:%Y-%m-%d %H:%M} UTC: {row['path']}")
    return 0


def _stored(home: Path, series: Series) -> dict[str, Any]:
    from joulebook.accounting.factors.series import store_series

    path = store_series(home, series)
    return {
        "kind": series.kind,
        "region": series.region,
        "resolution": series.resolution,
        "values": len(series.spells),
        "from": series.spells[0].start.replace(tzinfo=UTC),
        "until": series.spells[-1].end.replace(tzinfo=UTC),
        "unit": series.unit,
        "factor_id": series.factor_id,
        "path": str(path),
    }
