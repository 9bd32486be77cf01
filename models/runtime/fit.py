"""A profile from one's own measurements: where the time of a prompt bends, what a token takes, how sure that is.

    samples ─> cells, each the mean of its trials ─> can they tell? ─> knots: those without which the fit is worse
            ─> parts of 0 or more, each cell weighted by 1 ÷ its time ─> residuals drawn anew, cell by cell ─> intervals

Relative errors count, so that long requests do not drown the short ones. The knots are the sizes that were measured,
less those that Schwarz's criterion (BIC) would rather do without; the growth of the KV cache is there where that
criterion wants it. The bootstrap draws cells, not trials: trials of one cell share what the model lacks.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from joulebook.accounting.errors import InputError
from joulebook.models.runtime import design
from joulebook.models.runtime.closed_form import Floats
from joulebook.models.runtime.profile import Coefficients, Ends, Energy, Measured, Profile, Spread
from joulebook.models.runtime.samples import Cells, Samples, cells

MOST_KNOTS = 27
SPARE_CELLS = 3  # more cells than parts, or nothing is left to tell the error by
DRAWS = 500
WIDEST = 4.0  # a slope of which not even this factor is known is none
EXACT = 1e-10  # of a relative error: what arithmetic itself leaves


class Unidentified(InputError):
    """The requests cannot tell a part of the runtime; the message says which and what to measure."""


class Shape(NamedTuple):
    """What the parts of a fit are: the knots of the prompt, and whether the KV cache grows."""

    knots: Floats
    growth: bool


class Fit(NamedTuple):
    """A shape with its parts, and the relative error of each cell."""

    shape: Shape
    parts: Floats
    residuals: Floats

    @property
    def bic(self) -> float:
        """Schwarz's criterion: smaller is better."""
        count = len(self.residuals)
        error = max(float(np.mean(self.residuals**2)), EXACT**2)
        return count * float(np.log(error)) + len(self.parts) * float(np.log(count))


def fit(samples: Samples, model: str, seed: int = 0) -> Profile:
    """A profile of a model from its samples. Raises Unidentified where they cannot tell a slope."""
    cell = cells(samples)
    why = design.unidentified(cell.prompt_tokens, cell.output_tokens)
    if why:
        raise Unidentified(why)
    least = SPARE_CELLS + 3
    if len(cell.trials) < least:
        raise Unidentified(f"{len(cell.trials)} different pairs of sizes are too few: measure {least} or more")
    times_s = cell.mean(samples.runtime_s)
    best = chosen(cell, times_s)
    draws = bootstrap(best, cell, np.random.default_rng(seed))
    return Profile(
        model, "idealized", _coefficients(best, draws),
        Measured(len(times_s), len(samples), int(cell.output_tokens.max())),
        spread=spread(draws, best.shape.knots, relative_error(best)),
        energy=_energy(samples, cell), created_at=now(),
    )  # fmt: skip


def chosen(cell: Cells, times_s: Floats) -> Fit:
    """The shape that Schwarz's criterion likes best: from all knots, the one that is missed least goes first."""
    most = min(MOST_KNOTS, max(len(times_s) - SPARE_CELLS - 2, 2))
    best = solved(cell, times_s, Shape(design.spread_out(cell.prompt_tokens, most), False))
    while len(best.shape.knots) > 2:
        fewer = [np.delete(best.shape.knots, at) for at in range(1, len(best.shape.knots) - 1)]
        found = min((solved(cell, times_s, Shape(knots, False)) for knots in fewer), key=lambda each: each.bic)
        if found.bic > best.bic:
            break
        best = found
    grown = solved(cell, times_s, Shape(best.shape.knots, True))
    return min(best, grown, key=lambda each: each.bic)


def solved(cell: Cells, times_s: Floats, shape: Shape) -> Fit:
    """The parts, each 0 or more, with which the relative errors are least."""
    matrix = design.columns(cell.prompt_tokens, cell.output_tokens, *shape)
    parts = least_squares(matrix, times_s)
    return Fit(shape, parts, matrix @ parts / times_s - 1)


