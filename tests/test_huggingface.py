"""The callback for the Hugging Face Trainer, against the real one: a model of random weights, made from its config."""

from __future__ import annotations

import pickle
from types import SimpleNamespace

import pytest
from recording import DialMeter, amount, events, fresh_settings, names_and_parents, of, python, span

from joulebook import configure, track

pytestmark = pytest.mark.filterwarnings("ignore")  # of the libraries

# What one training here is made of: 8 texts of 10 tokens, 2 a step, 2 epochs.
STEPS = 2 * 4
TOKENS = 2 * 8 * 10


@pytest.fixture
def dial():
    meter = DialMeter(gpu=0.0)
    with fresh_settings():
        configure(meters=[meter])
        yield meter


@pytest.fixture
def make(dial, tmp_path, monkeypatch):
    """Makes a Trainer whose model uses 5 J in each step of training and 1 J in each of evaluation."""
    reason = "transformers is not installed: pip install 'joulebook[huggingface]'"
    transformers = pytest.importorskip("transformers", reason=reason)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    shape = dict.fromkeys(("vocab_size", "intermediate_size", "max_position_embeddings"), 32)
    config = transformers.LlamaConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2, **shape
    )

    class Model(transformers.LlamaForCausalLM):
        fails_at_j = float("inf")

        def forward(self, *args, **kwargs):
            dial.values["gpu"] += 5 if self.training else 1
            if dial.values["gpu"] > self.fails_at_j:
                raise RuntimeError("CUDA out of memory")
            return super().forward(*args, **kwargs)

    text = list(range(10))
    texts = [{"input_ids": text, "labels": text}] * 8

    def make(callback, **given):
        settings = {"num_train_epochs": 2, "eval_strategy": "epoch", "save_strategy": "no"} | given
        arguments = transformers.TrainingArguments(
            str(tmp_path / "out"), per_device_train_batch_size=2, per_device_eval_batch_size=4,
            use_cpu=True, report_to=[], disable_tqdm=True, remove_unused_columns=False, label_names=["labels"],
            **settings,
        )  # fmt: skip
        return transformers.Trainer(
            Model(config), arguments, train_dataset=texts, eval_dataset=texts, callbacks=[callback],
            compute_metrics=lambda _: {"accuracy": 0.25},
        )  # fmt: skip

    return make


def callback(**given):
    from joulebook.collectors.integrations.huggingface import JoulebookCallback

    return JoulebookCallback(**given)


def arguments(world_size=1, process_index=0, mode="not_parallel"):
    """What the callback reads of the arguments of a training."""
    parallel_mode = SimpleNamespace(value=mode)
    return SimpleNamespace(
        run_name=None, output_dir="out", world_size=world_size, process_index=process_index, parallel_mode=parallel_mode
    )


def test_a_training_is_a_run_with_its_epochs_steps_metrics_and_flop(make, home):
    trainer = make(callback(project="search"))
    trainer.train()
    found = events(home)
    start, end = span(found, "train")
    assert (start["project"], "parent_id" in start, "tags" in start, end["ok"]) == ("search", False, False, True)
    assert [begun["parent_id"] for begun in of(found, "span_start")[1:]] == [start["span_id"]] * 2
    assert [begun["name"] for begun in of(found, "span_start")] == ["train", "epoch", "epoch"]
    assert all(ended["ok"] for ended in of(found, "span_end"))
    usage = of(found, "usage")
    assert sum(used["amount"] for used in usage if used["kind"] == "step") == STEPS
    told = [(said["kind"], said["amount"]) for said in of(found, "quality") if said["span_id"] == start["span_id"]]
    losses = [log["eval_loss"] for log in trainer.state.log_history if "eval_loss" in log]
    assert sorted(told) == sorted([*[("eval_loss", loss) for loss in losses], *[("eval_accuracy", 0.25)] * 2])
    (flop,) = [used for used in usage if used["kind"] == "model_flop"]
    parameters = trainer.model.num_parameters(exclude_embeddings=True)
    # One layer: 4 projections of 16 × 16, 3 of 16 × 32, 2 norms of 16; then a norm and the head of 16 × 32.
    assert parameters == 4 * 16 * 16 + 3 * 16 * 32 + 2 * 16 + 16 + 16 * 32
    assert flop["amount"] == 6 * TOKENS * parameters
    assert (flop["method"], flop["source"]) == ("modelled", "transformers total_flos")
    assert "coverage" not in flop


def test_energy_goes_to_the_epoch_and_an_evaluation_after_it_to_the_training(make, home):
    make(callback()).train()
    found = events(home)
    # 8 steps of 5 J, and after each epoch 2 steps of evaluation of 1 J
    assert amount(found, "train", "gpu") == 8 * 5 + 2 * 2 * 1
    epochs = [started["span_id"] for started in of(found, "span_start") if started["name"] == "epoch"]
    edges = [e["counters"][0]["shared"] for one in epochs for e in found if e.get("span_id") == one and "counters" in e]
    assert [edges[1] - edges[0], edges[3] - edges[2]] == [4 * 5, 4 * 5]


def test_the_run_has_the_name_of_the_run(make, home, tmp_path):
    make(callback(), run_name="warm start", num_train_epochs=1).train()
    make(callback(), run_name=str(tmp_path / "out"), num_train_epochs=1).train()  # the default of older versions
    begun = [started["name"] for started in of(events(home), "span_start") if "parent_id" not in started]
    assert begun == ["warm start", "train"]


