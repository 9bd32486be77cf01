"""One request by the profile of a model: how long it takes alone, and the GPU time, energy and money of that.

    Request ─> the profile that fits ─> its times ─> Idealized: estimates, and what of them is extrapolated

Modes: `default` is continuous and monotone in the prompt; `helm` is the public rule to the digit, with its saw-tooth.
`roofline` needs no profile and is told by `joulebook.models.roofline`.

The idealized energy is, by the paper's definition, GPU seconds × the whole TDP: an upper end. A100s that were measured
while they served models drew 43 to 79 % of it in the mean (Splitwise, MIT): that is its lower end. Where a profile has
an energy of its own, that counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from joulebook.accounting.errors import InputError, NotFound
from joulebook.accounting.estimates import Estimate, between, ends_of, unknown
from joulebook.models.runtime import closed_form, store
from joulebook.models.runtime.profile import Profile
from joulebook.models.runtime.published import OWN
from joulebook.models.runtime.times import outside, runtime_estimate, slope_estimate

MOST_TOKENS = 10**9  # far above any request
LEAST_SHARE_OF_TDP = 0.43
CLOSED = "its architecture is closed, so that nobody but its provider can run it; its API can be denoised"
NOT_DENOISED = unknown("s", "no API of this model was denoised")
WH_PER_J = 1 / 3600.0


@dataclass(frozen=True)
class Request:
    """What is asked: one request to a model. `batch`: how many are served at once; `hardware`: None for any."""

    model: str
    prompt_tokens: int
    output_tokens: int
    batch: int = 1
    hardware: str | None = None

    def __post_init__(self) -> None:
        tokens = (self.prompt_tokens, self.output_tokens)
        if min(tokens) < 0 or max(tokens) > MOST_TOKENS or self.batch < 1:
            raise InputError(f"a request has from 0 to {MOST_TOKENS:,} tokens of a kind, and a batch is 1 or more")


@dataclass(frozen=True)
class Idealized:
    """The answer. Each amount is unknown, with the reason, where the model has no idealized profile."""

    request: Request
    mode: str
    profile: str | None  # the id of the profile
    hardware: str  # the device
    gpus: int | None
    software: str
    runtime_s: Estimate
    prompt_s: Estimate  # to the first output token
    per_output_token_s: Estimate  # each further one
    gpu_seconds: Estimate
    energy_wh: Estimate
    cost_usd: Estimate
    denoised_runtime_s: Estimate  # of the provider's API without its contention
    extrapolated: tuple[str, ...] = ()  # which of its sizes lie outside of what was measured
    notes: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()

    @property
    def known(self) -> bool:
        return self.runtime_s.known or self.denoised_runtime_s.known


def idealized(request: Request, profiles: Sequence[Profile], mode: str = "default") -> Idealized:
    """The answer to one request by the first profile that fits. Raises NotFound for a model that nobody profiled."""
    own = store.of_model(profiles, request.model)
    if not own:
        raise store.no_profile(profiles, request.model)
    alone = [each for each in own if each.kind == "idealized"]
    denoised = next((each for each in own if each.kind == "denoised"), None)
    if not alone:
        return _closed(request, mode, _denoised_s(denoised, request, mode))
    return of_profile(request, _chosen(request, alone), mode, _denoised_s(denoised, request, mode))


def _chosen(request: Request, profiles: Sequence[Profile]) -> Profile:
    """The first profile on the hardware and with the batch that was asked for."""
    fitting = profiles if request.hardware is None else store.on_hardware(profiles, request.hardware)
    if not fitting:
        there = ", ".join(sorted({each.hardware.device or "unknown hardware" for each in profiles}))
        raise NotFound(
            f"{request.model} was not profiled on {request.hardware!r}, only on {there}; --mode roofline estimates "
            "other hardware"
        )
    found = next((each for each in fitting if each.batch == request.batch), None)
    if found is None:
        batches = ", ".join(map(str, sorted({each.batch for each in fitting})))
        raise InputError(
            f"{request.model} was profiled with batch {batches}, not {request.batch}; --mode roofline estimates other "
            "batches"
        )
    return found


def _denoised_s(profile: Profile | None, request: Request, mode: str) -> Estimate:
    if profile is None:
        return NOT_DENOISED
    return runtime_estimate(profile, request.prompt_tokens, request.output_tokens, mode)


def of_profile(request: Request, profile: Profile, mode: str, denoised_s: Estimate) -> Idealized:
    """One request by one profile."""
    prompt, output = request.prompt_tokens, request.output_tokens
    runtime = runtime_estimate(profile, prompt, output, mode)
    prompt_s = runtime_estimate(profile, prompt, 0, mode)
    busy = gpu_seconds_of(profile, runtime)
    beyond = tuple(name for name, is_so in outside(profile, prompt, output).items() if is_so)
    return Idealized(
        request, mode, profile.profile_id, profile.hardware.device, profile.hardware.gpus,
        profile.software.stack, runtime, prompt_s,
        slope_estimate(profile, prompt, output, mode), busy, energy_of(profile, request, busy),
        cost_of(profile, busy), denoised_s, beyond, tuple(_notes(profile, beyond, mode)),
        tuple(filter(None, (profile.origin.source, profile.origin.url))),
    )  # fmt: skip


def gpu_seconds_of(profile: Profile, runtime_s: Estimate) -> Estimate:
    """A request's part of the GPUs' time."""
    gpus = profile.hardware.gpus
    if not gpus:
        return unknown("s", "it ran without GPUs" if gpus == 0 else "nobody said on how many GPUs it ran")
    return runtime_s.scaled(closed_form.gpu_seconds(1.0, gpus=gpus, batch=profile.batch), "s")


def cost_of(profile: Profile, busy: Estimate) -> Estimate:
    """The price of the GPUs while they were busy."""
    rate = profile.hardware.usd_per_gpu_hour
    if not busy.known:
        return unknown("USD", busy.reason or "")
    if rate is None:
        return unknown("USD", "the profile has no price of a GPU-hour")
    return busy.scaled(closed_form.cost_usd(1.0, usd_per_gpu_hour=rate), "USD")


def energy_of(profile: Profile, request: Request, busy: Estimate) -> Estimate:
    """What the profile measured of such a request, else the TDP of the GPUs while they were busy."""
    told, tdp_w = profile.energy, profile.hardware.tdp_w
    if told is not None:
        prompt, output = request.prompt_tokens, request.output_tokens
        parts = zip(told.j_per_call, told.j_per_prompt_token, told.j_per_output_token, strict=True)
        return between([(c + p * prompt + o * output) * WH_PER_J for c, p, o in parts], "Wh", "modelled")
    if not busy.known:
        return unknown("Wh", f"the profile has no energy, and {busy.reason}")
    if tdp_w is None:
        return unknown("Wh", "the profile has neither an energy nor the TDP of its GPUs")
    at_tdp = busy.scaled(closed_form.device_energy_j(1.0, power_w=tdp_w) * WH_PER_J, "Wh")
    low, mid, high = ends_of(at_tdp)
    return between((low * LEAST_SHARE_OF_TDP, mid, high), "Wh", "modelled")


def _closed(request: Request, mode: str, denoised_s: Estimate) -> Idealized:
    """A model that only its provider can run: its API without contention, and no idealized value."""
    no_s, no_wh, no_usd = (unknown(unit, CLOSED) for unit in ("s", "Wh", "USD"))
    notes = (f"No idealized value: {CLOSED}.",)
    return Idealized(request, mode, None, "", None, "", no_s, no_s, no_s, no_s, no_wh, no_usd, denoised_s, notes=notes)


def _notes(profile: Profile, beyond: Sequence[str], mode: str) -> list[str]:
    basis = profile.origin.basis
    notes = [f"Profile: {basis}."] if basis and basis != OWN else []
    told = profile.coefficients
    measured = {
        "prompt_tokens": f"prompts of {told.prompt_tokens[0]:g} to {told.prompt_tokens[-1]:g} tokens",
        "output_tokens": f"answers of up to {profile.measured.longest_output_tokens} tokens",
    }
    notes += [f"Extrapolated: only {measured[name]} were measured." for name in beyond]
    if mode == "helm":
        notes.append("By HELM's rule the time of a prompt between two sizes may be too short, by up to eight times.")
    if profile.energy is not None:
        notes.append(f"Energy of the {profile.energy.boundary}, fitted to energies that were {profile.energy.method}.")
    elif profile.hardware.tdp_w:
        notes.append("Energy is that of the GPUs alone at their whole TDP, by the paper's definition: an upper end.")
    if profile.batch == 1:
        notes.append("One request at a time: a server that batches uses its GPUs far better.")
    return notes
