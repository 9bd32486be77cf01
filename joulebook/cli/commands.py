"""One function a command: arguments in, exit code out. What a command needs is imported when it runs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from joulebook.accounting.errors import InputError, MissingExtra
from joulebook.accounting.home import home_dir

if TYPE_CHECKING:
    from joulebook.accounting.ledger import Ledger
    from joulebook.reports.view import View
    from joulebook.reports.views import Period
    from joulebook.reports.views.beyond import Beyond


def home_of(args: argparse.Namespace) -> Path:
    return home_dir(args.home)


def print_json(value: Any) -> None:
    from joulebook.reports import as_json

    print(as_json.text(value))


def _draw(view: View) -> None:
    from joulebook.reports.terminal import draw

    draw(view)


# Recording --------------------------------------------------------------------------------------------------------


def run(args: argparse.Namespace) -> int:
    """Record a command; exit as it did."""
    if args.home:
        os.environ["JOULEBOOK_HOME"] = str(home_of(args))
    from joulebook.collectors.wrap import die_like, run_command

    code = run_command(args.argv, name=args.name, project=args.project, tags=dict(args.tag))
    if args.json:  # the job owns stdout
        import json

        print(json.dumps({"command": args.argv, "exit_code": int(code), "home": str(home_of(args))}), file=sys.stderr)
    die_like(code)


# The ledger -------------------------------------------------------------------------------------------------------


@contextmanager
def bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar over bytes, on a terminal only."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    console = Console(stderr=True)
    with Progress(TextColumn(title), BarColumn(), DownloadColumn(), console=console, transient=True,
                  disable=not console.is_terminal) as shown:  # fmt: skip
        task = shown.add_task(title, total=None)
        yield lambda done, total: shown.update(task, completed=done, total=total)


def ledger_of(args: argparse.Namespace) -> Ledger:
    """The ledger of the home, brought up to date unless `--no-ingest`."""
    from joulebook.accounting.ledger import ingest as fold
    from joulebook.accounting.ledger import open_ledger

    if not args.no_ingest:
        with bar("reading journals") as progress:
            fold(home_of(args), progress)
    return open_ledger(home_of(args))


def ingest(args: argparse.Namespace) -> int:
    from joulebook.accounting.ledger import ingest as fold

    with bar("reading journals") as progress:
        done = fold(home_of(args), progress, seal_all=args.seal)
    if args.json:
        print_json(asdict(done))
    else:
        print(
            f"{done.events_added:,} of {done.events_read:,} events added from {done.journals:,} journals "
            f"in {done.seconds:.2f} s; {done.quarantined:,} quarantined."
        )
    return 0


def rebuild(args: argparse.Namespace) -> int:
    from joulebook.accounting.ledger import rebuild as make_anew

    with bar("rebuilding") as progress:
        done = make_anew(home_of(args), progress)
    if args.json:
        print_json(asdict(done))
    else:
        print(
            f"Ledger made anew from {done.events_read:,} events of {done.journals:,} journals in {done.seconds:.2f} s."
        )
    return 0


def verify(args: argparse.Namespace) -> int:
    from joulebook.accounting.verify import verify as check_all
    from joulebook.reports.terminal import literal

    checks = check_all(ledger_of(args))
    if args.json:
        print_json(
            {"ok": all(check.ok for check in checks), "checks": [asdict(check) | {"ok": check.ok} for check in checks]}
        )
    else:
        for check in checks:
            print(f"{'ok  ' if check.ok else 'FAIL'}  {check.name}: {check.says} ({check.examined:,} looked at)")
            for violation in check.violations:
                print(f"      {literal(violation)}")
    return 0 if all(check.ok for check in checks) else 1


# Questions --------------------------------------------------------------------------------------------------------


def asked(args: argparse.Namespace) -> Period:
    from joulebook.reports.views import period_of

    if args.since and args.until and args.since >= args.until:
        raise InputError(f"--since {args.since:%Y-%m-%d %H:%M} is not before --until {args.until:%Y-%m-%d %H:%M}")
    return period_of(args.since, args.until)


def runs(args: argparse.Namespace) -> int:
    from joulebook.reports import views

    if args.limit is not None and args.limit < 1:
        raise InputError(f"--limit must be 1 or more, not {args.limit}")
    limit = args.limit or (None if args.json else 50)
    view = views.runs(ledger_of(args), asked(args), args.project, limit)
    return answer(args, view)


def summary(args: argparse.Namespace) -> int:
    from joulebook.reports import views

    return answer(args, views.summary(ledger_of(args), asked(args), args.by, args.project))


def answer(args: argparse.Namespace, view: View) -> int:
    from joulebook.reports import as_json

    if args.json:
        print_json(as_json.rows(view))
    else:
        _draw(view)
    return 0


def show(args: argparse.Namespace) -> int:
    from joulebook.reports import as_json, views

    view = views.run(ledger_of(args), args.run_id)
    if args.json:
        print_json(as_json.run(view))
    else:
        _draw(view)
    return 0


# Reports ----------------------------------------------------------------------------------------------------------


def report(args: argparse.Namespace) -> int:
    from joulebook.reports import views
    from joulebook.reports.pdf import write_pdf

    ledger = ledger_of(args)
    now = datetime.now(UTC)
    if args.run:
        view = views.run(ledger, args.run)
        name = f"run-{view.rows[0]['run_id'][-12:]}"
    else:
        view = views.report(ledger, asked(args), args.project, _beyond(args))
        name = f"joulebook-{now:%Y-%m-%d}"
    path = Path(args.out) if args.out else home_of(args) / "reports" / f"{name}.pdf"
    written = write_pdf(view, path, prepared_at=now, organisation=args.organisation)
    if args.json:
        print_json({"path": str(written), "bytes": written.stat().st_size, "title": view.title, "prepared_at": now})
    else:
        print(f"Report written to {written}")
    return 0


def _beyond(args: argparse.Namespace) -> Beyond:
    """The sections that were named, and what was said of the projection."""
    from joulebook.models.projection.ask import Asked
    from joulebook.reports.views.beyond import Beyond

    given = {"scenario": args.scenario, "engine": args.engine, "portfolio": args.portfolio, "until": args.horizon}
    named = {name: value for name, value in given.items() if value is not None}
    return Beyond(args.sections, Asked(**named))


def dashboard(args: argparse.Namespace) -> int:
    """Serve until interrupted. Streamlit replaces this process, so that signals reach it directly."""
    import json

    try:
        import streamlit  # noqa: F401 — looked for, not used: it runs as its own program

        from joulebook.reports import dashboard as page
    except ModuleNotFoundError as error:
        raise MissingExtra("the dashboard", "app") from error
    os.environ["JOULEBOOK_HOME"] = str(home_of(args))
    if args.no_ingest:
        os.environ["JOULEBOOK_NO_INGEST"] = "1"
    address = f"http://127.0.0.1:{args.port}"
    print(json.dumps({"url": address}) if args.json else f"Dashboard: {address} (Ctrl-C ends it)", flush=True)
    command = [
        sys.executable,
        "-m",
        "streamlit",
        "run",
        str(page.__file__),
        "--server.port",
        str(args.port),
        *page.streamlit_flags(),
    ]
    os.execv(sys.executable, command)  # noqa: S606 — our own command


# Setting up -------------------------------------------------------------------------------------------------------


def init(args: argparse.Namespace) -> int:
    from joulebook.accounting.site import site_path, write_site

    home = home_of(args)
    if site_path(home).exists() and not args.force:
        raise InputError(f"{site_path(home)}: there is a site already; edit it, or give --force to replace it")
    site = _site(args)
    path = write_site(home, site)
    if args.json:
        print_json({"path": str(path), "site": asdict(site)})
    else:
        print(f"Site written to {path}. The factors in force: joulebook factors")
    return 0


def _site(args: argparse.Namespace) -> Any:
    from joulebook.accounting.factors import load, locate, unknown_region
    from joulebook.accounting.factors.hardware import parse_parts
    from joulebook.accounting.site import parse_site

    known = load()
    for name, value, kind in (("provider", args.provider, "pue"), ("cpu-class", args.cpu_class, "cpu_power")):
        if value and not known.knows(kind, value):
            raise InputError(_did_you_mean(name, value, known.regions(kind)))
    if args.hardware:
        parse_parts(args.hardware)
    declared = {"pue": args.pue, "wue_l_per_kwh": args.wue, "price_usd_per_kwh": args.price,
                "carbon_intensity_g_per_kwh": args.carbon_intensity, "cpu_power_w": args.cpu_power,
                "it_overhead": args.it_overhead, "carbon_price_usd_per_t": args.carbon_price,
                "hardware_lifetime_years": args.hardware_lifetime}  # fmt: skip
    located = locate(args.region, args.provider)
    region = args.region.lower() if located.cloud else args.region.upper()
    told = {"region": region, "provider": args.provider, "cpu_class": args.cpu_class, "hardware": args.hardware}
    table = told | declared
    site = parse_site({key: value for key, value in table.items() if value is not None})
    if not known.knows_place("carbon_intensity", located.place):
        raise InputError(f"--region: {unknown_region(args.region, known)}")
    return site


def _did_you_mean(name: str, value: str, known: list[str]) -> str:
    import difflib

    near = difflib.get_close_matches(value.upper(), known, 5, 0.4) or difflib.get_close_matches(value, known, 5, 0.4)
    return f"--{name} {value!r} is not known; near it: {', '.join(near) or 'nothing'}; all: joulebook factors --kind …"


def doctor(args: argparse.Namespace) -> int:
    """Say what can be measured here; 1 when something is broken. With `--record`, capture a trace instead."""
    if not args.record and (args.seconds or args.interval or args.force):
        raise InputError("--seconds, --interval and --force go with --record FILE")
    with _home_for_sensors(home_of(args)):
        return _record(args) if args.record else _examine(args)


def _examine(args: argparse.Namespace) -> int:
    from joulebook.cli.doctor import examine
    from joulebook.cli.findings import show

    found = examine(home_of(args))
    is_ok = all(finding.state != "fail" for finding in found.findings)
    if args.json:
        checks = [finding._asdict() for finding in found.findings]
        print_json({"ok": is_ok, "checks": checks, "uses": [use._asdict() for use in found.uses], "says": found.says})
    else:
        show(found.findings, found.says)
    return 0 if is_ok else 1


@contextmanager
def _home_for_sensors(home: Path) -> Iterator[None]:
    """Those that keep something, as perf does, keep it in the home that was named."""
    before = os.environ.get("JOULEBOOK_HOME")
    os.environ["JOULEBOOK_HOME"] = str(home)
    try:
        yield
    finally:
        os.environ.pop("JOULEBOOK_HOME")
        os.environ.update({} if before is None else {"JOULEBOOK_HOME": before})


def _record(args: argparse.Namespace) -> int:
    from joulebook.cli import tracing

    captured, signum = tracing.record(Path(args.record), args.seconds or 10.0, args.interval or 0.1, args.force)
    if args.json:
        print_json(tracing.as_json(captured, signum))
    else:
        tracing.tell(captured, signum)
    return 128 + signum if signum else 0


def demo(args: argparse.Namespace) -> int:
    from joulebook.cli.demo import demonstrate

    result = demonstrate(home_of(args), quiet=args.json)
    if args.json:
        print_json(result)
    if args.no_serve:
        return 0
    args.no_ingest = False
    return dashboard(args)
