"""What a request takes today, by one engine, or by the best evidence that there is for each use case.

    paper2501     the study's components and grid; its vGPUs serve nobody else while a request lasts
    measured      the ledger's own J per request
    ecologits, ecocost, epoch, disclosed, roofline    the estimators of `joulebook footprint`, on the grid of the place
    evidence      the default: measured, else the first estimator that knows the model

An engine gives parts: of each category what comes of the grid, of the site and of manufacture, as low, mid and high.
A use case that names no model is asked about with an open model of its class of sizes. For traditional AI estimators
have nothing: there the study's energy of an inference stands in `evidence`, in the building and grid of the place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache

from joulebook.accounting.errors import InputError
from joulebook.accounting.estimates import ends_of
from joulebook.accounting.factors import load
from joulebook.accounting.site import Range, Site
from joulebook.models.footprint import ENGINES as ESTIMATORS
from joulebook.models.footprint import Call, Footprint, Place, place_at
from joulebook.models.footprint.answer import modelled
from joulebook.models.footprint.call import Rate, Rates
from joulebook.models.projection import paper2501
from joulebook.models.projection.portfolio import UseCase

EVIDENCE = "evidence"
CATEGORIES = ("gwp", "water", "primary_energy", "adpe")  # beside energy
KEYS = {"energy": "energy_wh", "gwp": "gwp_g", "water": "water_l", "primary_energy": "primary_energy_j",
        "adpe": "adpe_kgsb"}  # fmt: skip
Part = tuple[str, str]  # (category, grid | site | embodied); energy, that of the facility, is all of the grid
# An open model of each class of sizes, as different estimators call it: those of the study, or what is nearest.
REFERENCES: Mapping[str, tuple[tuple[str | None, str], ...]] = {
    "low": (("huggingface", "meta-llama/Meta-Llama-3.1-8B-Instruct"), (None, "llama-3-8b")),
    "medium": (("huggingface", "meta-llama/Meta-Llama-3.1-70B-Instruct"), (None, "llama-3.3-70b")),
    "high": (("huggingface", "meta-llama/Meta-Llama-3.1-405B-Instruct"), (None, "llama-3.1-405b")),
}
FIRST_ASKED = ("ecologits", "ecocost", "roofline", "epoch")  # in `evidence`; a disclosure is of another call


@dataclass(frozen=True)
class Said:
    """What an engine says of a request at a place. `reason`: why it says nothing; `lacking`: of a category, why."""

    engine: str
    parts: Mapping[Part, Range]
    method: str = "modelled"
    notes: tuple[str, ...] = ()
    factor_ids: tuple[str, ...] = ()
    reason: str | None = None
    lacking: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Engine:
    """A named, versioned way to tell what a request takes.

    `all_follow_carbon`: water and minerals of electricity go the way of its carbon, as the study has it.
    `by_vintage`: manufacture is charged by vintage; else by the hours of the hardware.
    """

    name: str
    version: str
    say: Callable[[UseCase, Place], Said]
    all_follow_carbon: bool = False
    by_vintage: bool = True
    water_unit: str = "L"


def place_of(region: str, site: Site) -> Place:
    return place_at(region, "as the portfolio says", load(), datetime.now(UTC).date(), site)


def engine_of(name: str) -> Engine:
    known = engines()
    if name not in known:
        raise InputError(f"{name!r} is no engine; write one of {', '.join(known)}")
    return known[name]


@cache
def engines() -> dict[str, Engine]:
    """All of them by name, the default first."""
    estimators = {each.name: Engine(each.name, each.version, _asking(each.name)) for each in ESTIMATORS}
    paper = Engine(paper2501.NAME, paper2501.VERSION, _paper, True, False, "L world-eq")
    return {EVIDENCE: Engine(EVIDENCE, "", _evidence), "measured": Engine("measured", "", _measured), **estimators,
            paper.name: paper}  # fmt: skip


# The study --------------------------------------------------------------------------------------------------------


def _paper(use_case: UseCase, place: Place) -> Said:  # noqa: ARG001 — its grid is its own
    if use_case.kind == "job":
        return _silent(paper2501.NAME, "the study has no jobs, only requests")
    energy_wh = _paper_wh(use_case)
    parts = {("energy", "grid"): energy_wh, **paper2501.impacts(energy_wh)}
    notes = ("Grid, cooling and manufacture are those of the study (45 % US, 28 % EU, 27 % China).",)
    return Said(paper2501.NAME, {part: (value, value, value) for part, value in parts.items()}, notes=notes)


def _paper_wh(use_case: UseCase) -> float:
    if use_case.kind in paper2501.TRADITIONAL:
        return paper2501.traditional_energy(use_case.kind).total_wh
    shares = use_case.model_sizes or paper2501.size_shares()
    tokens = (use_case.input_tokens, use_case.output_tokens, use_case.calls)
    return sum(
        share * paper2501.request_energy(paper2501.Request(size, *tokens)).total_wh for size, share in shares.items()
    )


# What is measured -------------------------------------------------------------------------------------------------


def _measured(use_case: UseCase, place: Place) -> Said:
    if use_case.energy_j is None or not use_case.energy_j.known:
        return _silent("measured", "no energy of its requests was measured")
    rates = _per_request(ends_of(use_case.energy_j), place, "one's own runs")
    return _parts("measured", _modelled("measured", place, rates, use_case.energy_j.method), place)


def _per_request(energy_j: Range, place: Place, source: str) -> Rates:
    low, mid, high = (Rate(each, 0.0, 0.0, 0.0) for each in energy_j)
    return Rates((low, mid, high), place.range_of("pue"), place.range_of("wue"), {}, (source,))


def _modelled(engine: str, place: Place, rates: Rates, method: str) -> Footprint:
    return modelled((engine, ""), Call(None, engine, 0, 1), place, rates, method)


# Estimators -------------------------------------------------------------------------------------------------------


def _asking(engine: str) -> Callable[[UseCase, Place], Said]:
    return lambda use_case, place: _estimated(engine, use_case, place)


def _estimated(engine: str, use_case: UseCase, place: Place) -> Said:
    """One estimator of a use case: of the model that it names, or of a reference for each class of sizes."""
    if use_case.kind not in paper2501.GENERATIVE:
        return _silent(engine, f"it knows language models, and this is {use_case.kind}")
    if use_case.model:
        return _asked(engine, use_case, place, ((use_case.provider, use_case.model),))
    if not use_case.model_sizes:
        return _silent(engine, "neither its model nor the size of it is known")
    said = [(share, _asked(engine, use_case, place, REFERENCES[size])) for size, share in use_case.model_sizes.items()]
    lacking = [each for share, each in said if each.reason and share]
    return lacking[0] if lacking else _mixed(said)


def _asked(engine: str, use_case: UseCase, place: Place, names: tuple[tuple[str | None, str], ...]) -> Said:
    """What an estimator says of a request to the first of some models that it knows; the energy of all its calls."""
    answers = (_footprint(engine, model, _call(use_case), place) for model in names)
    said = [_parts(engine, answer, place) for answer in answers]
    found = next((each for each in said if not each.reason), said[0])
    return found if found.reason else _times(found, use_case.calls)


def _call(use_case: UseCase) -> tuple[int, int]:
    """Tokens of one call, in and out: whole ones, as calls have them."""
    return round(use_case.input_tokens), max(1, round(use_case.output_tokens))


def _footprint(engine: str, model: tuple[str | None, str], tokens: tuple[int, int], place: Place) -> Footprint:
    estimator = next(each for each in ESTIMATORS if each.name == engine)
    return estimator.estimate(Call(*model, *tokens), place)


def _evidence(use_case: UseCase, place: Place) -> Said:
    """The best evidence for a use case: its own measurement, else the first estimator that knows it."""
    if use_case.kind in paper2501.TRADITIONAL and use_case.energy_j is None:
        return _traditional(use_case, place)
    said = [_measured(use_case, place)]
    said += [_estimated(engine, use_case, place) for engine in FIRST_ASKED if said[0].reason]
    found = next((each for each in said if not each.reason), None)
    why = "; ".join(f"{each.engine}: {each.reason}" for each in said[:3])
    return found or _silent(EVIDENCE, why)


def _traditional(use_case: UseCase, place: Place) -> Said:
    """The study's energy of an inference, which rests on measured runs, on the grid of the place."""
    pue = paper2501.facts()["pue"]
    energy_j = paper2501.traditional_energy(use_case.kind).total_wh * 3600 / pue
    rates = _per_request((energy_j, energy_j, energy_j), place, paper2501.CITATION)
    answer = _modelled(paper2501.NAME, place, rates, "default")
    return _parts(f"{paper2501.NAME}, energy only", answer, place)


