"""What calls of model APIs used elsewhere, beside their price: energy and carbon from the lowest to the highest engine.

    used_elsewhere   of the calls of a period, by model
    used_by_call     of one call, by engine

It is modelled, always: no provider tells it call by call. Calls to one's own server are not here: that was measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from joulebook.accounting.errors import InputError
from joulebook.accounting.ledger import Ledger
from joulebook.accounting.lines import Scope
from joulebook.accounting.site import load_site
from joulebook.models.footprint.answer import Footprint
from joulebook.models.footprint.call import Call
from joulebook.models.footprint.recorded import Called, answered, recorded
from joulebook.models.footprint.spread import Answer
from joulebook.reports.view import Column, FactorUse, View
from joulebook.reports.views.common import ALL_TIME, Period, listed, plural
from joulebook.reports.views.footprint import DRAWN, factors_of

# The key of a column, and the category of the engines that it has.
OF_MODEL = {"energy_j": "energy_wh", "gwp_g": "gwp_g", "water_l": "water_l"}
OF_ENGINE = OF_MODEL | {"operational_gwp_g": "operational_gwp_g"}


def used_elsewhere(ledger: Ledger, period: Period, project: str | None = None) -> View:
    """By model; without rows where there are no such calls."""
    asked = Scope(period.start if period.start > ALL_TIME else None, period.end, project)
    called = recorded(ledger, asked, load_site(ledger.home))
    answers, rows = [each.answer for each in called if each.answer], tuple(map(_by_model, called))
    which = (Column("model", "Model"), Column("provider", "Provider"), Column("calls", "Answered", "number"))
    means = "Low and high: the lowest and the highest engine; of one engine alone, its own range."
    return View("used_elsewhere", "What the calls used elsewhere", means,
                columns=(*which, *_columns(OF_MODEL)), rows=rows, notes=(*_who_says(answers), *_untold(rows)),
                factors=_factors(answers))  # fmt: skip


def _by_model(called: Called) -> dict[str, Any]:
    return {
        "model": called.model or None, "provider": called.provider or None, "calls": called.calls,
        "calls_without_tokens": called.untold,
        **{key: called.of(category).scaled(*_scale(category)) for key, category in OF_MODEL.items()},
    }  # fmt: skip


def _columns(keys: Mapping[str, str]) -> tuple[Column, ...]:
    return tuple(Column(key, DRAWN[category][0], "estimate", DRAWN[category][1]) for key, category in keys.items())


def _scale(category: str) -> tuple[float, str]:
    _, unit, factor = DRAWN[category]
    return factor, unit


def _who_says(answers: Sequence[Answer]) -> tuple[str, ...]:
    engines = sorted({engine.name for answer in answers for engine in answer.engines if engine.known})
    return (f"Engines: {listed(engines)}. No provider tells it call by call.",) if engines else ()


def _factors(answers: Sequence[Answer]) -> tuple[FactorUse, ...]:
    return tuple(dict.fromkeys(use for answer in answers if answer.known for use in factors_of(answer.place)))


def _untold(rows: tuple[Mapping[str, Any], ...]) -> tuple[str, ...]:
    untold = sum(row["calls_without_tokens"] for row in rows)
    return (f"{plural(untold, 'call')} without tokens on record: in no amount.",) if untold else ()


def used_by_call(ledger: Ledger, row: Mapping[str, Any]) -> View:
    """By engine; `row`: the call, as `call` tells it. Without rows where no engine can say."""
    tokens = (row["input_tokens"] or 0, row["output_tokens"] or 0, row["cache_read_tokens"] or 0)
    means = "By every engine that can say; no provider tells it call by call."
    columns = (Column("engine", "Engine"), *_columns(OF_ENGINE))
    view = View("used_elsewhere", "What it used elsewhere", means, columns=columns)
    if row["source"] == "server":
        return view
    named = row["response_model"] or row["request_model"]
    try:
        answer = answered(Call(row["provider"], row["model"] or "", *tokens), named, load_site(ledger.home))
    except InputError:
        return view
    rows = tuple(_by_engine(each) for each in answer.engines if each.known)
    return replace(view, rows=rows, factors=_factors([answer]))


def _by_engine(engine: Footprint) -> dict[str, Any]:
    amounts = {key: engine.of(category).scaled(*_scale(category)) for key, category in OF_ENGINE.items()}
    return {"engine": engine.name, **amounts}
