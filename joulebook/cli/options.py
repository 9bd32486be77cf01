"""What several commands share: their options, and how those are read."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

from joulebook.accounting.errors import InputError
from joulebook.accounting.when import parse_when

Add = Callable[[str, str, str], argparse.ArgumentParser]
MOST_DIGITS = 15  # of a count: whole numbers that a float holds


def when(text: str) -> object:
    try:
        return parse_when(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number of seconds")
    return value


def above_0(text: str) -> float:
    """A price, a power: finite and above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def whole(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > MOST_DIGITS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 0 or more")
    return int(text)


def count(text: str) -> int:
    if not text.strip("0"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return whole(text)


def share(text: str) -> float:
    """`0.05` or `5%`."""
    number, percent = text.removesuffix("%"), text.endswith("%")
    try:
        value = float(number) / (100 if percent else 1)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share: write 0.05 or 5%")
    return value


def pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise argparse.ArgumentTypeError(f"{text!r} is not key=value")
    return key, value


def period(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--since", type=when, metavar="TIME", help="from then on: 2026-11-01, 30d, 12h, today (UTC)")
    parser.add_argument("--until", type=when, metavar="TIME", help="before then")
    parser.add_argument("--project", help="this project only")


def reading(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--no-ingest", action="store_true", help="do not look for new journals first")
