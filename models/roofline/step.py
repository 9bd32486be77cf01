"""One pass of a model over its layers: what it computes and reads, and how long that takes on a piece of hardware.

    Step (new tokens, sequences, context) ─work_of─> Work (FLOP and bytes of one GPU) ─times_of─> Times (its parts, s)

Prefill is a step with all tokens of all prompts; decoding is a step with one new token of each sequence. The matrix
products with the weights, the attention with the cache and the output layer come one after the other, and each takes as
long as the slower of computing and reading: `max(FLOP ÷ rate, bytes ÷ bandwidth)`. Around them are launches, messages
between GPUs, and what the server does for each step and each sequence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from joulebook.models.roofline.cards import ModelCard
from joulebook.models.roofline.hardware import Accelerator
from joulebook.models.roofline.precision import HALF, HALF_BYTES, Precision

Amount: TypeAlias = float | NDArray[np.float64]


@dataclass(frozen=True)
class Step:
    """A pass with `new_tokens` of `sequences` together, each of which attends to `context_tokens` on average."""

    new_tokens: Amount
    sequences: Amount
    context_tokens: Amount
    decoding: bool = True


@dataclass(frozen=True)
class Machine:
    """GPUs that share a model: a layer over `tensor_parallel` of them, the layers over `pipeline_parallel` groups."""

    hardware: Accelerator
    precision: Precision
    tensor_parallel: int = 1
    pipeline_parallel: int = 1

    @property
    def gpus(self) -> int:
        return self.tensor_parallel * self.pipeline_parallel


@dataclass(frozen=True)
class Work:
    """What a step asks of each GPU of a group, over all layers."""

    weight_flop: Amount
    weight_bytes: Amount
    cache_flop: Amount
    cache_bytes: Amount
    head_flop: Amount
    head_bytes: Amount
    messages: int
    message_bytes: Amount  # of one
    handovers: int  # from a group to the next
    handover_bytes: Amount

    @property
    def half_flop(self) -> Amount:
        """FLOP that stay in 16 bits."""
        return self.cache_flop + self.head_flop

    @property
    def bytes(self) -> Amount:
        return self.weight_bytes + self.cache_bytes + self.head_bytes


@dataclass(frozen=True)
class Constants:
    """What a software stack reaches on a kind of hardware, and what it adds.

    Shares of the maker's peak: `compute_share`, `bandwidth_share`, `link_share`. Seconds: `layer_s` of launching a
    layer, `message_s` of each message, `step_s` and `sequence_s` of what the server does for each step and for each
    sequence in it. `hidden`: launches run ahead of the work (an eager stack), so that a step takes the longer of both.
    """

    compute_share: float = 1.0
    bandwidth_share: float = 1.0
    link_share: float = 1.0
    layer_s: float = 0.0
    message_s: float = 0.0
    step_s: float = 0.0
    sequence_s: float = 0.0
    hidden: bool = False


PHYSICAL = Constants()  # nothing is faster than this


@dataclass(frozen=True)
class Times:
    """How long a step takes, by what holds it up. Unit: s."""

    compute_s: Amount
    memory_s: Amount
    communication_s: Amount
    overhead_s: Amount

    @property
    def total_s(self) -> Amount:
        return self.compute_s + self.memory_s + self.communication_s + self.overhead_s


def touched_experts(tokens: Amount, count: int, active: int) -> Amount:
    """How many experts of a layer some token chooses, when all are as likely. Unit: 1 = E × (1 − (1 − k/E)^n)."""
    return count * (1.0 - (1.0 - active / count) ** tokens)


def seen_tokens(card: ModelCard, context_tokens: Amount) -> Amount:
    """How much of the context a layer sees, on average of all layers. Unit: token."""
    if card.window is None:
        return context_tokens
    beyond = np.maximum(context_tokens - card.window.tokens, 0.0)
    return context_tokens - beyond * (card.window.layers / card.layers)


def pair_flop(card: ModelCard, *, decoding: bool) -> int:
    """FLOP of one new token with one token of the context, in one layer: its score and its value."""
    if card.latent is None:
        return 4 * card.heads * card.head_width
    mla = card.latent
    if decoding:  # against the latent vectors themselves
        return 2 * card.heads * (2 * mla.kv_rank + mla.rope_width)
    return 2 * card.heads * (mla.plain_width + mla.rope_width + mla.value_width)


def weight_flop(card: ModelCard, tokens: Amount) -> Amount:
    """FLOP of the matrix products of some tokens with the weights of all layers."""
    chosen = card.experts.active * card.expert_parameters * card.sparse_layers if card.experts else 0
    return 2.0 * tokens * (card.always_read + chosen)


def weight_bytes(card: ModelCard, tokens: Amount, precision: Precision) -> Amount:
    """What is read of the weights of all layers: all that every token needs, and the experts that some token chose."""
    always = card.always_read * (HALF_BYTES if precision.experts_only else precision.weight_bytes)
    if card.experts is None:
        return always + 0.0 * tokens
    touched = touched_experts(tokens, card.experts.count, card.experts.active)
    return always + touched * card.expert_parameters * card.sparse_layers * precision.weight_bytes


def cache_bytes(card: ModelCard, tokens: Amount, precision: Precision) -> Amount:
    """What some tokens of one sequence hold in the cache of all layers."""
    return card.layers * seen_tokens(card, tokens) * card.cache_values * precision.cache_bytes


def work_of(card: ModelCard, step: Step, machine: Machine) -> Work:
    """What a step asks of each GPU of a group. A cache that cannot be split further is on several of them."""
    group, precision = machine.tensor_parallel, machine.precision
    pairs = step.new_tokens * seen_tokens(card, step.context_tokens) * card.layers
    cached = step.sequences * cache_bytes(card, step.context_tokens, precision)
    hidden_bytes = step.new_tokens * float(card.width * HALF_BYTES)
    return Work(
        weight_flop=weight_flop(card, step.new_tokens) / group,
        weight_bytes=weight_bytes(card, step.new_tokens, precision) / group,
        cache_flop=pairs * pair_flop(card, decoding=step.decoding) / group,
        cache_bytes=cached / min(group, card.cache_copies),
        head_flop=2.0 * step.sequences * card.head_parameters / group,
        head_bytes=card.head_parameters * HALF_BYTES / group + 0.0 * step.sequences,
        messages=2 * card.layers if group > 1 else 0,
        message_bytes=2.0 * (group - 1) / group * hidden_bytes,  # both ways round a ring
        handovers=machine.pipeline_parallel - 1,
        handover_bytes=hidden_bytes,
    )


def times_of(work: Work, step: Step, card: ModelCard, machine: Machine, constants: Constants) -> Times:
    """How long a step takes."""
    compute_s, memory_s = bound_s(work, machine, constants)
    link = machine.hardware.link_bytes_per_s * constants.link_share
    communication_s = work.messages * (constants.message_s + work.message_bytes / link) + work.handovers * (
        constants.message_s + work.handover_bytes / link
    )
    launch_s: Amount = card.layers * constants.layer_s
    if constants.hidden:
        launch_s = np.maximum(launch_s - compute_s - memory_s - communication_s, 0.0)
    overhead_s = launch_s + constants.step_s + constants.sequence_s * step.sequences
    return Times(compute_s, memory_s, communication_s, overhead_s)


def bound_s(work: Work, machine: Machine, constants: Constants) -> tuple[Amount, Amount]:
    """Seconds of the parts that computing holds up, and of those that reading does. Each part counts in one of them."""
    hardware, half = machine.hardware, machine.hardware.peak(HALF) * constants.compute_share
    peak = hardware.peak(machine.precision.dtypes) * constants.compute_share
    bandwidth = hardware.bandwidth_bytes_per_s * constants.bandwidth_share
    compute_s: Amount = 0.0
    longer_s: Amount = 0.0
    for flop, read_bytes, rate in (
        (work.weight_flop, work.weight_bytes, peak),
        (work.cache_flop, work.cache_bytes, half),
        (work.head_flop, work.head_bytes, half),
    ):
        computing, reading = flop / rate, read_bytes / bandwidth
        compute_s = compute_s + cast("Amount", computing * (computing >= reading))
        longer_s = longer_s + cast("Amount", np.maximum(computing, reading))
    return compute_s, np.maximum(longer_s - compute_s, 0.0)
