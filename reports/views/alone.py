"""Models side by side, each alone on the same hardware and software: time, energy and money of one request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from joulebook.accounting.estimates import unknown
from joulebook.reports.format import mid_of
from joulebook.reports.view import Column, Figure, Series, View
from joulebook.reports.views.normalised import per_s, row_of, unequal

if TYPE_CHECKING:
    from joulebook.models.runtime.compare import Basis, Compared

COLUMNS = (
    Column("model", "Model"),
    Column("hardware", "Hardware"),
    Column("software", "Software"),
    Column("runtime_s", "Runtime", "estimate", "s"),
    Column("prompt_s", "First token", "estimate", "s"),
    Column("per_output_token_s", "Each further", "estimate", "s"),
    Column("output_tokens_per_s", "Output tokens/s", "number"),
    Column("energy_j", "Energy", "estimate", "J"),
    Column("cost_usd", "Cost", "estimate", "USD"),
)
AMOUNTS = {"runtime_s": "s", "prompt_s": "s", "per_output_token_s": "s", "energy_j": "J", "cost_usd": "USD"}
CAVEAT = (
    "By each model's own tokens: it tells how fast a model is, not which of two is faster, for a token is not the same "
    "amount of text in two models."
)


def alone(models: Sequence[str], basis: Basis) -> View:
    """One request of the basis's size to each of some models, the fastest first."""
    from joulebook.models.runtime.compare import compared

    mix = basis.mix
    found = [compared(model, None, basis) for model in models]
    rows = sorted((_row(each, basis) for each in found), key=lambda row: (row["runtime_s"].mid is None,
                                                                          row["runtime_s"].mid or 0.0))  # fmt: skip
    known = [row for row in rows if row["runtime_s"].known]
    notes = [f"{each.model} has no idealized value: {each.why_no_idealized}." for each in found if not each.of_mix]
    return View(
        "alone", "Models alone on equal hardware", _sentence(known),
        f"{mix.prompt_tokens:,} tokens in, {mix.output_tokens:,} out; mode {basis.mode}{_at_once(basis)}",
        columns=COLUMNS, rows=tuple(known), figure=_figure(known),
        notes=((CAVEAT, *_told(found)) if known else ()) + tuple(notes),
        alerts=unequal(each.of_mix for each in found),
        empty="None of these models has an idealized runtime. " + " ".join(notes),
    )  # fmt: skip


def _at_once(basis: Basis) -> str:
    return f", {basis.batch:,} requests at once" if basis.batch > 1 and basis.mode == "roofline" else ""


def _row(one: Compared, basis: Basis) -> dict[str, Any]:
    told = one.of_mix
    amounts = {name: unknown(unit, one.why_no_idealized) for name, unit in AMOUNTS.items()}
    if told:
        of_mix = row_of(one)
        amounts = {"runtime_s": told.runtime_s, "prompt_s": told.prompt_s, "cost_usd": told.cost_usd,
                   "per_output_token_s": told.per_output_token_s, "energy_j": of_mix["mix_energy_j"]}  # fmt: skip
    return {
        "model": one.model, "hardware": row_of(one)["hardware"], "software": told.software if told else "",
        "profile": told.profile if told else None, **amounts,
        "output_tokens_per_s": per_s(amounts["runtime_s"], basis.mix.output_tokens),
        "extrapolated": list(told.extrapolated) if told else None,
    }  # fmt: skip


def _sentence(known: Sequence[dict[str, Any]]) -> str:
    if not known:
        return ""
    first, last = known[0], known[-1]
    told = f"{first['model']} takes {mid_of(first['runtime_s'])}"
    return f"{told}, {last['model']} {mid_of(last['runtime_s'])}." if len(known) > 1 else f"{told}."


def _figure(known: Sequence[dict[str, Any]]) -> Figure | None:
    if not known:
        return None
    names = tuple(row["model"] for row in known)
    mid, low, high = (tuple(getattr(row["runtime_s"], end) for row in known) for end in ("mid", "low", "high"))
    return Figure("bars", "Idealized runtime of the request", "s", (Series("Runtime", names, mid, low, high),),
                  _sentence(known))  # fmt: skip


def _told(found: Sequence[Compared]) -> tuple[str, ...]:
    """What the answers say of themselves, each once."""
    notes = (note for each in found if each.of_mix for note in each.of_mix.notes)
    return tuple(dict.fromkeys(notes))
