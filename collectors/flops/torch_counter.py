"""The FLOP of a training step, counted once by PyTorch's formulas and then multiplied by the steps.

    with track("finetune") as run:
        for batch in batches:
            with count_step(run):      the first time: counted, one slow step; later: nothing
                loss = model(batch).loss
                loss.backward()
                optimizer.step()
            run.step()                 from the first on: one step and its FLOP

`count_step` writes no FLOP by itself: it tells the span how many a step has, and `run.step()` records them, also for
the step that was counted. So nothing is counted twice, and a job that never calls `step` records none. All steps are
taken to be like the first one: where they are not, count with `run.flops`.

PyTorch's formulas (`torch.utils.flop_counter`) know matrix products, convolutions and PyTorch's own attention. They
count 0 for elementwise work, norms and the optimiser, 0 for custom operations, C++ extensions and Triton kernels, also
those that a compiler made, and causal attention in full. `coverage` says how much of the time of the step was spent in
what they know. Work that no operation of PyTorch announces is in that time where an accelerator does it, but not where
the CPU does. What a captured CUDA graph repeats is not seen: a first step is counted before it is captured.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from weakref import WeakSet

from joulebook.accounting.errors import InputError
from joulebook.collectors.sampler import attempt

if TYPE_CHECKING:
    from joulebook.collectors.flops.torch_mode import StepMode
    from joulebook.collectors.track import Span

_counted: WeakSet[Span] = WeakSet()  # or tried in vain: no span pays for a second slow step


@contextmanager
def count_step(run: Span, kind: str = "model") -> Iterator[None]:
    """Counts the FLOP of the training step inside, once for each span; it never raises into the job.

    kind: "hardware" where activations are recomputed: then their second forward pass is in the count.
    """
    mode = None if run in _counted else attempt("count_step", run.run_id, _new_mode)
    if mode is None:
        _counted.add(run)
        yield
        return
    with mode:
        yield
    _counted.add(run)  # not reached by a step that failed
    attempt("count_step", run.run_id, _tell, run, mode, kind)


def _new_mode() -> StepMode:
    try:
        from joulebook.collectors.flops.torch_mode import StepMode
    except ImportError as error:
        raise InputError(f"PyTorch cannot be loaded ({error}): pip install torch, or say the FLOP yourself") from error
    return StepMode()


def _tell(run: Span, mode: StepMode, kind: str) -> None:
    if not mode.flop:
        raise InputError("no operation was seen whose FLOP PyTorch knows: say them with run.flops_per_step")
    run.flops_per_step(mode.flop, method="flop_counter", coverage=mode.coverage(), kind=kind)
