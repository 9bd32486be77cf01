"""The jobs of `joulebook demo`, each a process of its own: `python -m joulebook.cli.demo_jobs digits|crash|killed`."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any

from joulebook import track

EPOCHS = 150
TREES = 100


def digits() -> None:
    """Train two classifiers on scikit-learn's bundled handwritten digits (1,797 images of 8 × 8)."""
    with track("digits", project="demo", tags={"data": "sklearn-digits", "task": "classification"}) as run:
        with track("load") as span:
            from sklearn.datasets import load_digits
            from sklearn.model_selection import train_test_split

            data: Any = load_digits()
            split = train_test_split(
                data.data / 16.0, data.target, test_size=0.25, random_state=0, stratify=data.target
            )
            span.record("images", len(data.target), "image")
        _multilayer_perceptron(*split)
        _boosted_forest(*split)
        run.note("1,797 images of handwritten digits, a quarter held out; seed 0.")


def _multilayer_perceptron(train_x: Any, test_x: Any, train_y: Any, test_y: Any) -> None:
    from sklearn.neural_network import MLPClassifier

    with track("mlp"):
        model = MLPClassifier(hidden_layer_sizes=(256, 128), random_state=0)
        with track("fit") as span:
            for _ in range(EPOCHS):
                model.partial_fit(train_x, train_y, classes=range(10))
                span.step()
        with track("evaluate") as span:
            span.quality("accuracy", float(model.score(test_x, test_y)))


def _boosted_forest(train_x: Any, test_x: Any, train_y: Any, test_y: Any) -> None:
    from sklearn.ensemble import HistGradientBoostingClassifier

    with track("boosted-forest"):
        model = HistGradientBoostingClassifier(max_iter=TREES, random_state=0)
        with track("fit") as span:
            model.fit(train_x, train_y)
            span.step(TREES)
        with track("evaluate") as span:
            span.quality("accuracy", float(model.score(test_x, test_y)))


def crash() -> None:
    """A job that fails in its innermost span: what was recorded until then stays, with the error."""
    with track("sweep", project="demo", tags={"grid": "3x3"}), track("trial-1"), track("fit") as span:
        span.step(2)
        sum(number * number for number in range(3_000_000))
        raise RuntimeError("the learning rate was too high: loss is not finite")


def killed() -> None:
    """A job that the kernel ends without a word, as it does when memory runs out."""
    with track("oom-killed", project="demo"), track("allocate"):
        deadline = time.monotonic() + 2.5
        while time.monotonic() < deadline:
            sum(number * number for number in range(1_000_000))
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    {"digits": digits, "crash": crash, "killed": killed}[sys.argv[1]]()
