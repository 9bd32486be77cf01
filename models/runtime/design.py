"""What both fits are made of: a time as a sum of parts that only grow, and when requests cannot tell the parts apart.

    runtime = flat + a part for each piece between two knots of the prompt + per output token + per context token

Each part is 0 or more, so a longer prompt or answer never takes less. The pieces need not bend one way: real machines
have steps. The last piece goes on beyond the last knot.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from joulebook.models.runtime import closed_form
from joulebook.models.runtime.closed_form import Floats

LEAST_LENGTHS = 3  # different output lengths
LEAST_STRETCH = 2.0  # between short and long outputs, nine tenths of them apart
WORST_CONDITION = 1e6  # of the scaled columns: beyond it two of them say the same


def columns(prompt_tokens: Floats, output_tokens: Floats, knots: Floats, growth: bool = False) -> NDArray[np.float64]:
    """One row a request: flat, a ramp for each piece, further tokens, and with `growth` those times their context."""
    parts = [np.ones_like(prompt_tokens), *ramps(prompt_tokens, knots)]
    further = closed_form.further_tokens(output_tokens)
    parts.append(further)
    if growth:
        parts.append(further * closed_form.context_tokens(prompt_tokens, output_tokens))  # type: ignore[type-var]
    return np.stack(parts, axis=1)


def ramps(prompt_tokens: Floats, knots: Floats) -> list[Floats]:
    """For each piece how much of it lies before a prompt: 0 to 1, more than 1 beyond the last knot."""
    pieces = list(pairwise(knots))
    share = [np.maximum((prompt_tokens - begin) / (end - begin), 0.0) for begin, end in pieces]
    return [*(np.minimum(each, 1.0) for each in share[:-1]), *share[-1:]]


def prompt_times_s(parts: Floats, knots: Floats) -> Floats:
    """The time of a prompt at each knot, from the parts of a fit."""
    return np.cumsum(parts[: len(knots)])


def unidentified(prompt_tokens: Floats, output_tokens: Floats) -> str | None:
    """Why whole requests of these sizes cannot tell what a token takes, or None when they can."""
    return one_length(output_tokens) or one_prompt(prompt_tokens) or together(prompt_tokens, output_tokens)


def one_length(output_tokens: Floats) -> str | None:
    """Why the answers cannot tell what one of their tokens takes: they are nearly all as long."""
    short, long = np.quantile(output_tokens, [0.1, 0.9], method="nearest")
    if len(np.unique(output_tokens)) >= LEAST_LENGTHS and long >= LEAST_STRETCH * max(short, 1.0):
        return None
    lengths = f"{short:g} tokens" if short == long else f"{short:g} to {long:g} tokens"
    return (
        f"most answers have {lengths}, so that they cannot tell what one token takes: measure {LEAST_LENGTHS} lengths "
        "or more, the longest at least twice the shortest"
    )


def one_prompt(prompt_tokens: Floats) -> str | None:
    """Why the prompts cannot tell what a longer one takes: they are all as long."""
    if len(np.unique(prompt_tokens)) > 1:
        return None
    return (
        f"all prompts have {prompt_tokens[0]:g} tokens, so that they cannot tell what a longer one takes: measure "
        "several sizes"
    )


def together(prompt_tokens: Floats, output_tokens: Floats) -> str | None:
    """Why the two cannot be told apart: long prompts have long answers, always."""
    matrix = columns(prompt_tokens, output_tokens, np.array([prompt_tokens.min(), prompt_tokens.max()]))
    if np.linalg.cond(matrix / np.linalg.norm(matrix, axis=0)) <= WORST_CONDITION:
        return None
    return "prompts and answers grow together, so that nobody can tell which of the two takes the time"


def spread_out(values: Floats, most: int) -> Floats:
    """At most so many of the different values, from the first to the last, evenly by their rank."""
    different = np.unique(values)
    if len(different) <= most:
        return different
    at = np.unique(np.linspace(0, len(different) - 1, most).round().astype(int))
    return different[at]


def ends(draws: Any, mid: Any, axis: int = 0) -> tuple[Any, Any]:
    """The 5 % and 95 % quantiles of what a bootstrap drew, which hold the estimate itself."""
    low, high = np.quantile(draws, [0.05, 0.95], axis=axis)
    return np.minimum(low, mid), np.maximum(high, mid)
