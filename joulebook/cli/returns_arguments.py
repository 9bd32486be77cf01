"""What can be typed of returns: claims, and the Return on Environment."""

from __future__ import annotations

from joulebook.cli.options import Add, period, reading

ACTIONS = ("template", "add", "list", "check", "show")


def roe(add: Add) -> None:
    parser = add(
        "roe",
        "Return on Environment: what use cases caused, what they avoided by evidence, and the one over the other",
        "joulebook roe --since 2026-01-01 --json",
    )
    period(parser)
    parser.add_argument("--draws", type=int, metavar="N", help="draws, a power of two (default: 4096)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="seed of the draws (default: 0)")
    parser.add_argument("--definition", action="store_true", help="print the definition, to be cited, and no numbers")
    reading(parser)


def claim(add: Add) -> None:
    parser = add(
        "claim",
        "what a use of AI avoids elsewhere, with its evidence: template, add FILE, list, check [ID], show ID; check "
        "exits with 1 where a claim is not supported",
        "joulebook claim add claim.toml",
    )
    parser.add_argument("action", choices=ACTIONS, help="what to do")
    parser.add_argument("what", nargs="?", metavar="FILE|ID", help="the file to add, or the claim to check or show")
    reading(parser)


ALL = (roe, claim)