def least_squares(matrix: NDArray[np.float64], values: Floats) -> Floats:
    """Parts of 0 or more that leave the least relative errors. Columns are scaled, or tokens would drown seconds."""
    relative = matrix / values[:, None]
    scale = np.linalg.norm(relative, axis=0)
    scale[scale == 0] = 1.0
    return cast("Floats", nnls(relative / scale, np.ones(len(values)))[0] / scale)


def relative_error(fit: Fit) -> float:
    """One standard deviation of a cell around the fit."""
    freedom = max(len(fit.residuals) - len(fit.parts), 1)
    return float(np.sqrt(np.sum(fit.residuals**2) / freedom))


def bootstrap(fit: Fit, cell: Cells, random: np.random.Generator) -> NDArray[np.float64]:
    """The parts of fits to times whose errors were drawn anew from those of all cells."""
    matrix = design.columns(cell.prompt_tokens, cell.output_tokens, *fit.shape)
    return redrawn(matrix, matrix @ fit.parts, fit.residuals, random)


def redrawn(
    matrix: NDArray[np.float64], fitted: Floats, residuals: Floats, random: np.random.Generator
) -> NDArray[np.float64]:
    """The parts of fits to values whose relative errors were drawn anew from all, as far as a fit leaves them free."""
    count, freedom = len(fitted), max(len(fitted) - matrix.shape[1], 1)
    errors = np.maximum((residuals - residuals.mean()) * np.sqrt(count / freedom), -0.9)
    drawn = random.choice(errors, size=(DRAWS, count))
    return np.array([least_squares(matrix, fitted / (1 + row)) for row in drawn])


def _coefficients(fit: Fit, draws: NDArray[np.float64]) -> Coefficients:
    knots, growth = fit.shape
    place = len(knots)
    prompts = design.prompt_times_s(fit.parts, knots)
    low, high = design.ends(np.cumsum(draws[:, :place], axis=1), prompts)
    context = told_ends(fit.parts[-1], draws[:, -1]) if growth else (0.0, 0.0, 0.0)
    slope = (told_ends if growth else told_slope)(fit.parts[place], draws[:, place])
    return Coefficients(tuple(map(float, knots)), to_ends(low, prompts, high), slope, context)


def told_slope(mid: float, draws: Floats) -> Ends:
    """The time of an output token. Raises Unidentified where not even its order is known."""
    low, mid, high = told_ends(mid, draws)
    if high > WIDEST * low:
        raise Unidentified(
            f"the times are too noisy to tell what an output token takes, anything from {low:.3g} to {high:.3g} s: "
            "measure longer answers, or more trials"
        )
    return low, mid, high


def told_ends(mid: float, draws: Floats) -> Ends:
    low, high = design.ends(draws, mid)
    return float(low), float(mid), float(high)


def to_ends(low: Floats, mid: Floats, high: Floats) -> tuple[Ends, ...]:
    return tuple((float(a), float(b), float(c)) for a, b, c in zip(low, mid, high, strict=True))


def spread(draws: NDArray[np.float64], knots: Floats, relative_error: float = 0.0) -> Spread:
    """The covariance of the prompt times at the knots, the time of an output token and that of a context token."""
    place = len(knots)
    told = np.zeros((len(draws), place + 2))
    told[:, :place] = np.cumsum(draws[:, :place], axis=1)
    told[:, place : draws.shape[1]] = draws[:, place:]
    return Spread(relative_error, tuple(tuple(map(float, row)) for row in np.cov(told, rowvar=False)))


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _energy(samples: Samples, cell: Cells) -> Energy | None:
    """What a call, a token of its prompt and one of its answer use, where all cells have an energy."""
    energy_j = cell.mean(samples.energy_j)
    if not np.all(energy_j > 0):
        return None
    matrix = np.stack([np.ones_like(energy_j), cell.prompt_tokens, cell.output_tokens], axis=1)
    parts = least_squares(matrix, energy_j)
    draws = redrawn(matrix, matrix @ parts, matrix @ parts / energy_j - 1, np.random.default_rng(0))
    low, high = design.ends(draws, parts)
    call, prompt, output = to_ends(low, parts, high)
    return Energy(call, prompt, output, samples.energy_method)
