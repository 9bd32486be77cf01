"""What can be typed. Every command has `--home`, `--json` and an example in its `--help`."""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any, NoReturn

from joulebook import __version__
from joulebook.cli import (
    api_arguments,
    impact_arguments,
    insight_arguments,
    probe_arguments,
    projection_arguments,
    returns_arguments,
    roofline_arguments,
    runtime_arguments,
)
from joulebook.cli.options import Add, pair, period, reading, seconds, share, when

DECLARED = {
    "pue": "PUE",
    "wue": "WUE, L per kWh of IT energy",
    "price": "price of electricity, USD per kWh",
    "carbon-intensity": "carbon intensity, gCO2e per kWh",
    "cpu-power": "W at the plug per busy logical CPU",
    "it-overhead": "IT energy per device energy",
    "carbon-price": "internal price of carbon, USD per t",
    "hardware-lifetime": "years that hardware is in use",
}
GROUPS = ("project", "day", "name", "host")
WRAPPERS = {"run", "serve-meter"}  # they start a command, which stands after `--`


class _Parser(argparse.ArgumentParser):
    """Says in one sentence what is wrong; `--help` has the rest."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"joulebook: {message}; see {self.prog} --help\n")


def parse(argv: list[str]) -> argparse.Namespace:
    """The arguments of one command. Exits with 2 and one sentence when they make no sense."""
    own, command = argv, None
    if "--" in argv and not WRAPPERS.isdisjoint(argv[: argv.index("--")]):
        own, command = argv[: argv.index("--")], argv[argv.index("--") + 1 :]
    top = parser()
    args = top.parse_args(own)
    if args.command is None:
        top.print_help()
        top.exit(2)
    if args.command not in WRAPPERS and any(not _is_text(word) for word in own):  # a job runs whatever its name is
        top.error("an argument is not text in UTF-8")
    if args.command in WRAPPERS:
        if command is not None:  # `run git log -- file`: a later "--" is the command's own
            args.argv = [*args.argv, "--", *command] if args.argv else command
        if not args.argv:
            top.error(f"{args.command} needs a command, e.g. joulebook {args.command} -- python train.py")
    return args


def _is_text(word: str) -> bool:
    return not any(0xD800 <= ord(c) <= 0xDFFF for c in word)  # how Python keeps bytes that are not UTF-8


def parser() -> argparse.ArgumentParser:
    top = _Parser(
        prog="joulebook",
        description="The ledger of what AI work costs: energy, carbon, water and money, per run.",
        epilog="Exit codes: 0 done, 1 failed or an invariant is broken, 2 wrong input, 3 not found, 4 busy.",
    )
    top.add_argument(
        "--version", action="version", version=f"joulebook {__version__}", help="print the version and exit"
    )
    _common(top, default=None)
    commands = top.add_subparsers(dest="command", metavar="COMMAND")
    for add in (
        _init,
        _doctor,
        _demo,
        _run,
        _ingest,
        _runs,
        _show,
        _summary,
        _assess,
        _restate,
        _check,
        _verify,
        _rebuild,
        _dashboard,
        _report,
        *insight_arguments.ALL,
        *impact_arguments.ALL,
        *api_arguments.ALL,
        *probe_arguments.ALL,
        *returns_arguments.ALL,
        *projection_arguments.ALL,
        *runtime_arguments.ALL,
        *roofline_arguments.ALL,
    ):
        add(partial(_command, commands))
    return top


def _common(parser: argparse.ArgumentParser, default: object) -> None:
    parser.add_argument(
        "--home",
        metavar="DIR",
        default=default,
        help="where the ledger is (else JOULEBOOK_HOME, else the user's data folder)",
    )
    parser.add_argument("--json", action="store_true", default=default or False, help="print JSON")


def _command(commands: Any, name: str, what: str, example: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name, help=what, description=what[0].upper() + what[1:] + ".", epilog=f"Example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    # given before or after the command; absent here must not undo what was given before
    parser.add_argument("--home", metavar="DIR", default=argparse.SUPPRESS, help="where the ledger is")
    parser.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print JSON")
    return parser


def _values(text: str) -> list[float]:
    """A number, or LOW,MID,HIGH."""
    try:
        parts = [float(part) for part in text.split(",")]
    except ValueError:
        parts = []
    if len(parts) not in (1, 3):
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor LOW,MID,HIGH")
    return parts * (3 if len(parts) == 1 else 1)


def _init(add: Add) -> None:
    parser = add(
        "init", "say where this machine stands (region, PUE, WUE, tariff)", "joulebook init --region FR --provider aws"
    )
    parser.add_argument(
        "--region", default="WORLD", help="grid, or region of a cloud: FR, US-CA, aws:eu-west-3 (default: WORLD)"
    )
    parser.add_argument("--provider", help="whose data centre: aws, gcp, azure, …; leave out for your own room")
    parser.add_argument("--cpu-class", help="power curve of the processors, see `joulebook factors --kind cpu_power`")
    parser.add_argument("--hardware", help='what the machine is made of, e.g. "8 H100, 1 server-8-gpu, 2048 dram"')
    for name, what in DECLARED.items():
        parser.add_argument(f"--{name}", type=_values, metavar="X", help=f"{what}: a number or LOW,MID,HIGH")
    parser.add_argument("--force", action="store_true", help="replace the site that is there")


def _doctor(add: Add) -> None:
    parser = add(
        "doctor",
        "say what can be measured here, and what is missing; exits with 1 when something is broken",
        "joulebook doctor --record trace.csv --seconds 60",
    )
    parser.add_argument("--record", metavar="FILE", help="instead, capture what the sensors show, for JOULEBOOK_REPLAY")
    parser.add_argument("--seconds", type=seconds, metavar="S", help="for so long (default: 10)")
    parser.add_argument("--interval", type=seconds, metavar="S", help="seconds between two readings (default: 0.1)")
    parser.add_argument("--force", action="store_true", help="replace the file that is there")


def _demo(add: Add) -> None:
    parser = add("demo", "record real jobs here, then show them: summary, PDF, dashboard", "joulebook demo --no-serve")
    parser.add_argument("--no-serve", action="store_true", help="stop before serving the dashboard")
    parser.add_argument("--port", type=int, default=8501, help="port of the dashboard on 127.0.0.1 (default: 8501)")


def _run(add: Add) -> None:
    parser = add(
        "run",
        "record a command without touching it",
        "joulebook run --name train --project search --tag team=nlp -- python train.py",
    )
    parser.add_argument("--name", help="name of the run (default: the command's)")
    parser.add_argument("--project", help="project that the run belongs to")
    parser.add_argument("--tag", type=pair, action="append", default=[], metavar="KEY=VALUE", help="a tag; repeatable")
    parser.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- COMMAND", help="the command and its arguments")


def _ingest(add: Add) -> None:
    parser = add("ingest", "fold new journal lines into the ledger, exactly once", "joulebook ingest --json")
    parser.add_argument("--seal", action="store_true", help="also turn today's finished journals into Parquet")


def _runs(add: Add) -> None:
    parser = add("runs", "list the runs, newest first", "joulebook runs --since 7d --project search")
    period(parser)
    reading(parser)
    parser.add_argument("--limit", type=int, metavar="N", help="at most N runs (default: 50 on screen, all in JSON)")


def _show(add: Add) -> None:
    parser = add("show", "show one run: power, spans, usage, impacts and their factors", "joulebook show last")
    parser.add_argument("run_id", metavar="RUN", help="the run's id, its beginning or its end, or `last`")
    reading(parser)


def _summary(add: Add) -> None:
    parser = add("summary", "sum up a period", "joulebook summary --by day --since 30d")
    parser.add_argument("--by", choices=GROUPS, default="project", help="one row for each (default: project)")
    period(parser)
    reading(parser)


def _check(add: Add) -> None:
    parser = add(
        "check",
        "check budgets, or whether a newer run uses more energy than those before it; exits with 1 when so",
        "joulebook check --budget budgets.toml --notify\n  joulebook check --regression train --threshold 0.05",
    )
    told = (
        "A rule of a budget is breached when the best estimate is above what it allows, and possible (exit code 0) "
        "when only the high end is. A regression is an interval of the ratio above 1 and a ratio above 1 + threshold."
    )
    parser.description = f"{parser.description} {told}"
    parser.add_argument("--budget", metavar="FILE", help="the budgets (default: budgets.toml in the home)")
    parser.add_argument(
        "--as-of", type=when, metavar="TIME", help="as of then: 2026-11-01, 12h, yesterday (default: now)"
    )
    parser.add_argument("--notify", action="store_true", help="tell of what is breached, each once in its period")
    parser.add_argument("--regression", metavar="NAME", help="instead, compare the runs of this name")
    parser.add_argument(
        "--candidate",
        metavar="RUNS",
        help="the newer ones: `last` (default), ids with commas between, or KEY=VALUE of a tag",
    )
    parser.add_argument("--baseline", metavar="RUNS", help="what to compare with (default: up to 20 runs before them)")
    parser.add_argument(
        "--per", metavar="KIND", help="step, tokens, … or run (default: step where all have recorded some)"
    )
    parser.add_argument("--threshold", type=share, metavar="SHARE", help="how much more is allowed (default: 0.05)")
    parser.add_argument("--project", help="only runs of this project")
    reading(parser)


def _assess(add: Add) -> None:
    parser = add(
        "assess",
        "assess a period under the factors of now or of an earlier day, with draws and data quality",
        "joulebook assess --since 2026-01-01 --until 2027-01-01 --factor-set 3f2a9c0d1e4b-77c1d02a9f30 --json",
    )
    period(parser)
    parser.add_argument("--as-of", type=when, metavar="DAY", help="with the factors and the site in force on that day")
    parser.add_argument(
        "--factor-set",
        metavar="ID",
        help="with these factors: the id of a basis or a factor set that was used here, or `list`",
    )
    parser.add_argument("--draws", type=int, default=4096, metavar="N", help="draws, a power of two (default: 4096)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="seed of the draws (default: 0)")
    reading(parser)


def _restate(add: Add) -> None:
    parser = add(
        "restate",
        "show what changes in a period from one set of factors to another, and why, run by run",
        "joulebook restate 2026-11-24 now --since 2026-01-01",
    )
    told = "a day (what was in force on it), `now`, or an id of `joulebook assess --factor-set list`"
    parser.add_argument("before", metavar="FROM", help=told)
    parser.add_argument("after", metavar="TO", nargs="?", default="now", help="the same (default: now)")
    period(parser)
    reading(parser)


def _verify(add: Add) -> None:
    parser = add("verify", "check the ledger's invariants; exits with 1 when one is broken", "joulebook verify")
    reading(parser)


def _rebuild(add: Add) -> None:
    add("rebuild", "make the ledger anew from journals and sealed Parquet", "joulebook rebuild")


def _dashboard(add: Add) -> None:
    parser = add("dashboard", "serve the dashboard on 127.0.0.1", "joulebook dashboard --port 8501")
    parser.add_argument("--port", type=int, default=8501, help="port (default: 8501)")
    reading(parser)


def _report(add: Add) -> None:
    parser = add(
        "report", "write a PDF report of a period, or of one run", "joulebook report --since 30d --out report.pdf"
    )
    period(parser)
    parser.add_argument("--run", metavar="RUN", help="report on this run instead of a period")
    parser.add_argument("--out", metavar="FILE", help="where to (default: the home's reports folder)")
    parser.add_argument("--organisation", default="", help="name on the title block")
    projection_arguments.beyond(parser)
    reading(parser)
