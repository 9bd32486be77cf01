"""What a call to a model API used, by every engine that can say."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from joulebook.cli.commands import answer as draw
from joulebook.cli.commands import home_of, print_json

if TYPE_CHECKING:
    from joulebook.models.footprint import Answer, Footprint, Spread
    from joulebook.reports.view import FactorUse

NOBODY_KNOWS = 3  # the exit code of what was asked for and is not there


def footprint(args: argparse.Namespace) -> int:
    """Ask every engine of one call. Where none knows the model each says so, and it exits as when nothing is found."""
    from joulebook.accounting.site import load_site
    from joulebook.models.footprint import Call, footprints, place_for
    from joulebook.reports import views

    call = Call(args.provider, args.model, args.input_tokens, args.output_tokens, args.cached_tokens)
    said = footprints(call, place_for(call.provider, args.region, load_site(home_of(args))))
    view = views.footprint(said)
    if args.json:
        print_json(_as_json(said, view.factors))
    else:
        draw(args, view)
    return 0 if said.known else NOBODY_KNOWS


def _as_json(answer: Answer, factors: Iterable[FactorUse]) -> dict[str, Any]:
    """The answer with stable keys, units in the keys."""
    call, place = answer.call, answer.place
    return {
        "call": {"provider": call.provider, "model": call.model, "input_tokens": call.input_tokens,
                 "cached_tokens": call.cached_tokens, "output_tokens": call.output_tokens},
        "region": {"used": place.region, "because": place.why, "remarks": place.remarks},
        "engines": [_engine_json(engine) for engine in answer.engines],
        "spread": {each.category: _spread_json(each) for each in answer.spread},
        "factors": [asdict(use) for use in factors],
    }  # fmt: skip


def _engine_json(engine: Footprint) -> dict[str, Any]:
    return {
        "engine": engine.engine,
        "version": engine.version or None,
        **engine.total,
        "operational": engine.operational,
        "embodied": engine.embodied,
        "as_published": engine.as_published,
        "corrections": [vars(each) for each in engine.corrections],
        "not_compared": engine.apart,
        "reason": engine.reason,
        "counts_input_tokens": engine.counts_input,
        "near_matches": engine.near,
        "notes": engine.notes,
        "sources": engine.sources,
        "factor_ids": engine.factor_ids,
    }


def _spread_json(spread: Spread) -> dict[str, Any]:
    return {
        "unit": spread.unit,
        "lowest": spread.lowest,
        "lowest_engine": spread.lowest_engine,
        "highest": spread.highest,
        "highest_engine": spread.highest_engine,
        "ratio": spread.ratio,
        "within_engine_ratio": spread.within,
        "not_compared": spread.left_out,
    }
