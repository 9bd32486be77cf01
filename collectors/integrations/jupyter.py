"""Jupyter and IPython: a run for a cell or for a statement.

    %load_ext joulebook

    %%joulebook warm start --project search
    model.fit(x, y)                                the cell runs as it would without the first line

    %joulebook --project search model.fit(x, y)    its value is the value of the statement

At the end one line says how long it took and, where the `ledger` extra is installed, what it used. An exception is
shown as ever, and the run has failed. No magic can run a cell that awaits at its top: a `with track(...)` block can.
"""

from __future__ import annotations

import ast
import re
import sys
import time
from types import CodeType
from typing import Any

from joulebook.accounting.errors import JoulebookError, MissingExtra
from joulebook.accounting.home import home_dir
from joulebook.collectors.sampler import attempt, recorder
from joulebook.collectors.track import Span, track

try:
    from IPython import get_ipython
    from IPython.core import error as ipython_error
    from IPython.core import magic, magic_arguments
except ModuleNotFoundError as error:
    if error.name != "IPython":
        raise
    raise MissingExtra("the Jupyter magic", "jupyter") from error

LONGEST_NAME = 60
_PROJECT = re.compile(r"\s*--project[=\s]\s*(\"[^\"]*\"|\S+)(?:\s+|$)")


def load_ipython_extension(shell: Any) -> None:
    shell.register_magic_function(run_line, "line", "joulebook")
    shell.register_magic_function(run_cell, "cell", "joulebook")


@magic.no_var_expand
@magic.output_can_be_silenced
@magic_arguments.magic_arguments("joulebook")
@magic_arguments.argument("name", nargs="*", help="the name of the run, else `cell`")
@magic_arguments.argument("--project", help="whom it is for")
def run_cell(line: str, cell: str) -> Any:
    """Runs the cell and says what it used."""
    __tracebackhide__ = True
    given = magic_arguments.parse_argstring(run_cell, line)
    return _recorded(_plain(" ".join(given.name)) or "cell", given.project, cell, 1)


@magic.no_var_expand
@magic.output_can_be_silenced
def run_line(line: str) -> Any:
    """Runs a statement and says what it used: `%joulebook [--project P] statement`."""
    __tracebackhide__ = True
    option = _PROJECT.match(line)
    statement = line[option.end() if option else 0 :].strip()
    if not statement:
        raise ipython_error.UsageError("nothing to run: write %joulebook STATEMENT, or %%joulebook [NAME] above a cell")
    return _recorded(statement[:LONGEST_NAME], option[1] if option else None, statement, 0)


def _plain(text: str) -> str:
    return text.strip().strip("\"'")


def _recorded(name: str, project: str | None, source: str, lines_above: int) -> Any:
    __tracebackhide__ = True
    shell = get_ipython()
    statements, expression = _compiled(shell, source, lines_above)
    span: Span | None = None
    began_s = time.perf_counter()
    try:
        with track(name, project=_plain(project or "") or None) as span:
            exec(statements, shell.user_ns)  # noqa: S102 - the user's own cell
            return None if expression is None else eval(expression, shell.user_ns)  # noqa: S307
    finally:
        took_s = time.perf_counter() - began_s
        if span is not None:
            sys.stdout.write(f"joulebook: {name} took {took_s:.3g} s, {_told(span)}\n")


def _compiled(shell: Any, source: str, lines_above: int) -> tuple[CodeType, CodeType | None]:
    """What comes before the last expression, and that expression, if the source ends with one."""
    __tracebackhide__ = True
    transformed = "\n" * lines_above + shell.transform_cell(source)  # its lines keep their numbers
    number = len(shell.history_manager.input_hist_parsed) - 1  # of this cell: `execution_count` may be that of the next
    file = shell.compile.cache(transformed, number, raw_code=source)
    body = shell.transform_ast(shell.compile.ast_parse(transformed, filename=file)).body
    last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
    statements = shell.compile(ast.Module(body, []), file, "exec")
    return statements, None if last is None else shell.compile(ast.Expression(last.value), file, "eval")


def _told(span: Span) -> str:
    """`12.3 J (8.21–20.5 J, modelled), run 5b2c1d0e`"""
    if span.run_id is None:
        return "not recorded"
    used = attempt("energy", span.run_id, _used, span)
    run = span.run_id[-8:]  # enough for `joulebook show`
    return f"recorded as run {run}" if used is None else f"{used}, run {run}"


def _used(span: Span) -> str | None:
    """In words; None without the packages of the ledger."""
    try:
        from joulebook.collectors.integrations.energy import in_words, span_energies
    except MissingExtra:
        return None
    try:
        found = span_energies(home_dir(recorder().settings.home), [str(span.span_id)])
    except JoulebookError as error:
        return f"energy unknown: {error}"
    return in_words(found[str(span.span_id)].energy) if found else None
