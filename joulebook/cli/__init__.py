"""The command line.

    arguments   what can be typed: the parser, and what every command shares
    options     what several commands share;  api_arguments   what can be typed of calls of model APIs
    commands    one function a command: arguments in, exit code out
    prices, footprint, calls, imports, exports, receive, serve    the same for what has to do with calls of model APIs
    runtime     one request alone, fits, profiles, recorded calls beside the yardstick, the frontier
    roofline    a model on hardware that nobody measured it on, and what holds it up
    calibrate   probes of a model, and the profile that they give
    check       budgets and regressions, for people and pipelines
    returns     Return on Environment, and claims
    insight     one measure cut in any way; two of a kind with the range of their difference
    restate     what was used under the factors of now or of then, and what changes between them
    doctor      what this machine can measure, and what is missing; `findings` draws it
    tracing     doctor --record: a trace of what the sensors show
    demo        the walk, end to end, on this machine

Exit codes: 0 done · 1 something failed or an invariant is broken · 2 wrong input · 3 not found ·
4 the ledger is busy, try again. `joulebook run` exits as its command did.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from keyword import iskeyword

from joulebook.accounting.errors import InputError, JoulebookError, LedgerBusy, NotFound
from joulebook.cli.arguments import parse

EXIT_CODES: tuple[tuple[type[JoulebookError], int], ...] = (
    (NotFound, 3),
    (LedgerBusy, 4),
    (InputError, 2),
    (JoulebookError, 1),
)


# Where the function of a command stands, if not in `commands`.
ROOMS = {
    "check": "check",
    "explore": "insight", "compare": "insight",
    "assess": "restate", "restate": "restate",
    "factors": "impacts", "impact": "impacts", "sci": "impacts", "embodied": "impacts", "scopes": "impacts",
    "price": "prices", "reprice": "prices", "calls": "calls", "import": "imports", "export": "exports",
    "calibrate": "calibrate", "footprint": "footprint", "reconcile": "exports", "receive": "receive",
    "serve-meter": "serve",
    "roe": "returns", "claim": "returns",
    "project": "projection", "portfolio": "projection",
    "idealized": "runtime", "fit": "runtime", "denoise": "runtime", "profiles": "runtime", "normalised": "runtime",
    "frontier": "runtime", "roofline": "roofline",
}  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    args = parse(list(sys.argv[1:] if argv is None else argv))
    try:
        code = _function(args.command)(args)
        sys.stdout.flush()
        return code
    except JoulebookError as error:
        print(f"joulebook: {error}", file=sys.stderr)
        return next(code for kind, code in EXIT_CODES if isinstance(error, kind))
    except BrokenPipeError:  # `joulebook runs | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # a full disk, a folder that is none or may not be written
        print(f"joulebook: {error.filename or 'the operating system'}: {error.strerror or error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _function(command: str) -> Callable[[argparse.Namespace], int]:
    """What does a command: `import_` for `import`, which is a word of the language."""
    room = import_module(f"joulebook.cli.{ROOMS.get(command, 'commands')}")
    name = command.replace("-", "_")
    return getattr(room, f"{name}_" if iskeyword(name) else name)
