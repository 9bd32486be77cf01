"""What was used under a basis, and what changes from one basis to another. The JSON depends on nothing but these."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from joulebook.accounting.errors import InputError
from joulebook.cli.commands import answer as draw
from joulebook.cli.commands import home_of, ledger_of, print_json

if TYPE_CHECKING:
    from joulebook.accounting.assessment import Assessment, Restatement
    from joulebook.accounting.basis import Basis
    from joulebook.accounting.estimates import Estimate
    from joulebook.accounting.lines import Run, Scope
    from joulebook.accounting.restate import Assessed, Cause

LIST = "list"


def assess(args: argparse.Namespace) -> int:
    """Assess a period under the basis of now or an earlier one; `--factor-set list` names those that were kept."""
    from joulebook.accounting import basis
    from joulebook.accounting.assessment import Drawing
    from joulebook.accounting.assessment import assess as ask

    if args.factor_set == LIST:
        from joulebook.reports import views

        return draw(args, views.kept_bases(basis.kept(home_of(args))))
    told = ask(ledger_of(args), _scope(args), _basis(args), Drawing(args.draws, args.seed))
    if args.json:
        print_json(_assessment_json(told))
        return 0
    from joulebook.reports import views  # which takes longer to load than all of the above takes

    return draw(args, views.assessment(told))


def restate(args: argparse.Namespace) -> int:
    """What changes between two bases, each a day, `now`, or an id that was kept."""
    from joulebook.accounting.assessment import restate as ask
    from joulebook.accounting.basis import find, keep_aside

    scope = _scope(args)
    home, ledger = home_of(args), ledger_of(args)
    before, after = find(home, args.before), find(home, args.after)
    for each in (before, after):
        keep_aside(home, each)
    told = ask(ledger, scope, before, after)
    if args.json:
        print_json(_restatement_json(told))
        return 0
    from joulebook.reports import views

    return draw(args, views.restatement(told))


def _scope(args: argparse.Namespace) -> Scope:
    from joulebook.accounting.lines import Scope

    if args.since and args.until and args.since >= args.until:
        raise InputError(f"--since {args.since:%Y-%m-%d %H:%M} is not before --until {args.until:%Y-%m-%d %H:%M}")
    return Scope(args.since, args.until, args.project)


def _basis(args: argparse.Namespace) -> Basis:
    """The basis that is asked for, kept so that its id finds it again."""
    from joulebook.accounting import basis

    home, day = home_of(args), args.as_of.date() if args.as_of else None
    if args.factor_set is not None:
        found = basis.find(home, args.factor_set)
        found = basis.known_by(found, day) if day else found
    elif day:
        found = basis.on_day(home, day)
    else:
        now = basis.current(home)
        basis.keep(home, now)
        return now
    basis.keep_aside(home, found)
    return found


# JSON -------------------------------------------------------------------------------------------------------------


def _assessment_json(told: Assessment) -> dict[str, Any]:
    quality = {category: each and each.as_json() for category, each in told.quality.items()}
    return {
        "scope": _scope_json(told.scope),
        "basis": _basis_json(told.basis),
        "totals": _amounts_json(told.assessed),
        "draws": {"n": told.drawing.n, "seed": told.drawing.seed,
                  "totals": {category: _sampled_json(each) for category, each in told.sampled.items()},
                  "swings": [{"input": each.name, "low": _numbers(each.low), "high": _numbers(each.high)}
                             for each in told.swings]},
        "data_quality": quality,
        "runs": _runs_json(told),
        "factors": [_factor_json(kind, match) for kind, match in told.matches()],
    }  # fmt: skip


def _sampled_json(sampled: Estimate) -> dict[str, Any]:
    told = {"p5": sampled.low, "p50": sampled.mid, "p95": sampled.high, "unit": sampled.unit}
    return told if sampled.known else told | {"reason": sampled.reason}


def _scope_json(scope: Scope) -> dict[str, Any]:
    return {"since": scope.since, "until": scope.until, "project": scope.project}


def _basis_json(basis: Basis) -> dict[str, Any]:
    """How it was found is left out: the same basis is the same text, however it is named."""
    return {"basis_id": basis.basis_id, "factor_set": basis.factors.set_id, "site_id": basis.site_id,
            "site": {key: value for key, value in asdict(basis.site).items() if value is not None}}  # fmt: skip


def _amounts_json(assessed: Assessed) -> dict[str, Any]:
    from joulebook.accounting.assess import CATEGORIES

    return {category: assessed.total(category) for category in CATEGORIES}


def _runs_json(told: Assessment) -> list[dict[str, Any]]:
    from joulebook.accounting.assess import CATEGORIES

    amounts = {category: told.assessed.runs(category) for category in CATEGORIES}
    qualities = told.run_quality("carbon_g")
    return [
        _run_json(run)
        | {category: cells[place] for category, cells in amounts.items()}
        | {"data_quality": quality and quality.as_json()}
        for place, (run, quality) in enumerate(zip(told.lines.runs, qualities, strict=True))
    ]


def _run_json(run: Run) -> dict[str, Any]:
    return run._asdict()


def _factor_json(kind: str, match: Any) -> dict[str, Any]:
    facts = {field.name: getattr(match.factor, field.name) for field in fields(match.factor)}
    return {"factor_id": match.factor.factor_id, "match": match.match, **facts, "kind": kind}


def _restatement_json(told: Restatement) -> dict[str, Any]:
    from joulebook.accounting.restate import change_of

    before, after = _amounts_json(told.before), _amounts_json(told.after)
    changes = {category: change_of(before[category], after[category]).mid for category in before}
    return {
        "scope": _scope_json(told.scope),
        "from": _basis_json(told.bases[0]),
        "to": _basis_json(told.bases[1]),
        "totals": {category: {"from": before[category], "to": after[category], "change": changes[category]}
                   for category in before},
        "causes": [_cause_json(cause, changes) for cause in told.caused.causes()],
        "runs": _changed_runs(told),
    }  # fmt: skip


def _cause_json(cause: Cause, changes: Mapping[str, float | None]) -> dict[str, Any]:
    before, after = (each and _factor_json(cause.kind, each) for each in (cause.before, cause.after))
    added = _numbers(cause.change)
    share = {category: _ratio(value, changes[category]) for category, value in added.items()}
    return {"kind": cause.kind, "from": before, "to": after, "change": added, "share_of_change": share}


def _changed_runs(told: Restatement) -> list[dict[str, Any]]:
    """Each run: its amounts under both bases, and what each cause adds to it."""
    from joulebook.accounting.assess import CATEGORIES

    sides = {side: {category: assessed.runs(category) for category in CATEGORIES}
             for side, assessed in (("from", told.before), ("to", told.after))}  # fmt: skip
    parts = {kind: {category: told.caused.by_run(kind, category) for category in CATEGORIES}
             for kind in told.caused.added}  # fmt: skip
    return [
        _run_json(run)
        | {side: {category: cells[place] for category, cells in amounts.items()} for side, amounts in sides.items()}
        | {"causes": {kind: {category: _number(cells[place]) for category, cells in amounts.items()}
                      for kind, amounts in parts.items()}}
        for place, run in enumerate(told.lines.runs)
    ]  # fmt: skip


def _numbers(values: Mapping[str, float]) -> dict[str, float | None]:
    return {category: _number(value) for category, value in values.items()}


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _ratio(part: float | None, whole: float | None) -> float | None:
    return part / whole if part is not None and whole else None
