"""ecocost (version 0.2.4), asked through the package: input, cached and output tokens, each at its own rate.

Its estimate is a sum over tokens, so a million tokens of each kind, worked once by the package's own arithmetic on a
data centre without overhead, give the rates. Its likely range of each kind of token is kept; where a call has several
kinds the ranges add up, which is within 3 % of its own. PUE, WUE and chips are those of its provider, the grid is
the one that all engines share.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

from joulebook.accounting.estimates import Estimate
from joulebook.accounting.near import near
from joulebook.accounting.site import Range
from joulebook.models.footprint.call import Absent, Call, Ends, Rate, Rates
from joulebook.models.footprint.packages import lacking

NAME, VERSION = "ecocost", "0.2.4"
SOURCE = f"{NAME}-{VERSION}"
MANY = 1_000_000  # tokens of one kind in a probe
# what a probe asks -> the field of `Rate`
KINDS = {
    "input": {"input_tokens": MANY},
    "cached": {"input_tokens": MANY, "cached_input_tokens": MANY},
    "output": {"output_tokens": MANY},
}
NOTES = (
    "Input, cached and output tokens; a cached token costs a tenth of one that is read anew.",
    "The range of the IT energy is the package's likely one; PUE, WUE and grid are then taken at their ends at once.",
    "Of manufacture it models carbon only.",
)
PROVIDERS = {"google": "google-vertex", "gcp": "google-vertex", "google_genai": "google-vertex",
             "mistralai": "mistral"}  # ours -> its own  # fmt: skip


def rates(provider: str | None, model: str) -> Rates | Absent:
    """What the package says of a model at a provider, or why it does not."""
    without = lacking(NAME, VERSION)
    if without:
        return without
    found = _records(provider, model)
    if isinstance(found, Absent):
        return found
    weights, serving, notes = found
    pue, wue = serving.pue.as_range(), serving.wue_l_per_kwh.as_range()
    probes = {kind: _probe(weights, serving, tokens) for kind, tokens in KINDS.items()}
    return Rates(
        it_energy_j=_ends({kind: _scaled(probe.energy_wh, 3600 / MANY) for kind, probe in probes.items()}),
        pue=(pue.lo, pue.mid, pue.hi),
        wue_l_per_kwh=(wue.lo, wue.mid, wue.hi),
        embodied={"gwp_g": _ends({kind: _scaled(probe.carbon_embodied_g, 1 / MANY) for kind, probe in probes.items()})},
        sources=(f"{SOURCE}/models/{weights.id}", f"{SOURCE}/providers/{serving.id}"),
        notes=(*NOTES, *notes),
    )


@cache
def _knowledge() -> Any:
    from ecocost.loader import get_kb

    return get_kb()


def _records(provider: str | None, model: str) -> Any:
    """The package's records of a model and of who serves it, with what to know of them; Absent when it has none."""
    from ecocost.calc import as_proxy
    from ecocost.errors import UnknownModelError, UnknownProviderError

    knowledge, notes = _knowledge(), list[str]()
    try:
        weights = knowledge.resolve_model(model)
    except UnknownModelError as error:
        proxy = knowledge.resolve_proxy(model)
        if not proxy:
            return Absent(f"ecocost knows no model {model!r}", tuple(error.suggestions))
        weights = as_proxy(proxy[0])
        notes.append(f"Its weights are not known: estimated as {weights.id}, with a wider range.")
    try:
        serving, guessed = knowledge.resolve_provider(_its_name(provider), model=weights)
    except UnknownProviderError:
        return Absent(
            f"ecocost knows no provider {provider!r}", near(str(provider), (*knowledge.providers, *PROVIDERS))
        )
    if guessed:
        notes.append(f"Who serves it was not said: taken as {serving.label}.")
    return weights, serving, notes


def _its_name(provider: str | None) -> str | None:
    return provider and PROVIDERS.get(provider.lower(), provider)


def _probe(weights: Any, serving: Any, tokens: dict[str, Any]) -> Any:
    """What the package says of some tokens, without the overhead of the building: its energy is then IT energy."""
    from ecocost import calc

    knowledge = _knowledge()
    bare = replace(serving, pue=replace(serving.pue, value=1.0, min=1.0, max=1.0))
    return calc.estimate(
        weights, bare, knowledge.regions[serving.region], knowledge.hardware[serving.hardware],
        knowledge.hardware[calc.REFERENCE_HARDWARE_ID], **tokens,
        candidate_hardware=[(knowledge.hardware[name], share) for name, share in serving.hardware_candidates],
    )  # fmt: skip


def _scaled(amount: Any, factor: float) -> Range:
    return amount.lo * factor, amount.mid * factor, amount.hi * factor


def _ends(by_kind: dict[str, Range]) -> Ends:
    low, mid, high = (Rate(0.0, *(by_kind[kind][end] for kind in KINDS)) for end in range(3))
    return low, mid, high


def as_published(call: Call, region: str | None) -> dict[str, Estimate]:
    """What the package prints of a call, on its own grid of a region; of its provider where it knows no such region."""
    import ecocost

    tokens: dict[str, Any] = {
        "input_tokens": round(call.input_tokens),
        "output_tokens": round(call.output_tokens),
        "cached_input_tokens": round(call.cached_tokens),
    }
    known = region if region in _knowledge().regions else None
    told = ecocost.estimate(call.model, provider=_its_name(call.provider), region=known, **tokens)
    parts = {"energy_wh": ("energy", 1.0, "Wh"), "gwp_g": ("carbon", 1.0, "g"), "water_l": ("water", 1e-3, "L"),
             "primary_energy_j": ("primary_energy", 1e6, "J")}  # fmt: skip
    return {category: _printed(told[part], factor, unit) for category, (part, factor, unit) in parts.items()}


def _printed(amount: Any, factor: float, unit: str) -> Estimate:
    return Estimate(amount["min"], amount["value"], amount["max"], unit, "modelled").scaled(factor, unit)
