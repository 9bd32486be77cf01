"""Return on Environment, and the claims that it rests on."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from joulebook.accounting.errors import InputError
from joulebook.cli.commands import answer, asked, home_of, ledger_of, print_json

if TYPE_CHECKING:
    from joulebook.accounting.estimates import Estimate
    from joulebook.accounting.returns.balance import Balance
    from joulebook.accounting.returns.judging import Judged
    from joulebook.accounting.returns.portfolio import Portfolio, Result
    from joulebook.accounting.returns.record import Version
    from joulebook.accounting.returns.valued import Price
    from joulebook.reports.view import View


def roe(args: argparse.Namespace) -> int:
    """The returns of a period; with `--definition`, what they are."""
    from joulebook.accounting.returns.definition import TEXT, VERSION
    from joulebook.accounting.returns.portfolio import Draw
    from joulebook.accounting.uncertainty import DRAWS
    from joulebook.reports import views
    from joulebook.reports.views.return_on_environment import weigh

    if args.definition:
        print_json({"version": VERSION, "definition": TEXT}) if args.json else print(TEXT, end="")
        return 0
    ledger, period = ledger_of(args), asked(args)
    weighed = weigh(ledger, period, args.project, Draw(DRAWS if args.draws is None else args.draws, args.seed))
    view = views.return_on_environment(ledger, period, args.project, weighed)
    if args.json:
        print_json(_as_json(weighed, view))
        return 0
    return answer(args, view)


def claim(args: argparse.Namespace) -> int:
    """Add, list, check or show claims; `check` exits with 1 where one is not supported."""
    needs = {"add": "a FILE", "show": "the ID of a claim"}
    if args.action in needs and not args.what:
        raise InputError(f"joulebook claim {args.action} needs {needs[args.action]}: joulebook claim list has all ids")
    if args.action in ("template", "list") and args.what:
        raise InputError(f"joulebook claim {args.action} takes nothing more, not {args.what!r}")
    return {"template": _template, "add": _add, "list": _list, "check": _check, "show": _show}[args.action](args)


def _template(args: argparse.Namespace) -> int:
    from joulebook.accounting.returns.claims import TEMPLATE

    print_json({"template": TEMPLATE}) if args.json else print(TEMPLATE, end="")
    return 0


def _add(args: argparse.Namespace) -> int:
    from datetime import UTC, datetime

    from joulebook.accounting.assess import assessor
    from joulebook.accounting.returns.claims import parse, read
    from joulebook.accounting.returns.effects import sides
    from joulebook.accounting.returns.record import add, path_of

    told = read(Path(args.what))
    now = datetime.now(UTC)
    sides(assessor(ledger_of(args), now, now), parse(told))  # that what it names is on record
    version = add(home_of(args), told)
    added = {"claim_id": version.claim.id, "version": version.number, "added_at": version.added_at,
            "content_hash": version.claim.content_hash, "path": str(path_of(home_of(args)))}  # fmt: skip
    if args.json:
        print_json(added)
    else:
        print(
            f"Claim {version.claim.id}, version {version.number}, is on record; its content is "
            f"{version.claim.content_hash}. Its class: joulebook claim check {version.claim.id}"
        )
    return 0


def _list(args: argparse.Namespace) -> int:
    from joulebook.reports import views

    return answer(args, views.claims(ledger_of(args)))


def _check(args: argparse.Namespace) -> int:
    """One claim, or all of them."""
    from joulebook.accounting.returns.record import history, standing, versions
    from joulebook.reports import views
    from joulebook.reports.views import period_of
    from joulebook.reports.views.return_on_environment import weigh

    ledger = ledger_of(args)
    recorded = versions(ledger.home)
    chosen = history(recorded, args.what)[-1:] if args.what else standing(recorded)
    weighed = weigh(ledger, period_of()) if chosen else None
    rows = [_checked(views.claim(ledger, version.claim.id, weighed)) for version in chosen]
    if args.json:
        print_json(rows)
    else:
        for row in rows:
            print(f"{row['claim_id']}: {row['class']}, evidence of tier {row['tier']}, content {row['content_hash']}")
            for missing in row["missing"]:
                print(f"    missing: {missing}")
        if not rows:
            print("No claim is on record. Begin with: joulebook claim template > claim.toml")
    return 0 if all(row["class"] == "supported" for row in rows) else 1


def _checked(view: View) -> Mapping[str, Any]:
    keys = ("claim_id", "version", "use_case", "class", "classes", "tier", "content_hash", "missing")
    return {key: view.rows[0][key] for key in keys}


def _show(args: argparse.Namespace) -> int:
    from joulebook.accounting.returns.record import history, versions
    from joulebook.reports import as_json, views

    ledger = ledger_of(args)
    view = views.claim(ledger, args.what)
    if not args.json:
        return answer(args, view)
    known = history(versions(ledger.home), args.what)
    parts = {part.key: as_json.rows(part) for part in view.parts if part.key in ("by_criterion", "pair")}
    print_json({**_checked(view), "claim": known[-1].told, **parts, "versions": [_version(each) for each in known]})
    return 0


def _version(version: Version) -> dict[str, Any]:
    return {"version": version.number, "added_at": version.added_at, "content_hash": version.claim.content_hash,
            "line_hash": version.line_hash, "claim": version.told}  # fmt: skip


# The returns as JSON ----------------------------------------------------------------------------------------------


def _as_json(weighed: Portfolio, view: View) -> dict[str, Any]:
    """Stable keys, units in the keys or beside the numbers."""
    from dataclasses import asdict

    from joulebook.accounting.factors import load
    from joulebook.accounting.returns.definition import VERSION
    from joulebook.accounting.returns.valued import prices

    years = sorted({*weighed.whole.caused_by_year, *weighed.whole.benefit_by_year.get("supported", {})})
    priced = prices(load(), years, weighed.internal_usd_per_t)
    return {
        "definition": VERSION, "draws": weighed.draw.n, "seed": weighed.draw.seed, "days": weighed.days,
        "portfolio": _result(weighed.whole, weighed, priced),
        "use_cases": [{"use_case": each.name, **_result(each, weighed, priced)} for each in weighed.use_cases],
        "claims": [_judged(each) for each in weighed.whole.claims],
        "claims_without_runs": [version.claim.id for version in weighed.orphans],
        "factors": [asdict(use) for use in view.factors],
        "remarks": [*view.alerts, *view.notes],
    }  # fmt: skip


def _result(result: Result, weighed: Portfolio, priced: list[Price]) -> dict[str, Any]:
    from joulebook.accounting.returns.claims import CRITERIA
    from joulebook.accounting.returns.companions import break_even, payback
    from joulebook.accounting.returns.valued import lines
    from joulebook.reports.views.roe_parts import caused_by_market, year_rows

    even = break_even(result)
    rests_on = weighed.market.rests_on if weighed.market else None
    return {
        "runs": result.runs, "runs_without_energy": result.runs_without_energy, "api_calls": result.api_calls,
        "calls_without_tokens": result.calls_without_tokens,
        "criteria": {criterion: _criterion(result, criterion) for criterion in CRITERIA},
        "caused_market_based_g": {**_quantiles(caused_by_market(result, weighed)), "rests_on": rests_on},
        "verdict": result.verdict(),
        "payback_years": {criterion: _quantiles(payback(result, criterion, weighed.days)) for criterion in CRITERIA},
        "break_even_intensity_g_per_kwh": {**_quantiles(even.intensity),
                                           "net_above_0_on": "cleaner grids" if even.cleaner else "dirtier grids"},
        "years": [{"year": int(row["year"]), "caused_g": _quantiles(row["caused"]),
                   "benefit_g": _quantiles(row["benefit"]), "net_since_start_g": _quantiles(row["net"])}
                  for row in year_rows(result)],
        "money": [{"what": line.name, "carbon_price": line.price or None, **_quantiles(line.amount)}
                  for line in (lines(result, priced) if priced else [])],
    }  # fmt: skip


def _criterion(result: Result, criterion: str) -> dict[str, Any]:
    from joulebook.accounting.estimates import unknown
    from joulebook.accounting.returns.claims import UNITS
    from joulebook.accounting.returns.portfolio import BASES
    from joulebook.accounting.uncertainty import sampled
    from joulebook.reports.views.roe_parts import why_unknown

    balances = {basis: result.balance(criterion, basis) for basis in BASES}
    caused = result.caused.get(criterion)
    unit = UNITS[criterion]
    known = unknown(unit, why_unknown(result, criterion)) if caused is None else sampled(caused, unit, result.method)
    told = {basis: _balance(balance, unit) if balance else None for basis, balance in balances.items()}
    return {"caused": _quantiles(known), **told}


def _balance(balance: Balance, unit: str) -> dict[str, Any]:
    from joulebook.accounting.uncertainty import sampled

    return {
        "benefit": _quantiles(sampled(balance.benefit, unit)),
        "net": _quantiles(sampled(balance.net, unit)),
        "benefit_caused_ratio": _quantiles(sampled(balance.ratio, "1")),
        "roe": _quantiles(sampled(balance.roe, "1")),
        "p_net_above_0": balance.p_net_above_0,
        "verdict": balance.verdict,
    }


def _judged(each: Judged) -> dict[str, Any]:
    from joulebook.accounting.returns.claims import UNITS
    from joulebook.accounting.uncertainty import sampled

    total = each.effect.total
    return {
        "claim_id": each.claim.id, "version": each.effect.plan.version.number, "use_case": each.claim.use_case,
        "content_hash": each.claim.content_hash, "class": each.state, "classes": each.classes, "tier": each.tier,
        "days_counted": each.effect.plan.days, "missing": each.missing,
        "benefit": {name: _quantiles(sampled(total[name], unit)) for name, unit in UNITS.items() if name in total},
    }  # fmt: skip


def _quantiles(estimate: Estimate) -> dict[str, Any]:
    told = {"p5": estimate.low, "p50": estimate.mid, "p95": estimate.high, "unit": estimate.unit}
    return told | ({"method": estimate.method} if estimate.known else {"method": "unknown", "reason": estimate.reason})
