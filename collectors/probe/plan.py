"""Which sizes are probed, how often, and in which order: drawn by lot in each round, so that a slow minute hits no one.

The sizes that check the profile are asked in the same rounds: what slows the machine slows them alike. A request of
milliseconds is soon disturbed, and cheap: it has more trials than a long one.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from itertools import pairwise, product
from typing import NamedTuple

from joulebook.accounting.errors import InputError
from joulebook.collectors.probe import Size

CHECKS = 6
LEAST = 2  # prompt sizes, and sizes of the answer: fewer tell no slope
MOST_TRIALS = 60


class Plan(NamedTuple):
    """A grid of prompts × outputs, each asked `trials` times, and more often until that took `seconds`."""

    prompts: tuple[int, ...]
    outputs: tuple[int, ...]
    trials: int
    seed: int = 0
    seconds: float = 0.0


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


def trials_of(plan: Plan, runtime_s: float) -> int:
    """How often a size is asked that takes so long."""
    wanted = math.ceil(min(plan.seconds / max(runtime_s, 1e-9), MOST_TRIALS))
    return max(plan.trials, wanted)


def shuffled(some: Sequence[Size], trial: int, seed: int = 0) -> list[Size]:
    """The sizes in the order of one round."""
    lot = random.Random(f"{seed} {trial}")  # noqa: S311 - an order, not a secret
    return lot.sample(some, len(some))


def between(plan: Plan) -> list[Size]:
    """Sizes that the grid lacks, to check its profile by: each between two neighbours, in prompt and in answer.

    They go along the diagonals of the grid, so that the few that are taken differ in both, from its first prompts to
    its last.
    """
    prompts, outputs = _gaps(plan.prompts), _gaps(plan.outputs)
    places = product(range(len(prompts)), range(len(outputs)))
    ordered = sorted(places, key=lambda at: ((at[1] - at[0]) % len(outputs), at[0]))[: max(CHECKS, len(prompts))]
    step = max(len(ordered) - 1, 1) / (CHECKS - 1)
    taken = dict.fromkeys(ordered[min(round(n * step), len(ordered) - 1)] for n in range(CHECKS)) if ordered else ()
    return [Size(prompts[row], outputs[column]) for row, column in taken]


def _gaps(some: Sequence[int]) -> list[int]:
    """The middles of neighbours that are not next to each other."""
    return [(low + high) // 2 for low, high in pairwise(sorted(set(some))) if high - low > 1]
