"""The parts of the answers on returns: balances, claims, years, break-even, money, and what makes them look better."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from joulebook.accounting.estimates import Estimate, unknown
from joulebook.accounting.factors import Match, load
from joulebook.accounting.returns.balance import Balance
from joulebook.accounting.returns.claims import CRITERIA, UNITS
from joulebook.accounting.returns.companions import break_even, payback
from joulebook.accounting.returns.judging import Judged
from joulebook.accounting.returns.portfolio import SUPPORTED_ONLY, Portfolio, Result
from joulebook.accounting.returns.valued import lines, prices
from joulebook.accounting.uncertainty import quantiles, sampled
from joulebook.reports.format import mid_of, span_of
from joulebook.reports.view import Column, FactorUse, Figure, Series, View
from joulebook.reports.views.common import plural, use_of

LABELS = {"gwp_g": "Carbon, CO₂e", "primary_energy_j": "Primary energy", "adpe_kgsb": "Minerals", "water_l": "Water"}
ALL = "All use cases"
BALANCES = (
    Column("use_case", "Use case"),
    Column("criterion", "Criterion"),
    Column("caused", "Caused", "estimate"),
    Column("benefit", "Avoided", "estimate"),
    Column("net", "Net", "estimate"),
    Column("roe", "RoE", "estimate"),
    Column("p_net_above_0", "P(N > 0)", "number", "%"),
    Column("verdict", "Verdict", "state"),
)
CLAIMS = (
    Column("claim_id", "Claim"),
    Column("use_case", "Use case"),
    Column("class", "Class", "state"),
    Column("tier", "Tier", "number"),
    Column("benefit", "It says", "estimate"),
    Column("missing", "Missing for the next class"),
)
NAMES = {
    "carbon_productivity_usd_per_kg": "Value for each kg of CO₂e caused",
    "carbon_per_value_g_per_usd": "CO₂e caused for each dollar of value",
    "abatement_cost_usd_per_t": "Cost of a tonne less",
    "carbon_adjusted_roi": "Return on investment, carbon at a price",
    "climate_value_usd": "Climate value of the net benefit",
}
PRICES = {"": "–", "none": "no price", "internal": "own price", "epa": "US EPA", "uba": "UBA, Germany"}


QUIET_DAYS = 31  # without a run, before it is said that a claim goes on


def results(found: Portfolio) -> tuple[Result, ...]:
    """All of them together, then each; a single one is not told twice."""
    return found.use_cases if len(found.use_cases) == 1 else (found.whole, *found.use_cases)


def in_range(estimate: Estimate) -> str:
    spread = span_of(estimate)
    return f"{mid_of(estimate)} ({spread})" if spread else mid_of(estimate)


def drawn(criterion: str, values: tuple[float, float, float], method: str = "modelled") -> Estimate:
    return Estimate(*values, UNITS[criterion], method)


def balance_rows(result: Result, basis: str = SUPPORTED_ONLY) -> Iterator[Mapping[str, Any]]:
    """One row for each criterion, and the verdict over all of them with the first."""
    for criterion in CRITERIA:
        balance = result.balance(criterion, basis)
        row: dict[str, Any] = {"use_case": result.name or ALL, "criterion": LABELS[criterion]}
        if balance is None:
            yield row | {"caused": unknown(UNITS[criterion], why_unknown(result, criterion)), "verdict": "unknown"}
            continue
        yield row | {
            "caused": drawn(criterion, quantiles(balance.caused), result.method),
            "benefit": drawn(criterion, quantiles(balance.benefit), benefit_method(balance)),
            "net": drawn(criterion, quantiles(balance.net)),
            "roe": sampled(balance.roe, ""),
            "p_net_above_0": balance.p_net_above_0,
            "verdict": balance.verdict,
        }


def benefit_method(balance: Balance) -> str:
    """Nothing counts without evidence: that is the rule, and no model."""
    return "modelled" if balance.benefit.any() else "default"


def why_unknown(result: Result, criterion: str) -> str:
    if criterion in result.unknown:
        return result.unknown[criterion]
    return "no factor is known here" if result.caused_by_year else "no energy of its runs is on record"


def claims_table(claims: Sequence[Judged]) -> View:
    rows = tuple(_claim_row(each) for each in claims)
    return View("claims", "Claims", columns=CLAIMS, rows=rows)


def _claim_row(each: Judged) -> Mapping[str, Any]:
    total = each.effect.total.get(each.criterion)
    says = drawn(each.criterion, quantiles(total)) if total is not None else unknown("g", "nothing of it counts here")
    return {
        "claim_id": each.claim.id, "use_case": each.claim.use_case, "class": each.state, "tier": each.tier,
        "benefit": says, "missing": "; ".join(each.missing) or "–", "classes": dict(each.classes),
    }  # fmt: skip


def caused_by_market(result: Result, found: Portfolio) -> Estimate:
    """Carbon caused by the market-based account."""
    if found.market is None:
        return unknown("g", "no electricity that was bought is on record here")
    if result.market_g is None:
        return unknown("g", why_unknown(result, "gwp_g"))
    return drawn("gwp_g", quantiles(result.market_g), result.method)


def by_market(found: Portfolio) -> View:
    """What was caused by both accounts of electricity, side by side."""
    columns = (Column("use_case", "Use case"), Column("location", "Location-based", "estimate"),
               Column("market", "Market-based", "estimate"))  # fmt: skip
    rows = tuple(
        {"use_case": each.name or ALL, "location": drawn("gwp_g", quantiles(each.caused["gwp_g"]), each.method),
         "market": caused_by_market(each, found)}
        for each in results(found) if found.market and "gwp_g" in each.caused
    )  # fmt: skip
    rests_on = found.market.rests_on if found.market else ""
    notes = (f"Market-based rests on: {rests_on}. It enters no return: contracts for electricity change none.",)
    return View("by_market", "Carbon caused, by both accounts of electricity", columns=columns, rows=rows,
                notes=notes if rows else ())  # fmt: skip


def by_year(result: Result) -> View:
    """The debt, or what was given back, from the first year to each."""
    amounts = {"caused": "Caused", "benefit": "Avoided", "net": "Net since the start"}
    columns = (Column("year", "Year"), *(Column(key, label, "estimate", "g") for key, label in amounts.items()))
    rows = tuple(year_rows(result))
    title = "Carbon year by year"
    if len(rows) < 2:
        return View("by_year", title, columns=columns, rows=())
    low, mid, high = (tuple(getattr(row["net"], end) for row in rows) for end in ("low", "mid", "high"))
    years = tuple(int(row["year"]) for row in rows)
    alt = f"Net since {years[0]}: {in_range(rows[-1]['net'])} by {years[-1]}."
    figure = Figure("fan", "Net carbon since the start", "g", (Series("Net", years, mid, low, high),), alt=alt)
    return View("by_year", title, columns=columns, rows=rows, figure=figure)


def year_rows(result: Result, basis: str = SUPPORTED_ONLY) -> Iterator[dict[str, Any]]:
    """Carbon of each year, and N since the start: below 0 it is a debt."""
    if "gwp_g" not in result.caused:
        return
    nothing = 0 * result.caused["gwp_g"]
    caused, benefit, since = result.caused_by_year, result.benefit_by_year.get(basis, {}), nothing
    for year in sorted({*caused, *benefit}):
        cost, gain = (amounts.get(year, {}).get("gwp_g", nothing) for amounts in (caused, benefit))
        since = since + gain - cost
        told = {"caused": cost, "benefit": gain, "net": since}
        yield {"year": str(year), **{key: sampled(values, "g") for key, values in told.items()}}


def break_evens(found: Portfolio) -> View:
    columns = (Column("use_case", "Use case"), Column("payback", "Payback", "estimate"),
               Column("intensity", "Break-even grid", "estimate"), Column("side", "N is above 0 on"))  # fmt: skip
    rows: list[Mapping[str, Any]] = []
    for each in found.use_cases:
        even, years = break_even(each), payback(each, "gwp_g", found.days)
        if even.intensity.known or years.known:
            side = f"{'cleaner' if even.cleaner else 'dirtier'} grids" if even.intensity.known else "–"
            rows.append({"use_case": each.name, "payback": years, "intensity": even.intensity, "side": side})
    return View("break_even", "When and where it breaks even, in carbon", columns=columns, rows=tuple(rows))


def in_money(found: Portfolio) -> View:
    columns = (Column("use_case", "Use case"), Column("what", "Companion"), Column("price", "Carbon at"),
               Column("amount", "Amount", "estimate"))  # fmt: skip
    years = sorted({*found.whole.caused_by_year, *found.whole.benefit_by_year.get(SUPPORTED_ONLY, {})})
    told = [each for each in found.use_cases if any(one.claim.money.value_usd is not None for one in each.claims)]
    rows = tuple(
        {"use_case": each.name, "what": NAMES[line.name], "price": PRICES[line.price], "amount": line.amount}
        for each in told for line in lines(each, prices(load(), years, found.internal_usd_per_t))
    )  # fmt: skip
    notes = (
        "Money stands beside the return and never changes it.",
        "Social costs: US EPA in dollars of 2020 at 2 %; UBA in euros of 2025 at 1 %, turned into dollars.",
    )
    return View("money", "In money", columns=columns, rows=rows, notes=notes if rows else ())


def alerts(found: Portfolio) -> Iterator[str]:
    """What makes the numbers better than they are."""
    whole = found.whole
    if whole.runs_without_energy:
        runs = plural(whole.runs_without_energy, "run")
        yield f"{runs} without energy on record caused something that is not counted."
    if whole.calls_without_tokens:
        calls = plural(whole.calls_without_tokens, "call")
        yield f"{calls} of model APIs told no tokens: what they caused is not counted."
    for why in sorted(set(whole.unmade.values())):
        yield f"Making the hardware is not among what was caused: {why}."
    for each in (each for each in found.use_cases if each.upfront_before):
        yield f"What {each.name} caused up front before this time is not counted in it."
    for plan in (each.effect.plan for each in whole.claims if each.effect.plan.days_after > QUIET_DAYS):
        days = plural(plan.days_after, "day")
        yield (
            f"The claim {plan.claim.id} counts {days} after the last run of {plan.claim.use_case} on record: what "
            "those days caused is not known."
        )
    for claim in (version.claim for version in found.orphans):
        yield f"The claim {claim.id} counts nothing: no run of the use case {claim.use_case} is on record here."


def factor_uses(matches: Sequence[Match]) -> tuple[FactorUse, ...]:
    return tuple(map(use_of, matches))
