"""Other tools' records and providers' exports, as events of the journal: one function each.

    a file ─> rows, one at a time ─> entries, or what is wrong with a row ─> a journal ─> the ledger, as ever

rows      a file as rows: CSV, JSON, JSON lines, Parquet;  values: what stands in the cells of a row
entries   what an importer yields;  tokens: other words for the units of usage
openai, anthropic, aws_cur, focus          what a provider says that some calls were: `bill`
litellm, langfuse, helicone                what a gateway or a tracer noted of each request: `call`
claude_code, codex                         transcripts of coding agents: a `call` for each answer
codecarbon                                 runs with their energy

An importer is a function `(path) -> iterator of Entry, BadRow and None` (a row that says nothing), one line in the
entry-point group `joulebook.importers`. It raises InputError, before the first of them, for a file that is none of its
format. It yields no text of a prompt or an answer, no key and no address of a person: `values.label` lets none through.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path

from joulebook.accounting.errors import InputError
from joulebook.collectors.importers.entries import Entry
from joulebook.collectors.importers.rows import BadRow

Importer = Callable[[Path], Iterator[Entry | BadRow | None]]


def importer(name: str) -> Importer:
    """The importer of a format. Raises InputError for one that nobody brings."""
    known = {point.name: point for point in entry_points(group="joulebook.importers")}
    if name not in known:
        raise InputError(f"{name}: no such format; known are {', '.join(sorted(known))}")
    return known[name].load()
