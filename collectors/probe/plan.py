"""Which sizes are probed, and in which order: drawn by lot in each round, so that a slow minute hits no one size.

The sizes that check the profile are asked in the same rounds: what slows the machine slows them alike.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise, product
from typing import NamedTuple

from joulebook.accounting.errors import InputError
from joulebook.collectors.probe import Size

CHECKS = 6
LEAST = 2  # prompt sizes, and sizes of the answer: fewer tell no slope


Asked = tuple[int, Size]  # which trial of a size


class Plan(NamedTuple):
    """A grid of prompts × outputs, each asked `trials` times."""

    prompts: tuple[int, ...]
    outputs: tuple[int, ...]
    trials: int
    seed: int = 0


def fitted(plan: Plan, context: int | None) -> Plan:
    """The plan without what the model has no room for. Raises InputError where too little is left."""
    room = context or max(plan.prompts) + max(plan.outputs)
    kept = plan._replace(prompts=tuple(size for size in plan.prompts if size + max(plan.outputs) <= room))
    for what, sizes in (("prompt", kept.prompts), ("answer", kept.outputs)):
        if len(sizes) < LEAST:
            raise InputError(
                f"the grid has {len(sizes)} size of the {what} that fits into {room} tokens of context: name {LEAST} "
                f"or more, e.g. --{'prompts' if what == 'prompt' else 'outputs'} 1,16,64"
            )
    return kept


def sizes(plan: Plan) -> list[Size]:
    return [Size(prompt, output) for prompt in plan.prompts for output in plan.outputs]


def order(some: Sequence[Size], trials: int, seed: int = 0) -> list[Asked]:
    """Every trial of every size, each round in an order of its own."""
    lot = random.Random(seed)  # noqa: S311 - an order, not a secret
    return [(trial, size) for trial in range(trials) for size in lot.sample(some, len(some))]


def between(plan: Plan) -> list[Size]:
    """Sizes that the grid lacks, to check its profile by: each between two neighbours, in prompt and in answer.

    They go along the diagonals of the grid, so that the few that are taken differ in both.
    """
    prompts, outputs = _gaps(plan.prompts), _gaps(plan.outputs)
    places = product(range(len(prompts)), range(len(outputs)))
    ordered = sorted(places, key=lambda at: ((at[1] - at[0]) % len(outputs), at[0]))
    return [Size(prompts[row], outputs[column]) for row, column in ordered[:CHECKS]]


def _gaps(some: Sequence[int]) -> list[int]:
    """The middles of neighbours that are not next to each other."""
    return [(low + high) // 2 for low, high in pairwise(sorted(set(some))) if high - low > 1]
