"""How much of a GPU's power is for being awake, for bytes and for FLOP: layers of a transformer under NVML's counter.

    python3 benchmarks/energy_split.py [--seconds 2] > energy_split.json     (needs PyTorch, nvidia-ml-py and one GPU)

Layers of Llama-3-8B's shape with random weights decode batches over caches of several lengths, and take in prompts.
Each case is one CUDA graph, replayed for some seconds. Of each: seconds and joules a pass, and the FLOP and bytes that
its mathematics asks for. `benchmarks/roofline.py` fits the split to those that lie in `benchmarks/measured`.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import pynvml
import torch
from torch.nn.functional import scaled_dot_product_attention, silu

WIDTH, HEADS, KV_HEADS, HEAD, FFN, LAYERS = 4096, 32, 8, 128, 14336, 8
HALF = {"dtype": torch.bfloat16, "device": "cuda"}
# new tokens a sequence, sequences, tokens of context: decoding, then prefill
CASES = [(1, b, c) for c in (64, 1024, 4096) for b in (1, 16, 64, 128, 256) if b * c <= 2**19]
CASES += [(1, 512, 64), (128, 1, 128), (512, 1, 512), (2048, 1, 2048), (2048, 4, 2048)]


def weights() -> list[dict[str, torch.Tensor]]:
    shapes = {
        "qkv": (WIDTH, (HEADS + 2 * KV_HEADS) * HEAD),
        "out": (HEADS * HEAD, WIDTH),
        "up": (WIDTH, 2 * FFN),
        "down": (FFN, WIDTH),
    }
    return [{name: torch.randn(shape, **HALF) / 64 for name, shape in shapes.items()} for _ in range(LAYERS)]


def layer(x: torch.Tensor, w: dict[str, torch.Tensor], cache: tuple[torch.Tensor, torch.Tensor] | None) -> torch.Tensor:
    """One layer over x (sequences, new tokens, width); with a cache it decodes against it."""
    count, new, _ = x.shape
    q, k, v = (x @ w["qkv"]).split([HEADS * HEAD, KV_HEADS * HEAD, KV_HEADS * HEAD], dim=-1)
    q, k, v = (part.view(count, new, -1, HEAD).transpose(1, 2) for part in (q, k, v))
    keys, values = cache or (k, v)
    seen = scaled_dot_product_attention(q, keys, values, is_causal=cache is None, enable_gqa=True)
    x = x + seen.transpose(1, 2).reshape(count, new, -1) @ w["out"]
    gate, up = (x @ w["up"]).chunk(2, dim=-1)
    return torch.nn.functional.rms_norm(x + (silu(gate) * up) @ w["down"], (WIDTH,))


def graph_of(new: int, count: int, context: int, model: list[dict[str, torch.Tensor]]) -> torch.cuda.CUDAGraph:
    x = torch.randn(count, new, WIDTH, **HALF)
    shape = (count, KV_HEADS, context, HEAD)
    caches = [(torch.randn(shape, **HALF), torch.randn(shape, **HALF)) if new == 1 else None for _ in model]

    def run() -> torch.Tensor:
        y = x
        for w, cache in zip(model, caches, strict=True):
            y = layer(y, w, cache)
        return y

    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        run()
        run()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        graph.kept = (run(), caches, x)  # type: ignore[attr-defined]
    return graph


def metered(work: Any, seconds: float, device: Any) -> tuple[int, float, float]:
    """How often some work was done in about some seconds, after half a second of warming up; the seconds and joules."""
    for part in (0.5, seconds):
        torch.cuda.synchronize()
        start, joules, done = time.perf_counter(), pynvml.nvmlDeviceGetTotalEnergyConsumption(device), 0
        while time.perf_counter() - start < part:
            for _ in range(10):
                work()
            torch.cuda.synchronize()
            done += 10
        elapsed = time.perf_counter() - start
        joules = (pynvml.nvmlDeviceGetTotalEnergyConsumption(device) - joules) / 1000
    return done, elapsed, joules


def case(new: int, count: int, context: int, model: Any, options: tuple[float, Any]) -> dict[str, Any]:
    graph = graph_of(new, count, context, model)
    done, seconds, joules = metered(graph.replay, *options)
    parameters = LAYERS * (WIDTH * HEAD * (2 * HEADS + 2 * KV_HEADS) + 3 * WIDTH * FFN)
    seen = context if new == 1 else context / 2
    return {
        "new_tokens": new, "sequences": count, "context_tokens": context,
        "s": seconds / done, "j": joules / done, "w": joules / seconds,
        "weight_flop": 2 * new * count * parameters, "weight_bytes": 2 * parameters,
        "cache_flop": 4 * new * count * seen * HEADS * HEAD * LAYERS,
        "cache_bytes": count * seen * 2 * KV_HEADS * HEAD * 2 * LAYERS,
    }  # fmt: skip


def product(options: tuple[float, Any]) -> dict[str, Any]:
    """One large matrix product, again and again."""
    a, b = torch.randn(8192, 8192, **HALF), torch.randn(8192, 8192, **HALF)
    done, seconds, joules = metered(lambda: a @ b, *options)
    return {"new_tokens": 8192, "sequences": 0, "context_tokens": 0, "s": seconds / done, "j": joules / done,
            "w": joules / seconds, "weight_flop": 2 * 8192**3, "weight_bytes": 2 * 3 * 8192**2,
            "cache_flop": 0, "cache_bytes": 0}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0)
    args = parser.parse_args()
    pynvml.nvmlInit()
    device = pynvml.nvmlDeviceGetHandleByIndex(0)
    idle = [pynvml.nvmlDeviceGetPowerUsage(device) / 1000]
    torch.zeros(1, device="cuda")
    time.sleep(2)
    idle.append(pynvml.nvmlDeviceGetPowerUsage(device) / 1000)
    options = (args.seconds, device)
    model, rows = weights(), []
    with torch.inference_mode():
        rows.append(product(options))
        for new, count, context in CASES:
            try:
                rows.append(case(new, count, context, model, options))
            except RuntimeError as error:  # a case that does not fit is left out
                rows.append({"new_tokens": new, "sequences": count, "context_tokens": context, "error": str(error)})
            torch.cuda.empty_cache()
    name, limit_w = pynvml.nvmlDeviceGetName(device), pynvml.nvmlDeviceGetEnforcedPowerLimit(device) / 1000
    said = {"device": name, "driver": pynvml.nvmlSystemGetDriverVersion(), "torch": torch.__version__,
            "limit_w": limit_w, "idle_w": idle[0], "idle_with_context_w": idle[1]}  # fmt: skip
    print(json.dumps({**said, "cases": rows}, indent=1))


if __name__ == "__main__":
    main()
