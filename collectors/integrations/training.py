"""What the callbacks of training loops share: spans that begin in one hook and end in another.

    begin_training ─> begin ─> end ─> begin ─> end ─> end_training
       the run         epoch           epoch

A loop that dies need not say so. What it left open is `lost` in the ledger once its process has ended. If another
training begins on the same thread before that, what was left open ends there, as failed: it would share the counters
with the new one and be its parent. When it really stopped, nobody knows.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping
from typing import Any

from joulebook.collectors.sampler import attempt
from joulebook.collectors.track import Span, Tracked, track

LEFT = "left by an exception or an interrupt that nobody told; ended when the next training began"

_open: list[Training] = []  # of every callback


class Training:
    """The spans that a callback holds open, outermost first."""

    def __init__(self, project: str | None) -> None:
        self._project = project
        self._held: list[tuple[Tracked, Span]] = []

    @property
    def run(self) -> Span | None:
        """The span of the whole training; None while there is none."""
        return self._held[0][1] if self._held else None

    def begin_training(self, name: str, rank: int | None) -> None:
        """Begins the outermost span; `rank` of several processes that train together."""
        for other in tuple(_open):
            if other is self or (other.run and other.run.strand[0] == threading.get_ident()):
                other.leave()
        self.begin(name, None if rank is None else {"rank": str(rank)})
        _open.append(self)

    def begin(self, name: str, tags: Mapping[str, str] | None = None) -> None:
        tracked = track(name, project=self._project, tags=tags)
        self._held.append((tracked, tracked.__enter__()))

    def end(self) -> None:
        """Ends the innermost span, unless that is the training itself."""
        if len(self._held) > 1:
            self._end(None)

    def end_training(self, error: BaseException | None = None) -> None:
        """Ends all, innermost first."""
        while self._held:
            self._end(error)
        if self in _open:
            _open.remove(self)

    def leave(self) -> None:
        """Ends all of a training that has died without a word."""
        for _, span in reversed(self._held):
            span.end(ok=False, error=LEFT)
        self.end_training()

    def _end(self, error: BaseException | None) -> None:
        tracked, _ = self._held.pop()
        tracked.__exit__(None, error, None)


def quiet(hook: Callable[..., Any]) -> Callable[..., None]:
    """A hook that never raises into the training, except under `strict`, and that answers nothing."""

    @functools.wraps(hook)
    def call(*args: Any, **kwargs: Any) -> None:
        attempt(hook.__qualname__, None, hook, *args, **kwargs)

    return call
