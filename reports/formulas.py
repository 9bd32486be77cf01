"""The formulas of this joulebook, read from the files that compute with them.

    a function whose docstring says `Unit:` ─> Formula: what it is, its unit in symbols, the expression that it returns

Nothing is written twice: what is printed here is what runs. The files are parsed, not imported.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import NamedTuple

ROOMS = {"joulebook.accounting": "accounting", "joulebook.models": "models"}


class Formula(NamedTuple):
    """One formula: the room and file that it stands in, its name, what it is, its unit, and what it returns."""

    place: str
    name: str
    what: str
    unit: str
    returns: str


@cache
def formulas() -> tuple[Formula, ...]:
    """All formulas, those of the accounting first, each file's in their order."""
    return tuple(
        formula
        for package, folder in ROOMS.items()
        for path, text in _files(resources.files(package), folder)
        for formula in _formulas(path, text)
    )


def _files(folder: Traversable, path: str) -> Iterator[tuple[str, str]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: (entry.is_dir(), entry.name)):
        if entry.name.endswith(".py"):
            yield f"{path}/{entry.name}", entry.read_text(encoding="utf-8")
        elif entry.is_dir() and not entry.name.startswith(("_", ".")):
            yield from _files(entry, f"{path}/{entry.name}")


def _formulas(path: str, text: str) -> Iterator[Formula]:
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            what, said, unit = (ast.get_docstring(node) or "").partition("Unit:")
            if said:
                yield Formula(path, node.name, _line(what), _line(unit).removesuffix("."), _returned(node))


def _line(text: str) -> str:
    """Text on one line, without the marks of code."""
    return " ".join(text.replace("`", "").replace("**", "").split())


def _returned(node: ast.FunctionDef) -> str:
    """The expression that a function of one statement returns; one of several steps is read in its file."""
    body = [step for step in node.body if not (isinstance(step, ast.Expr) and isinstance(step.value, ast.Constant))]
    if len(body) == 1 and isinstance(body[0], ast.Return) and body[0].value is not None:
        return ast.unparse(body[0].value)
    return "in several steps"
