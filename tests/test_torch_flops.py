"""Counting a training step with PyTorch: what is counted, what it covers, once, and never to the job's harm."""

from __future__ import annotations

import sys

import pytest
from recording import events, fresh_settings, of

from joulebook import configure, track
from joulebook.accounting.errors import InputError
from joulebook.collectors.flops.torch_counter import count_step
from joulebook.collectors.flops.transformer import TransformerShape, training_flop

WIDTH, BATCH = 64, 8
ONE_PRODUCT = 2 * BATCH * WIDTH * WIDTH  # FLOP of a linear layer over the batch


@pytest.fixture(autouse=True)
def few_threads():
    with fresh_settings():
        yield


@pytest.fixture
def torch():
    found = pytest.importorskip("torch", reason="PyTorch is not installed (it is no dependency): pip install torch")
    found.manual_seed(0)
    return found


@pytest.fixture
def mode(torch):
    from joulebook.collectors.flops.torch_mode import StepMode

    return StepMode


def told(home):
    """The usages of a run: kind -> amounts."""
    amounts: dict[str, list[float]] = {}
    for event in of(events(home), "usage"):
        amounts.setdefault(event["kind"], []).append(event["amount"])
    return amounts


def train(torch, model, batch):
    model(batch).sum().backward()


def test_one_step_is_counted_and_every_step_recorded(home, torch):
    """Forward one product, backward the one for the weights, the batch needing no gradient: 2 products a step."""
    model, batch = torch.nn.Linear(WIDTH, WIDTH), torch.randn(BATCH, WIDTH)
    with track("run") as run:
        for _ in range(3):
            with count_step(run):
                train(torch, model, batch)
            run.step()
    assert told(home) == {"step": [1, 1, 1], "model_flop": [2 * ONE_PRODUCT] * 3}
    flop = [event for event in of(events(home), "usage") if event["kind"] == "model_flop"]
    assert {(event["method"], event["source"]) for event in flop} == {("modelled", "flop_counter")}
    assert {0 < event["coverage"] < 1 for event in flop} == {True}  # the sum has no formula


def test_only_the_first_step_is_slow(torch, monkeypatch):
    """Later steps run without anything in between; a span of its own is counted again."""
    from joulebook.collectors.flops import torch_mode

    entered = []
    enter = torch_mode.StepMode.__enter__
    monkeypatch.setattr(torch_mode.StepMode, "__enter__", lambda self: entered.append(self) or enter(self))
    with track("run") as run:
        for _ in range(5):
            with count_step(run):
                pass  # not even a step whose FLOP nobody knows is counted twice
        assert len(entered) == 1
        with track("other") as other, count_step(other):
            pass
        assert len(entered) == 2


def test_without_steps_nothing_is_recorded(home, torch):
    with track("run") as run, count_step(run):
        torch.ones(4, 4) @ torch.ones(4, 4)
    assert told(home) == {}


