"""The constants of a stack, fitted to measurements with priors, and how wide the range around an estimate must be.

    Measured (what ran where, and how long it took) ─> fit(…, priors) ─> Constants
    held-out errors ─> half_width ─> the range that holds nine of ten

Seven constants are few, but a table of one model cannot tell them apart: reading the weights and launching the layers
both cost the same each step. Priors settle that: each constant is a lognormal around what is usual for its kind of
stack. Errors count by their ratio, and large ones by their size, not its square, so a few odd rows do not bend the fit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from joulebook.models.roofline.cards import ModelCard
from joulebook.models.roofline.estimate import Load, phases_of
from joulebook.models.roofline.stacks import SHARES
from joulebook.models.roofline.step import Amount, Constants, Machine

Prior = tuple[float, float]  # the centre, and the standard deviation of its logarithm
# CUDA graphs: launches are replayed, a few µs for each kernel. Shares are those of well-tuned kernels.
GRAPH: Mapping[str, Prior] = {
    "compute_share": (0.6, 0.2),
    "bandwidth_share": (0.82, 0.08),
    "link_share": (0.5, 0.7),
    "layer_s": (30e-6, 0.7),
    "message_s": (20e-6, 0.6),
    "step_s": (1.5e-3, 0.8),
    "sequence_s": (40e-6, 1.0),
}
# Eager: each kernel is launched from Python. Half a millisecond a layer is between vLLM and Megatron of 2022.
EAGER: Mapping[str, Prior] = {**GRAPH, "layer_s": (500e-6, 0.5), "message_s": (40e-6, 0.7)}
SCALE = 0.1  # a ratio off by more than this counts by its size
COVERAGE = 0.9


@dataclass(frozen=True)
class Measured:
    """Seconds that were measured: of whole requests, of their first token, or of one further token."""

    card: ModelCard
    machine: Machine
    load: Load
    seconds: NDArray[np.float64]
    kind: str = "runtime"  # runtime, first, token


def predicted_s(measured: Measured, constants: Constants) -> Amount:
    """What the constants say of a measurement."""
    load = measured.load
    phases = phases_of(measured.card, measured.machine, load, constants)
    if measured.kind == "first":
        return phases.prefill.total_s
    if measured.kind == "token":
        return phases.decode.total_s
    return phases.prefill.total_s + np.maximum(load.output_tokens - 1.0, 0.0) * phases.decode.total_s


def log_errors(measured: Sequence[Measured], constants: Constants) -> NDArray[np.float64]:
    """ln(predicted ÷ measured), one after the other."""
    return np.concatenate([np.log(predicted_s(each, constants) / each.seconds) for each in measured])


def fit(measured: Sequence[Measured], priors: Mapping[str, Prior], *, hidden: bool = False) -> Constants:
    """The constants that fit best, given what is usual."""
    from scipy.optimize import least_squares

    centre = np.log([mean for mean, _ in priors.values()])
    spread = np.array([deviation for _, deviation in priors.values()])
    most = np.array([0.0 if name in SHARES else np.inf for name in priors])  # a share is at most 1

    def residuals(logs: NDArray[np.float64]) -> NDArray[np.float64]:
        errors = log_errors(measured, _constants(priors, logs, hidden=hidden)) / SCALE
        softened = np.sign(errors) * np.sqrt(2.0 * (np.sqrt(1.0 + errors**2) - 1.0))
        return np.concatenate([softened, (logs - centre) / spread])

    found = least_squares(residuals, centre, bounds=(np.full(len(centre), -np.inf), most))
    return _constants(priors, found.x, hidden=hidden)


def _constants(priors: Mapping[str, Prior], logs: NDArray[np.float64], *, hidden: bool) -> Constants:
    return Constants(**dict(zip(priors, np.exp(logs).tolist(), strict=True)), hidden=hidden)


def half_width(errors: Sequence[NDArray[np.float64]]) -> float:
    """The half width, in ln(seconds), that holds nine of ten of what comes next, from errors on groups held out.

    The conformal quantile: of n errors the ⌈0.9 (n + 1)⌉-th smallest. What comes next is a group, not a row, so few
    groups say less than many rows: it is wider by one part in the number of groups.
    """
    ordered = np.sort(np.abs(np.concatenate(errors)))
    rank = int(np.ceil(COVERAGE * (len(ordered) + 1)))
    return float(ordered[min(rank, len(ordered)) - 1]) * (1 + 1 / len(errors))
