"""The idealized runtime: how wrong it is on what it has not seen, and how many estimates a second.

    python benchmarks/idealized.py [--json]

1. Prompt sizes held out: each published profile keeps its times at 1, 256, 512, 1024 and 1536 tokens; the others are
   told from those, by HELM's public rule and by ours. The 12 profiles that differ count once each.
2. Contention, simulated: an API that waits (mean 40 % more, skewed) with 2 % outliers of 3 to 10 times; requests of the
   probing grid of HELM; sizes in between are told from them, by the least trial of each cell (the paper), by ours, and
   by mean and median for comparison. `cover`: how many of the true runtimes lie in our 90 % interval. In the second
   kind a request hardly ever waits for nobody: what always waits is seen by no method.
3. Estimates a second, over a million requests in arrays, on one core.

Errors are means of |told ÷ true − 1|.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from joulebook.models.runtime.denoise import denoise
from joulebook.models.runtime.profile import Coefficients, Profile
from joulebook.models.runtime.published import published
from joulebook.models.runtime.samples import Samples
from joulebook.models.runtime.times import ranges_s, times_s
from joulebook.models.runtime.two_stage import two_stage

KEPT = (1, 256, 512, 1024, 1536)
OUTPUTS = np.array([1, 2, 4, 8, 12, 16, 24, 32, 48, 64.0])
PROBED_OUTPUTS = np.array([1, 2, 4, 8, 16, 32, 64.0])
HELD_OUT = (np.array([64, 128, 384, 640, 768, 896, 1280, 1408.0]), np.array([1, 3, 6, 12, 24, 48, 64.0]))
OVERHEAD_S = 0.25
REPEATS, TRIALS = 20, (3, 10, 30)
MILLION = 1_000_000


def grid(prompts: np.ndarray, outputs: np.ndarray, trials: int = 1) -> tuple[np.ndarray, ...]:
    return tuple(np.repeat(each.ravel(), trials) for each in np.meshgrid(prompts, outputs, indexing="ij"))


def off(told: np.ndarray, true: np.ndarray) -> float:
    return float(np.mean(np.abs(told / true - 1)))


# 1 ----------------------------------------------------------------------------------------------------------------


def different() -> list[Profile]:
    """The idealized profiles, each once."""
    found = {tuple(each.coefficients.table_s): each for each in published() if each.kind == "idealized"}
    return list(found.values())


def thinned(profile: Profile) -> Profile:
    """A profile that knows the kept sizes only."""
    told = profile.coefficients
    kept = [at for at, size in enumerate(told.prompt_tokens) if size in KEPT]
    few = Coefficients(
        tuple(told.prompt_tokens[at] for at in kept), tuple(told.prompt_s[at] for at in kept), told.per_output_token_s
    )
    return replace(profile, coefficients=few)


def held_out() -> dict[str, dict[str, float]]:
    """The error of both rules at the sizes that were left out: at one output token, and over all outputs."""
    errors: dict[str, list[tuple[float, float]]] = {"helm": [], "default": []}
    for profile in different():
        told = profile.coefficients
        sizes = np.array([size for size in told.prompt_tokens if size not in KEPT])
        prompts, outputs = grid(sizes, OUTPUTS)
        true = np.interp(prompts, told.sizes, told.table_s) + told.per_output_token_s[1] * (outputs - 1)
        for mode, found in errors.items():
            runtimes = times_s(thinned(profile), prompts, outputs, mode).runtime_s
            found.append((off(runtimes[outputs == 1], true[outputs == 1]), off(runtimes, true)))
    means = {mode: np.mean(found, axis=0) for mode, found in errors.items()}
    return {mode: {"one_token": float(each[0]), "overall": float(each[1])} for mode, each in means.items()}


# 2 ----------------------------------------------------------------------------------------------------------------


def jumbo_s(prompts: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    told = next(each for each in different() if each.model == "ai21/j1-jumbo").coefficients
    return OVERHEAD_S + np.interp(prompts, told.sizes, told.table_s) + told.per_output_token_s[1] * (outputs - 1)


def contended(trials: int, random: np.random.Generator, shape: int) -> Samples:
    """`shape` 1: often nobody waits (exponential); 2: hardly ever (gamma)."""
    prompts, outputs = grid(np.array(KEPT, dtype=float), PROBED_OUTPUTS, trials)
    waits = 1 + random.gamma(shape, 0.4 / shape, len(prompts))
    waits *= np.where(random.random(len(prompts)) < 0.02, random.uniform(3, 10, len(prompts)), 1)
    nothing = np.full(len(prompts), np.nan)
    return Samples(prompts, outputs, jumbo_s(prompts, outputs) * waits, nothing, nothing)


def of_cells(samples: Samples, how: Callable[..., np.ndarray]) -> Profile:
    """The paper's fit to one value a cell, as it is for the least trials."""
    trials = len(samples) // (len(KEPT) * len(PROBED_OUTPUTS))
    at = slice(None, None, trials)
    values = how(samples.runtime_s.reshape(-1, trials), axis=1)
    nothing = np.full(len(values), np.nan)
    cells = Samples(samples.prompt_tokens[at], samples.output_tokens[at], values, nothing, nothing)
    return two_stage(cells, "m", "denoised")


