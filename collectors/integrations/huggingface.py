"""Hugging Face `Trainer`: a run for each training, with its epochs, steps, metrics and FLOP.

    Trainer(..., callbacks=[JoulebookCallback(project="search")])

    on_train_begin ─> span, named by `run_name`        on_step_end ─> one step (of the optimizer)
    on_epoch_begin, on_epoch_end ─> span "epoch"       on_log      ─> what begins with `eval_`, but times, as quality
    on_train_end   ─> FLOP, and the end of the span

Of several ranks each records its own process; the ledger counts the sensors of a node once.

The Trainer tells no callback of an exception: `training` says what becomes of such a span. With a `track` block around
`trainer.train()` the run has failed at once.

FLOP are the Trainer's own count: 6 × tokens, padding included, × parameters without embeddings. It leaves out
attention, and counts frozen weights like trained ones: so nobody knows which part of the work it covers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from joulebook.accounting.errors import MissingExtra
from joulebook.collectors.integrations.training import Training, quiet
from joulebook.collectors.track import Span

try:
    from transformers import TrainerCallback  # pyright: ignore[reportMissingImports]
except ModuleNotFoundError as error:
    if error.name != "transformers":
        raise
    raise MissingExtra("the Hugging Face callback", "huggingface") from error

TIMES = ("runtime", "_time", "_per_second")  # how a metric ends that tells how fast it was


class JoulebookCallback(TrainerCallback):
    """Records what each `Trainer.train()` uses."""

    def __init__(self, project: str | None = None) -> None:
        self._training = Training(project)
        self._flop_before = 0.0

    @property
    def run(self) -> Span | None:
        """The span of the training that runs, for `flops_per_step` and the like; None while none does."""
        return self._training.run

    @quiet
    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        named = args.run_name if args.run_name != args.output_dir else None  # the default of older versions
        self._flop_before = state.total_flos  # of the checkpoint that it goes on from
        self._training.begin_training(named or "train", args.process_index if args.world_size > 1 else None)

    @quiet
    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        ranks = args.world_size if args.parallel_mode.value == "distributed" else 1  # then the count is that of all
        flop = (state.total_flos - self._flop_before) / ranks
        if self.run and flop:  # it has no count for some models
            self.run.flops(flop, method="modelled", coverage=None, source="transformers total_flos")
        self._training.end_training()

    @quiet
    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        if self.run:
            self._training.begin("epoch")

    @quiet
    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        self._training.end()

    @quiet
    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        if self.run:
            self.run.step()

    @quiet
    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **_: Any) -> None:  # noqa: ARG002
        for name, value in (logs or {}).items():
            if self.run and name.startswith("eval_") and not name.endswith(TIMES):
                self.run.quality(name, value)
