"""The two sides of a comparison: what is known of a period, of a run, or of the calls of a model.

of_period   its runs, assessed, and its calls
of_run      the same of one run, and its energy per token and step where the job recorded those
of_model    means over the answered calls of a period, each with the interval that their number allows; what they used
            elsewhere, from the lowest to the highest engine
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from joulebook.accounting.assess import CATEGORIES, estimate_of
from joulebook.accounting.estimates import Estimate, between, ends_of, exactly, unknown
from joulebook.accounting.ledger import Ledger
from joulebook.accounting.lines import Scope
from joulebook.accounting.site import load_site
from joulebook.models.footprint.recorded import recorded
from joulebook.reports.view import FactorUse
from joulebook.reports.views.api_sums import Asked, cost_of, in_period, in_run, sums, used
from joulebook.reports.views.common import Period, assess_period, aware, factor_uses, period_of, standing_notes
from joulebook.reports.views.run import find_run
from joulebook.reports.views.runs import RUNS_SQL
from joulebook.reports.views.summary import totals

# quantity -> its label; those of runs come from the assessment, those of calls from their sums
QUANTITIES = {
    "runs": "Runs",
    "duration_s": "Duration",
    "it_energy_j": "IT energy",
    "carbon_g": "Carbon, CO₂e",
    "water_l": "Water",
    "cost_usd": "Electricity cost",
    "calls": "API calls",
    "tokens": "API tokens",
    "api_cost_usd": "API cost",
    "energy_j_per_token": "IT energy per token",
    "energy_j_per_step": "IT energy per step",
    "cost_usd_per_1000_calls": "API cost per 1,000 calls",
    "energy_j_per_1000_calls": "Energy elsewhere per 1,000 calls",
    "carbon_g_per_1000_calls": "Carbon elsewhere per 1,000 calls",
    "input_tokens_per_call": "Input tokens per call",
    "output_tokens_per_call": "Output tokens per call",
    "duration_s_per_call": "Duration per call",
    "first_token_s_per_call": "Time to first token",
}
Z_95 = 1.959964  # 95 % of a normal distribution lie within so many standard errors


@dataclass(frozen=True)
class Side:
    """One of the two that are compared."""

    name: str
    amounts: Mapping[str, Estimate]
    factors: tuple[FactorUse, ...] = ()
    notes: tuple[str, ...] = ()


def of_period(ledger: Ledger, period: Period, project: str | None) -> Side:
    assess = assess_period(ledger, period)
    found = totals(assess, period, None, project)
    amounts = _impacts(found[0]) | {"runs": exactly(found[0]["runs"], "run", "measured")} if found else {}
    notes = standing_notes(assess, found) if found else ()
    return Side(period.label, amounts | _called(ledger, in_period(period, project)), factor_uses(assess, found), notes)


def of_run(ledger: Ledger, run_id: str) -> Side:
    run_id = find_run(ledger, run_id)
    begun = ledger.rows("select started_at_utc, seen_until_utc from work where span_id = ?::uuid", (run_id,))[0]
    period = period_of(aware(begun["started_at_utc"]), aware(begun["seen_until_utc"] + timedelta(seconds=1)))
    assess = assess_period(ledger, period)
    facts = assess.rows(f"{RUNS_SQL} and w.span_id = ?::uuid", (run_id,))[0]
    amounts = _impacts(facts) | {"duration_s": exactly(facts["duration_s"], "s", "measured")}
    amounts |= _per_unit(ledger, run_id, amounts["it_energy_j"]) | _called(ledger, in_run(run_id))
    name = f"{facts['name']}, {facts['started_at_utc']:%d %b %H:%M}"
    return Side(name, amounts, factor_uses(assess, [facts]), standing_notes(assess, [facts]))


def _impacts(row: Mapping[str, Any]) -> dict[str, Estimate]:
    return {category: estimate_of(row, category) for category in CATEGORIES if category in QUANTITIES}


def _per_unit(ledger: Ledger, run_id: str, energy: Estimate) -> dict[str, Estimate]:
    """Energy per token and per step, as far as the job recorded them."""
    recorded = ledger.rows(
        "select unit, sum(amount) as amount from usage where run_id = ?::uuid and unit in ('token', 'step') group by 1",
        (run_id,),
    )
    return {
        f"energy_j_per_{row['unit']}": energy.scaled(1 / row["amount"], "J") for row in recorded if row["amount"] > 0
    }


def _called(ledger: Ledger, asked: Asked) -> dict[str, Estimate]:
    table = used(ledger, asked)
    if not table.num_rows:
        return {}
    (whole,) = sums(ledger, table)
    tokens = whole["tokens"]
    method = "modelled" if whole["estimated_tokens"] else "measured"
    return {
        "calls": exactly(whole["calls"], "call", "measured"),
        "tokens": unknown("token", "no usage is on record") if tokens is None else exactly(tokens, "token", method),
        "api_cost_usd": cost_of(whole),
    }


_MEANS = {
    "cost_usd_per_1000_calls": ("cost_usd * 1000", "USD", "declared"),
    "input_tokens_per_call": ("input_tokens", "token", "measured"),
    "output_tokens_per_call": ("output_tokens", "token", "measured"),
    "duration_s_per_call": ("duration_s", "s", "measured"),
    "first_token_s_per_call": ("first_token_s", "s", "measured"),
}
_MEANS_SQL = ", ".join(
    f"count({column}) as {name}_n, avg(({column})::double) as {name}, stddev_samp(({column})::double) as {name}_sd"
    for name, (column, _, _) in _MEANS.items()
)


# quantity -> the category of the engines, and how many of its unit one of theirs is
ELSEWHERE = {"energy_j_per_1000_calls": ("energy_wh", 3600.0, "J"), "carbon_g_per_1000_calls": ("gwp_g", 1.0, "g")}


def of_model(ledger: Ledger, asked: Asked, model: str) -> Side:
    answered = Asked(f"{asked.condition} and c.model = ? and coalesce(c.outcome, 'ok') = 'ok'", (*asked.params, model))
    found = ledger.rows(
        f"select count(distinct call_id) as calls, {_MEANS_SQL} from api_call c where {answered.condition}",
        answered.params,
    )[0]
    if not found["calls"]:
        return Side(model, {})
    means = {name: mean_of(found, name, unit, method) for name, (_, unit, method) in _MEANS.items()}
    calls = {"calls": exactly(found["calls"], "call", "measured")}
    return Side(model, calls | means | _elsewhere(ledger, answered))


def _elsewhere(ledger: Ledger, asked: Asked) -> dict[str, Estimate]:
    """What a thousand calls used that were not to a server of one's own; nothing where there are none."""
    found = [each for each in recorded(ledger, Scope(), load_site(ledger.home), asked) if each.untold < each.calls]
    calls = sum(each.calls - each.untold for each in found)
    return {
        name: _together([each.of(category) for each in found]).scaled(factor * 1000 / calls, unit)
        for name, (category, factor, unit) in (ELSEWHERE if calls else {}).items()
    }


def _together(amounts: Sequence[Estimate]) -> Estimate:
    """Their sum; unknown where one of them is."""
    without = [amount for amount in amounts if not amount.known]
    if without:
        return without[0]
    return between(map(sum, zip(*map(ends_of, amounts), strict=True)), amounts[0].unit, "modelled")


def mean_of(found: Mapping[str, Any], name: str, unit: str, method: str) -> Estimate:
    """A mean over calls with the 95 % interval that their number allows, never below zero; one call has no interval."""
    count, mean, spread = (found[f"{name}{end}"] for end in ("_n", "", "_sd"))
    if not count:
        return unknown(unit, "no call has it on record")
    if count < 2:
        return unknown(unit, "one call alone has no range")
    half = Z_95 * spread / count**0.5
    return Estimate(max(0.0, mean - half), mean, mean + half, unit, method)
