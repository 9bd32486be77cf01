"""Factors and impacts: what a run or period did, its scores, its scopes; and hourly factors from a file."""

from __future__ import annotations

import argparse
import os
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
    """The factors in force or of a kind; or a file of them into the home, or what a service has."""
    if args.action is not None:
        return {"import": _import, "fetch": _fetch}[args.action](args)
    return _list(args)


def _list(args: argparse.Namespace) -> int:
    from joulebook.accounting.basis import kept
    from joulebook.accounting.site import load_site
    from joulebook.reports import views

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
    if not (args.file and args.format and args.region):
        raise InputError("factors import needs a FILE, --format and --region, e.g. joulebook factors import --help")
    return _take_in(args, Path(args.file), _grid(args.region))


def _take_in(args: argparse.Namespace, path: Path, place: str) -> int:
    from joulebook.accounting.factors.imports import About, read_series

    day, kind = datetime.now(UTC).date(), args.kind or "carbon_intensity"
    about = About(path, place, day, args.licence or NOT_SAID, kind)
    told = [_stored(home_of(args), each) for each in read_series(about, args.format)]
    if args.json:
        print_json(told)
        return 0
    for row in told:
        values = f"{row['values']:,} {row['resolution']} values of {row['kind']} for {row['region']}"
        print(f"{values}, {row['from']:%Y-%m-%d %H:%M} to {row['until']:%Y-%m-%d %H:%M} UTC: {row['path']}")
    return 0


def _grid(region: str) -> str:
    """The place of the grid of a region. Raises InputError for one that is not known."""
    from joulebook.accounting.factors import load, locate, unknown_region

    place = locate(region).place
    if not load().knows_place("carbon_intensity", place):
        raise InputError(unknown_region(region, load()))
    return place


def _fetch(args: argparse.Namespace) -> int:
    """What a service has of a zone, kept as a file and then imported."""
    from joulebook.accounting.factors.live import SERVICES, Wanted, fetched

    service = SERVICES.get(args.format)
    if service is None or not (args.region and args.since):
        raise InputError(f"factors fetch needs --format ({' or '.join(SERVICES)}), --region and --since")
    place = _grid(args.region)  # before anybody is asked
    zone = args.zone or place
    start, end = (_hour(each) for each in (args.since, args.until or datetime.now(UTC)))
    text = fetched(args.format, Wanted(zone, start, end, args.address or service.address, os.environ))
    folder = home_of(args) / "fetched"
    folder.mkdir(parents=True, exist_ok=True)
    name = "".join(c if c.isalnum() or c in "-_" else "_" for c in zone)
    path = folder / f"{args.format}-{name}-{start:%Y%m%dT%H}-{end:%Y%m%dT%H}.csv"
    draft = path.with_suffix(".tmp")
    draft.write_text(text, "utf-8")
    draft.replace(path)
    return _take_in(args, path, place)


def _hour(at: datetime) -> datetime:
    """UTC without a zone, at the full hour."""
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0, tzinfo=None)


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
