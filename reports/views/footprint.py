"""What a call to a model API used, by every engine that can say, and how far they are apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from joulebook.accounting.estimates import Estimate, exactly
from joulebook.accounting.factors import WORLD
from joulebook.models.footprint.answer import Correction, Footprint
from joulebook.models.footprint.place import Place
from joulebook.models.footprint.spread import Answer, Spread
from joulebook.reports.format import amount, number
from joulebook.reports.view import Column, FactorUse, Figure, Series, Tile, View
from joulebook.reports.views.common import use_of

# category -> (its name, the unit it is drawn in, how many of that one of its own is)
DRAWN = {
    "energy_wh": ("Energy", "J", 3600.0),
    "gwp_g": ("Carbon, CO₂e", "g", 1.0),
    "operational_gwp_g": ("Carbon in operation", "g", 1.0),
    "embodied_gwp_g": ("Carbon of manufacture", "g", 1.0),
    "water_l": ("Water", "L", 1.0),
    "adpe_kgsb": ("Minerals", "kgSb", 1.0),
    "primary_energy_j": ("Primary energy", "J", 1.0),
}
ENGINES = (
    Column("engine", "Engine"),
    *(Column(category, label, "estimate", unit) for category, (label, unit, _) in DRAWN.items()),
)
SPREAD = (
    Column("label", ""),
    Column("lowest", "Lowest mid", "estimate"),
    Column("lowest_engine", "by"),
    Column("highest", "Highest mid", "estimate"),
    Column("highest_engine", "by"),
    Column("ratio", "Between engines, ×", "number"),
    Column("widest", "Widest within one, ×", "number"),
)
CORRECTIONS = (
    Column("label", ""),
    Column("printed_by", "Printed by"),
    Column("printed", "It prints", "estimate"),
    Column("ours", "We say", "estimate"),
    Column("reason", "Why"),
)


def footprint(answer: Answer) -> View:
    """The engines side by side, their spread, and where a peer's number was corrected."""
    call, place = answer.call, answer.place
    provider = f"{call.provider} " if call.provider else ""
    tokens = f"{call.input_tokens:,} tokens in ({call.cached_tokens:,} cached), {call.output_tokens:,} out"
    return View(
        "footprint", f"A call to {provider}{call.model}", _sentence(answer),
        subtitle=f"{tokens}; grid of {place.region}, {place.why}",
        tiles=_tiles(answer), columns=ENGINES, rows=tuple(_row(engine) for engine in answer.engines if engine.known),
        figure=_figure(answer), alerts=_alerts(answer), notes=tuple(_notes(answer)), factors=factors_of(place),
        parts=tuple(part for part in (_spread(answer), _corrections(answer)) if part.rows),
    )  # fmt: skip


def _spread(answer: Answer) -> View:
    spread = {each.category: each for each in answer.spread}
    rows = tuple(_spread_row(spread[category]) for category in DRAWN if spread[category].ratio)
    return View("spread", "How far the engines are apart", columns=SPREAD, rows=rows)


def _corrections(answer: Answer) -> View:
    rows = tuple(_correction(each) for engine in answer.engines for each in engine.corrections)
    return View("corrections", "What a peer prints and we correct", columns=CORRECTIONS, rows=rows)


def _sentence(answer: Answer) -> str:
    energy = answer.spread[0]
    if energy.ratio is None:
        told = "No engine knows this model." if not answer.known else "Fewer than two engines can be compared here."
        return f"{told} The provider itself does not say what a call used."
    return (
        f"From {_shown(energy.category, energy.lowest)} ({energy.lowest_engine}) to "
        f"{_shown(energy.category, energy.highest)} ({energy.highest_engine}): the engines are {number(energy.ratio)} "
        "times apart. The provider itself does not say."
    )


def _shown(category: str, mid: float | None) -> str:
    _, unit, factor = DRAWN[category]
    return amount(mid * factor if mid is not None else None, unit)


