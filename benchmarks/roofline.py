"""The roofline against measurements it has not seen, beside a naive one; and the fit that its constants come from.

    .venv/bin/python benchmarks/roofline.py --reference ../shared/reference/idealized [--json] [--refit]

Measured: LLM-Inference-Bench (E2E of batches, the first token, power), Splitwise (prompt and token times), the profiles
of HELM (Megatron), and `benchmarks/measured/energy_split_*.json` (energy of a layer, by `benchmarks/energy_split.py`).
Each is told by leave-one-out: a model's rows (Splitwise: those of a degree of parallelism; pooled constants: those of a
device) are predicted by constants that were fitted without any of them. The naive peers, on the same rows: the roofline
at the makers' peaks, and at 0.7 of the FLOP rate and 0.9 of the bandwidth. `--refit` writes serving_stacks.csv and
power_split.csv in data/tables from the same measurements. Left out, by rule: rows that the makers' peaks do not
allow; batches whose weights and caches do not fit the memory (told apart: as many run as fit, the rest waits); power of
0; Splitwise's `h100-80gb-pcap` (made up) and its Llama-2-70B on two GPUs from 32 sequences (preempted).
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import least_squares

from joulebook.models.roofline import catalogue, hardware, power, stacks
from joulebook.models.roofline.cards import ModelCard
from joulebook.models.roofline.estimate import Load, Setup, estimate, phases_of
from joulebook.models.roofline.fit import EAGER, GRAPH, SCALE, Measured, Prior, fit, half_width, log_errors, predicted_s
from joulebook.models.roofline.memory import most_sequences
from joulebook.models.roofline.precision import PRECISIONS
from joulebook.models.roofline.step import PHYSICAL, Constants, Machine

TABLES = Path(__file__).parents[1] / "data" / "tables"
MEASURED = Path(__file__).parent / "measured"
NAIVE = {"at the peaks": PHYSICAL, "at 0.7 and 0.9": Constants(compute_share=0.7, bandwidth_share=0.9)}
DAY = "2026-11-26"
LIB = ("LLM-Inference-Bench (argonne-lcf)", "https://github.com/argonne-lcf/LLM-Inference-Bench", "BSD-3-Clause")
SPLITWISE = ("Splitwise performance model (splitwise-sim)", "https://github.com/Mutinifni/splitwise-sim", "MIT")
HELM = ("HELM, idealized runtimes (Megatron, 2022)", "https://github.com/stanford-crfm/helm", "Apache-2.0")
OWN = ("own measurement, benchmarks/energy_split.py", "https://github.com/argonne-lcf/LLM-Inference-Bench")
DEVICES = {"Nvidia A100 GPU": "A100 SXM4 40GB", "Nvidia H100 GPU": "H100 SXM5", "Nvidia GH200 GPU": "GH200 96GB",
           "AMD MI300X GPU": "MI300X", "AMD MI250 GPU": "MI250X, one die", "Habana Gaudi2": "Gaudi 2",
           "a100-80gb": "A100 SXM4 80GB", "h100-80gb": "H100 SXM5"}  # fmt: skip
STACKS = {"vLLM": "vllm", "TensorRT-LLM": "tensorrt-llm", "Deepspeed-MII": "deepspeed-mii", "Deepspeed": "deepspeed"}
WAITS, FAST = "does not fit", "faster than the peaks"
SPLITWISE_CARDS = {"llama2-70b": "meta-llama/Llama-2-70b-hf", "bloom-176b": "bigscience/bloom"}


FITS: dict[tuple[str, str, frozenset[str]], Constants] = {}


@dataclass(frozen=True)
class Family:
    """What was measured of one stack on one device. `group`: what is left out together."""

    stack: str
    device: str
    measured: tuple[Measured, ...]
    group: Callable[[Measured], str]
    priors: dict[str, Prior]
    hidden: bool
    origin: tuple[str, str, str]
    left_out: dict[str, int]
    beyond: tuple[Measured, ...] = ()  # batches that do not fit, which are served in waves

    def fit_without(self, *names: str) -> Constants:
        """The constants of all groups but some. Each fit is done once."""
        key = (self.stack, self.device, frozenset(names))
        if key not in FITS:
            kept = [each for each in self.measured if self.group(each) not in names]
            FITS[key] = fit(kept, self.priors, hidden=self.hidden)
        return FITS[key]

    @property
    def groups(self) -> list[str]:
        return sorted({self.group(each) for each in self.measured})

    def only(self, name: str) -> list[Measured]:
        return [each for each in self.measured if self.group(each) == name]


def by_model(each: Measured) -> str:
    return each.card.name


def machine(device: str, gpus: int) -> Machine:
    return Machine(hardware.find(device), PRECISIONS["bf16"], gpus)


# What was measured -------------------------------------------------------------------------------------------------


def llm_inference_bench(folder: Path) -> list[Family]:
    """Batches of prompts and answers of one length, and the first token of some."""
    names = ["hw", "gpus", "software", "model", "tokens", "batch", "s", "rate"]
    rows = pd.read_csv(folder / "llm_inference_bench" / "All_results.csv", names=names, header=0)
    rows = rows[rows.hw.isin(DEVICES) & rows.software.isin(STACKS)].groupby(names[:-2], as_index=False).s.mean()
    firsts = first_tokens(folder)
    families = []
    for (hw, stack), part in rows.groupby(["hw", "software"]):
        sorted_out = [part for each in pairs(part, DEVICES[str(hw)]) for part in sort_out(each)]
        measured = [each for kind, each in sorted_out if kind == "good"] + firsts.get((hw, stack), [])
        beyond = tuple(each for kind, each in sorted_out if kind == WAITS)
        left_out = {
            kind: sum(len(each.seconds) for found, each in sorted_out if found == kind) for kind in (WAITS, FAST)
        }
        family = (
            STACKS[str(stack)],
            DEVICES[str(hw)],
            tuple(measured),
            by_model,
            dict(GRAPH),
            False,
            LIB,
            left_out,
            beyond,
        )
        families.append(Family(*family))
    return families


def pairs(rows: pd.DataFrame, device: str) -> Iterable[Measured]:
    for (model, gpus), part in rows.groupby(["model", "gpus"]):
        tokens, batch = part.tokens.to_numpy(float), part.batch.to_numpy(float)
        load = Load(tokens, tokens, batch)
        yield Measured(catalogue.find(str(model)), machine(device, int(str(gpus))), load, part.s.to_numpy(float))


def sort_out(each: Measured) -> Iterable[tuple[str, Measured]]:
    """The rows that count, those that do not fit the memory, and those that are faster than the peaks."""
    load: Any = each.load
    fast = each.seconds < predicted_s(each, PHYSICAL)
    waits = ~fast & (most_sequences(each.card, each.machine, load.prompt_tokens + load.output_tokens) < load.batch)
    for kind, rows in (("good", ~waits & ~fast), (WAITS, waits), (FAST, fast)):
        if rows.any():
            part = Load(load.prompt_tokens[rows], load.output_tokens[rows], load.batch[rows])
            yield kind, replace(each, load=part, seconds=each.seconds[rows])


def first_tokens(folder: Path) -> dict[tuple[str, str], list[Measured]]:
    names = ["hw", "gpus", "software", "model", "prompt", "output", "batch", "first", "end"]
    rows = pd.read_csv(folder / "llm_inference_bench" / "Fig_22__all_results_TTFT_ITL.csv", names=names, header=0)
    found: dict[tuple[str, str], list[Measured]] = {}
    for row in rows.dropna(subset=["first"]).itertuples():
        if row.hw in DEVICES and row.software in STACKS:
            one = np.ones(1)
            load = Load(one * row.prompt, one, one * row.batch)
            what = (catalogue.find(row.model), machine(DEVICES[row.hw], int(row.gpus)), load, one * row.first, "first")
            found.setdefault((row.hw, row.software), []).append(Measured(*what))
    return found


def splitwise_rows(folder: Path) -> pd.DataFrame:
    rows = pd.read_csv(folder / "perf_model.csv")
    preempted = (rows.model == "llama2-70b") & (rows.tensor_parallel == 2) & (rows.batch_size >= 32)
    rows = rows[(rows.hardware != "h100-80gb-pcap") & ~preempted]
    keys = ["hardware", "model", "tensor_parallel", "prompt_size", "batch_size", "token_size"]
    return rows.groupby(keys, as_index=False)[["prompt_time", "token_time", "e2e_time", "average_power"]].median()


def splitwise(folder: Path) -> list[Family]:
    """Prompt and token times of vLLM in 2023. Left out together: a degree of parallelism of Llama-2-70B."""
    families = []
    for hw, part in splitwise_rows(folder).groupby("hardware"):
        measured = [
            each for key, cell in part.groupby(["model", "tensor_parallel"]) for each in prompt_and_token(hw, key, cell)
        ]
        rule = {"preempted or made up": 0}
        families.append(
            Family("vllm-2023", DEVICES[str(hw)], tuple(measured), by_degree, dict(EAGER), True, SPLITWISE, rule)
        )
    return families


def by_degree(each: Measured) -> str:
    return f"{each.card.name} on {each.machine.tensor_parallel}"


def prompt_and_token(hw: Any, key: Any, cell: pd.DataFrame) -> Iterable[Measured]:
    card, where = catalogue.find(SPLITWISE_CARDS[key[0]]), machine(DEVICES[hw], int(key[1]))
    prompts = cell.drop_duplicates(["prompt_size", "batch_size"])
    for rows, kind in ((prompts, "first"), (cell, "token")):
        load = Load(rows.prompt_size.to_numpy(float), rows.token_size.to_numpy(float), rows.batch_size.to_numpy(float))
        seconds = rows.prompt_time if kind == "first" else rows.token_time
        yield Measured(card, where, load, seconds.to_numpy(float) / 1e3, kind)


def megatron(folder: Path) -> list[Family]:
    """The published profiles of HELM: time to the first token by prompt, and of one further token."""
    shapes = [
        row for row in json.loads((folder / "megatron_arch.json").read_text("utf-8")) if row["hardware"] == "a100"
    ]
    profiles = json.loads((folder / "inference_idealized_runtimes.json").read_text("utf-8"))
    named = {"ai21_j1_grande": "ai21/j1-grande", "ai21_j1_jumbo": "ai21/j1-jumbo", "ai21_j1_large": "ai21/j1-large",
             "anthropic": "anthropic/stanford-online-all-v4-s3", "bloom": "together/bloom",
             "gpt_neox": "together/gpt-neox-20b",
             "gptj": "huggingface/gptj_6b", "mt_nlg": "microsoft/TNLGv2_530B", "openai_ada": "openai/ada",
             "openai_davinci": "openai/davinci", "opt": "together/opt-66b", "yalm": "together/yalm"}  # fmt: skip
    measured = []
    for shape in shapes:
        profile = next((named[key] for key in named if shape["model"].startswith(key)), None)
        if profile in profiles:
            measured += profiled(shape, profiles[profile])
    family = (
        "megatron-2022",
        "A100 SXM4 80GB",
        tuple(measured),
        by_model,
        dict(EAGER),
        True,
        HELM,
        {"rounded to 1 ms": 0},
    )
    return [Family(*family)]


def profiled(shape: dict[str, Any], profile: dict[str, Any]) -> list[Measured]:
    heads, group = shape["heads"], shape["tensor_parallel"]
    card = ModelCard(shape["model"], shape["true_layers"], shape["hidden"], heads, heads, shape["hidden"] // heads,
                     shape["ffn"], shape["padded_vocab"], ffn_matrices=2, tied=True)  # fmt: skip
    where = replace(machine("A100", group), pipeline_parallel=shape["layer_scale"])
    prompts = np.array([float(key) for key in profile["runtime_for_prompt_tokens"]])
    seconds = np.array(list(profile["runtime_for_prompt_tokens"].values()))
    one = np.ones_like(prompts)
    token = profile["runtime_per_output_token"] * np.ones(1)
    return [Measured(card, where, Load(prompts, one, one), seconds, "first"),
            Measured(card, where, Load(512 * np.ones(1), 64 * np.ones(1), np.ones(1)), token, "token")]  # fmt: skip


# How wrong it is on what it has not seen ---------------------------------------------------------------------------


def told(errors: NDArray[np.float64]) -> dict[str, float]:
    """Errors of ln(predicted ÷ measured), as shares of what was measured."""
    ratio = np.expm1(errors)
    return {"mean": float(np.abs(ratio).mean()), "median": float(np.median(np.abs(ratio))), "bias": float(ratio.mean())}


def held_out(family: Family, skip: Sequence[str] = ()) -> dict[str, NDArray[np.float64]]:
    """The errors on each group, by constants fitted without it (and without those to skip)."""
    names = [name for name in family.groups if name not in skip]
    return {name: log_errors(family.only(name), family.fit_without(name, *skip)) for name in names}


def coverage(family: Family) -> float:
    """The share of held-out rows inside the 90 % range, when the range itself has not seen them either."""
    inside = []
    for name, errors in held_out(family).items():
        width = half_width(list(held_out(family, [name]).values()))
        inside.append(np.abs(errors) <= width)
    return float(np.concatenate(inside).mean())


def in_waves(family: Family) -> dict[str, float] | None:
    """The errors on batches of which a part fits the memory: none is fitted to. As many run as fit, the rest waits."""
    errors = []
    for each in family.beyond:
        load: Any = each.load
        fits = most_sequences(each.card, each.machine, load.prompt_tokens + load.output_tokens)
        running = np.minimum(load.batch, np.maximum(fits, 1.0))
        once_s = predicted_s(replace(each, load=replace(load, batch=running)), family.fit_without())
        errors.append(np.log(load.batch / running * once_s / each.seconds)[fits >= 1])
    return told(np.concatenate(errors)) if sum(map(len, errors)) else None


def judge(family: Family) -> dict[str, Any]:
    by_group = held_out(family)
    errors = np.concatenate(list(by_group.values()))
    naive = {name: told(log_errors(family.measured, each))["mean"] for name, each in NAIVE.items()}
    kinds = {kind: told(np.concatenate(part)) for kind in ("runtime", "first", "token")
             if (part := [log_errors([each], family.fit_without(family.group(each)))
                          for each in family.measured if each.kind == kind])}  # fmt: skip
    return {
        "stack": family.stack, "hardware": family.device, "rows": len(errors), "left_out_rows": family.left_out,
        "in_waves": in_waves(family),
        "held_out": told(errors), "mean_of_groups": float(np.mean([told(each)["mean"] for each in by_group.values()])),
        "by_kind": kinds, "by_group": {name: told(each) for name, each in by_group.items()}, "naive": naive,
        "coverage": coverage(family), "half_width": half_width(list(by_group.values())),
        "constants": asdict(family.fit_without()),
    }  # fmt: skip


def pooled(results: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The geometric mean of the constants of several devices."""
    names = [name for name in results[0]["constants"] if name != "hidden"]
    return {name: float(np.exp(np.mean([np.log(each["constants"][name]) for each in results]))) for name in names}


