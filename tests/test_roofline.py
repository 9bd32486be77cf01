"""The roofline: sums by hand, what must always hold, config.json files, the catalogues, the fit, and the command."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from joulebook.accounting import accelerators
from joulebook.accounting.errors import InputError, NotFound
from joulebook.accounting.site import Site
from joulebook.cli import main
from joulebook.models.footprint import Call, footprints, place_for
from joulebook.models.roofline import catalogue, hardware, power, stacks
from joulebook.models.roofline.cards import Experts, Latent, ModelCard, Window
from joulebook.models.roofline.config_json import card_of, read_config
from joulebook.models.roofline.estimate import Load, Setup, estimate
from joulebook.models.roofline.fit import GRAPH, Measured, fit, half_width, log_errors, predicted_s
from joulebook.models.roofline.hardware import Accelerator
from joulebook.models.roofline.memory import fewest_gpus, most_sequences, room_bytes, weight_memory_bytes
from joulebook.models.roofline.power import Split, energy_j
from joulebook.models.roofline.precision import PRECISIONS
from joulebook.models.roofline.step import (
    PHYSICAL,
    Constants,
    Machine,
    Step,
    seen_tokens,
    times_of,
    touched_experts,
    weight_bytes,
    work_of,
)

TABLES = Path(__file__).parents[1] / "data" / "tables"
BF16 = PRECISIONS["bf16"]
# width 4, 2 heads of 2, one of keys and values, 3 × 4 × 8 weights: 4 × (4 + 2) × 2 + 96 = 48 + 96 = 144 a layer
TINY = ModelCard("tiny", 2, 4, 2, 1, 2, 8, 10)
# 1 kFLOP/s, 100 B/s, links of 50 B/s, 10 W
TOY = Accelerator("toy", "NVIDIA", 1e12, 100.0, 50.0, 8, 10.0, {"bf16": 1000.0, "fp8": 2000.0})
LLAMA = catalogue.find("llama-3.1-8b")


def tiny_step(**changes) -> Step:
    return Step(**{"new_tokens": 3.0, "sequences": 1.0, "context_tokens": 5.0, **changes})


# Sums by hand ------------------------------------------------------------------------------------------------------


def test_parameters_of_a_published_model():
    # Llama-3.1-8B. attention: 2 × 4096 × 128 × (32 + 8) = 41,943,040; feed-forward: 3 × 4096 × 14336 = 176,160,768
    # 32 layers: 6,979,321,856; embedding and output layer: 2 × 4096 × 128,256 = 1,050,673,152; together 8.03e9
    assert LLAMA.attention_parameters == 41_943_040
    assert LLAMA.always_read == 32 * (41_943_040 + 176_160_768)
    assert LLAMA.parameters == 6_979_321_856 + 1_050_673_152
    assert LLAMA.cache_values * LLAMA.layers * 2 == 131_072  # bytes a token: 2 × 8 × 128 × 32 × 2


def test_parameters_of_experts_and_latent_attention():
    # DeepSeek-V3: 671e9 parameters, of which a token goes through 37e9; the cache of a token in a layer: 512 + 64
    card = catalogue.find("deepseek-v3")
    assert card.parameters == pytest.approx(671.0e9, rel=1e-3)
    assert card.active_parameters == pytest.approx(37e9, rel=0.02)
    assert (card.cache_values, card.cache_copies) == (576, 1)


def test_the_work_of_a_step_by_hand():
    # 2 layers of 144 weights: 3 tokens × 2 × 288 = 1728 FLOP, 288 × 2 B = 576 B
    # attention: 3 × 5 pairs × 4 × 2 heads × 2 × 2 layers = 480 FLOP; cache: 5 × 4 numbers × 2 layers × 2 B = 80 B
    # output layer, once a sequence: 2 × 4 × 10 = 80 FLOP, 80 B
    work = work_of(TINY, tiny_step(), Machine(TOY, BF16))
    assert (work.weight_flop, work.weight_bytes) == (1728, 576)
    assert (work.cache_flop, work.cache_bytes) == (480, 80)
    assert (work.head_flop, work.head_bytes) == (80, 80)
    assert work.messages == work.handovers == 0


def test_the_time_of_a_step_by_hand():
    # weights: max(1.728 s, 5.76 s) reading; cache: max(0.48, 0.8) reading; output layer: max(0.08, 0.8) reading: 7.36 s
    times = times_of(work_of(TINY, tiny_step(), Machine(TOY, BF16)), tiny_step(), TINY, Machine(TOY, BF16), PHYSICAL)
    assert (times.compute_s, times.memory_s) == (0, pytest.approx(7.36))
    # at half the bandwidth twice as long; 2 layers × 0.1 s + 1 s a step + 0.5 s a sequence beside it
    slow = Constants(bandwidth_share=0.5, layer_s=0.1, step_s=1.0, sequence_s=0.5)
    times = times_of(work_of(TINY, tiny_step(), Machine(TOY, BF16)), tiny_step(), TINY, Machine(TOY, BF16), slow)
    assert (times.memory_s, times.overhead_s) == (pytest.approx(14.72), pytest.approx(1.7))


def test_many_tokens_compute_and_few_read():
    # 30 tokens × 576 FLOP = 17.28 s of computing, above the 5.76 s that reading the weights takes
    step = tiny_step(new_tokens=30.0)
    times = times_of(work_of(TINY, step, Machine(TOY, BF16)), step, TINY, Machine(TOY, BF16), PHYSICAL)
    assert times.compute_s == pytest.approx(17.28 + 4.8)  # the weights, and 150 pairs × 32 FLOP of attention
    assert times.memory_s == pytest.approx(0.8)  # the output layer still reads


def test_two_gpus_by_hand():
    # each half the weights; the cache of one KV head is whole on both; 2 messages a layer of 2 × ½ × 3 × 4 × 2 B = 24 B
    machine = Machine(TOY, BF16, tensor_parallel=2)
    work = work_of(TINY, tiny_step(), machine)
    assert (work.weight_bytes, work.cache_bytes, work.messages, work.message_bytes) == (288, 80, 4, 24)
    times = times_of(work, tiny_step(), TINY, machine, Constants(message_s=0.01))
    assert times.communication_s == pytest.approx(4 * (0.01 + 24 / 50))


def test_a_pipeline_hands_over_and_costs_more_gpus():
    machine = Machine(TOY, BF16, pipeline_parallel=3)
    work = work_of(TINY, tiny_step(), machine)
    times = times_of(work, tiny_step(), TINY, machine, PHYSICAL)
    assert machine.gpus == 3
    assert times.memory_s == pytest.approx(7.36)  # one group after the other
    assert times.communication_s == pytest.approx(2 * 24 / 50)  # 3 tokens × 4 × 2 B, twice


def test_launches_of_an_eager_stack_run_ahead():
    machine, step = Machine(TOY, BF16), tiny_step()
    work = work_of(TINY, step, machine)
    hidden = times_of(work, step, TINY, machine, Constants(layer_s=3.0, hidden=True))
    assert hidden.overhead_s == 0  # 6 s of launching are hidden behind 7.36 s of work
    late = times_of(work, step, TINY, machine, Constants(layer_s=5.0, hidden=True))
    assert late.total_s == pytest.approx(10.0)  # 10 s of launching hide the work


def test_experts_that_some_token_chooses():
    # 8 experts, 2 each: one token touches 2, two tokens 8 × (1 − 0.75²) = 3.5, many all
    assert touched_experts(1.0, 8, 2) == pytest.approx(2)
    assert touched_experts(2.0, 8, 2) == pytest.approx(3.5)
    assert touched_experts(1000.0, 8, 2) == pytest.approx(8)
    moe = replace(TINY, experts=Experts(8, 2))
    # always: 48 × 2 layers + routers 4 × 8 × 2 = 160; chosen: 2 × 96 × 2 = 384 of one token
    assert weight_bytes(moe, 1.0, BF16) == pytest.approx((160 + 384) * 2)
    # four bits for the experts alone: 160 × 2 B + 384 × 0.53125 B
    assert weight_bytes(moe, 1.0, PRECISIONS["mxfp4"]) == pytest.approx(320 + 204)


def test_a_window_ends_what_a_layer_sees():
    card = replace(TINY, window=Window(1, 4))  # one of two layers sees the last 4
    assert seen_tokens(card, 3.0) == 3
    assert seen_tokens(card, 10.0) == 7  # (10 + 4) ÷ 2


def test_latent_attention_multiplies_more_to_read_less():
    card = replace(TINY, latent=Latent(0, 3, 2, 1, 2))
    decode = work_of(card, tiny_step(new_tokens=1.0), Machine(TOY, BF16, 2))
    assert decode.cache_bytes == 5 * 4 * 2 * 2  # 5 tokens × (3 + 1) × 2 layers × 2 B, whole on both GPUs
    assert decode.cache_flop == 5 * 2 * 2 * 2 * (2 * 3 + 1) / 2  # 5 pairs × 2 layers × 2 × 2 heads × 7, halved
    prefill = work_of(card, tiny_step(decoding=False), Machine(TOY, BF16))
    assert prefill.cache_flop == 15 * 2 * 2 * 2 * (2 + 1 + 2)


def test_fewer_bits_are_read_faster_and_multiplied_in_their_dtype():
    step = tiny_step(new_tokens=30.0)
    fp8 = Machine(TOY, PRECISIONS["fp8"])
    work = work_of(TINY, step, fp8)
    assert work.weight_bytes == 288
    times = times_of(work, step, TINY, fp8, PHYSICAL)
    assert times.compute_s == pytest.approx(17.28 / 2 + 4.8)  # attention stays in 16 bits


def test_energy_of_a_step_by_hand():
    # 7.36 s × 2 W awake + 736 B × 0.5 × 10 W ÷ 100 B/s + 2288 FLOP × 1.5 × 10 W ÷ 1000 FLOP/s = 14.72 + 36.8 + 34.32
    work = work_of(TINY, tiny_step(), Machine(TOY, BF16))
    split = Split("toy", 0.2, 0.5, 1.5, 0.1, measured=True, source="")
    assert energy_j(work, 10.0, Machine(TOY, BF16), split) == pytest.approx(20 + 36.8 + 34.32)
    assert energy_j(work, 7.36, Machine(TOY, BF16), split) == pytest.approx(73.6)  # no more than its TDP


def test_what_fits_by_hand():
    # Llama-3.1-8B in 16 bits: 16.06 GB; an H100 has 0.9 × 85.9 − 3.5 = 73.8 GB: 57.7 GB for caches of 131,072 B a token
    h100 = Machine(hardware.find("H100"), BF16)
    assert weight_memory_bytes(LLAMA, h100) == pytest.approx(16.06e9, rel=1e-3)
    assert room_bytes(LLAMA, h100) == pytest.approx(0.9 * 80 * 2**30 - 3.5e9 - LLAMA.parameters * 2)
    assert most_sequences(LLAMA, h100, 1000.0) == pytest.approx(57.75e9 / 131.072e6, rel=1e-3)


def test_fewest_gpus():
    # 70.6e9 × 2 B = 141 GB: two hold the weights and one request; 405.8e9 × 2 B = 812 GB: a second node
    h100 = Machine(hardware.find("H100"), BF16)
    assert fewest_gpus(LLAMA, h100, 1000.0, 1.0).gpus == 1
    assert fewest_gpus(catalogue.find("llama-3.1-70b"), h100, 1000.0, 1.0).gpus == 2
    assert fewest_gpus(catalogue.find("llama-3.1-70b"), h100, 8000.0, 32.0).gpus == 4
    large = fewest_gpus(catalogue.find("llama-3.1-405b"), h100, 1000.0, 1.0)
    assert (large.tensor_parallel, large.pipeline_parallel) == (8, 2)


def test_a_request_is_its_prompt_and_its_steps():
    setup, load = Setup(LLAMA, hardware.find("H100"), tensor_parallel=1), Load(1024.0, 128.0, 16.0)
    told = estimate(setup, load)
    first, token = told.time_to_first_token_s.mid, told.per_output_token_s.mid
    assert told.runtime_s.mid == pytest.approx(first + 127 * token)
    assert told.gpu_seconds.mid == pytest.approx(told.runtime_s.mid / 16)
    assert told.cost_usd.mid == pytest.approx(told.gpu_seconds.mid * 3.99 / 3600)
    assert told.it_energy_j.mid == pytest.approx(told.energy_j.mid + 150 * told.gpu_seconds.mid)
    # LLM-Inference-Bench measured 0.4257 s and (11.02 − 0.43) ÷ 1023 = 10.4 ms for 1024 tokens in and out
    same = estimate(setup, Load(1024.0, 1024.0, 16.0))
    assert same.time_to_first_token_s.mid == pytest.approx(0.4257, rel=0.1)
    assert same.per_output_token_s.mid == pytest.approx(10.36e-3, rel=0.1)


def test_who_comes_one_after_the_other_waits_for_his_own_prompt_and_shares_the_steps():
    setup = Setup(LLAMA, hardware.find("H100"), tensor_parallel=1)
    together, steady = (estimate(setup, Load(1000.0, 200.0, 8.0, steady=each)) for each in (False, True))
    alone = estimate(setup, Load(1000.0, 200.0))
    assert steady.time_to_first_token_s.mid == pytest.approx(alone.time_to_first_token_s.mid)
    others = 7 * alone.time_to_first_token_s.mid / 200
    assert steady.per_output_token_s.mid == pytest.approx(together.per_output_token_s.mid + others)
    assert steady.energy_j.mid == pytest.approx(together.energy_j.mid)


def test_more_requests_than_fit_wait():
    setup = Setup(LLAMA, hardware.find("H100"), tensor_parallel=1)
    full, over = (estimate(setup, Load(4000.0, 1000.0, batch)) for batch in (80.0, 800.0))
    assert over.running == pytest.approx(57.75e9 / (131_072 * 5000), rel=1e-3)  # 88 requests of 5000 tokens
    assert (full.waves, over.waves) == (1, pytest.approx(800 / over.running))
    assert over.runtime_s.mid > full.runtime_s.mid * 9


def test_a_cached_prompt_costs_its_reading_only():
    setup = Setup(LLAMA, hardware.find("H100"), tensor_parallel=1)
    fresh, cached = (estimate(setup, Load(20_000.0, 10.0, 1.0, tokens)) for tokens in (0.0, 19_000.0))
    assert cached.time_to_first_token_s.mid < 0.2 * fresh.time_to_first_token_s.mid
    assert cached.per_output_token_s.mid == fresh.per_output_token_s.mid  # its cache is read at each step all the same


def test_what_cannot_be():
    setup = Setup(LLAMA, hardware.find("H100"))
    for wrong in ({"batch": 0.5}, {"prompt_tokens": -1.0}, {"cached_tokens": 2000.0}):
        with pytest.raises(InputError):
            Load(**{"prompt_tokens": 1000.0, "output_tokens": 10.0, **wrong})
    with pytest.raises(InputError, match="the precision 'fp3' is not known"):
        estimate(replace(setup, precision="fp3"), Load(10.0, 10.0))
    with pytest.raises(InputError, match=r"do not fit 1 × H100 SXM5: that takes at least 16"):
        estimate(Setup(catalogue.find("llama-3.1-405b"), hardware.find("H100"), tensor_parallel=1), Load(10.0, 10.0))
    with pytest.raises(InputError, match="'x' is not known; there are: "):
        estimate(replace(setup, stack="x"), Load(10.0, 10.0))


# What must always hold ---------------------------------------------------------------------------------------------

CARDS = st.sampled_from(list(catalogue.load().values()))
DEVICES = st.sampled_from([device for device in hardware.load().values() if device.tdp_w])
LOADS = st.builds(
    lambda prompt, output, batch, part: Load(float(prompt), float(output), float(batch), float(int(prompt * part))),
    st.integers(0, 50_000), st.integers(0, 4_000), st.integers(1, 300), st.floats(0, 1),
)  # fmt: skip


def setup_for(card: ModelCard, device: Accelerator) -> Setup:
    """On as many GPUs as hold it with a few long requests; what is more waits."""
    machine = fewest_gpus(card, Machine(device, PRECISIONS[card.precision]), 60_000.0, 2.0)
    return Setup(card, device, tensor_parallel=machine.tensor_parallel, pipeline_parallel=machine.pipeline_parallel)


@given(CARDS, DEVICES, LOADS, st.integers(1, 5000))
@settings(max_examples=60, deadline=None)
def test_more_tokens_never_take_less(card, device, load, more):
    setup = setup_for(card, device)
    short = estimate(setup, load)
    for longer in (
        replace(load, prompt_tokens=load.prompt_tokens + more),
        replace(load, output_tokens=load.output_tokens + more),
    ):
        told = estimate(setup, longer)
        assert told.runtime_s.mid >= short.runtime_s.mid * (1 - 1e-12)
        assert told.energy_j.mid >= short.energy_j.mid * (1 - 1e-12)


@given(CARDS, DEVICES, LOADS, st.sampled_from(["layers", "width", "ffn_width", "vocabulary"]))
@settings(max_examples=60, deadline=None)
def test_more_parameters_never_take_less(card, device, load, size):
    setup = setup_for(card, device)
    larger = replace(card, **{size: getattr(card, size) * 2})
    wide = replace(setup, tensor_parallel=setup.tensor_parallel * 8)  # so that both fit
    small, large = (estimate(replace(wide, card=each), load) for each in (card, larger))
    assert large.runtime_s.mid >= small.runtime_s.mid * (1 - 1e-12)


@given(CARDS, DEVICES, LOADS)
@settings(max_examples=60, deadline=None)
def test_nothing_is_faster_than_the_hardware_allows(card, device, load):
    setup = setup_for(card, device)
    told, one = estimate(setup, load), device
    gpus, tokens = told.machine.gpus, load.batch * (load.prompt_tokens - load.cached_tokens)
    # at least the FLOP of the active weights at the peak, and one reading of what every token needs
    flop_s = (
        2 * tokens * (card.active_parameters - card.head_parameters) / one.peak(told.machine.precision.dtypes) / gpus
    )
    read_s = card.always_read * told.machine.precision.weight_bytes / one.bandwidth_bytes_per_s / gpus
    if told.waves == 1:
        assert told.time_to_first_token_s.low >= max(flop_s, read_s) * (1 - 1e-9)
    assert told.per_output_token_s.low >= read_s * (1 - 1e-9)
    assert told.runtime_s.low <= told.runtime_s.mid <= told.runtime_s.high
    assert told.energy_j.mid <= one.tdp_w * told.gpu_seconds.mid * (1 + 1e-9)


@given(CARDS, DEVICES, st.integers(1, 4000), st.integers(2, 2000), st.integers(1, 150))
@settings(max_examples=60, deadline=None)
def test_a_larger_batch_takes_less_energy_a_request(card, device, prompt, output, batch):
    setup = setup_for(card, device)
    few, many = (estimate(setup, Load(float(prompt), float(output), float(size))) for size in (batch, 2 * batch))
    assert many.energy_j.mid <= few.energy_j.mid * (1 + 1e-9)
    assert many.gpu_seconds.mid <= few.gpu_seconds.mid * (1 + 1e-9)


@given(CARDS, LOADS)
@settings(max_examples=30, deadline=None)
def test_more_gpus_are_faster_but_do_not_work_for_nothing(card, load):
    """T(2n) × 2n ≥ T(n): twice the GPUs never take less than half the time."""
    setup = setup_for(card, hardware.find("H100"))
    few, many = (estimate(replace(setup, tensor_parallel=setup.tensor_parallel * by), load) for by in (1, 2))
    assume(few.waves == 1)
    assert many.gpu_seconds.mid >= few.gpu_seconds.mid * (1 - 1e-9)


def test_arrays_say_what_floats_say():
    setup = Setup(LLAMA, hardware.find("H100"), tensor_parallel=1)
    prompts, outputs, batches = np.array([10.0, 5000.0]), np.array([1.0, 700.0]), np.array([1.0, 200.0])
    told = estimate(setup, Load(prompts, outputs, batches))
    for at in range(2):
        one = estimate(setup, Load(prompts[at], outputs[at], batches[at]))
        for name in ("runtime_s", "energy_j", "cost_usd"):
            assert getattr(told, name).mid[at] == pytest.approx(getattr(one, name).mid)


# The fit -----------------------------------------------------------------------------------------------------------


def test_a_fit_finds_the_constants_that_made_the_measurements():
    true = Constants(0.55, 0.8, 0.5, 25e-6, 20e-6, 2e-3, 60e-6)
    measured = []
    for name in ("llama-2-7b", "llama-3-8b", "qwen2-7b"):
        load = Load(*(each.ravel() for each in np.meshgrid([128.0, 1024.0], [128.0, 512.0], [1.0, 16.0, 64.0])))
        one = Measured(catalogue.find(name), Machine(hardware.find("H100"), BF16), load, np.zeros(12))
        measured.append(replace(one, seconds=predicted_s(one, true)))
    found = fit(measured, GRAPH)
    assert np.abs(log_errors(measured, found)).max() < 0.02
    assert found.bandwidth_share == pytest.approx(0.8, rel=0.03)
    assert found.sequence_s == pytest.approx(60e-6, rel=0.1)


def test_the_range_holds_nine_of_ten():
    # 19 errors of 1 to 19: the ⌈0.9 × 20⌉ = 18th smallest, half as wide again for two groups
    assert half_width([np.arange(1.0, 11.0), -np.arange(11.0, 20.0)]) == pytest.approx(18 * 1.5)


# config.json -------------------------------------------------------------------------------------------------------

LLAMA_JSON = {
    "model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
    "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 128256, "torch_dtype": "bfloat16",
}  # fmt: skip


def test_a_config_is_a_card(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(LLAMA_JSON), "utf-8")
    assert replace(read_config(tmp_path / "config.json"), name=LLAMA.name) == LLAMA


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"num_local_experts": 8, "num_experts_per_tok": 2}, {"experts": Experts(8, 2)}),
        ({"n_routed_experts": 256, "num_experts_per_tok": 8, "moe_intermediate_size": 2048, "n_shared_experts": 1,
          "first_k_dense_replace": 3}, {"experts": Experts(256, 8, 2048, 3, 14336), "ffn_width": 2048}),
        ({"sliding_window": 128, "layer_types": ["sliding_attention", "full_attention"] * 16},
         {"window": Window(16, 128)}),
        ({"sliding_window": 1024, "model_type": "gemma3_text"}, {"window": Window(27, 1024)}),
        ({"attention_chunk_size": 8192, "model_type": "llama4_text"}, {"window": Window(24, 8192)}),
        ({"sliding_window": 4096, "use_sliding_window": False}, {"window": None}),
        ({"kv_lora_rank": 512, "q_lora_rank": 1536, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128},
         {"latent": Latent(1536, 512, 128, 64, 128)}),
        ({"quantization_config": {"quant_method": "fp8"}}, {"precision": "fp8"}),
        ({"quantization_config": {"quant_method": "awq", "bits": 4}}, {"precision": "int4"}),
        ({"text_config": {"num_hidden_layers": 16}}, {"layers": 16}),
        ({"model_type": "falcon", "multi_query": True}, {"kv_heads": 1, "ffn_matrices": 2}),
    ],
)  # fmt: skip
def test_what_families_write(changes, expected):
    card = card_of({**LLAMA_JSON, **changes}, "x")
    assert {name: getattr(card, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"hidden_size": None}, "does not say hidden_size"),
        ({"vocab_size": "many"}, "no whole number above 0"),
        ({"num_hidden_layers": -2}, "no whole number above 0"),
        ({"hybrid_override_pattern": "M-M*"}, r"no formula for \(hybrid_override_pattern"),
        ({"quantization_config": {"quant_method": "secret"}}, "quantised in a way that is not known"),
    ],
)
def test_a_config_that_is_refused(changes, told):
    with pytest.raises(InputError, match=told):
        card_of({**LLAMA_JSON, **changes}, "x")


def test_a_file_that_is_no_config(tmp_path):
    for text, told in (("{", "is not JSON"), ("[]", "holds no object")):
        (tmp_path / "config.json").write_text(text, "utf-8")
        with pytest.raises(InputError, match=told):
            read_config(tmp_path / "config.json")
    with pytest.raises(InputError, match="cannot be read"):
        read_config(tmp_path / "none.json")


# The catalogues ----------------------------------------------------------------------------------------------------


def table(name: str) -> list[dict[str, str]]:
    with (TABLES / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("name", "columns"),
    [("model_cards.csv", catalogue.COLUMNS), ("hardware.csv", hardware.COLUMNS),
     ("serving_stacks.csv", stacks.COLUMNS), ("power_split.csv", power.COLUMNS)],
)  # fmt: skip
def test_a_table_is_whole_and_sourced(name, columns):
    rows = table(name)
    assert tuple(rows[0]) == columns
    for row in rows:
        assert all(row[each] for each in ("basis", "source", "licence", "retrieved")), row
        assert re.fullmatch(r"https://[^\s/]+\.[^\s/]+/\S*", row["url"]), row
    raw = (TABLES / name).read_bytes()
    assert b"\r" not in raw
    assert raw.endswith(b"\n")


def test_cards_have_the_parameters_that_were_published():
    rows = table("model_cards.csv")
    assert len(rows) == len(catalogue.load()) >= 40
    for row in rows:
        card = catalogue.load()[row["name"]]
        assert card.parameters == pytest.approx(float(row["published_parameters"]), rel=0.015), card.name
        assert card.precision in PRECISIONS


def test_hardware_is_in_both_tables():
    devices = hardware.load()
    assert len(devices) >= 20
    assert len([one for one in devices.values() if one.price]) >= 20
    assert set(devices) <= {peak.name for peak in accelerators.load()}
    h100 = devices["H100 SXM5"]
    assert (h100.bandwidth_bytes_per_s, h100.memory_bytes, h100.tdp_w) == (3.35e12, 80 * 2**30, 700)
    for one in devices.values():
        assert 1e11 < one.bandwidth_bytes_per_s < 1e13, one.name
        # the ridge of the roofline: FLOP that can be done while a byte is read
        assert 20 < one.peak(("bf16", "fp16")) / one.bandwidth_bytes_per_s < 800, one.name


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("H100", "H100 SXM5"),
        ("a100", "A100 SXM4 80GB"),
        ("NVIDIA A100-SXM4-40GB", "A100 SXM4 40GB"),
        ("L40S", "L40S"),
        ("A100 80GB", "A100 SXM4 80GB"),
        ("a100 sxm4 40gb", "A100 SXM4 40GB"),
        ("3090", "RTX 3090"),
    ],
)
def test_hardware_by_its_names(name, found):
    assert hardware.find(name).name == found


def test_a_name_that_nobody_knows():
    with pytest.raises(InputError, match=r"'Z80' is not known; there are: .*H100 SXM5"):
        hardware.find("Z80")
    with pytest.raises(NotFound, match=r"no model card of 'gpt-4o'.*closed model is not known"):
        catalogue.find("gpt-4o")
    with pytest.raises(NotFound, match=r"near: .*Qwen3-32B"):
        catalogue.find("Qwen3-31B")


@pytest.mark.parametrize(
    ("name", "found"),
    [("meta-llama/Llama-3.1-8B-Instruct", "meta-llama/Meta-Llama-3.1-8B"),
     ("mixtral-8x7b-instruct-v0.1", "mistralai/Mixtral-8x7B-v0.1"),
     ("openai/gpt-oss-120b", "openai/gpt-oss-120b"), ("qwen2.5-72b", "Qwen/Qwen2.5-72B-Instruct")],
)  # fmt: skip
def test_a_model_by_its_names(name, found):
    assert catalogue.find(name).name == found


def test_constants_are_of_the_device_then_of_its_maker_then_of_all():
    found = [stacks.fitted_for("vllm", hardware.find(name)).hardware for name in ("H100", "B200", "TPU v5e")]
    assert found == ["H100 SXM5", "NVIDIA", "*"]
    for fitted in stacks.load().values():
        constants = fitted.constants
        assert 0 < max(constants.compute_share, constants.bandwidth_share, constants.link_share) <= 1, fitted
        assert 0 < fitted.half_width < 3, fitted


def test_a_maker_that_does_not_tell_its_power_leaves_energy_unknown():
    told = estimate(Setup(LLAMA, hardware.find("TPU v5p"), tensor_parallel=1), Load(100.0, 100.0))
    assert (told.energy_j, told.it_energy_j, told.cost_usd) == (None, None, None)
    assert told.runtime_s.mid > 0


# The engine of footprints --------------------------------------------------------------------------------------------


def by_roofline(tokens: tuple[int, int, int], model: str = "llama-3.1-8b"):
    place = place_for(None, "FR", Site())
    call = Call("somebody", model, tokens[0], tokens[1], tokens[2])
    return next(each for each in footprints(call, place).engines if each.engine == "roofline"), place


def test_a_call_to_an_open_model_by_hand():
    # 1000 tokens in and 300 out, one of 64 at once on one H100: IT energy × PUE
    told, place = by_roofline((1000, 300, 0))
    alone = estimate(Setup(LLAMA, hardware.find("H100"), tensor_parallel=1), Load(1000.0, 300.0, 64.0))
    pue = place.range_of("pue")
    energy = told.total["energy_wh"]
    assert energy.mid == pytest.approx(alone.it_energy_j.mid * pue[1] / 3600)
    few = estimate(Setup(LLAMA, hardware.find("H100"), tensor_parallel=1), Load(1000.0, 300.0, 8.0))
    assert energy.high == pytest.approx(few.it_energy_j.high * pue[2] / 3600)  # only 8 at once
    assert energy.low < energy.mid < energy.high
    # manufacture: (5700 kg ÷ 8 + 273 kg) × GPU seconds ÷ 3 years
    life_s = 3 * 365 * 24 * 3600
    assert told.embodied["gwp_g"].mid == pytest.approx((5700e3 / 8 + 273e3) * alone.gpu_seconds.mid / life_s)
    assert told.counts_input


def test_a_cached_prompt_uses_less_and_a_long_one_more():
    fresh, cached, short = (
        by_roofline(each)[0].total["energy_wh"].mid for each in ((8000, 50, 0), (8000, 50, 7900), (100, 50, 0))
    )
    assert short < cached < 0.5 * fresh


@pytest.mark.parametrize("tokens", [(1000, 0, 0), (0, 10, 0), (1000, 1, 1000), (1, 1, 0), (150_000, 300, 0)])
def test_odd_calls_have_a_footprint(tokens):
    told, _ = by_roofline(tokens)
    energy = told.total["energy_wh"]
    assert 0 < energy.low <= energy.mid <= energy.high < 1000


def test_a_closed_model_has_no_roofline():
    told, _ = by_roofline((10, 10, 0), "gpt-4o")
    assert not told.known
    assert "closed model is not known" in told.reason


# The command -------------------------------------------------------------------------------------------------------


def test_the_command_as_json(home, capsys):
    arguments = ["--model", "llama-3.1-70b", "--hardware", "H200", "--batch", "32", "--usd-per-gpu-hour", "3.6"]
    assert main(["--home", str(home), "roofline", *arguments, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["gpus"], told["hardware"], told["profile"]) == (2, "H200 SXM5", "roofline/vllm/NVIDIA")
    assert told["extrapolated"] is True
    steps = told["decode_step"]
    assert sum(steps.values()) == pytest.approx(told["per_output_token_s"]["mid"])
    assert told["cost_usd"]["mid"] == pytest.approx(told["gpu_seconds"]["mid"] / 1000)
    assert told["energy_j"]["method"] == "modelled"


def test_one_request_in_the_form_of_the_profiles(capsys):
    arguments = ["--model", "llama-3.1-8b", "--prompt-tokens", "512", "--output-tokens", "64", "--mode", "roofline"]
    assert main(["idealized", *arguments, "--hardware", "H200", "--batch", "8", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    same = estimate(Setup(catalogue.find("llama-3.1-8b"), hardware.find("H200")), Load(512.0, 64.0, 8.0))
    assert told["runtime_s"]["mid"] == pytest.approx(same.runtime_s.mid)
    # the first token and 63 more; an eighth of the GPU's time is this request's; Wh are J ÷ 3600
    assert told["runtime_s"]["mid"] == pytest.approx(told["prompt_s"]["mid"] + 63 * told["per_output_token_s"]["mid"])
    assert told["gpu_seconds"]["mid"] == pytest.approx(told["runtime_s"]["mid"] / 8)
    assert told["energy_wh"]["mid"] == pytest.approx(same.energy_j.mid / 3600)
    assert told["cost_usd"]["mid"] == pytest.approx(told["gpu_seconds"]["mid"] * 4.44 / 3600)  # $4.44 an hour
    assert told["profile"] == "roofline/meta-llama/Meta-Llama-3.1-8B/H200 SXM5/vllm"
    assert (told["mode"], told["extrapolated"], told["extrapolated_in"]) == ("roofline", True, ["hardware"])
    assert told["denoised_runtime_s"]["reason"] == "no API of this model was denoised"


def test_what_the_roofline_cannot_tell_of_one_request_is_said(capsys):
    arguments = ["--model", "llama-3.1-8b", "--prompt-tokens", "9", "--output-tokens", "9", "--mode", "roofline"]
    assert main(["idealized", *arguments, "--hardware", "TPU v5e"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "Nobody measured vllm on TPU v5e. Its constants and its range: geometric mean of " in out
    assert "No energy: its maker does not tell the power of this hardware." in out
    assert "Energy is" not in out
    assert main(["idealized", *arguments[:2], *arguments[2:], "--model", "gpt-4o"]) == 3
    assert "closed model is not known" in capsys.readouterr().err


def test_the_command_reads_a_config(home, capsys, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({**LLAMA_JSON, "_name_or_path": "my/<b>own</b>"}), "utf-8")
    assert main(["--home", str(home), "roofline", "--config", str(tmp_path / "config.json")]) == 0
    out = capsys.readouterr().out
    assert "my/<b>own</b> on 1 × H100 SXM5 with vllm" in out
    assert "Reading memory" in out


def test_the_command_lists_what_there_is(home, capsys):
    for which, there in (("models", "openai/gpt-oss-120b"), ("hardware", "MI300X"), ("stacks", "tensorrt-llm")):
        assert main(["--home", str(home), "roofline", "--list", which]) == 0
        assert there in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "name the model"),
        (["--model", "llama-3.1-8b", "--hardware", "Z80"], "is not known"),
        (["--model", "llama-3.1-405b", "--tensor-parallel", "2"], "do not fit 2 × H100"),
        (["--model", "llama-3.1-8b", "--cached-tokens", "2000"], "part of the prompt"),
    ],
)
def test_wrong_input_is_one_sentence(home, capsys, arguments, told):
    assert main(["--home", str(home), "roofline", *arguments]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("command", [["roofline"], ["idealized", "--mode", "roofline"]], ids=" ".join)
def test_a_model_without_a_card_is_not_found(home, capsys, command):
    sizes = ["--prompt-tokens", "5", "--output-tokens", "3"]
    assert main(["--home", str(home), *command, "--model", "gpt-4o", *sizes]) == 3
    assert "no model card of 'gpt-4o'" in capsys.readouterr().err