def test_a_step_that_fails_is_not_the_one(home, torch):
    with track("run") as run:
        with pytest.raises(ZeroDivisionError), count_step(run):
            torch.ones(4, 4) @ torch.ones(4, 4) / (1 // 0)
        run.step()
        with count_step(run):
            torch.ones(2, 8) @ torch.ones(8, 2)
        run.step()
    assert told(home) == {"step": [1, 1], "model_flop": [2 * 2 * 8 * 2]}


def test_the_hardware_computes_again(home, torch):
    """Four products: forward, forward again, and backward one for the weights and one for the batch."""
    from torch.utils.checkpoint import checkpoint, set_checkpoint_early_stop

    model, batch = torch.nn.Linear(WIDTH, WIDTH), torch.randn(BATCH, WIDTH, requires_grad=True)
    with track("run") as run:
        with set_checkpoint_early_stop(False), count_step(run, kind="hardware"):
            checkpoint(model, batch, use_reentrant=False).sum().backward()
        run.step()
    assert told(home) == {"step": [1], "hardware_flop": [4 * ONE_PRODUCT]}


def test_a_step_without_known_flop_is_unknown_not_zero(home, torch):
    with track("run") as run:
        with count_step(run):
            torch.ones(8).sum()
        run.step()
    assert told(home) == {"step": [1]}
    (gap,) = of(events(home), "gap")
    assert gap["reason"].startswith("count_step: no operation was seen whose FLOP PyTorch knows")


def test_without_pytorch_the_job_goes_on(home, monkeypatch):
    monkeypatch.setitem(sys.modules, "joulebook.collectors.flops.torch_mode", None)
    monkeypatch.setitem(sys.modules, "torch", None)
    work = []
    with track("run") as run:
        for n in range(2):
            with count_step(run):
                work.append(n)
            run.step()
    assert work == [0, 1]
    assert told(home) == {"step": [1, 1]}
    (gap,) = of(events(home), "gap")
    assert gap["reason"].startswith("count_step: PyTorch cannot be loaded (")
    configure(strict=True)
    with pytest.raises(InputError, match="pip install torch"), track("run") as run, count_step(run):
        pass


# What is seen -----------------------------------------------------------------------------------------------------


def transformer(torch, shape):
    """A decoder of that shape, its matrices only: no norms, no biases."""
    from torch import nn

    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            kv_width = (shape.kv_heads or shape.heads) * shape.head_width
            self.q = nn.Linear(shape.hidden, shape.heads * shape.head_width, bias=False)
            self.k, self.v = (nn.Linear(shape.hidden, kv_width, bias=False) for _ in "kv")
            self.o = nn.Linear(shape.heads * shape.head_width, shape.hidden, bias=False)
            self.router = nn.Linear(shape.hidden, shape.experts, bias=False) if shape.experts > 1 else None
            self.experts = nn.ModuleList(self.expert() for _ in range(shape.experts))

        @staticmethod
        def expert():
            widths = [(shape.hidden, shape.ffn)] * (2 if shape.gated else 1) + [(shape.ffn, shape.hidden)]
            return nn.ModuleList(nn.Linear(*width, bias=False) for width in widths)

        @staticmethod
        def through(expert, x):
            inner = torch.relu(expert[0](x))
            return expert[-1](inner * expert[1](x) if shape.gated else inner)

        def feed_forward(self, x):
            if self.router is None:
                return self.through(self.experts[0], x)
            weight, chosen = self.router(x).softmax(-1).topk(shape.active_experts)
            out = torch.zeros_like(x)
            for number, expert in enumerate(self.experts):
                row, place = (chosen == number).nonzero(as_tuple=True)
                out = out.index_add(0, row, self.through(expert, x[row]) * weight[row, place, None])
            return out

        def forward(self, x):
            batch, seq, _ = x.shape
            q, k, v = (f(x).view(batch, seq, -1, shape.head_width).transpose(1, 2) for f in (self.q, self.k, self.v))
            seen = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
            x = x + self.o(seen.transpose(1, 2).reshape(batch, seq, -1))
            return x + self.feed_forward(x.reshape(batch * seq, -1)).view_as(x)

    table, layers = nn.Embedding(shape.vocab, shape.hidden), [Layer() for _ in range(shape.layers)]
    return nn.Sequential(table, *layers, nn.Linear(shape.hidden, shape.vocab, bias=False))


SHAPES = {
    "dense": TransformerShape(layers=2, hidden=128, heads=4, ffn=512, vocab=200, gated=False),
    "grouped and gated": TransformerShape(layers=2, hidden=128, heads=4, kv_heads=2, ffn=352, vocab=200),
    "multi-query": TransformerShape(layers=1, hidden=128, heads=4, kv_heads=1, head_dim=16, ffn=256, vocab=100),
    "experts": TransformerShape(layers=2, hidden=64, heads=4, ffn=128, vocab=100, experts=4, active_experts=2),
}


@pytest.mark.parametrize("attention", ["MATH", "FLASH_ATTENTION"])
@pytest.mark.parametrize("name", SHAPES)
def test_pytorch_and_the_formulas_of_a_transformer_agree(torch, mode, name, attention):
    """Within 2 %, and exactly but for the fused kernel: it computes the scores again in its backward pass, half of
    what attention takes forward. `selective` recomputes all of that.
    """
    from torch.nn.attention import SDPBackend, sdpa_kernel

    shape, batch, seq = SHAPES[name], 4, 32
    model, words = transformer(torch, shape), torch.randint(shape.vocab, (batch, seq))
    with sdpa_kernel(getattr(SDPBackend, attention)), mode() as counted:
        model(words).logsumexp(-1).mean().backward()
    model_flop, with_attention_again = training_flop(shape, batch, seq, recompute="selective")
    scores_again = 0 if attention == "MATH" else (with_attention_again - model_flop) // 2
    assert counted.flop == model_flop + scores_again
    assert counted.flop == pytest.approx(model_flop, rel=0.02)


def test_the_count_is_that_of_flop_counter_mode(torch, mode):
    from torch.utils.flop_counter import FlopCounterMode

    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(8 * 16 * 16, 10)
    )
    images = torch.randn(4, 3, 16, 16)
    with FlopCounterMode(display=False) as theirs:
        train(torch, model, images)
    with mode() as ours:
        train(torch, model, images)
    assert ours.flop == theirs.get_total_flops()
    # forward and weights, for the images no gradient: 2 × 2·4·8·16·16·3·3·3; the linear layer 3 × 2·4·2048·10
    assert ours.flop == 2 * (2 * 4 * 8 * 16 * 16 * 27) + 3 * (2 * 4 * 2048 * 10)