def _tiles(answer: Answer) -> tuple[Tile, ...]:
    """The lowest and the highest engine in energy and in carbon: never one number."""
    compared = [each for each in answer.spread if each.category in ("energy_wh", "operational_gwp_g") and each.ratio]
    said = {engine.name: engine for engine in answer.engines}
    return tuple(
        Tile(f"{DRAWN[each.category][0]}, {end}", _drawn(said[name], each.category), name)
        for each in compared
        for end, name in (("lowest", each.lowest_engine), ("highest", each.highest_engine))
        if name
    )


def _drawn(engine: Footprint, category: str) -> Estimate:
    _, unit, factor = DRAWN[category]
    return engine.of(category).scaled(factor, unit)


def _row(engine: Footprint) -> Mapping[str, Any]:
    amounts = {category: _drawn(engine, category) for category in DRAWN}
    return {"engine": engine.name, **amounts}


def _spread_row(spread: Spread) -> Mapping[str, Any]:
    label, unit, factor = DRAWN[spread.category]
    ends = {
        end: exactly(mid * factor, unit, "modelled") if mid is not None else None
        for end, mid in (("lowest", spread.lowest), ("highest", spread.highest))
    }
    widest = max((ratio for ratio in spread.within.values() if ratio), default=None)
    by = {"lowest_engine": spread.lowest_engine, "highest_engine": spread.highest_engine}
    return {"label": label, **ends, **by, "ratio": spread.ratio, "widest": widest}


def _correction(correction: Correction) -> Mapping[str, Any]:
    label, unit, factor = DRAWN[correction.category]
    printed, ours = (each.scaled(factor, unit) for each in (correction.printed, correction.ours))
    ends = {"printed": printed, "ours": ours if ours.known else None}
    return {"label": label, "printed_by": correction.printed_by, **ends, "reason": correction.reason}


def _figure(answer: Answer) -> Figure | None:
    """A bar for each engine with its range; those that are not compared too, marked so."""
    told = [(engine, _drawn(engine, "energy_wh")) for engine in answer.engines if engine.total["energy_wh"].known]
    if not told:
        return None
    names = tuple(f"{engine.name} (apart)" if "energy_wh" in engine.apart else engine.name for engine, _ in told)
    mid, low, high = (tuple(getattr(each, end) for _, each in told) for end in ("mid", "low", "high"))
    series = Series("Energy of the call", names, mid, low, high)
    return Figure("bars", "Energy of the call, by engine", "J", (series,), alt=_sentence(answer))


def _alerts(answer: Answer) -> tuple[str, ...]:
    """What makes the numbers worse than they look: a grid that is not the place's, a prompt that does not count."""
    call, place = answer.call, answer.place
    told = [engine for engine in answer.engines if engine.known and not engine.apart]
    deaf = [engine.name for engine in told if not engine.counts_input]
    prompt = f"The {call.input_tokens:,} tokens of the prompt do not count in {' and '.join(deaf)}."
    world = (f"A world average stands for the grid, because {WORLD} was asked for.",) if place.region == WORLD else ()
    unheard = (prompt,) if deaf and call.input_tokens > call.output_tokens else ()
    return (*unheard, *world, *(f"{remark}." for remark in place.remarks))


def _notes(answer: Answer) -> list[str]:
    """What each engine leaves out, why some are not compared, and why others say nothing."""
    told = [engine for engine in answer.engines if engine.known]
    notes = [f"{engine.name}: {note}" for engine in told for note in engine.notes]
    apart = dict.fromkeys((engine.name, why) for engine in told for why in engine.apart.values())
    silent = [_silence(engine) for engine in answer.engines if not engine.known]
    return [*notes, *(f"{name} is not compared: {why}." for name, why in apart), *silent]


def _silence(engine: Footprint) -> str:
    near = f"; near: {', '.join(engine.near)}" if engine.near else ""
    return f"{engine.name} says nothing: {engine.reason}{near}."


def factors_of(place: Place) -> tuple[FactorUse, ...]:
    """The factors of a place, as an auditor finds them again."""
    return tuple(map(use_of, place.matches.values()))
