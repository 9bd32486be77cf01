"""The times of requests by the profile of a model, one or a million at once, and between what they lie.

    profile × prompt and output tokens ─> times_s ─> ranges_s, runtime_s and slope_s as estimates; outside: extrapolated

What bounds a time. A fitted profile has a spread: the interval holds nine of ten cells measured alike. A published one
is rounded to a millisecond and lies, between two sizes, between their times; beyond the last size a token may take half
or twice of what it did before. The rule of HELM is a definition: it has no range.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import numpy as np

from joulebook.accounting.estimates import Estimate, between, exactly
from joulebook.models.runtime import closed_form
from joulebook.models.runtime.closed_form import Floats
from joulebook.models.runtime.profile import Profile

SIGMAS = 1.645  # of a 90 % interval


class Times(NamedTuple):
    """Seconds of requests, one or many at once."""

    runtime_s: Any
    prompt_s: Any
    per_output_token_s: Any


def times_s(profile: Profile, prompt_tokens: Any, output_tokens: Any, mode: str = "default") -> Times:
    """How long requests take by a profile: numbers, or arrays for a million of them."""
    told = profile.coefficients
    if mode == "helm":
        prompt_s = closed_form.helm_prompt_s(prompt_tokens, told.sizes, told.table_s)
    else:
        prompt_s = closed_form.prompt_s(prompt_tokens, told.sizes, told.monotone_s)
    further = closed_form.further_tokens(output_tokens)
    each_s: Any = told.per_output_token_s[1]
    if told.per_context_token_s[1]:
        context = closed_form.context_tokens(prompt_tokens, output_tokens)
        each_s = each_s + closed_form.growth_s(1.0, context, per_context_token_s=told.per_context_token_s[1])
    runtime = closed_form.runtime_s(prompt_s, further, per_output_token_s=each_s, overhead_s=told.overhead_s[1])  # type: ignore[type-var]
    return Times(runtime, prompt_s, each_s)


def ranges_s(profile: Profile, prompt_tokens: Any, output_tokens: Any) -> tuple[Floats, Floats]:
    """Between what the runtime of requests lies, in the default mode."""
    if profile.spread is None:
        return _published_range_s(profile, prompt_tokens, output_tokens)
    mid = times_s(profile, prompt_tokens, output_tokens).runtime_s
    off = SIGMAS * standard_error_s(profile, prompt_tokens, output_tokens, mid)
    return np.maximum(mid - off, 0.0), mid + off


def standard_error_s(profile: Profile, prompt_tokens: Any, output_tokens: Any, runtime_s: Any) -> Any:
    """One standard deviation of a cell that is measured anew: of the coefficients, and of a cell around them."""
    if profile.spread is None:
        raise ValueError("a published profile has no spread")
    further = closed_form.further_tokens(output_tokens)
    context = closed_form.context_tokens(prompt_tokens, output_tokens)
    sizes = profile.coefficients.sizes
    weights = [closed_form.prompt_s(prompt_tokens, sizes, unit) for unit in np.eye(len(sizes))]
    slopes = np.stack(np.broadcast_arrays(*weights, further, further * context), axis=-1)
    variance = np.einsum("...i,ij,...j->...", slopes, np.array(profile.spread.covariance), slopes)
    return np.sqrt(np.maximum(variance, 0.0) + (profile.spread.relative_error * runtime_s) ** 2)


def _published_range_s(profile: Profile, prompt_tokens: Any, output_tokens: Any) -> tuple[Floats, Floats]:
    """Of a rounded table: between the times of the two sizes around a prompt, and so on."""
    told = profile.coefficients
    low = np.minimum(told.monotone_s, [ends[0] for ends in told.prompt_s])
    high = np.maximum(told.monotone_s, [ends[2] for ends in told.prompt_s])
    left = cast("Floats", np.searchsorted(told.sizes, prompt_tokens, side="right"))
    right = cast("Floats", np.searchsorted(told.sizes, prompt_tokens, side="left"))
    left, right = np.maximum(left - 1, 0), np.minimum(right, len(told.sizes) - 1)
    more_s = closed_form.beyond(prompt_tokens, told.sizes) * closed_form.last_slope(told.sizes, told.monotone_s)
    further = closed_form.further_tokens(output_tokens)
    context = closed_form.context_tokens(prompt_tokens, output_tokens)
    ends: list[Floats] = []
    for end, prompt_s in ((0, low[left] + more_s / 2), (2, high[right] + more_s * 2)):
        each_s = told.per_output_token_s[end] + context * told.per_context_token_s[end]
        ends.append(prompt_s + further * each_s + told.overhead_s[end])
    return ends[0], ends[1]


def runtime_estimate(profile: Profile, prompt_tokens: float, output_tokens: float, mode: str = "default") -> Estimate:
    """The runtime of one request by a profile, with its range."""
    mid = float(times_s(profile, prompt_tokens, output_tokens, mode).runtime_s)
    if mode == "helm":
        return exactly(mid, "s", "modelled")
    low, high = ranges_s(profile, prompt_tokens, output_tokens)
    return between((min(float(low), mid), mid, max(float(high), mid)), "s", "modelled")


def slope_estimate(profile: Profile, prompt_tokens: float, output_tokens: float, mode: str = "default") -> Estimate:
    """The time of each further token of one request, with the ranges of its coefficients."""
    mid = float(times_s(profile, prompt_tokens, output_tokens, mode).per_output_token_s)
    if mode == "helm":
        return exactly(mid, "s", "modelled")
    told, context = profile.coefficients, closed_form.context_tokens(prompt_tokens, output_tokens)
    ends = zip(told.per_output_token_s, told.per_context_token_s, strict=True)
    low, _, high = (own_s + closed_form.growth_s(1.0, context, per_context_token_s=each_s) for own_s, each_s in ends)
    return between((min(low, mid), mid, max(high, mid)), "s", "modelled")


def outside(profile: Profile, prompt_tokens: Any, output_tokens: Any) -> dict[str, Any]:
    """Which sizes of requests lie outside of what was measured."""
    sizes = profile.coefficients.sizes
    return {
        "prompt_tokens": (prompt_tokens < sizes[0]) | (prompt_tokens > sizes[-1]),
        "output_tokens": output_tokens > profile.measured.longest_output_tokens,
    }
