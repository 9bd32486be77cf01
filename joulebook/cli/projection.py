"""Where a portfolio goes: `joulebook project`, and `joulebook portfolio` for what stands in it."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from joulebook.cli.commands import answer as draw
from joulebook.cli.commands import ledger_of, print_json

if TYPE_CHECKING:
    from joulebook.accounting.estimates import Estimate
    from joulebook.models.projection.ask import Answer, Asked
    from joulebook.models.projection.outcome import Year


def project(args: argparse.Namespace) -> int:
    """Carry a portfolio along a scenario."""
    from joulebook.models.projection.ask import answer
    from joulebook.reports import views

    told = answer(ledger_of(args), _asked(args))
    if args.json:
        print_json(_as_json(told))
        return 0
    return draw(args, views.projected(told))


def portfolio(args: argparse.Namespace) -> int:
    """Show a portfolio, or print the beginning of one."""
    from joulebook.models.projection.portfolio import TEMPLATE
    from joulebook.reports import views

    if args.portfolio == "template":
        if args.json:
            print_json({"template": TEMPLATE})
        else:
            print(TEMPLATE, end="")
        return 0
    return draw(args, views.portfolio(ledger_of(args), _asked(args)))


def _asked(args: argparse.Namespace) -> Asked:
    from joulebook.models.projection.ask import Asked

    names = ("scenario", "engine", "inputs", "portfolio", "until", "draws", "seed", "base_year")
    given = {name: getattr(args, name, None) for name in names}
    return Asked(**{name: value for name, value in given.items() if value is not None})


# JSON -------------------------------------------------------------------------------------------------------------


def _as_json(told: Answer) -> dict[str, Any]:
    """The answer with stable keys, units in the keys."""
    made = told.projection
    base, scenario = made.base, made.scenario
    money = {cost.year: cost for cost in told.costs}
    return {
        "engine": base.engine.name,
        "engine_version": base.engine.version or None,
        "scenario": scenario.name,
        "inputs": scenario.inputs,
        "portfolio": base.portfolio.name,
        "base_year": base.portfolio.base_year,
        "draws": made.draws,
        "seed": made.seed,
        "uncertain": made.uncertain,
        "covers": base.covers,
        "missing": base.missing,
        "left_out": [{"use_case": use_case.name, "reason": reason} for use_case, reason in base.silent],
        "years": [_year_json(year) | _money_json(money[year.year]) for year in made.years],
        "stress": asdict(made.stress),
        "drivers": [asdict(driver) for driver in scenario.drivers.values()],
        "tornado": [swing._asdict() for swing in told.tornado],
        "sobol": [each._asdict() for each in told.sobol],
        "engines": [_level_json(level) for level in told.levels],
        "between_engines": told.between._asdict() if told.between else None,
        "study": [each._asdict() for each in told.reproduced],
        "factor_ids": base.factor_ids,
    }


def _year_json(year: Year) -> dict[str, Any]:
    from joulebook.models.projection.engines import KEYS

    ranges = {name: dict(zip(("p5", "p50", "p95"), ends, strict=True)) if ends else None
              for name, ends in year.index_range.items()}  # fmt: skip
    amounts = {KEYS[name]: _quantiles(estimate, year.central[name]) for name, estimate in year.amounts.items()}
    bought = {f"embodied_{KEYS[name]}_charged": value for name, value in year.charged.items()}
    bought |= {f"embodied_{KEYS[name]}_bought": value for name, value in year.bought.items()}
    return {"year": year.year, **amounts, "index": year.index, "index_range": ranges, **bought}


def _quantiles(estimate: Estimate, central: float | None) -> dict[str, Any]:
    told: dict[str, Any] = {"p5": estimate.low, "p50": estimate.mid, "p95": estimate.high, "central": central}
    told |= {"unit": estimate.unit, "method": estimate.method}
    return told if estimate.known else told | {"reason": estimate.reason}


def _money_json(cost: Any) -> dict[str, Any]:
    return {
        "api_cost_usd": cost.api_usd,
        "electricity_cost_usd": cost.electricity_usd,
        "carbon_cost_usd": cost.carbon_usd,
    }


def _level_json(level: Any) -> dict[str, Any]:
    return {"engine": level.engine, "base_energy_wh": level.now_wh, "energy_2030_wh": level.then_wh,
            "within_ratio": level.within, "covers_requests": level.covers, "reason": level.reason}  # fmt: skip