def noisy(trials: int, shape: int) -> dict[str, float]:
    """The error of each way, over repetitions; and the share of true runtimes inside of our interval."""
    prompts, outputs = grid(*HELD_OUT)
    true = jumbo_s(prompts, outputs)
    found: dict[str, list[float]] = {name: [] for name in ("mean", "median", "minimum", "ours", "cover")}
    for seed in range(REPEATS):
        samples = contended(trials, np.random.default_rng(seed), shape)
        ours = denoise(samples, "m", seed).profile
        assert ours is not None
        ways = {"mean": of_cells(samples, np.mean), "median": of_cells(samples, np.median),
                "minimum": of_cells(samples, np.min), "ours": ours}  # fmt: skip
        for name, profile in ways.items():
            found[name].append(off(times_s(profile, prompts, outputs).runtime_s, true))
        low, high = ranges_s(ours, prompts, outputs)
        found["cover"].append(float(np.mean((low <= true) & (true <= high))))
    return {name: float(np.mean(values)) for name, values in found.items()}


# 3 ----------------------------------------------------------------------------------------------------------------


def per_second() -> dict[str, float]:
    random = np.random.default_rng(0)
    prompts, outputs = random.integers(1, 3000, MILLION), random.integers(0, 500, MILLION)
    profile = different()[0]
    work: dict[str, Callable[[], object]] = {
        "helm": lambda: times_s(profile, prompts, outputs, "helm"),
        "default": lambda: times_s(profile, prompts, outputs),
        "default with range": lambda: (times_s(profile, prompts, outputs), ranges_s(profile, prompts, outputs)),
    }
    return {name: MILLION / min(timed(each) for _ in range(5)) for name, each in work.items()}


def timed(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def main() -> None:
    sizes = held_out()
    kinds = {"often_free": 1, "always_busy": 2}
    trials = {kind: {count: noisy(count, shape) for count in TRIALS} for kind, shape in kinds.items()}
    speed = per_second()
    if "--json" in sys.argv:
        print(json.dumps({"held_out": sizes, "contention": trials, "estimates_per_second": speed}, indent=2))
        return
    print("Prompt sizes held out      one output token   overall")
    for mode, label in (("helm", "HELM's public rule"), ("default", "joulebook")):
        print(f"  {label:24} {sizes[mode]['one_token']:15.1%} {sizes[mode]['overall']:9.2%}")
    for kind, by_count in trials.items():
        print(f"Contention, {kind.replace('_', ' '):20} mean  median  minimum (paper)  joulebook   cover")
        for count, each in by_count.items():
            print(f"  {count:3} trials a cell {each['mean']:18.1%} {each['median']:7.1%} {each['minimum']:16.1%} "
                  f"{each['ours']:10.1%} {each['cover']:7.0%}")  # fmt: skip
    for name, rate in speed.items():
        print(f"{name:28} {rate / 1e6:5.1f} million estimates a second")


if __name__ == "__main__":
    main()
