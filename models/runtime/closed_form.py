"""The runtime of a request by its closed form, and what follows from it: one function a quantity.

    runtime = prompt + per output token × (output − 1) [+ per context token × (output − 1) × (prompt + output ÷ 2)]
              [+ overhead]

The time of the prompt gives the first output token with it, so only the further ones are paid for. The context term is
the growth of the KV cache, which the paper (Narayanan et al. 2023, arXiv:2305.02440) leaves out. The overhead is what
an API adds to every request.

The time of a prompt stands in a table of profiled sizes. Between two of them it is a straight line; before the first it
is flat, for a short prompt waits for the same kernels; beyond the last it goes on as the last piece did. The rule of
HELM, which takes a prompt's share of the next profiled size, is here beside it, saw-tooth and all.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from joulebook.accounting.energy import Carrier

Floats = NDArray[np.float64]
SECONDS_PER_HOUR = 3600.0


def runtime_s(
    prompt_s: Carrier, further_tokens: Carrier, *, per_output_token_s: Carrier, overhead_s: Carrier
) -> Carrier:
    """Unit: s = prompt + further output tokens × s each + overhead."""
    return prompt_s + further_tokens * per_output_token_s + overhead_s


def growth_s(further_tokens: Carrier, context_tokens: Carrier, *, per_context_token_s: Carrier) -> Carrier:
    """What the growing KV cache adds. Unit: s = further output tokens × tokens of their mean context × s each."""
    return further_tokens * context_tokens * per_context_token_s


def gpu_seconds(runtime_s: Carrier, *, gpus: Carrier, batch: Carrier) -> Carrier:
    """One request's part of the GPUs that were busy. Unit: s = runtime × GPUs ÷ requests served at once."""
    return runtime_s * gpus / batch


def device_energy_j(gpu_seconds: Carrier, *, power_w: Carrier) -> Carrier:
    """Idealized energy of the GPUs alone. Unit: J = GPU seconds × W of one GPU."""
    return gpu_seconds * power_w


def cost_usd(gpu_seconds: Carrier, *, usd_per_gpu_hour: Carrier) -> Carrier:
    """Idealized cost. Unit: USD = GPU seconds ÷ 3600 × USD per GPU-hour."""
    return gpu_seconds / SECONDS_PER_HOUR * usd_per_gpu_hour


def further_tokens(output_tokens: Any) -> Any:
    """The output tokens after the first, on numbers and arrays: none of one or of none."""
    return np.maximum(np.subtract(output_tokens, 1.0), 0.0)


def context_tokens(prompt_tokens: Carrier, output_tokens: Carrier) -> Carrier:
    """How much a further token looks back on, on average: the prompt and half of the answer."""
    return prompt_tokens + output_tokens / 2


def prompt_s(prompt_tokens: Any, sizes: Floats, times_s: Floats) -> Floats:
    """The time of prompts, continuous and piecewise linear between the profiled sizes. Unit: s."""
    return cast("Floats", np.interp(prompt_tokens, sizes, times_s)) + beyond(prompt_tokens, sizes) * last_slope(
        sizes, times_s
    )


def beyond(prompt_tokens: Any, sizes: Floats) -> Floats:
    """How many tokens of a prompt lie beyond the largest profiled size."""
    return np.maximum(np.subtract(prompt_tokens, sizes[-1]), 0.0)


def last_slope(sizes: Floats, times_s: Floats) -> float:
    """Seconds a token in the last profiled piece; none where only one size was profiled."""
    return float((times_s[-1] - times_s[-2]) / (sizes[-1] - sizes[-2])) if len(sizes) > 1 else 0.0


def helm_prompt_s(prompt_tokens: Any, sizes: Floats, times_s: Floats) -> Floats:
    """HELM's rule: the share that a prompt has of the next profiled size, or of the last one. Unit: s."""
    after = cast("Floats", np.searchsorted(sizes, prompt_tokens, side="left"))
    at = np.minimum(after, len(sizes) - 1)
    return times_s[at] * np.asarray(prompt_tokens) / sizes[at]


def isotonic(times_s: Floats) -> Floats:
    """The nearest table that never falls: sizes that fall are set to the mean of those around them."""
    if np.all(np.diff(times_s) >= 0):
        return times_s
    from scipy.optimize import isotonic_regression

    return cast("Floats", isotonic_regression(times_s).x)
