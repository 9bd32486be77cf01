"""What can be typed of projections."""

from __future__ import annotations

import argparse

from joulebook.cli.options import Add, reading

WHERE = (
    "a file (CSV, TOML), `own` (the home's portfolio.csv), `ledger` (its last year) or `paper` (the study's 100 use "
    "cases); default: the first of these that there is"
)

SECTIONS = ("idealized", "frontier", "portfolio", "projection")


def project(add: Add) -> None:
    parser = add(
        "project",
        "carry a portfolio along a scenario, year by year, with its range",
        "joulebook project --scenario intermediate --portfolio portfolio.csv --until 2035",
    )
    parser.add_argument(
        "--scenario", default="intermediate", metavar="S",
        help="steady, high, limited, breakthrough, intermediate, iea, or a file of your own (default: intermediate)",
    )  # fmt: skip
    parser.add_argument("--portfolio", metavar="FILE", help=WHERE)
    _shared(parser)
    parser.add_argument("--until", type=int, metavar="YEAR", help="the last year, up to 2035 (default: 2030)")
    parser.add_argument(
        "--draws", type=int, metavar="N", help="draws for the range, raised to a power of two (default: 4096)"
    )
    parser.add_argument("--seed", type=int, metavar="S", help="of the draws; the same seed gives the same (default: 0)")


def portfolio(add: Add) -> None:
    parser = add(
        "portfolio",
        "show who asks how often for what, and what it takes; `portfolio template` prints a questionnaire to fill in",
        "joulebook portfolio portfolio.csv",
    )
    parser.add_argument("portfolio", nargs="?", metavar="FILE", help=WHERE)
    _shared(parser)


def _shared(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--base-year", type=int, metavar="YEAR", help="the year of a file (default: this year)")
    parser.add_argument(
        "--engine", metavar="E",
        help="evidence (default), measured, ecologits, ecocost, epoch, disclosed, roofline, paper2501",
    )  # fmt: skip
    parser.add_argument(
        "--inputs", choices=("calibrated", "printed"),
        help="of the study: those with which its tables come out, or those it prints (default: calibrated)",
    )  # fmt: skip
    reading(parser)


def beyond(parser: argparse.ArgumentParser) -> None:
    """What of a report goes beyond its inventory."""
    parser.add_argument(
        "--with", dest="sections", type=_sections, metavar="SECTIONS",
        help="sections beyond the inventory: idealized, frontier, portfolio, projection, with commas between them, or "
        "none (default: those of which the home has something of its own, e.g. a portfolio.csv)",
    )  # fmt: skip
    parser.add_argument("--scenario", metavar="S", help="of the projection: a preset, or a file of your own")
    parser.add_argument("--engine", metavar="E", help="of the projection, as in `joulebook project`")
    parser.add_argument("--portfolio", metavar="FILE", help="of the projection, as in `joulebook project`")
    parser.add_argument("--horizon", type=int, metavar="YEAR", help="the last year of the projection (default: 2030)")


def _sections(text: str) -> tuple[str, ...]:
    names = () if text == "none" else tuple(name.strip() for name in text.split(","))
    unknown = [name for name in names if name not in SECTIONS]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(SECTIONS)}, none")
    return names


ALL = (project, portfolio)
