"""What fits: the weights of a model and the caches of its sequences in the memory of some GPUs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from joulebook.accounting.errors import InputError
from joulebook.models.roofline.cards import ModelCard
from joulebook.models.roofline.precision import HALF_BYTES
from joulebook.models.roofline.step import Amount, Machine, cache_bytes

# What serving software takes of a GPU's memory, and what its runtime, activations and graphs take of that.
USED_SHARE, RUNTIME_BYTES = 0.9, 3.5e9
MOST_GPUS = 1024


def weight_memory_bytes(card: ModelCard, machine: Machine) -> float:
    """All weights of a model, in bytes. Embedding and output layer stay in 16 bits."""
    embeddings = card.head_parameters * (1 if card.tied else 2)
    layers = card.parameters - embeddings
    if not machine.precision.experts_only:
        return layers * machine.precision.weight_bytes + embeddings * HALF_BYTES
    experts = card.sparse_layers * card.experts.count * card.expert_parameters if card.experts else 0
    return experts * machine.precision.weight_bytes + (layers - experts + embeddings) * HALF_BYTES


def room_bytes(card: ModelCard, machine: Machine) -> float:
    """What is left for caches on all GPUs together; below 0 where the weights alone do not fit. Unit: byte."""
    usable = USED_SHARE * machine.hardware.memory_bytes - RUNTIME_BYTES
    return machine.gpus * usable - weight_memory_bytes(card, machine)


def most_sequences(card: ModelCard, machine: Machine, tokens: Amount) -> Amount:
    """How many sequences of so many tokens fit at once. Unit: 1 = room ÷ bytes of one sequence."""
    copies = machine.tensor_parallel / min(machine.tensor_parallel, card.cache_copies)
    return room_bytes(card, machine) / (np.maximum(cache_bytes(card, tokens, machine.precision), 1.0) * copies)


def fewest_gpus(card: ModelCard, machine: Machine, tokens: float, sequences: float) -> Machine:
    """The fewest GPUs that hold a model and so many sequences: a power of two within a node, then whole nodes.

    Raises InputError where even a thousand of them do not.
    """
    inside, node = 1, machine.hardware.gpus_per_node
    while inside <= node:
        fits = replace(machine, tensor_parallel=inside, pipeline_parallel=1)
        if most_sequences(card, fits, tokens) >= sequences:
            return fits
        inside *= 2
    for nodes in range(2, MOST_GPUS // node + 1):
        fits = replace(machine, tensor_parallel=inside // 2, pipeline_parallel=nodes)
        if most_sequences(card, fits, tokens) >= sequences:
            return fits
    raise InputError(
        f"{card.name} with {sequences:g} sequences of {tokens:g} tokens does not fit {MOST_GPUS} of "
        f"{machine.hardware.name}"
    )
