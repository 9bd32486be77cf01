"""Recorded calls against one yardstick: raw, denoised and idealized side by side, and the same text to every model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from joulebook.accounting.estimates import Estimate, unknown
from joulebook.accounting.ledger import Ledger
from joulebook.reports.format import number
from joulebook.reports.view import Column, Figure, Series, View
from joulebook.reports.views.common import Period, capital, of_project, plural
from joulebook.reports.views.idealized import energy_of, machine_of

if TYPE_CHECKING:
    from joulebook.models.runtime.answer import Idealized
    from joulebook.models.runtime.compare import Basis, Compared

CALLS = (
    Column("model", "Model"),
    Column("requests", "Calls", "number"),
    Column("raw_s", "Raw", "duration", "s"),
    Column("denoised_s", "Denoised", "duration", "s"),
    Column("idealized_s", "Idealized", "duration", "s"),
    Column("raw_over_denoised", "Contention, ×", "number"),
    Column("raw_over_idealized", "Raw ÷ idealized", "number"),
)
MIX = (
    Column("model", "Model"),
    Column("hardware", "Hardware"),
    Column("mix_runtime_s", "Runtime", "estimate", "s"),
    Column("mix_tokens_per_s", "Output tokens/s", "number"),
    Column("mix_energy_j", "Energy", "estimate", "J"),
    Column("mix_cost_usd", "Cost", "estimate", "USD"),
)
TEXT = (
    Column("model", "Model"),
    Column("chars_per_output_token", "Characters per token", "number"),
    Column("text_runtime_s", "Runtime", "estimate", "s"),
    Column("text_chars_per_s", "Characters/s", "number"),
    Column("text_energy_j", "Energy", "estimate", "J"),
    Column("text_cost_usd", "Cost", "estimate", "USD"),
)


def normalised(ledger: Ledger, period: Period, project: str | None = None, basis: Basis | None = None) -> View:
    """The calls of a period beside what they would have taken."""
    from joulebook.models.runtime.compare import compare
    from joulebook.models.runtime.recorded import recorded

    told = basis or usual_basis(ledger)
    found = compare(recorded(ledger, period.start, period.end, project), told)
    rows = tuple(row_of(each) for each in found)
    return View(
        "normalised", "Idealized runtime of recorded calls", _sentence(found), capital(period.label),
        columns=CALLS, rows=rows, figure=_figure(found), parts=_parts(found, rows, told), notes=tuple(_notes(found)),
        empty=f"No call of a model API{of_project(project)} with its tokens and times is on record for {period.label}.",
    )  # fmt: skip


def usual_basis(ledger: Ledger) -> Basis:
    """The profiles of the home and the published ones, in the default mode."""
    from joulebook.models.runtime.compare import Basis
    from joulebook.models.runtime.store import known

    return Basis(known(ledger.home))


def fitting_mode(ledger: Ledger, called: Iterable[str]) -> str:
    """By profiles where the home has one of a model that was called; else the roofline, which knows today's models."""
    from joulebook.models.runtime import store

    own = store.local(ledger.home)
    return "default" if any(store.of_model(own, model) for model in called) else "roofline"


def row_of(one: Compared) -> dict[str, Any]:
    """One model in stable keys; what nobody knows is None, and `why` says so."""
    took = one.took
    names = ("requests", "raw_s", "denoised_s", "idealized_s", "raw_over_denoised", "raw_over_idealized",
             "extrapolated")  # fmt: skip
    refused = took.denoised.refused if took else None
    why = {"denoised_s": refused, "idealized_s": one.why_no_idealized, "text": one.why_no_text}
    return {
        "model": one.model,
        **{name: getattr(took, name) if took else None for name in names},
        "denoised_per_output_token_s": took.denoised.per_output_token_s if took else None,
        "hardware": machine_of(one.of_mix) if one.of_mix else "",
        "chars_per_prompt_token": one.text.chars_per_prompt_token if one.text else None,
        "chars_per_output_token": one.text.chars_per_output_token if one.text else None,
        **_answer_row("mix", one.of_mix, one.why_no_idealized),
        **_answer_row("text", one.of_text, one.why_no_idealized or one.why_no_text),
        "why": {name: reason for name, reason in why.items() if reason},
    }


