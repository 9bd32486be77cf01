"""PyTorch Lightning: a run for each `fit`, with its epochs, steps and validation metrics.

    Trainer(..., callbacks=[JoulebookCallback(project="search")])

    on_fit_start, on_fit_end ─> span              on_train_batch_end ─> one step (a batch)
    on_exception ─> the end of the span, failed   on_validation_end  ─> what was logged while validating, as quality
    on_train_epoch_start, on_train_epoch_end ─> span "epoch"

It serves `lightning` and `pytorch_lightning`, which are the same under two names. The sanity check before the first
epoch is no validation. Of several ranks each records its own process; the ledger counts the sensors of a node once.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

from joulebook.accounting.errors import MissingExtra
from joulebook.collectors.integrations.training import Training, quiet
from joulebook.collectors.track import Span


def _callback_class() -> Any:
    """That of the name which the program has loaded already, else of the first that is installed."""
    for name in sorted(("lightning.pytorch", "pytorch_lightning"), key=lambda name: name not in sys.modules):
        try:
            return import_module(name).Callback
        except ModuleNotFoundError as error:
            if error.name not in (name, "lightning"):
                raise
    raise MissingExtra("the Lightning callback", "lightning")


class JoulebookCallback(_callback_class()):
    """Records what each `Trainer.fit` uses."""

    def __init__(self, name: str = "fit", project: str | None = None) -> None:
        self._name = name
        self._training = Training(project)
        self._logged_before: dict[str, Any] = {}

    @property
    def run(self) -> Span | None:
        """The span of the fit that runs, for `flops_per_step` and the like; None while none does."""
        return self._training.run

    @quiet
    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        self._training.begin_training(self._name, trainer.global_rank if trainer.world_size > 1 else None)

    @quiet
    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        self._training.end_training()

    @quiet
    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:  # noqa: ARG002
        self._training.end_training(exception)

    @quiet
    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        if self.run:
            self._training.begin("epoch")

    @quiet
    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        self._training.end()

    @quiet
    def on_train_batch_end(self, *_: Any, **__: Any) -> None:
        if self.run:
            self.run.step()

    @quiet
    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        self._logged_before = dict(trainer.callback_metrics)

    @quiet
    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        before, self._logged_before = self._logged_before, {}
        for name, value in trainer.callback_metrics.items():
            if self.run and not trainer.sanity_checking and before.get(name) is not value:
                self.run.quality(name, float(value))
