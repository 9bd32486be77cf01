"""What an API would take without its contention: the lower envelope of what it took.

    requests ─> do they stream?  yes ─> to the first token, and between tokens, each by its own envelope
                                 no, or as well ─> can they tell? ─> few trials of a cell: quantile regression
                                                                    many: the least of each cell, then a fit of those
             ─> cells drawn anew ─> intervals ─> a profile, as far as the requests can tell one

Contention only adds, and it adds in proportion; so the requests that waited least lie along a lower edge. Quantile
regression (Koenker and Bassett 1978) finds it from all cells at once, where the least of three trials is still a tenth
too high. It is solved in its dual, which has one condition for each part and not for each request. Contention that
never ends (an API that is always busy) is not seen by either, and stays inside of the result.

What is constant in a request, network and all, is told apart as the paper does: what the smallest prompt takes longer
than an output token is the overhead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog

from joulebook.accounting.estimates import Estimate, between, unknown
from joulebook.models.runtime import design
from joulebook.models.runtime.closed_form import Floats
from joulebook.models.runtime.fit import Unidentified, least_squares, now, spread, to_ends, told_ends, told_slope
from joulebook.models.runtime.profile import Coefficients, Measured, Profile
from joulebook.models.runtime.samples import Cells, Samples, cells, pick
from joulebook.models.runtime.times import times_s

MANY_TRIALS = 30  # of a cell: from then on its least one is near enough to the edge
MOST_KNOTS = 6
LOWEST_QUANTILE, REQUESTS_BELOW = 0.01, 2.0  # the edge is the quantile with two requests below it, or 1 %
STREAM_QUANTILE = 0.1  # of the time between tokens, which is itself a mean over the tokens of a request
LEAST_STREAMS = 10
LEAST_REQUESTS = 10
MOST_REQUESTS = 1000  # of more, so many are drawn by lot: ten of them are the edge, and a page need not wait
DRAWS = 100
RAREST = 3.0  # how rare it is that a request waits for nobody: 1 common; more cannot be told from a slower API
Envelope = Callable[[Samples, Floats], Floats]


@dataclass(frozen=True)
class Denoised:
    """What requests to one model tell of its API without contention, and what they cannot.

    `how`: envelope, minimum or streams. `refused`: why the runtime as a whole cannot be told; then there is no
    `profile`, but the time between tokens may still be there, where the requests streamed.
    """

    model: str
    requests: int
    left_out: Mapping[str, int]
    how: str
    per_output_token_s: Estimate
    first_token_s: Estimate  # the edge of all of them, short prompts and long
    profile: Profile | None = None
    refused: str | None = None
    below: float | None = None  # the share of the requests that lie under the envelope


def denoise(samples: Samples, model: str, seed: int = 0) -> Denoised:
    """The denoised runtime of a model, or as much of it as the requests can tell."""
    random = np.random.default_rng(seed)
    streams = pick(samples, _streamed(samples))
    has_streams = len(streams) >= LEAST_STREAMS
    told = streams if has_streams else samples
    about = (model, len(told), samples.left_out)
    nothing = unknown("s", "too few of the requests streamed")
    first_s = _drawn_quantile(streams.first_token_s, edge(len(streams)), random) if has_streams else nothing
    try:
        how, profile = (_from_streams if has_streams else _from_ends)(told, model, random)
    except Unidentified as why:
        each_s = _drawn_quantile(between_tokens_s(streams), STREAM_QUANTILE, random) if has_streams else nothing
        return Denoised(*about, "streams" if has_streams else "none", each_s, first_s, refused=str(why))
    each_s = between(profile.coefficients.per_output_token_s, "s", "modelled")
    below = float(np.mean(told.runtime_s < _runtime_s(profile, told) * (1 - 1e-9)))
    return Denoised(*about, how, each_s, first_s, profile, below=below)


def _few(samples: Samples, random: np.random.Generator) -> Samples:
    """At most so many of the requests, drawn by lot."""
    if len(samples) <= MOST_REQUESTS:
        return samples
    return pick(samples, random.choice(len(samples), MOST_REQUESTS, replace=False))


def _runtime_s(profile: Profile, samples: Samples) -> Floats:
    return cast("Floats", times_s(profile, samples.prompt_tokens, samples.output_tokens).runtime_s)


# Of streams -------------------------------------------------------------------------------------------------------


def _streamed(samples: Samples) -> Any:
    """Which requests told when their first token came, and had more of them."""
    first_s = samples.first_token_s
    return (first_s > 0) & (first_s <= samples.runtime_s) & (samples.output_tokens > 1)


def between_tokens_s(streams: Samples) -> Floats:
    """The mean time between two tokens of each stream."""
    return (streams.runtime_s - streams.first_token_s) / (streams.output_tokens - 1)


def _drawn_quantile(values: Floats, quantile: float, random: np.random.Generator) -> Estimate:
    """A quantile of some values, with its interval from values drawn anew."""
    mid = np.quantile(values, quantile)
    drawn = random.choice(values, size=(DRAWS, len(values)))
    low, high = design.ends(np.quantile(drawn, quantile, axis=1), mid)
    return between((float(low), float(mid), float(high)), "s", "modelled")


def _from_streams(streams: Samples, model: str, random: np.random.Generator) -> tuple[str, Profile]:
    """A profile from the times of first tokens and between tokens: the answers may all be of one length."""
    why = design.one_prompt(streams.prompt_tokens)
    if why:
        raise Unidentified(f"{why}; end to end, {design.one_length(streams.output_tokens) or 'that is no better'}")
    return "streams", _profile(_few(streams, random), model, stream_envelope, random)


def stream_envelope(streams: Samples, knots: Floats) -> Floats:
    """The parts of the time to the first token, by its lower edge, and the time between tokens."""
    matrix = design.columns(streams.prompt_tokens, streams.output_tokens, knots)[:, :-1]
    first = quantile_regression(matrix, streams.first_token_s, edge(len(streams)))
    return np.append(first, np.quantile(between_tokens_s(streams), STREAM_QUANTILE))


# From the end of a request alone ----------------------------------------------------------------------------------


def _from_ends(samples: Samples, model: str, random: np.random.Generator) -> tuple[str, Profile]:
    """A profile from whole requests: by the least of each cell where there are many trials, else by the lower edge."""
    if len(samples) < LEAST_REQUESTS:
        raise Unidentified(f"{LEAST_REQUESTS} requests or more are needed, and there are {len(samples)}")
    why = design.unidentified(samples.prompt_tokens, samples.output_tokens)
    if why:
        raise Unidentified(why)
    if float(np.median(cells(samples).trials)) >= MANY_TRIALS:
        return "minimum", _profile(samples, model, least_of_cells, random)
    return "envelope", _profile(_few(samples, random), model, lower_envelope, random)


def _profile(samples: Samples, model: str, envelope: Envelope, random: np.random.Generator) -> Profile:
    """The profile of an envelope, with its spread over cells that were drawn anew."""
    cell, knots = cells(samples), design.spread_out(samples.prompt_tokens, MOST_KNOTS)
    parts = envelope(samples, knots)
    draws = np.array([envelope(one, knots) for one in _cells_drawn(samples, cell, random)])
    above = distance_of_least(samples) if envelope is least_of_cells else distance_of_edge(samples, parts, knots)
    return Profile(
        model, "denoised", _coefficients(parts, draws, knots),
        Measured(len(cell.trials), len(samples), int(samples.output_tokens.max())),
        spread=spread(draws, knots, above), created_at=now(),
    )  # fmt: skip


def lower_envelope(samples: Samples, knots: Floats) -> Floats:
    """The parts of the lower edge, by quantile regression of relative errors."""
    matrix = design.columns(samples.prompt_tokens, samples.output_tokens, knots)
    return quantile_regression(matrix, samples.runtime_s, edge(len(samples)))


def least_of_cells(samples: Samples, knots: Floats) -> Floats:
    """The parts of a fit to the least trial of each cell."""
    cell = cells(samples)
    least_s = cell.each(samples.runtime_s, np.minimum)
    return least_squares(design.columns(cell.prompt_tokens, cell.output_tokens, knots), least_s)


def distance_of_least(samples: Samples) -> float:
    """How far the least trials are above the edge, by how the second and third least lie above them.

    Where waits thin out towards none as wait^(k − 1), the least of many is k times as far from none as from the second.
    The step to the third is (1 + 1/k) ÷ 2 of that to the second. Waiting for nobody is common at k = 1, rare at 3.
    """
    cell = cells(samples)
    ordered = samples.runtime_s[np.lexsort((samples.runtime_s, cell.place))]
    starts = np.concatenate([[0], np.cumsum(cell.trials)[:-1]])[cell.trials > 2]
    first, second, third = (ordered[starts + n] / ordered[starts] for n in range(3))
    step, next_step = float(np.mean(second - first)), float(np.mean(third - second))
    return step / float(np.clip(2 * next_step / step - 1, 1 / RAREST, 1)) if step > 0 else 0.0


def distance_of_edge(samples: Samples, parts: Floats, knots: Floats) -> float:
    """How far the edge is above what it stands for, by how twice and four times as many requests lie above it.

    As many requests lie on the edge as it has parts, or below it. Where waits thin out as wait^(k − 1), the second
    step is 2^(1/k) times the first, and the edge is as far from none as the first step ÷ (2^(1/k) − 1).
    """
    matrix = design.columns(samples.prompt_tokens, samples.output_tokens, knots)
    share = min(max(edge(len(samples)), len(parts) / len(samples)), 0.25)
    near, middle, far = np.quantile(samples.runtime_s / (matrix @ parts), [share, 2 * share, 4 * share])
    step = float(middle - near)
    return step / float(np.clip((far - middle) / step - 1, 2 ** (1 / RAREST) - 1, 1)) if step > 0 else 0.0


def edge(requests: int) -> float:
    """Which quantile is the edge of so many requests."""
    return max(LOWEST_QUANTILE, REQUESTS_BELOW / requests)


def quantile_regression(matrix: NDArray[np.float64], values: Floats, quantile: float) -> Floats:
    """Parts of 0 or more under which a share of the relative errors lies.

    Primal: least quantile × above + (1 − quantile) × below, where parts × matrix + above − below = 1.
    Dual, solved here: greatest sum of weights in [quantile − 1, quantile], no part of which has a gain above 0.
    """
    relative = matrix / values[:, None]
    scale = np.linalg.norm(relative, axis=0)
    scale[scale == 0] = 1.0
    solved = linprog(
        -np.ones(len(values)), A_ub=(relative / scale).T, b_ub=np.zeros(matrix.shape[1]),
        bounds=(quantile - 1, quantile), method="highs",
    )  # fmt: skip
    return cast("Floats", -solved.ineqlin.marginals / scale)


def _cells_drawn(samples: Samples, cell: Cells, random: np.random.Generator) -> list[Samples]:
    """The requests of cells that were drawn anew. Where each request has sizes of its own, it is a cell."""
    members: list[Any] = np.split(np.argsort(cell.place, kind="stable"), np.cumsum(cell.trials)[:-1])
    count = len(members)
    drawn: Any = random.integers(0, count, size=(DRAWS, count))
    return [pick(samples, cast("Floats", np.concatenate([members[at] for at in row]))) for row in drawn]


def _coefficients(parts: Floats, draws: NDArray[np.float64], knots: Floats) -> Coefficients:
    """The parts as a table, the overhead apart."""
    place = len(knots)
    overhead_s = _overhead_s(parts, place)
    prompts = design.prompt_times_s(parts, knots)
    low, high = design.ends(np.cumsum(draws[:, :place], axis=1), prompts)
    table = (np.maximum(each - overhead_s, 0.0) for each in (low, prompts, high))
    slope = told_slope(parts[place], draws[:, place])
    overhead = told_ends(overhead_s, np.array([_overhead_s(row, place) for row in draws]))
    return Coefficients(tuple(map(float, knots)), to_ends(*table), slope, overhead_s=overhead)


def _overhead_s(parts: Floats, place: int) -> float:
    """What the smallest prompt takes longer than an output token."""
    return max(float(parts[0] - parts[place]), 0.0)
