"""The FLOP of a transformer, from its shape alone.

    shape = TransformerShape(layers=32, hidden=4096, heads=32, kv_heads=8, ffn=14336, vocab=128256)
    run.flops_per_step(training_flop(shape, batch=8, seq=2048).model_flop, method="analytic")

Matrix products are counted, a multiplication with an addition as two:

    per token and layer    queries and output 4·h·(H·Q), keys and values 4·h·(K·Q), feed-forward 4·h·f, gated 6·h·f,
                           times the experts that a token goes through, and the router's 2·h·E
    per pair of query and key in a layer    4·H·Q, scores and weighted values
    per token              logits 2·h·V

h hidden, H heads, K key-value heads, Q width of a head, f feed-forward, E experts, V vocabulary. The backward pass is
twice the forward pass. So training costs 6·N per token for N parameters in matrices, and 12·L·H·Q·T for attention over
T tokens, as in appendix B of the PaLM paper.

Left out: the table look-up of embeddings, norms, activations, softmax, rotary positions, biases, the optimiser; also
what a fused attention kernel computes again in its backward pass. Together they are small in a model of some width.

`causal_halved`: a causal model needs only the pairs in which the key is not after the query, T·(T+1)/2 of T². By
custom MFU counts all T², and so does PyTorch's counter: False is the default.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from joulebook.accounting.errors import InputError

RECOMPUTE = ("none", "selective", "full")


@dataclass(frozen=True)
class TransformerShape:
    """A decoder, or an encoder, of equal layers. Raises InputError where that is no transformer."""

    layers: int
    hidden: int
    heads: int
    ffn: int  # width of the feed-forward part, or of one expert
    vocab: int
    kv_heads: int | None = None  # grouped queries; 1: multi-query; None: as many as heads
    head_dim: int | None = None  # None: hidden ÷ heads
    gated: bool = True  # three matrices (SwiGLU and the like), else two
    experts: int = 1
    active_experts: int = 1  # that one token goes through, shared ones included

    def __post_init__(self) -> None:
        counts = {name: value for name, value in vars(self).items() if value is not None and name != "gated"}
        small = [name for name, value in counts.items() if value < 1]
        if small:
            raise InputError(f"a transformer has at least one of each: {', '.join(small)}")
        if self.head_dim is None and self.hidden % self.heads:
            raise InputError(f"{self.heads} heads do not divide a width of {self.hidden}: give head_dim")

    @property
    def head_width(self) -> int:
        return self.head_dim or self.hidden // self.heads


class TrainingFlop(NamedTuple):
    """What a training step asks for, and what the device executes for it."""

    model_flop: int
    hardware_flop: int


def forward_flop(shape: TransformerShape, batch: int, seq: int, *, causal_halved: bool = False) -> int:
    """One forward pass over `batch` sequences of `seq` tokens, with the logits of every token. Unit: FLOP."""
    pairs = batch * _pairs(seq, causal_halved)
    return _token_flop(shape, batch * seq) + _attention_flop(shape, pairs) + _logits_flop(shape, batch * seq)


def training_flop(
    shape: TransformerShape, batch: int, seq: int, *, recompute: str = "none", causal_halved: bool = False
) -> TrainingFlop:
    """One forward and backward pass: three forward passes, and for the hardware what it computes again. Unit: FLOP.

    recompute: "full", every layer again, or "selective", the scores and weighted values of attention again.
    """
    if recompute not in RECOMPUTE:
        raise InputError(f"recompute is none of {', '.join(RECOMPUTE)}: {recompute!r}")
    attention = _attention_flop(shape, batch * _pairs(seq, causal_halved))
    again = {"none": 0, "selective": attention, "full": _token_flop(shape, batch * seq) + attention}[recompute]
    model = 3 * forward_flop(shape, batch, seq, causal_halved=causal_halved)
    return TrainingFlop(model, model + again)


def prefill_flop(shape: TransformerShape, batch: int, prompt: int, *, causal_halved: bool = False) -> int:
    """Reading `batch` prompts of `prompt` tokens, up to the first new token of each: one token's logits. Unit: FLOP."""
    pairs = batch * _pairs(prompt, causal_halved)
    return _token_flop(shape, batch * prompt) + _attention_flop(shape, pairs) + _logits_flop(shape, batch)


def decode_flop(shape: TransformerShape, batch: int, context: int, new_tokens: int) -> int:
    """`new_tokens` passes of one token each, behind `context` tokens that are in the KV cache. Unit: FLOP.

    An answer of n tokens to a prompt is `prefill_flop` and n - 1 such passes: the prefill gives the first token.
    """
    pairs = batch * (new_tokens * context + _pairs(new_tokens, causal_halved=True))
    tokens = batch * new_tokens
    return _token_flop(shape, tokens) + _attention_flop(shape, pairs) + _logits_flop(shape, tokens)


def _pairs(seq: int, causal_halved: bool) -> int:
    """Pairs of a query and a key in one sequence."""
    return seq * (seq + 1) // 2 if causal_halved else seq * seq


def _token_flop(shape: TransformerShape, tokens: int) -> int:
    """All layers without what attention does between tokens."""
    kv_heads = shape.kv_heads or shape.heads
    projections = 4 * shape.hidden * shape.head_width * (shape.heads + kv_heads)
    expert = (6 if shape.gated else 4) * shape.hidden * shape.ffn
    router = 2 * shape.hidden * shape.experts if shape.experts > 1 else 0
    return shape.layers * tokens * (projections + expert * shape.active_experts + router)


def _attention_flop(shape: TransformerShape, pairs: int) -> int:
    return shape.layers * pairs * 4 * shape.heads * shape.head_width


def _logits_flop(shape: TransformerShape, tokens: int) -> int:
    return tokens * 2 * shape.hidden * shape.vocab
