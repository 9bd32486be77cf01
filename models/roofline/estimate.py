"""What a model alone would take on named hardware and software: seconds, joules and dollars, each with its range.

    Setup (card, hardware, stack) + Load (prompt, output, batch) ─> prefill and decoding steps ─> Prediction

A request takes `prefill + (output − 1) × decoding step`: the first token comes with the prefill, and each further one
sees the context grow, so the step is taken at the mean context. Numbers of a load may be arrays, all of one length.
Where more sequences are asked for than fit in memory, as many run as fit and the rest waits: `waves` says how often.
Neither is a whole number: sequences come and go one by one, and a fraction of one is what fits on average.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from joulebook.accounting.errors import InputError
from joulebook.accounting.estimates import Estimate, between, unknown
from joulebook.models.roofline import hardware as catalogue_of_hardware
from joulebook.models.roofline.cards import ModelCard
from joulebook.models.roofline.hardware import Accelerator
from joulebook.models.roofline.memory import fewest_gpus, most_sequences
from joulebook.models.roofline.power import HOST_W, Split, energy_j, split_for
from joulebook.models.roofline.precision import PRECISIONS
from joulebook.models.roofline.stacks import USUAL, Fitted, fitted_for
from joulebook.models.roofline.step import PHYSICAL, Amount, Constants, Machine, Step, Times, Work, times_of, work_of

HOUR_S = 3600.0


@dataclass(frozen=True)
class Setup:
    """A model on hardware and software. Where no parallelism is said: the fewest GPUs that hold it and its load."""

    card: ModelCard
    hardware: Accelerator
    stack: str = USUAL
    precision: str | None = None  # None: as the model is published
    tensor_parallel: int | None = None
    pipeline_parallel: int = 1
    usd_per_gpu_hour: float | None = None  # None: that of the catalogue


@dataclass(frozen=True)
class Load:
    """Requests that a server works on: `batch` at once, each with a prompt, of which `cached_tokens` are in the cache.

    `steady`: requests come one after the other, so that each waits for its own prompt only and then shares the steps
    with the prompts of others; else all begin together.
    """

    prompt_tokens: Amount
    output_tokens: Amount
    batch: Amount = 1.0
    cached_tokens: Amount = 0.0
    steady: bool = False

    def __post_init__(self) -> None:
        for name in ("prompt_tokens", "output_tokens", "cached_tokens"):
            if np.any(np.asarray(getattr(self, name)) < 0):
                raise InputError(f"{name} cannot be below 0")
        if np.any(np.asarray(self.batch) < 1):
            raise InputError("a batch has at least 1 request")
        if np.any(np.asarray(self.cached_tokens) > np.asarray(self.prompt_tokens)):
            raise InputError("cached tokens are part of the prompt: they cannot be more")


@dataclass(frozen=True)
class Bounds:
    """An amount with the ends of its 90 % interval."""

    low: Amount
    mid: Amount
    high: Amount


UNKNOWN = {"J": "the power of this hardware is not known", "USD": "no price of this hardware is known"}


def as_estimate(bounds: Bounds | None, unit: str) -> Estimate:
    """An amount of one load with its range, or why it is unknown."""
    if bounds is None:
        return unknown(unit, UNKNOWN[unit])
    return between((float(cast("Any", end)) for end in (bounds.low, bounds.mid, bounds.high)), unit, "modelled")


@dataclass(frozen=True)
class Prediction:
    """What a request takes. Energy, GPU time and cost are its share of the batch.

    `energy_j` is that of the GPUs; `it_energy_j` has the host with it. None: the power or the price of the hardware is
    not known. `prefill` and `decode` say what holds each step up.
    """

    time_to_first_token_s: Bounds
    per_output_token_s: Bounds
    runtime_s: Bounds
    gpu_seconds: Bounds
    energy_j: Bounds | None
    prompt_energy_j: Bounds | None
    it_energy_j: Bounds | None
    cost_usd: Bounds | None
    prefill: Times
    decode: Times
    machine: Machine
    running: Amount  # requests that run at once
    waves: Amount
    fitted: Fitted
    split: Split | None

    @property
    def extrapolated(self) -> bool:
        """Whether the constants are not those of this hardware."""
        return self.fitted.hardware != self.machine.hardware.name

    @property
    def not_measured(self) -> str:
        """What to say of constants that are not those of this hardware; nothing of its own."""
        if not self.extrapolated:
            return ""
        stack, basis, name = self.fitted.stack, self.fitted.basis, self.machine.hardware.name
        return f"Nobody measured {stack} on {name}. Its constants and its range: {basis}."


@dataclass(frozen=True)
class Phases:
    """Prefill and decoding of a batch: the steps, their work and their times."""

    prefill_work: Work
    prefill: Times
    decode_work: Work
    decode: Times


def setup_of(card: ModelCard, hardware: str) -> Setup:
    """The usual setup of a model on a device, by its name."""
    return Setup(card, catalogue_of_hardware.find(hardware))


def estimate(setup: Setup, load: Load) -> Prediction:
    """What a request of a load takes on a setup. Raises InputError where the model does not fit."""
    machine = machine_of(setup, load)
    fitted = fitted_for(setup.stack, machine.hardware)
    fits = most_sequences(setup.card, machine, load.prompt_tokens + load.output_tokens)
    now = replace(load, batch=np.minimum(load.batch, fits))
    waves, more = load.batch / now.batch, np.maximum(load.output_tokens - 1.0, 0.0)
    phases = phases_of(setup.card, machine, now, fitted.constants)
    first_s, token_s = latencies_s(setup.card, machine, now, phases, fitted.constants)
    physical = latencies_s(setup.card, machine, now, phases_of(setup.card, machine, now, PHYSICAL), PHYSICAL)
    width, busy_s = fitted.half_width, phases.prefill.total_s + more * phases.decode.total_s
    gpu_seconds = _around(machine.gpus * busy_s / now.batch, width)
    energy, prompt_energy, it_energy = _energies(phases, now, machine, fitted)
    usd = setup.usd_per_gpu_hour or (machine.hardware.price and machine.hardware.price.usd_per_gpu_hour)
    return Prediction(
        _around(waves * first_s, width, waves * physical[0]), _around(token_s, width, physical[1]),
        _around(waves * (first_s + more * token_s), width, waves * (physical[0] + more * physical[1])),
        gpu_seconds, energy, prompt_energy, it_energy, _scaled(gpu_seconds, usd / HOUR_S) if usd else None,
        phases.prefill, phases.decode, machine, now.batch, waves, fitted, split_of(machine),
    )  # fmt: skip


def machine_of(setup: Setup, load: Load) -> Machine:
    """The GPUs of a setup: as many as it says, else the fewest. Raises InputError where the model does not fit."""
    name = setup.precision or setup.card.precision
    if name not in PRECISIONS:
        raise InputError(f"the precision {name!r} is not known; there are: {', '.join(PRECISIONS)}")
    wanted = 1 if setup.tensor_parallel is None else setup.tensor_parallel
    machine = Machine(setup.hardware, PRECISIONS[name], wanted, setup.pipeline_parallel)
    if min(machine.tensor_parallel, machine.pipeline_parallel) < 1:
        raise InputError("a model runs on at least 1 GPU")
    tokens = float(np.max(load.prompt_tokens + load.output_tokens))
    if setup.tensor_parallel is None and setup.pipeline_parallel == 1:
        return fewest_gpus(setup.card, machine, tokens, float(np.max(load.batch)))
    if most_sequences(setup.card, machine, tokens) < 1:
        fewest = fewest_gpus(setup.card, machine, tokens, 1.0)
        raise InputError(
            f"{setup.card.name} in {name} and a request of {tokens:,.0f} tokens do not fit {machine.gpus} × "
            f"{setup.hardware.name}: that takes at least {fewest.gpus}"
        )
    return machine


def split_of(machine: Machine) -> Split | None:
    """Where the energy of these GPUs goes; None where their maker does not tell their power."""
    return split_for(machine.hardware.name) if machine.hardware.tdp_w else None


def phases_of(card: ModelCard, machine: Machine, load: Load, constants: Constants) -> Phases:
    """The prefill of a batch, and a decoding step of it at its mean context."""
    fresh = load.prompt_tokens - load.cached_tokens
    prefill = Step(load.batch * fresh, load.batch, load.cached_tokens + fresh / 2.0, decoding=False)
    decode = Step(load.batch + 0.0, load.batch, load.prompt_tokens + load.output_tokens / 2.0)
    works = [work_of(card, step, machine) for step in (prefill, decode)]
    times = [
        times_of(work, step, card, machine, constants) for work, step in zip(works, (prefill, decode), strict=True)
    ]
    return Phases(works[0], times[0], works[1], times[1])


def latencies_s(
    card: ModelCard, machine: Machine, load: Load, phases: Phases, constants: Constants
) -> tuple[Amount, Amount]:
    """Time to the first token, and between two tokens, as a client sees them."""
    if not load.steady:
        return phases.prefill.total_s, phases.decode.total_s
    alone = phases_of(card, machine, replace(load, batch=1.0), constants).prefill.total_s
    others = (load.batch - 1.0) * alone / np.maximum(load.output_tokens, 1.0)
    return alone, phases.decode.total_s + others


def _energies(phases: Phases, load: Load, machine: Machine, fitted: Fitted) -> tuple[Bounds | None, ...]:
    """Energy of the GPUs, of it the prompt's, and with the host: of one request. The time's error counts, too."""
    split = split_of(machine)
    if split is None:
        return None, None, None
    more, width = np.maximum(load.output_tokens - 1.0, 0.0), float(np.hypot(split.half_width, fitted.half_width))
    prompt = energy_j(phases.prefill_work, phases.prefill.total_s, machine, split) / load.batch
    output = more * energy_j(phases.decode_work, phases.decode.total_s, machine, split) / load.batch
    energy = _around(prompt + output, width)
    seconds = machine.gpus * (phases.prefill.total_s + more * phases.decode.total_s) / load.batch
    host = Bounds(*(watts * seconds for watts in HOST_W))
    it_energy = Bounds(energy.low + host.low, energy.mid + host.mid, energy.high + host.high)
    return energy, _around(prompt, width), it_energy


def _around(mid: Amount, half_width: float, floor: Amount = 0.0) -> Bounds:
    """An amount with a range of so much of its logarithm, and never below a floor."""
    low = np.maximum(mid * np.exp(-half_width), floor)
    return Bounds(low, mid, mid * np.exp(half_width))


def _scaled(amount: Bounds, factor: float) -> Bounds:
    return Bounds(amount.low * factor, amount.mid * factor, amount.high * factor)