def _answer_row(prefix: str, answer: Idealized | None, why: str) -> dict[str, Any]:
    if answer is None:
        amounts: dict[str, Any] = {"runtime_s": unknown("s", why), "energy_j": unknown("J", why)}
        amounts |= {"cost_usd": unknown("USD", why), "extrapolated": None}
    else:
        amounts = {"runtime_s": answer.runtime_s, "energy_j": energy_of(answer), "cost_usd": answer.cost_usd}
        amounts["extrapolated"] = list(answer.extrapolated)
    return {f"{prefix}_{name}": amount for name, amount in amounts.items()}


def _parts(found: Sequence[Compared], rows: Sequence[Mapping[str, Any]], basis: Basis) -> tuple[View, ...]:
    mix = basis.mix
    in_tokens = f"{mix.prompt_tokens:,} tokens in, {mix.output_tokens:,} out, by the model's own tokenizer"
    in_text = f"{mix.prompt_chars:,} characters in, {mix.output_chars:,} out"
    mixed = tuple({**row, "mix_tokens_per_s": per_s(row["mix_runtime_s"], mix.output_tokens)}
                  for row in rows if row["mix_runtime_s"].known)  # fmt: skip
    texts = tuple({**row, "text_chars_per_s": per_s(row["text_runtime_s"], mix.output_chars)}
                  for row in rows if row["text_runtime_s"].known)  # fmt: skip
    parts = (
        View("mix", "The same number of tokens, alone on the hardware",
             f"{in_tokens}: tells how fast a model is, not which of two is faster.", columns=MIX, rows=mixed),
        View("text", "The same text to every model", f"{in_text}: here models can be compared.",
             columns=TEXT, rows=texts, notes=unequal(each.of_text for each in found)),
    )  # fmt: skip
    return tuple(part for part in parts if part.rows)


def per_s(runtime_s: Estimate, amount: float) -> float | None:
    """How much of an answer comes in a second."""
    return amount / runtime_s.mid if runtime_s.mid else None


def unequal(answers: Iterable[Idealized | None]) -> tuple[str, ...]:
    """What to say where the yardstick is not the same: devices and software, not how many GPUs a model needs."""
    there = sorted({f"{each.hardware} with {each.software}" for each in answers if each})
    return (f"Not equal hardware and software: {'; '.join(there)}.",) if len(there) > 1 else ()


def _sentence(found: Sequence[Compared]) -> str:
    told = [each for each in found if each.took and each.took.raw_over_idealized]
    if not told:
        return "No model here has an idealized runtime." if found else ""
    most = told[0]
    ratio = number(most.took.raw_over_idealized if most.took else None)
    return f"Calls to {most.model} took {ratio} times what the model alone would: its API's queue, hardware and tricks."


def _figure(found: Sequence[Compared]) -> Figure | None:
    told = [each for each in found if each.took]
    if not told:
        return None
    names = short_names([each.model for each in told])
    kinds = {"Raw": "raw_s", "Denoised": "denoised_s", "Idealized": "idealized_s"}
    series = tuple(
        Series(label, names, tuple(getattr(each.took, name) for each in told)) for label, name in kinds.items()
    )
    return Figure("bars", "Median runtime of the calls", "s", series, _sentence(found) or plural(len(told), "model"))


def short_names(models: Sequence[str]) -> tuple[str, ...]:
    """Names for a figure: without provider and owner, as long as they then still differ."""
    bare = tuple(model.rpartition("/")[2] for model in models)
    return bare if len(set(bare)) == len(bare) else tuple(models)


def _notes(found: Sequence[Compared]) -> list[str]:
    """Why something of a model is not there."""
    notes = ["Medians over the calls; ratios are the medians of each call's own."] if found else []
    for each in found:
        refused = each.took.denoised.refused if each.took else None
        notes += [_beyond(each)] if each.took and each.took.extrapolated else []
        notes += [f"{each.model} is not denoised: {refused}."] if refused else []
        notes += [f"{each.model} has no idealized value: {each.why_no_idealized}."] if each.why_no_idealized else []
        is_bare = each.why_no_text and not each.why_no_idealized
        notes += [f"{each.model} is not in the comparison by text: {each.why_no_text}."] if is_bare else []
    return notes


def _beyond(one: Compared) -> str:
    calls, beyond = (one.took.requests, one.took.extrapolated) if one.took else (0, 0)
    return f"{one.model}: {beyond:,} of {plural(calls, 'call')} are outside of what its profile was measured at."