def transferred(families: Sequence[Family], results: Sequence[dict[str, Any]]) -> list[NDArray[np.float64]]:
    """Errors on each device, by the constants of the others."""
    errors = []
    for family in families:
        others = [each for each in results if each["hardware"] != family.device]
        constants = Constants(**pooled(others), hidden=family.hidden)
        errors.append(log_errors(family.measured, constants))
    return errors


def vendor_of(family: Family) -> str:
    return hardware.find(family.device).vendor


def pools(families: Sequence[Family], results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of each stack: the constants for devices of a vendor, and for any, that were not measured."""
    found = []
    for stack in dict.fromkeys(each.stack for each in families):
        for vendor in ("NVIDIA", "AMD", stacks.ANY):
            both = zip(families, results, strict=True)
            mine = [pair for pair in both if pair[0].stack == stack and vendor in (stacks.ANY, vendor_of(pair[0]))]
            if not mine or (vendor != stacks.ANY and len(mine) < 2):
                continue
            some, said = [family for family, _ in mine], [result for _, result in mine]
            errors = transferred(some, said) if len(some) > 1 else [2 * each for each in held_out(some[0]).values()]
            pool = {"stack": stack, "hardware": vendor, "constants": {**pooled(said), "hidden": some[0].hidden}}
            pool |= {"devices": [each.device for each in some], "origin": some[0].origin,
                     "models": len({each.card.name for one in some for each in one.measured})}  # fmt: skip
            told_of = {"held_out": told(np.concatenate(errors)), "half_width": half_width(errors)}
            found.append({**pool, **told_of, "rows": sum(map(len, errors))})
    return found


# Power -------------------------------------------------------------------------------------------------------------


def power_rows(folder: Path) -> pd.DataFrame:
    """Power, read bytes and FLOP per second, each as a share of what the device could."""
    rows = [*own_power(), *bench_power(folder), *splitwise_power(folder)]
    return pd.DataFrame(rows, columns=["device", "source", "power", "reading", "computing"])


def shares(device: str, source: str, watts: float, rates: tuple[float, float]) -> tuple[Any, ...]:
    one = hardware.find(device)
    tdp_w = one.tdp_w or np.nan
    return device, source, watts / tdp_w, rates[0] / one.bandwidth_bytes_per_s, rates[1] / one.peak(("bf16",))


def own_power() -> Iterable[tuple[Any, ...]]:
    for path in sorted(MEASURED.glob("energy_split_*.json")):
        said = json.loads(path.read_text("utf-8"))
        device = hardware.find(said["device"]).name
        yield shares(device, "own", said["idle_with_context_w"], (0.0, 0.0))
        for case in said["cases"]:
            read, flop = case["weight_bytes"] + case["cache_bytes"], case["weight_flop"] + case["cache_flop"]
            yield shares(device, "own", case["w"], (read / case["s"], flop / case["s"]))


def rates_of(card: ModelCard, where: Machine, load: Load, seconds: float) -> tuple[float, float]:
    """Bytes and FLOP per second of each GPU over whole requests."""
    phases, more = phases_of(card, where, load, PHYSICAL), float(load.output_tokens) - 1
    first, further = phases.prefill_work, phases.decode_work
    flop = first.weight_flop + first.half_flop + more * (further.weight_flop + further.half_flop)
    return float(first.bytes + more * further.bytes) / seconds, float(flop) / seconds


def bench_power(folder: Path) -> Iterable[tuple[Any, ...]]:
    names = ["hw", "gpus", "software", "model", "tokens", "batch", "s", "rate", "mw"]
    rows = pd.read_csv(folder / "llm_inference_bench" / "Fig_16_a_b__power_results.csv", names=names, header=0).dropna()
    for row in rows.itertuples():
        card, where = catalogue.find(row.model), machine(DEVICES[row.hw], 1)
        if row.software == "Deepspeed-MII" or most_sequences(card, where, 2.0 * row.tokens) < row.batch:
            continue  # the stack of MII spends power on what a roofline does not see
        load = Load(float(row.tokens), float(row.tokens), float(row.batch))
        yield shares(DEVICES[row.hw], STACKS[row.software], row.mw / 1e3, rates_of(card, where, load, row.s))


def splitwise_power(folder: Path) -> Iterable[tuple[Any, ...]]:
    rows = splitwise_rows(folder)
    for row in rows[rows.average_power > 0].itertuples():
        card, where = catalogue.find(SPLITWISE_CARDS[row.model]), machine(DEVICES[row.hardware], row.tensor_parallel)
        load = Load(float(row.prompt_size), float(row.token_size), float(row.batch_size))
        watts = row.average_power * (hardware.find(DEVICES[row.hardware]).tdp_w or np.nan)
        yield shares(DEVICES[row.hardware], "splitwise", watts, rates_of(card, where, load, row.e2e_time / 1e3))


def split_errors(split: NDArray[np.float64], rows: pd.DataFrame) -> NDArray[np.float64]:
    said = np.minimum(split[0] + split[1] * rows.reading + split[2] * rows.computing, 1.0)
    return np.log(said / rows.power).to_numpy()


def fit_split(rows: pd.DataFrame, usual: Sequence[float] = (0.17, 0.7, 1.4)) -> NDArray[np.float64]:
    """Awake, reading and computing shares. The priors are wide (0.3): what the own measurement said, rounded."""

    def residuals(logs: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.concatenate([split_errors(np.exp(logs), rows) / SCALE, (logs - np.log(usual)) / 0.3])

    return np.exp(least_squares(residuals, np.log(usual)).x)


def judge_power(folder: Path) -> list[dict[str, Any]]:
    """Each device by its own rows; and pooled, judged on devices that it has not seen. Splitwise judges only."""
    rows = power_rows(folder)
    fitted = {device: fit_split(part) for device, part in rows[rows.source != "splitwise"].groupby("device")}
    found = []
    for device, split in fitted.items():
        mine = rows[(rows.device == device) & (rows.source != "splitwise")]
        errors = [split_errors(fit_split(mine[mine.source != each]) if mine.source.nunique() > 1 else split,
                               mine[mine.source == each]) for each in mine.source.unique()]  # fmt: skip
        found.append({"hardware": device, "split": split.tolist(), "rows": len(mine),
                      "held_out": told(np.concatenate(errors)), "half_width": half_width(errors)})  # fmt: skip
    alike = {
        device: split for device, split in fitted.items() if not device.startswith("GH200")
    }  # its TDP has a CPU in it
    errors = []
    for device in (*alike, "A100 SXM4 80GB"):
        others = np.exp(np.mean([np.log(split) for name, split in alike.items() if name != device], axis=0))
        errors.append(split_errors(others, rows[rows.device == device]))
    pool = np.exp(np.mean(np.log(list(alike.values())), axis=0))
    every = np.concatenate(errors)
    return [*found, {"hardware": power.ANY, "split": pool.tolist(), "rows": len(every), "held_out": told(every),
                     "half_width": half_width(errors)}]  # fmt: skip


# The tables --------------------------------------------------------------------------------------------------------


def write(name: str, columns: Sequence[str], rows: Iterable[dict[str, Any]]) -> None:
    with (TABLES / name).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def number(value: float) -> str:
    return f"{value:.4g}"


def stack_row(result: dict[str, Any], origin: tuple[str, str, str], models: int, basis: str) -> dict[str, Any]:
    constants = {name: ("yes" if value else "no") if name == "hidden" else number(value)
                 for name, value in result["constants"].items()}  # fmt: skip
    source, url, licence = origin
    return {"stack": result["stack"], "hardware": result["hardware"], **constants, "rows": result["rows"],
            "models": models, "mean_error": number(result["held_out"]["mean"]),
            "half_width": number(result["half_width"]), "basis": basis, "source": source, "url": url,
            "licence": licence, "retrieved": DAY}  # fmt: skip


def basis_of(pool: dict[str, Any]) -> str:
    devices = pool["devices"]
    if len(devices) == 1:
        return f"{devices[0]} alone, its held-out errors doubled"
    return f"geometric mean of {'; '.join(devices)}: errors on devices left out one at a time"


def write_tables(families: Sequence[Family], results: Sequence[dict[str, Any]], folder: Path) -> None:
    rows = [stack_row(result, family.origin, len({each.card.name for each in family.measured}),
                      "fitted with priors; errors and half_width on groups left out one at a time")
            for family, result in zip(families, results, strict=True)]  # fmt: skip
    rows += [stack_row(pool, pool["origin"], pool["models"], basis_of(pool)) for pool in pools(families, results)]
    write("serving_stacks.csv", stacks.COLUMNS, sorted(rows, key=lambda row: (row["stack"], row["hardware"])))
    splits = []
    for each in judge_power(folder):
        source, url = (f"{OWN[0]}; {LIB[0]}", OWN[1]) if each["hardware"] in ("H100 SXM5", power.ANY) else LIB[:2]
        basis = (
            "geometric mean of A100 and H100; errors on a device left out, Splitwise's A100 too"
            if (each["hardware"] == power.ANY)
            else "fitted to power against bytes and FLOP per second; errors on sources left out"
        )
        names = dict(zip(("awake_share", "reading_share", "computing_share"), map(number, each["split"]), strict=True))
        splits.append({"hardware": each["hardware"], **names, "rows": each["rows"],
                       "mean_error": number(each["held_out"]["mean"]), "half_width": number(each["half_width"]),
                       "basis": basis,
                       "source": source, "url": url, "licence": LIB[2], "retrieved": DAY})  # fmt: skip
    write("power_split.csv", power.COLUMNS, sorted(splits, key=lambda row: row["hardware"]))


def speed(count: int = 1_000_000) -> dict[str, float]:
    """Estimates a second, as arrays on one core's worth of CPU time."""
    random = np.random.default_rng(1)
    load = Load(random.integers(1, 8000, count).astype(float), random.integers(1, 2000, count).astype(float),
                random.integers(1, 64, count).astype(float))  # fmt: skip
    setup = Setup(catalogue.find("meta-llama/Meta-Llama-3-8B"), hardware.find("H100"), tensor_parallel=1)
    estimate(setup, load)  # the tables are read once
    start = time.process_time()
    estimate(setup, load)
    return {"estimates": count, "cpu_s": time.process_time() - start}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", type=Path, required=True, help="the folder with the measured tables")
    parser.add_argument("--refit", action="store_true", help="write the tables of constants")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    folder = args.reference
    families = [*llm_inference_bench(folder), *splitwise(folder), *megatron(folder)]
    results = [judge(family) for family in families]
    if args.refit:
        write_tables(families, results, folder)
    said = {"runtime": results, "unseen_hardware": pools(families, results), "power": judge_power(folder)}
    if args.refit or stacks_there():
        said["speed"] = speed()
    print(json.dumps(said, indent=1) if args.json else as_text(said))


def stacks_there() -> bool:
    return (TABLES / "serving_stacks.csv").exists()


def as_text(said: dict[str, Any]) -> str:
    lines = ["held out, mean error (of groups) · naive at the peaks, at 0.7 and 0.9 · in the 90 % range"]
    for each in said["runtime"]:
        kinds = ", ".join(f"{kind} {part['mean']:.1%}" for kind, part in each["by_kind"].items())
        naive = ", ".join(f"{value:.0%}" for value in each["naive"].values())
        lines.append(f"{each['stack']:14} {each['hardware']:16} {each['rows']:4} rows  {each['held_out']['mean']:.1%} "
                     f"({each['mean_of_groups']:.1%}) · {naive} · {each['coverage']:.0%}   {kinds}   "
                     f"left out {each['left_out_rows']}"
                     + (f", in waves {each['in_waves']['mean']:.1%}" if each["in_waves"] else ""))  # fmt: skip
    inside = sum(each["coverage"] * each["rows"] for each in said["runtime"])
    lines += [f"of all rows {inside / sum(each['rows'] for each in said['runtime']):.1%} are in the 90 % range", ""]
    lines += ["hardware that was not measured, by the constants of the others"]
    lines += [
        f"{each['stack']:14} {each['hardware']:16} {each['held_out']['mean']:.1%}" for each in said["unseen_hardware"]
    ]
    lines += ["", "power, held out"]
    lines += [f"{each['hardware']:16} {each['held_out']['mean']:.1%}  awake {each['split'][0]:.3f}, reading "
              f"{each['split'][1]:.3f}, computing {each['split'][2]:.3f} of TDP" for each in said["power"]]  # fmt: skip
    if "speed" in said:
        lines += ["", f"{said['speed']['estimates']:,} estimates in {said['speed']['cpu_s']:.2f} s of CPU time"]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
