"""One request to a model, alone on named hardware and software; and what measurements told of a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from joulebook.accounting.estimates import Estimate, between, unknown
from joulebook.reports.format import duration, mid_of, number
from joulebook.reports.view import Column, Figure, Series, Tile, View
from joulebook.reports.views.common import listed, plural

if TYPE_CHECKING:
    from joulebook.models.runtime.answer import Idealized
    from joulebook.models.runtime.denoise import Denoised
    from joulebook.models.runtime.profile import Coefficients, Profile

J_PER_WH = 3600.0
PROMPTS = (Column("prompt_tokens", "Prompt, tokens", "number"), Column("prompt_s", "Takes", "estimate", "s"))
SLOPES = (Column("part", ""), Column("amount", "Takes", "estimate", "s"))
CALIBRATE = "joulebook calibrate --endpoint URL --model M measures a model on your hardware, with its energy."
BOUNDARIES = {"it": "IT"}
PROFILES = (
    Column("model", "Model"),
    Column("machine", "Hardware"),
    Column("first_token_s", "Shortest prompt", "estimate", "s"),
    Column("per_output_token_s", "Per output token", "estimate", "s"),
    Column("j_per_output_token", "Energy of it", "estimate", "J"),
    Column("kind", "Kind"),
    Column("from", "From"),
    Column("software", "Software"),
    Column("batch", "Batch", "number"),
    Column("cells", "Cells", "number"),
)
DENOISED = (
    Column("model", "Model"),
    Column("requests", "Requests", "number"),
    Column("how", "By"),
    Column("overhead_s", "Overhead", "estimate", "s"),
    Column("first_token_s", "First token", "estimate", "s"),
    Column("per_output_token_s", "Per output token", "estimate", "s"),
)


def idealized(answer: Idealized) -> View:
    """How long one request takes alone, and what of the hardware that is."""
    request = answer.request
    sizes = f"{request.prompt_tokens:,} tokens in, {request.output_tokens:,} out"
    if request.batch > 1:
        sizes += f"; one of {request.batch:,} at once"
    tiles = (
        Tile("Idealized runtime", answer.runtime_s, machine_of(answer)),
        Tile("Prompt and first token", answer.prompt_s),
        Tile("Each further token", answer.per_output_token_s),
        Tile("Energy", energy_of(answer)),
        Tile("Cost of the GPUs", answer.cost_usd),
        Tile("Its API, denoised", answer.denoised_runtime_s),
    )
    return View(
        "idealized", f"A request to {request.model}, alone", _sentence(answer), f"{sizes}; mode {answer.mode}",
        tiles=tuple(tile for tile in tiles if tile.value.known),
        alerts=tuple(f"Outside of what was measured: {name.replace('_', ' ')}." for name in answer.extrapolated),
        notes=(*answer.notes, *_said_by(answer)),
    )  # fmt: skip


def machine_of(answer: Idealized) -> str:
    """`8 × A100 SXM4 80GB`, as far as it is known."""
    return f"{answer.gpus} × {answer.hardware}" if answer.gpus and answer.hardware else answer.hardware


def energy_of(answer: Idealized) -> Estimate:
    """In joules, as all energy is drawn."""
    return answer.energy_wh.scaled(J_PER_WH, "J")


def _said_by(answer: Idealized) -> tuple[str, ...]:
    source = f"; {answer.sources[0]}" if answer.sources else ""
    return (f"By {answer.profile}{source}.",) if answer.profile else ()


def _sentence(answer: Idealized) -> str:
    if not answer.runtime_s.known:
        told = answer.denoised_runtime_s
        return f"No idealized runtime is known. Its API without contention: {mid_of(told)}." if told.known else ""
    where = f" on {machine_of(answer)}" if answer.hardware else ""
    software = f" with {answer.software}" if answer.software else ""
    return f"{mid_of(answer.runtime_s)}{where}{software}, nobody else using it."


# Profiles ---------------------------------------------------------------------------------------------------------


def profiles(own: Sequence[Profile], published: Sequence[Profile]) -> View:
    """The profiles that there are: those of the home first."""
    rows = [_profile_row(each, "this home") for each in own]
    rows += [_profile_row(each, "published") for each in published]
    told = f"{plural(len(own), 'profile')} of this home, {len(published)} published."
    notes = () if own else (CALIBRATE,)
    return View("profiles", "Calibration profiles", told, columns=PROFILES, rows=tuple(rows), notes=notes)


def _profile_row(profile: Profile, where: str) -> Mapping[str, Any]:
    told, hardware = profile.coefficients, profile.hardware
    return {
        "profile": profile.profile_id,
        "model": profile.model,
        "kind": profile.kind,
        "device": hardware.device,
        "gpus": hardware.gpus,
        "machine": f"{hardware.gpus} × {hardware.device}" if hardware.gpus else hardware.device,
        "software": profile.software.stack,
        "batch": profile.batch,
        "per_output_token_s": between(told.per_output_token_s, "s", "modelled"),
        "overhead_s": between(told.overhead_s, "s", "modelled"),
        "first_token_s": between(told.prompt_s[0], "s", "modelled"),
        "j_per_output_token": _token_energy(profile),
        "energy_boundary": profile.energy.boundary if profile.energy else None,
        "longest_prompt_tokens": told.prompt_tokens[-1],
        "cells": profile.measured.cells,
        "created_at": profile.created_at,
        "from": where,
    }


def _token_energy(profile: Profile) -> Estimate:
    energy = profile.energy
    return between(energy.j_per_output_token, "J", energy.method) if energy else unknown("J", "no energy was metered")


def profile(one: Profile) -> View:
    """The coefficients of one profile, and what they rest on."""
    told = one.coefficients
    return View(
        "profile", f"Runtime profile of {one.model}", _profile_sentence(one),
        f"{one.kind}; {one.profile_id}", columns=PROMPTS, rows=_prompt_rows(told), figure=_curve(one),
        parts=(View("slopes", "Beside the prompt", columns=SLOPES, rows=_slope_rows(told)), *_energy_part(one)),
        notes=tuple(_profile_notes(one)),
    )  # fmt: skip


def _profile_notes(one: Profile) -> Iterator[str]:
    measured, origin = one.measured, one.origin
    counts = f"{plural(measured.cells, 'cell')}, {plural(measured.samples, 'request')}"
    yield f"From {counts}; answers of up to {measured.longest_output_tokens} tokens."
    if one.spread and one.spread.relative_error:
        yield f"A cell is {number(one.spread.relative_error * 100)} % off the fit (one standard deviation)."
    if origin.basis:
        yield f"Basis: {origin.basis}."
    if origin.source:
        yield f"Source: {origin.source} ({origin.licence or 'no licence named'})."


def _profile_sentence(one: Profile) -> str:
    hardware = one.hardware
    gpus = f"{hardware.gpus} × " if hardware.gpus else ""
    where = f"on {gpus}{hardware.device}" if hardware.device else "on hardware that nobody named"
    software = f" with {one.software.stack}" if one.software.stack else ""
    return f"Measured {where}{software}, {plural(one.batch, 'request')} at once."


def _prompt_rows(told: Coefficients) -> tuple[Mapping[str, Any], ...]:
    return tuple(
        {"prompt_tokens": size, "prompt_s": between(ends, "s", "modelled")}
        for size, ends in zip(told.prompt_tokens, told.prompt_s, strict=True)
    )


def _slope_rows(told: Coefficients) -> tuple[Mapping[str, Any], ...]:
    parts = {
        "Each output token after the first": told.per_output_token_s,
        "The same, per token of context": told.per_context_token_s,
        "Overhead of each request": told.overhead_s,
    }
    return tuple({"part": name, "amount": between(ends, "s", "modelled")} for name, ends in parts.items() if ends[2])


def _energy_part(one: Profile) -> tuple[View, ...]:
    energy = one.energy
    if energy is None:
        return ()
    parts = {"Each request": energy.j_per_call, "Each prompt token": energy.j_per_prompt_token,
             "Each output token": energy.j_per_output_token}  # fmt: skip
    rows = tuple({"part": name, "amount": between(ends, "J", energy.method)} for name, ends in parts.items())
    columns = (Column("part", ""), Column("amount", "Uses", "estimate", "J"))
    return (View("energy", f"Energy ({BOUNDARIES.get(energy.boundary, energy.boundary)})", columns=columns, rows=rows),)


def _curve(one: Profile) -> Figure:
    """The time of a prompt over its length."""
    told = one.coefficients
    ends = tuple(zip(*told.prompt_s, strict=True))
    series = Series("Prompt and first token", told.prompt_tokens, ends[1], ends[0], ends[2], role="frontier")
    first, last = ((duration(ends[1][at]), told.prompt_tokens[at]) for at in (0, -1))
    alt = f"From {first[0]} at {first[1]:g} tokens to {last[0]} at {last[1]:g}."
    return Figure("scatter", "Time of a prompt over its length", "s", (series,), alt, x_label="Prompt", x_unit="token",
                  band="Joined: in between it is taken to go straight. Thin lines: nine of ten lie there.")  # fmt: skip


def denoised(found: Sequence[Denoised]) -> View:
    """What APIs would take without contention, as far as requests can tell."""
    rows = tuple(denoised_row(each) for each in found)
    told = [each for each in found if each.per_output_token_s.known]
    best = min(told, key=lambda each: each.per_output_token_s.mid or 0.0, default=None)
    which = f"{'The fastest is ' if len(told) > 1 else ''}{best.model}" if best else ""
    sentence = f"{which}: {mid_of(best.per_output_token_s)} per output token without contention." if best else ""
    return View(
        "denoised", "APIs without their contention", sentence, columns=DENOISED, rows=rows,
        notes=tuple(note for each in found for note in _denoised_notes(each)),
        empty="No request that counts was found: they need tokens that the provider reported, and their time.",
    )  # fmt: skip


def denoised_row(one: Denoised) -> dict[str, Any]:
    coefficients = one.profile.coefficients if one.profile else None
    return {
        "model": one.model,
        "requests": one.requests,
        "left_out": dict(one.left_out),
        "how": one.how,
        "overhead_s": between(coefficients.overhead_s, "s", "modelled") if coefficients else None,
        "first_token_s": one.first_token_s,
        "per_output_token_s": one.per_output_token_s,
        "prompt_s": list(_prompt_rows(coefficients)) if coefficients else [],
        "below_share": one.below,
        "refused": one.refused,
        "profile": one.profile.profile_id if one.profile else None,
    }


def _denoised_notes(one: Denoised) -> list[str]:
    left_out = [f"{count} {why}" for why, count in sorted(one.left_out.items())]
    notes = [f"{one.model}: left out {listed(left_out)}."] if left_out else []
    if one.refused:
        notes.append(f"{one.model}: no runtime as a whole, because {one.refused}.")
    return notes