def test_what_an_exception_left_open_fails_when_the_next_training_begins(make, home, dial):
    failing = make(callback())
    failing.model.fails_at_j = 12  # in the third step
    with pytest.raises(RuntimeError, match="out of memory"):
        failing.train()
    assert of(events(home), "span_end") == []
    make(callback(), run_name="again", eval_strategy="no").train()
    found = events(home)
    ends = {ended["span_id"]: ended for ended in of(found, "span_end")}
    first = [ends[started["span_id"]] for started in of(found, "span_start")[:2]]
    assert [(ended["ok"], ended["error"].split(" that")[0]) for ended in first] == [
        (False, "left by an exception or an interrupt")
    ] * 2
    again, ended = span(found, "again")
    assert ("parent_id" in again, ended["ok"], ended["open"]) == (False, True, 0)
    assert amount(found, "again", "gpu") == 8 * 5  # shared with nobody


def test_a_training_that_finds_a_smaller_batch_begins_anew_in_the_same_callback(make, home):
    mine = callback()
    trainer = make(mine, eval_strategy="no")
    trainer.model.fails_at_j = 12
    with pytest.raises(RuntimeError, match="out of memory"):
        trainer.train()
    trainer.model.fails_at_j = float("inf")
    trainer.train()
    ends = [(ended["ok"], "error" in ended) for ended in of(events(home), "span_end")]
    assert ends == [(False, True)] * 2 + [(True, False)] * 3
    assert mine.run is None


def test_a_block_around_the_training_fails_at_once(make, home):
    mine = callback()
    trainer = make(mine)
    trainer.model.fails_at_j = 12
    with pytest.raises(RuntimeError, match="out of memory"), track("finetune"):
        trainer.train()
    found = events(home)
    ended = span(found, "finetune")[1]
    assert (ended["ok"], ended["error"]) == (False, "RuntimeError: CUDA out of memory")
    assert names_and_parents(home) == {"finetune": None, "train": "finetune", "epoch": "train"}
    mine._training.leave()


def test_a_training_that_goes_on_counts_its_own_flop_only(make, home):
    make(callback(), num_train_epochs=1, save_strategy="epoch").train()
    trainer = make(callback(), run_name="go on")
    trainer.train(resume_from_checkpoint=True)
    found = events(home)
    flop = [used["amount"] for used in of(found, "usage") if used["kind"] == "model_flop"]
    parameters = trainer.model.num_parameters(exclude_embeddings=True)
    assert flop == [6 * TOKENS / 2 * parameters] * 2  # an epoch each
    assert trainer.state.total_flos == 6 * TOKENS * parameters


def test_each_rank_records_its_part_of_what_all_ranks_counted(make, home):
    mine = callback()
    rank = arguments(world_size=4, process_index=3, mode="distributed")
    mine.on_train_begin(rank, SimpleNamespace(total_flos=100.0), None)
    mine.on_train_end(rank, SimpleNamespace(total_flos=900.0), None)
    found = events(home)
    assert span(found, "train")[0]["tags"] == [["rank", "3"]]
    assert [used["amount"] for used in of(found, "usage")] == [(900 - 100) / 4]


def test_no_count_is_no_flop(make, home):
    mine = callback()
    mine.on_train_begin(arguments(), SimpleNamespace(total_flos=0), None)
    mine.on_train_end(arguments(), SimpleNamespace(total_flos=0), None)
    assert of(events(home), "usage") == []


def test_nothing_is_raised_into_the_training(make, home):
    mine = callback()
    mine.on_step_end(None, None, None)
    mine.on_epoch_begin(None, None, None)
    mine.on_epoch_end(None, None, None)
    mine.on_log(None, None, None, logs={"eval_loss": 1.0})
    mine.on_train_begin(None, None, None)  # no arguments at all
    mine.on_train_end(None, None, None)
    assert events(home) == []
    configure(strict=True)
    with pytest.raises(AttributeError, match="run_name"):
        mine.on_train_begin(None, None, None)


def test_a_metric_that_is_no_number_is_a_gap_and_the_others_are_kept(make, home, dial):
    mine = callback()
    mine._training.begin_training("train", None)
    mine.on_log(None, None, None, logs={"eval_report": "good", "eval_loss": 0.5, "eval_runtime": 2.0, "loss": 1.0})
    mine._training.end_training()
    found = events(home)
    assert [(said["kind"], said["amount"]) for said in of(found, "quality")] == [("eval_loss", 0.5)]
    assert [gap["reason"] for gap in of(found, "gap")] == ["quality: the value is not a number"]


def test_it_can_be_sent_to_another_process(make):
    assert pickle.loads(pickle.dumps(callback())).run is None  # noqa: S301 - our own


def test_a_program_that_dies_in_training_is_lost(home):
    pytest.importorskip("transformers", reason="transformers is not installed: pip install 'joulebook[huggingface]'")
    code = """
from types import SimpleNamespace
from joulebook.collectors.integrations.huggingface import JoulebookCallback
alone = SimpleNamespace(run_name="doomed", output_dir="", world_size=1, process_index=0)
JoulebookCallback().on_train_begin(alone, SimpleNamespace(total_flos=0), None)
raise RuntimeError("CUDA out of memory")
"""
    assert python(code, check=False).returncode == 1
    from joulebook.accounting.ledger import ingest, open_ledger

    ingest(home)
    assert open_ledger(home).rows("select name, state from work") == [{"name": "doomed", "state": "lost"}]


def test_without_the_library_one_sentence_says_what_to_install():
    code = """
import sys
sys.modules["transformers"] = None
from joulebook.accounting.errors import MissingExtra
try:
    import joulebook.collectors.integrations.huggingface
except MissingExtra as error:
    print(error)
"""
    wanted = "the Hugging Face callback needs packages that are not installed: pip install 'joulebook[huggingface]'\n"
    assert python(code).stdout == wanted