# Parts ------------------------------------------------------------------------------------------------------------


def _silent(engine: str, reason: str) -> Said:
    return Said(engine, {}, "unknown", reason=reason)


def _parts(engine: str, answer: Footprint, place: Place) -> Said:
    """A footprint in parts. Its water splits into that of electricity, by the factor of the place, and of the site."""
    energy_wh = answer.operational["energy_wh"]
    if not energy_wh.known:
        return _silent(engine, answer.reason or energy_wh.reason or "it says nothing")
    parts: dict[Part, Range] = {("energy", "grid"): ends_of(energy_wh)}
    lacking: dict[str, str] = {}
    for category in CATEGORIES:
        running = answer.operational[KEYS[category]]
        if running.known:
            parts |= _split(category, ends_of(running), ends_of(energy_wh), place)
        else:
            lacking[category] = f"{place.region}: {running.reason}"
        making = answer.embodied.get(KEYS[category])
        if making is not None and making.known:
            parts[category, "embodied"] = ends_of(making)
    return Said(answer.name, parts, energy_wh.method, answer.notes, answer.factor_ids, lacking=lacking)


def _split(category: str, running: Range, energy_wh: Range, place: Place) -> dict[Part, Range]:
    if category != "water":
        return {(category, "grid"): running}
    per_kwh = place.range_of("water_intensity")
    low, mid, high = (wh / 1e3 * factor for wh, factor in zip(energy_wh, per_kwh, strict=True))
    rest = [max(0.0, whole - part) for whole, part in zip(running, (low, mid, high), strict=True)]
    return {("water", "grid"): (low, mid, high), ("water", "site"): (rest[0], rest[1], rest[2])}


def _times(said: Said, count: float) -> Said:
    return replace(said, parts={part: scaled(values, count) for part, values in said.parts.items()})


def scaled(values: Range, by: float) -> Range:
    return values[0] * by, values[1] * by, values[2] * by


def added(one: Range, other: Range) -> Range:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2]


def _mixed(said: list[tuple[float, Said]]) -> Said:
    """Shares of several answers as one: a part is known where all of them know it."""
    told = [(share, each) for share, each in said if share]
    first = told[0][1]
    parts: dict[Part, Range] = {}
    for part in (part for part in first.parts if all(part in each.parts for _, each in told)):
        total: Range = (0.0, 0.0, 0.0)
        for share, each in told:
            total = added(total, scaled(each.parts[part], share))
        parts[part] = total
    notes = tuple(dict.fromkeys(note for _, each in told for note in each.notes))
    return replace(first, parts=parts, notes=notes)
