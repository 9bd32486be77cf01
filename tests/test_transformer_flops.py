"""The analytic count of a transformer: by hand, against published models, and against PyTorch's counter."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from joulebook.accounting.errors import InputError
from joulebook.accounting.flops import model_flop_utilization
from joulebook.collectors.flops.transformer import (
    TransformerShape,
    decode_flop,
    forward_flop,
    prefill_flop,
    training_flop,
)

# Two layers of width 8, 2 heads of 4, feed-forward 16 with two matrices, 10 words.
SMALL = TransformerShape(layers=2, hidden=8, heads=2, ffn=16, vocab=10, gated=False)
GPT3 = TransformerShape(layers=96, hidden=12288, heads=96, ffn=4 * 12288, vocab=50257, gated=False)
PALM = TransformerShape(
    layers=118, hidden=18432, heads=48, kv_heads=1, head_dim=256, ffn=4 * 18432, vocab=256_000, gated=True
)
LLAMA3_8B = TransformerShape(layers=32, hidden=4096, heads=32, kv_heads=8, ffn=14336, vocab=128_256)
MIXTRAL = TransformerShape(
    layers=32, hidden=4096, heads=32, kv_heads=8, ffn=14336, vocab=32_000, experts=8, active_experts=2
)


def test_a_small_forward_pass_by_hand():
    """One sequence of 3 tokens. Per token and layer: queries, keys, values, output 4 × 2·8·8 = 512; feed-forward
    2 × 2·8·16 = 512. Per pair and layer: scores and values 2 × 2·8 = 32. Logits of a token 2·8·10 = 160.
    """
    all_pairs = 2 * (3 * (512 + 512) + 9 * 32) + 3 * 160
    assert forward_flop(SMALL, 1, 3) == all_pairs == 7200
    half = 2 * (3 * (512 + 512) + 6 * 32) + 3 * 160  # 1 + 2 + 3 pairs
    assert forward_flop(SMALL, 1, 3, causal_halved=True) == half == 7008
    assert forward_flop(SMALL, 5, 3) == 5 * 7200


@pytest.mark.parametrize(
    ("shape", "matrix_parameters"),
    [
        # per layer 12·h², and the output matrix; published: 175 billion
        (GPT3, 96 * 12 * 12288**2 + 50257 * 12288),
        # queries and output 2·h·48·256, one key and value head 2·h·256, three matrices h·4h: 540.35 billion
        (PALM, 118 * (2 * 18432 * 48 * 256 + 2 * 18432 * 256 + 3 * 4 * 18432**2) + 256_000 * 18432),
        # 8 of 32 heads for keys and values; with the input table 8.03 billion
        (LLAMA3_8B, 32 * (2 * 4096**2 + 2 * 4096 * 1024 + 3 * 4096 * 14336) + 128_256 * 4096),
        # two of eight experts and the router; with the input table 12.9 billion active
        (MIXTRAL, 32 * (2 * 4096**2 + 2 * 4096 * 1024 + 2 * 3 * 4096 * 14336 + 4096 * 8) + 32_000 * 4096),
    ],
)
def test_training_is_6nd_and_the_attention_of_palm_appendix_b(shape, matrix_parameters):
    """Per token 6·N + 12·L·H·Q·T."""
    attention = 12 * shape.layers * shape.heads * shape.head_width * 2048
    step = training_flop(shape, 4, 2048)
    assert step.model_flop == 4 * 2048 * (6 * matrix_parameters + attention)


def test_the_size_of_published_models():
    """Matrix parameters = forward FLOP of a token less its attention ÷ 2, and the input table where it is not tied."""
    tables = {GPT3: 0, PALM: 0, LLAMA3_8B: 128_256 * 4096, MIXTRAL: 32_000 * 4096}
    billions = []
    for shape, table in tables.items():
        attention = 4 * shape.layers * shape.heads * shape.head_width
        billions.append(((forward_flop(shape, 1, 1) - attention) // 2 + table) / 1e9)
    assert billions == pytest.approx([174.6, 540.35, 8.03, 12.88], rel=5e-4)


def test_the_utilisation_that_palm_published():
    """238.3 thousand tokens a second on 6,144 TPU v4 of 275 TFLOP/s: 46.2 % (45.7 % without attention)."""
    per_token = training_flop(PALM, 1, 2048).model_flop / 2048
    mfu = model_flop_utilization(238_300 * per_token, 1.0, 6144 * 275e12)
    assert mfu == pytest.approx(0.462, abs=5e-4)


def test_only_the_hardware_computes_again():
    """One sequence of 3: the layers forward 2·(3·1024 + 288) = 6720, of which attention 576; three passes 21600."""
    assert training_flop(SMALL, 1, 3) == (21600, 21600)
    assert training_flop(SMALL, 1, 3, recompute="selective") == (21600, 21600 + 576)
    assert training_flop(SMALL, 1, 3, recompute="full") == (21600, 21600 + 6720)
    assert training_flop(SMALL, 1, 3, recompute="full", causal_halved=True) == (3 * 7008, 3 * 7008 + 6720 - 192)


def test_full_recomputation_is_8nd():
    """Four passes in place of three: 4/3, less the logits, which nobody computes again."""
    step = training_flop(GPT3, 1, 2048, recompute="full")
    logits = 2048 * 2 * 12288 * 50257
    assert step.hardware_flop == step.model_flop * 4 // 3 - logits


def test_an_answer_by_hand():
    """A prompt of 3 and an answer of 3: the prefill gives the first token, two passes behind 3 tokens the others.

    Prefill: 2·(3·1024 + 9·32) + 160 = 6880. Passes: 2 tokens with 4 and 5 keys, 2·(2·1024 + 9·32) + 2·160 = 4992.
    """
    assert prefill_flop(SMALL, 1, 3) == 6880
    assert decode_flop(SMALL, 1, 3, 2) == 4992
    assert decode_flop(SMALL, 7, 3, 2) == 7 * 4992
    assert decode_flop(SMALL, 1, 3, 0) == 0


@given(st.integers(1, 8), st.integers(1, 500), st.integers(1, 500))
@settings(deadline=None, max_examples=50)
def test_word_by_word_is_as_much_as_all_at_once(batch, before, after):
    """With the KV cache nothing is computed twice: any cut of a sequence costs what the whole costs."""
    whole = forward_flop(LLAMA3_8B, batch, before + after, causal_halved=True)
    assert decode_flop(LLAMA3_8B, batch, 0, before + after) == whole
    assert decode_flop(LLAMA3_8B, batch, 0, before) + decode_flop(LLAMA3_8B, batch, before, after) == whole


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"heads": 3}, "3 heads do not divide a width of 8: give head_dim"),
        ({"layers": 0, "kv_heads": -1}, "at least one of each: layers, kv_heads"),
    ],
)
def test_what_is_no_transformer(wrong, told):
    with pytest.raises(InputError, match=told):
        TransformerShape(**{"layers": 2, "hidden": 8, "heads": 2, "ffn": 16, "vocab": 10, **wrong})


def test_an_unknown_recomputation():
    with pytest.raises(InputError, match="recompute is none of none, selective, full: 'some'"):
        training_flop(SMALL, 1, 3, recompute="some")
