"""A call to an open model by the roofline: where nobody says what serves it, the usual hardware and a range of batches.

    open model ─▶ card ─▶ H100s that hold it ─▶ batch of 256, 64 and 8 ─▶ IT energy of prompt, cache and answer

The architecture is known, how it is served is not, so that is declared: vLLM, the precision as published, the fewest
H100s of a node that hold the weights and 64 requests (where it takes more nodes: 8). The batch decides most and makes
the range: low at 256 requests at once, high at 8, each with the model's own error. A prompt costs what its prefill
does, a cached one only what reading it does, and an answer what its steps do over the context of this very call: rates
hold for the call that they were made for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from joulebook.accounting.errors import NotFound
from joulebook.models.footprint.call import Absent, Ends, Rate, Rates, Usage
from joulebook.models.footprint.ecologits import EMBODIED, LIFE_S, SERVER_GPUS
from joulebook.models.footprint.place import Place
from joulebook.models.roofline import catalogue, hardware
from joulebook.models.roofline.cards import ModelCard
from joulebook.models.roofline.estimate import Load, Prediction, Setup, estimate, machine_of

HARDWARE = "H100"
BATCHES = (256.0, 64.0, 8.0)  # of the low, the mid and the high end
MANUFACTURE = "Manufacture by time, of a server with eight H100s as EcoLogits has it."


def rates(model: str, place: Place, usage: Usage[float]) -> Rates | Absent:
    """What tokens use in a call of these lengths, or why nobody knows: the architecture of a closed model is secret."""
    try:
        card = catalogue.find(model)
    except NotFound as error:
        return Absent(str(error))
    setup = _served(card, usage)
    told = [estimate(setup, _load(usage, batch)) for batch in BATCHES]
    plain = [estimate(setup, _load(_uncached(usage), batch)) for batch in BATCHES]
    ends = [_energy_rate(*each, usage) for each in zip(("low", "mid", "high"), told, plain, strict=True)]
    return Rates(
        cast("Ends", tuple(ends)), place.range_of("pue"), place.range_of("wue"), _embodied(told, usage),
        (f"joulebook/model_cards/{card.name}", f"joulebook/serving_stacks/{told[1].fitted.profile}"),
        _notes(setup, told),
    )  # fmt: skip


def _served(card: ModelCard, usage: Usage[float]) -> Setup:
    """On the fewest GPUs of a node that hold the requests of the mid; where it takes more, those of the high end."""
    setup = Setup(card, hardware.find(HARDWARE))
    inside, beyond = (machine_of(setup, _load(usage, batch)) for batch in BATCHES[1:])
    machine = inside if inside.pipeline_parallel == 1 else beyond
    return replace(setup, tensor_parallel=machine.tensor_parallel, pipeline_parallel=machine.pipeline_parallel)


def _load(usage: Usage[float], batch: float) -> Load:
    return Load(usage.input_tokens, usage.output_tokens, batch, usage.cached_tokens)


def _uncached(usage: Usage[float]) -> Usage[float]:
    return Usage(usage.input_tokens - usage.cached_tokens, 0, usage.output_tokens)


def _energy_rate(end: str, told: Prediction, plain: Prediction, usage: Usage[float]) -> Rate[float]:
    """IT energy of each token at one end. What the prompt takes beyond one without its cached tokens is theirs."""
    whole = float(getattr(cast("Any", told.it_energy_j), end))
    prompt, energy = _mid(told.prompt_energy_j), _mid(told.energy_j)
    cached = max(prompt - _mid(plain.prompt_energy_j), 0.0) if usage.cached_tokens else 0.0
    return _shared_out(whole, ((prompt - cached) / energy, cached / energy), usage)


def _embodied(told: list[Prediction], usage: Usage[float]) -> Mapping[str, Ends]:
    """Manufacture by time. Unit: amount = GPU seconds × (share of the server + GPU) ÷ life."""
    ends = [(_mid(each.gpu_seconds), float(each.prefill.total_s) / float(each.running)) for each in told]
    parts = {name: (server / SERVER_GPUS + gpu) / LIFE_S for name, (server, gpu) in EMBODIED.items()}
    return {
        name: cast("Ends", tuple(
            _shared_out(seconds * per_s, (min(told[0].machine.gpus * prompt_s / seconds, 1.0), 0.0), usage)
            for seconds, prompt_s in ends
        ))
        for name, per_s in parts.items()
    }  # fmt: skip


def _shared_out(whole: float, parts: tuple[float, float], usage: Usage[float]) -> Rate[float]:
    """A call's amount over its tokens: the part of the prompt, of what was cached, and the rest of the answer."""
    prompt, cached = parts
    fresh = usage.input_tokens - usage.cached_tokens
    answer = max(1.0 - prompt - cached, 0.0)
    per_token = [
        whole * part / tokens if tokens else 0.0
        for part, tokens in ((prompt, fresh), (cached, usage.cached_tokens), (answer, usage.output_tokens))
    ]
    told = per_token[0] * fresh + per_token[1] * usage.cached_tokens + per_token[2] * usage.output_tokens
    return Rate(max(whole - told, 0.0), *per_token)


def _mid(bounds: Any) -> float:
    return float(bounds.mid)


def _notes(setup: Setup, told: list[Prediction]) -> tuple[str, ...]:
    machine, card = told[1].machine, setup.card
    batches = ", ".join(f"{float(each.running):.0f}" for each in told)
    return (
        f"Declared: {machine.gpus} × {machine.hardware.name}, {setup.stack}, {card.precision}; it may be otherwise.",
        f"Low, mid and high with {batches} requests at once, as far as they fit in memory.",
        "Input, cached and output tokens: a prompt costs its prefill, its cache is read at each token.",
        "PUE and WUE are the site's.",
        MANUFACTURE,
    )
