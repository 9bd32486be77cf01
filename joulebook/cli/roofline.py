"""The roofline of one pair of model and hardware, and what its catalogues hold."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from joulebook.accounting.errors import InputError
from joulebook.cli.commands import answer, print_json

if TYPE_CHECKING:
    from joulebook.models.roofline.cards import ModelCard
    from joulebook.models.roofline.estimate import Load, Prediction, Setup
    from joulebook.models.roofline.step import Times

PHASES = ("prefill", "decode")
PARTS = ("compute_s", "memory_s", "communication_s", "overhead_s")


def roofline(args: argparse.Namespace) -> int:
    """Estimate one load. A model that is not in the catalogue, or does not fit, is wrong input."""
    from joulebook.models.roofline.estimate import estimate
    from joulebook.reports import views

    if args.list:
        return answer(args, views.roofline_catalogue(args.list))
    setup, load = _setup(args), _load(args)
    told = estimate(setup, load)
    if args.json:
        print_json(_as_json(setup, load, told))
        return 0
    return answer(args, views.roofline(setup, load, told))


def _setup(args: argparse.Namespace) -> Setup:
    from joulebook.models.roofline import hardware
    from joulebook.models.roofline.estimate import Setup

    return Setup(
        _card(args), hardware.find(args.hardware), args.stack, args.precision, args.tensor_parallel,
        args.pipeline_parallel, args.usd_per_gpu_hour,
    )  # fmt: skip


def _card(args: argparse.Namespace) -> ModelCard:
    from joulebook.models.roofline import catalogue
    from joulebook.models.roofline.config_json import read_config

    if args.config:
        return read_config(Path(args.config))
    if not args.model:
        raise InputError("name the model: --model, or --config with its config.json (all there are: --list models)")
    return catalogue.find(args.model)


def _load(args: argparse.Namespace) -> Load:
    from joulebook.models.roofline.estimate import Load

    prompt, output, batch, cached = map(float, (args.prompt_tokens, args.output_tokens, args.batch, args.cached_tokens))
    return Load(prompt, output, batch, cached, args.steady)


def _as_json(setup: Setup, load: Load, told: Prediction) -> dict[str, Any]:
    """The estimate with stable keys, units in the keys."""
    from joulebook.models.roofline.estimate import as_estimate

    machine, card = told.machine, setup.card
    return {
        "model": card.name,
        "parameters": card.parameters,
        "active_parameters": card.active_parameters,
        "precision": setup.precision or card.precision,
        "hardware": machine.hardware.name,
        "stack": setup.stack,
        "gpus": machine.gpus,
        "tensor_parallel": machine.tensor_parallel,
        "pipeline_parallel": machine.pipeline_parallel,
        **vars(load),
        "requests_at_once": float(told.running),
        "time_to_first_token_s": as_estimate(told.time_to_first_token_s, "s"),
        "per_output_token_s": as_estimate(told.per_output_token_s, "s"),
        "runtime_s": as_estimate(told.runtime_s, "s"),
        "gpu_seconds": as_estimate(told.gpu_seconds, "s"),
        "energy_j": as_estimate(told.energy_j, "J"),
        "prompt_energy_j": as_estimate(told.prompt_energy_j, "J"),
        "it_energy_j": as_estimate(told.it_energy_j, "J"),
        "cost_usd": as_estimate(told.cost_usd, "USD"),
        **{f"{phase}_step": _parts(getattr(told, phase)) for phase in PHASES},
        "profile": told.fitted.profile,
        "extrapolated": told.extrapolated,
        "held_out_error": told.fitted.mean_error,
        "source": told.fitted.source,
    }


def _parts(times: Times) -> dict[str, float]:
    return {part: float(getattr(times, part)) for part in PARTS}
