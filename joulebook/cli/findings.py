"""Findings as doctor shows them: a table in a terminal, plain lines in a pipe or where rich is not installed.

    state  what  detail
                 tier and interval · file or call · mode
      → what to do; said once for neighbours that need the same

A line of a fix that stands between two others is to be copied: it is printed as it is, from the left edge.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

from joulebook.collectors.sensors import Finding

if TYPE_CHECKING:
    from rich.table import Table

WIDEST_WHAT = 24
NARROW = 60  # columns: there the detail stands below
STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def show(findings: Sequence[Finding], says: str) -> None:
    """All of them, and the closing words."""
    told = [_printable(finding) for finding in _fixes_once(findings)]
    if sys.stdout.isatty() and find_spec("rich"):
        _draw(told, says)
        return
    for finding in told:
        facts = f"\n      {_facts(finding)}" if _facts(finding) else ""
        fix = "\n      → " + finding.fix.replace("\n", "\n        ") if finding.fix else ""
        print(f"{finding.state:4}  {finding.what}: {finding.detail}{facts}{fix}")
    print(f"\n{says}")


def _fixes_once(findings: Sequence[Finding]) -> Iterator[Finding]:
    for finding, following in zip(findings, [*findings[1:], None], strict=True):
        is_same = following is not None and following.fix == finding.fix
        yield finding._replace(fix="") if is_same else finding


def _printable(finding: Finding) -> Finding:
    """Names of devices and values of the environment are data: no control character of theirs reaches the screen."""
    return Finding(*map(_visible, finding))


def _visible(text: str) -> str:
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def _facts(finding: Finding) -> str:
    """What is not in the detail already."""
    source = "" if finding.source in finding.detail else finding.source
    mode = f"mode {finding.mode}" if finding.mode and f"mode {finding.mode}" not in finding.detail else ""
    worth = " ".join(filter(None, (finding.tier, finding.interval)))
    return " · ".join(filter(None, (worth, source, mode)))


def _draw(findings: Sequence[Finding], says: str) -> None:
    from rich.text import Text

    from joulebook.reports.terminal import console

    out = console()
    width = min(WIDEST_WHAT, max(len(finding.what) for finding in findings))
    for finding in findings:
        out.print(_row(finding, None if out.width < NARROW else width))
        for number, line in enumerate(finding.fix.split("\n") if finding.fix else ()):
            if number % 2:
                out.print(Text(line), soft_wrap=True)
            else:
                out.print(_fix("→" if number == 0 else " ", line))
    out.print()
    out.print(Text(says, "bold"))


def _row(finding: Finding, what_width: int | None) -> Table:
    from rich.table import Table
    from rich.text import Text

    what, detail = Text(finding.what, "bold"), Text(finding.detail, overflow="fold")
    if _facts(finding):
        detail.append(f"\n{_facts(finding)}", "dim")
    row = Table.grid(padding=(0, 1), expand=True)
    row.add_column(width=4)
    if what_width is None:
        row.add_column(ratio=1, overflow="fold")
        row.add_row(Text(finding.state, STYLES[finding.state]), Text("\n").join((what, detail)))
    else:
        row.add_column(width=what_width, overflow="fold")
        row.add_column(ratio=1, overflow="fold")
        row.add_row(Text(finding.state, STYLES[finding.state]), what, detail)
    return row


def _fix(mark: str, line: str) -> Table:
    from rich.table import Table
    from rich.text import Text

    text = Text(line, overflow="fold")
    text.highlight_regex(r"`[^`]+`", "bold")
    row = Table.grid(padding=(0, 1), expand=True)
    row.add_column(width=4, justify="right")
    row.add_column(ratio=1, overflow="fold")
    row.add_row(mark, text)
    return row
