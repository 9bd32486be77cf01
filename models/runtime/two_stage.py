"""The fit of Narayanan et al. 2023, as it is: two stages of ordinary least squares, each result rounded.

1. For each prompt size, the time over the output tokens is a line: its value at one token is the time of the prompt,
   but never less than that of the smallest prompt.
2. What is left over, of all sizes together, over the further tokens is a line: its slope is the time of an output
   token.

For an API (`denoised`) the least of the trials of each cell counts, and what the smallest prompt takes longer than one
output token is the overhead, which every prompt is then freed of.
"""

from __future__ import annotations

import numpy as np

from joulebook.models.runtime.closed_form import Floats
from joulebook.models.runtime.design import unidentified
from joulebook.models.runtime.fit import Unidentified
from joulebook.models.runtime.profile import Coefficients, Ends, Measured, Profile
from joulebook.models.runtime.samples import Samples, cells

DIGITS = 3  # of a second


def two_stage(samples: Samples, model: str, kind: str = "idealized") -> Profile:
    """A profile by the paper's recipe. Raises Unidentified where the requests cannot tell a slope."""
    why = unidentified(samples.prompt_tokens, samples.output_tokens)
    if why:
        raise Unidentified(why)
    cell = cells(samples)
    is_api = kind == "denoised"
    times_s = cell.each(samples.runtime_s, np.minimum) if is_api else cell.mean(samples.runtime_s)
    sizes = np.unique(cell.prompt_tokens)
    prompt_s = np.array(
        [_at_one_token(cell.output_tokens[at], times_s[at]) for at in cell.prompt_tokens == sizes[:, None]]
    )
    prompt_s = np.maximum(prompt_s, prompt_s[0])
    left_s = times_s - prompt_s[np.searchsorted(sizes, cell.prompt_tokens)]
    per_output_token_s = _line(cell.output_tokens - 1, left_s)[1]
    overhead_s = round(prompt_s[0] - per_output_token_s, DIGITS) if is_api else 0.0
    return Profile(
        model, kind,
        Coefficients(
            tuple(map(float, sizes)), tuple(_exact(round(each - overhead_s, DIGITS)) for each in prompt_s),
            _exact(per_output_token_s), overhead_s=_exact(overhead_s),
        ),
        Measured(len(times_s), len(samples), int(cell.output_tokens.max())),
    )  # fmt: skip


def _at_one_token(output_tokens: Floats, times_s: Floats) -> float:
    at_zero, slope = _line(output_tokens, times_s)
    return round(at_zero + slope, DIGITS)


def _line(x: Floats, y: Floats) -> tuple[float, float]:
    """Where a line of least squares begins and how it rises, both rounded."""
    slope, start = np.polyfit(x, y, 1)
    return round(float(start), DIGITS), round(float(slope), DIGITS)


def _exact(value: float) -> Ends:
    return float(value), float(value), float(value)