def test_coverage_is_the_share_of_time_in_what_has_a_formula(torch, mode, monkeypatch):
    """A clock that ticks once at each look: every operation takes 1. The product is known, the other two are not and
    the transposition is free: 1 of 3. Then the device works for 10 more before each of the 4 and at the end: 1 of 53.
    """
    from joulebook.collectors.flops import torch_mode

    def step():
        (torch.ones(4, 8) @ weights.t()).relu()

    weights = torch.ones(4, 8)
    monkeypatch.setattr(torch_mode.time, "perf_counter_ns", iter(range(1000)).__next__)
    with mode() as counted:
        step()
    assert counted.coverage() == 1 / 3
    monkeypatch.setattr(torch_mode, "_wait", lambda: 10)
    with mode() as counted:
        step()
    assert counted.coverage() == 1 / 53
    monkeypatch.setattr(torch_mode, "_wait", lambda: 0)
    assert mode().coverage() is None  # nothing was seen


def test_a_formula_that_does_not_fit_is_a_hole_not_an_error(torch, mode, monkeypatch):
    def no_formula(*_, **__):
        raise AssertionError("shapes")

    counted = mode()
    monkeypatch.setitem(counted._formulas, torch.ops.aten.mm, no_formula)
    with counted:
        product = torch.ones(2, 3) @ torch.ones(3, 2)
    assert product.tolist() == [[3, 3], [3, 3]]
    assert (counted.flop, counted.coverage()) == (0, 0)


def test_a_compiled_model_stays_compiled(torch, mode):
    compiled = []

    def backend(graph, inputs):
        compiled.append(graph)
        return graph.forward

    model, batch = torch.nn.Linear(WIDTH, WIDTH), torch.randn(BATCH, WIDTH)
    faster = torch.compile(model, backend=backend, fullgraph=True)
    with mode() as counted:
        train(torch, faster, batch)
    assert (len(compiled), counted.flop) == (1, 2 * ONE_PRODUCT)


def test_branches_and_the_like_work_and_have_no_formula(torch, mode):
    with mode() as counted:
        square = torch.cond(torch.tensor(True), lambda x: x @ x, lambda x: x + 1, (2 * torch.eye(2),))
    assert square.tolist() == [[4, 0], [0, 4]]
    assert (counted.flop, counted.coverage()) == (0, 0)


def test_a_distributed_tensor_counts_what_this_process_does(torch, mode):
    """A matrix cut in two columns of blocks: this process has 16 of 32 columns, 2·8·16·16 FLOP."""
    distributed = pytest.importorskip("torch.distributed.tensor", reason="PyTorch was built without distributed")
    from torch.distributed.device_mesh import init_device_mesh
    from torch.testing._internal.distributed.fake_pg import FakeStore

    torch.distributed.init_process_group("fake", rank=0, world_size=2, store=FakeStore())
    try:
        mesh = init_device_mesh("cpu", (2,))
        left = distributed.distribute_tensor(torch.randn(8, 16), mesh, [distributed.Replicate()])
        right = distributed.distribute_tensor(torch.randn(16, 32), mesh, [distributed.Shard(1)])
        with mode() as counted:
            left @ right
    finally:
        torch.distributed.destroy_process_group()
    assert counted.flop == 2 * 8 * 16 * 16
