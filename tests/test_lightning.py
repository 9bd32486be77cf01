"""The callback for PyTorch Lightning, against the real one, under both of its names."""

from __future__ import annotations

import pickle
from contextlib import suppress
from importlib.util import find_spec
from types import SimpleNamespace

import pytest
from recording import DialMeter, amount, events, fresh_settings, names_and_parents, of, python, span

from joulebook import configure, track

pytestmark = pytest.mark.filterwarnings("ignore")  # of the libraries


@pytest.fixture(params=["lightning.pytorch", "pytorch_lightning"])
def pl(request):
    reason = f"{request.param} is not installed: pip install 'joulebook[lightning]'"
    return pytest.importorskip(request.param, reason=reason)


@pytest.fixture
def dial():
    meter = DialMeter(gpu=0.0)
    with fresh_settings():
        configure(meters=[meter])
        yield meter


@pytest.fixture
def fit(pl, dial, tmp_path):
    """Fits a model that uses 5 J in each of 4 training steps of an epoch, and 1 J in each of 2 of validation."""
    import torch

    class Model(pl.LightningModule):
        def __init__(self, fails_with):
            super().__init__()
            self.layer = torch.nn.Linear(1, 1)
            self.fails_with = fails_with

        def training_step(self, batch, number):
            dial.values["gpu"] += 5
            if self.fails_with and number == 2:
                raise self.fails_with
            loss = self.layer(batch).mean()
            self.log("train_loss", loss)
            return loss

        def validation_step(self, batch, number):
            dial.values["gpu"] += 1
            self.log("val_accuracy", 0.25)
            self.log("hits", float(number))  # the mean of 0 and 1

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

        def train_dataloader(self):
            return torch.utils.data.DataLoader(torch.ones(4, 1))

        def val_dataloader(self):
            return torch.utils.data.DataLoader(torch.ones(2, 1))

    def fit(callback, fails_with=None, epochs=2):
        trainer = pl.Trainer(
            default_root_dir=tmp_path, max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False, callbacks=[callback],
        )  # fmt: skip
        trainer.fit(Model(fails_with))

    return fit


def callback(**given):
    from joulebook.collectors.integrations.lightning import JoulebookCallback

    return JoulebookCallback(**given)


def test_a_fit_is_a_run_with_its_epochs_steps_and_validation(fit, home):
    fit(callback(name="finetune", project="search"))
    found = events(home)
    start, end = span(found, "finetune")
    assert (start["project"], "tags" in start, end["ok"], end["open"]) == ("search", False, True, 0)
    assert [begun.get("parent_id") for begun in of(found, "span_start")] == [None, *[start["span_id"]] * 2]
    assert [begun["name"] for begun in of(found, "span_start")] == ["finetune", "epoch", "epoch"]
    assert all(ended["ok"] for ended in of(found, "span_end"))
    assert sum(used["amount"] for used in of(found, "usage") if used["kind"] == "step") == 2 * 4
    told = [(said["kind"], said["amount"]) for said in of(found, "quality") if said["span_id"] == start["span_id"]]
    assert sorted(told) == [("hits", 0.5)] * 2 + [("val_accuracy", 0.25)] * 2


def test_energy_of_validation_is_in_its_epoch_and_that_of_the_sanity_check_is_not(fit, home):
    fit(callback())
    found = events(home)
    assert amount(found, "fit", "gpu") == 2 + 2 * (4 * 5 + 2)
    epochs = [started["span_id"] for started in of(found, "span_start") if started["name"] == "epoch"]
    edges = [e["counters"][0]["shared"] for one in epochs for e in found if e.get("span_id") == one and "counters" in e]
    assert [edges[1] - edges[0], edges[3] - edges[2]] == [4 * 5 + 2, 4 * 5 + 2]


def test_an_exception_fails_the_fit_and_is_raised_again(fit, home):
    mine = callback()
    with pytest.raises(RuntimeError, match="out of memory"):
        fit(mine, RuntimeError("CUDA out of memory"))
    found = events(home)
    ends = [(ended["ok"], ended["error"]) for ended in of(found, "span_end")]
    assert ends == [(False, "RuntimeError: CUDA out of memory")] * 2
    assert amount(found, "fit", "gpu") == 2 + 3 * 5
    assert mine.run is None
    with track("after"):
        pass
    assert names_and_parents(home) == {"fit": None, "epoch": "fit", "after": None}


def test_an_interrupt_fails_the_fit(fit, home):
    with suppress(SystemExit):  # what Lightning makes of it, since 2.3
        fit(callback(), KeyboardInterrupt())
    ends = [(ended["ok"], ended["error"]) for ended in of(events(home), "span_end")]
    assert ends == [(False, "KeyboardInterrupt")] * 2


def test_each_fit_of_one_callback_is_a_run(fit, home):
    mine = callback()
    fit(mine, epochs=1)
    fit(mine, epochs=1)
    runs = [started["run_id"] for started in of(events(home), "span_start") if "parent_id" not in started]
    assert len(set(runs)) == 2


def test_each_rank_says_which_it_is(pl, dial, home):
    mine = callback()
    mine.on_fit_start(SimpleNamespace(world_size=2, global_rank=1), None)
    mine.on_fit_end(None, None)
    assert span(events(home), "fit")[0]["tags"] == [["rank", "1"]]


def test_nothing_is_raised_into_the_fit(pl, dial, home):
    mine = callback()
    mine.on_train_epoch_start(None, None)
    mine.on_train_batch_end(None, None, None, None, 0)
    mine.on_train_epoch_end(None, None)
    mine.on_exception(None, None, RuntimeError("before it began"))
    mine.on_validation_start(None, None)  # no trainer at all
    mine.on_fit_start(None, None)
    mine.on_fit_end(None, None)
    assert events(home) == []


def test_it_can_be_sent_to_another_process(pl):
    assert pickle.loads(pickle.dumps(callback())).run is None  # noqa: S301 - our own


def test_one_name_of_the_library_is_enough():
    if not find_spec("pytorch_lightning"):
        pytest.skip("pytorch_lightning is not installed")
    code = """
import sys
sys.modules["lightning"] = None
from joulebook.collectors.integrations.lightning import JoulebookCallback
print(JoulebookCallback.__mro__[1].__module__)
"""
    assert python(code).stdout == "pytorch_lightning.callbacks.callback\n"


def test_without_the_library_one_sentence_says_what_to_install():
    code = """
import sys
sys.modules["lightning"] = sys.modules["pytorch_lightning"] = None
from joulebook.accounting.errors import MissingExtra
try:
    import joulebook.collectors.integrations.lightning
except MissingExtra as error:
    print(error)
"""
    wanted = "the Lightning callback needs packages that are not installed: pip install 'joulebook[lightning]'\n"
    assert python(code).stdout == wanted
