"""The same answer for a pair of model and hardware that nobody measured: by the roofline, in the form of the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from joulebook.accounting.estimates import Estimate
from joulebook.models.roofline.cards import ModelCard
from joulebook.models.roofline.estimate import Load, Prediction, Setup, as_estimate, estimate, setup_of
from joulebook.models.runtime.answer import NOT_DENOISED, WH_PER_J, Idealized, Request
from joulebook.models.runtime.closed_form import Floats

USUAL_HARDWARE = "H100"


def by_roofline(request: Request, card: ModelCard, denoised_s: Estimate = NOT_DENOISED) -> Idealized:
    """One request by the roofline. Raises InputError where the model does not fit the hardware."""
    setup = setup_of(card, request.hardware or USUAL_HARDWARE)
    told = estimate(setup, Load(float(request.prompt_tokens), float(request.output_tokens), float(request.batch)))
    machine, fitted = told.machine, told.fitted
    return Idealized(
        request, "roofline", f"roofline/{card.name}/{machine.hardware.name}/{fitted.stack}", machine.hardware.name,
        machine.gpus, fitted.stack,
        as_estimate(told.runtime_s, "s"), as_estimate(told.time_to_first_token_s, "s"),
        as_estimate(told.per_output_token_s, "s"), as_estimate(told.gpu_seconds, "s"),
        as_estimate(told.energy_j, "J").scaled(WH_PER_J, "Wh"), as_estimate(told.cost_usd, "USD"), denoised_s,
        ("hardware",) if told.extrapolated else (), _notes(told), (fitted.source,),
    )  # fmt: skip


def runtimes_by_roofline(card: ModelCard, hardware: str | None, batch: int = 1) -> Callable[[Floats, Floats], Floats]:
    """The runtimes of many requests to a model, each in a batch of its like, on the GPUs that hold the longest."""
    setup = setup_of(card, hardware or USUAL_HARDWARE)
    return lambda prompt_tokens, output_tokens: _mids(setup, prompt_tokens, output_tokens, batch)


def _mids(setup: Setup, prompt_tokens: Floats, output_tokens: Floats, batch: int) -> Floats:
    return cast("Floats", estimate(setup, Load(prompt_tokens, output_tokens, float(batch))).runtime_s.mid)


def _notes(told: Prediction) -> tuple[str, ...]:
    notes = ["By the roofline: nobody measured this pair; the range holds nine of ten models that were left out."]
    if told.extrapolated:
        notes.append(told.not_measured)
    if float(cast("Any", told.waves)) > 1:
        notes.append("Not all requests of the batch fit in memory at once: the rest waits.")
    if told.energy_j is None:
        notes.append("No energy: its maker does not tell the power of this hardware.")
    else:
        notes.append("Energy is that of the GPUs; the host and the building come on top.")
    return tuple(notes)
