"""What a portfolio may come to by 2030 and 2035: its range by year, what drives it, and what others say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from joulebook.accounting.estimates import Estimate, exactly, unknown
from joulebook.accounting.ledger import Ledger
from joulebook.models.projection import paper2501
from joulebook.models.projection.ask import Answer, Asked, answer
from joulebook.models.projection.base import Base
from joulebook.models.projection.engines import EVIDENCE
from joulebook.models.projection.outcome import Projection, Year
from joulebook.models.projection.ramps import REFERENCE_YEAR, TARGET_YEAR
from joulebook.models.projection.scenarios import Driver, checks
from joulebook.reports.format import amount, number, words
from joulebook.reports.view import Column, Figure, Series, Tile, View
from joulebook.reports.views.common import in_words, percent

# category -> (its name, the unit it is drawn in by its own unit, how many of that one of its own is)
LABELS = {"energy": "Energy", "gwp": "Carbon, CO₂e", "water": "Water", "primary_energy": "Primary energy",
          "adpe": "Minerals"}  # fmt: skip
DRAWN = {"Wh": ("J", 3600.0), "L world-eq": ("m³ world-eq", 1e-3)}
NAMES = {
    "genai_growth": "Use of generative AI", "agents_growth": "Use of agents", "cv_growth": "Use of computer vision",
    "nlp_growth": "Use of classic language AI", "tabular_growth": "Use of tabular AI", "model_size": "Size of models",
    "size_elasticity": "Energy ~ size to the power of", "output_tokens": "Tokens of an answer",
    "calls_per_workflow": "Calls for a request of an agent", "hardware": "Gain of hardware",
    "quantisation": "Gain of quantisation", "serving": "Gain of serving and algorithms", "pue": "PUE",
    "pue_now": "PUE today", "wue": "Water on site", "grid_carbon": "Carbon of a kWh",
    "grid_primary_energy": "Primary energy of a kWh", "grid_water": "Water of a kWh", "grid_adpe": "Minerals of a kWh",
    "gpu_embodied": "Manufacture, against the engine's", "vintage_embodied": "Manufacture of new hardware",
    "hardware_life_y": "Life of hardware", "utilisation": "Use of the hardware's hours",
    "electricity_price": "Price of electricity", "token_price": "Price of a token",
    "carbon_price_usd_per_t": "Price of carbon", "settled_growth": "Growth that all settle at, a year",
    "settling_y": "How fast it settles", "growth_correlation": "Correlation of growth", "usage_cap": "Cap of use",
}  # fmt: skip
INDEX_BAND = "Line: at the central drivers. Pale: from the 5th to the 95th percentile."
TELLING = 1e-3  # a smaller part of the variance, or change of the outcome, is drawn nowhere
WHY_NOT_THE_PAPER = (
    "paper2501 gives each request all the GPUs that hold the model, alone: its level for large models is 8 to 80 times "
    "what others measure or estimate. Its index does not depend on that, so it is never the default for amounts."
)
WHY_THEY_DIFFER = (
    "Printed: agents are 33 % of generative use, which makes them 66 % of its energy, answers grow by 1.33 and carbon "
    "of a kWh goes to 0.76. Calibrated: agents have 48.7 % of the energy, with which the study's own Table 4 comes out "
    "(19.65 % of use), answers grow by 1.43 and carbon goes to 0.75. Fitted are the share of agents, on Table 4, and "
    "1.43, on steady; the rest is then predicted. What its spreadsheet has, only its authors know."
)


@dataclass(frozen=True)
class Look:
    """What of a projection stands in front: one category, as amounts or against the base year."""

    category: str = "energy"
    as_index: bool = False


AMOUNTS_OF_ENERGY = Look()


def projection(ledger: Ledger, asked: Asked | None = None, look: Look = AMOUNTS_OF_ENERGY) -> View:
    """The ledger's portfolio, or the one that is asked for, along a scenario."""
    return projected(answer(ledger, asked or Asked()), look)


def projected(told: Answer, look: Look = AMOUNTS_OF_ENERGY) -> View:
    """An answer as a View."""
    made = told.projection
    base, last = made.base, made.years[-1]
    subtitle = (
        f"{base.portfolio.name} · engine {base.engine.name} · inputs as {made.scenario.inputs} · base year "
        f"{made.years[0].year} · {made.draws:,} draws, seed {made.seed}"
    )
    parts = (_beside(made, look), *_drivers(made), _tornado(told), _sobol(told), _engines(told), _study(told),
             _checks(made), _bought(made), _costs(told))  # fmt: skip
    return View(
        "projection", f"Projection to {last.year}: {made.scenario.name}", _sentence(made, look.category),
        subtitle=subtitle, tiles=_tiles(made, look.category), columns=_columns(made, look.as_index),
        rows=tuple(_row(made, year) for year in made.years), figure=_fan(made, look),
        alerts=_alerts(told), notes=_notes(made), parts=tuple(part for part in parts if part.rows),
    )  # fmt: skip


def drawn(estimate: Estimate) -> Estimate:
    """An amount in the unit that people read."""
    unit, factor = DRAWN.get(estimate.unit, (estimate.unit, 1.0))
    return estimate.scaled(factor, unit)


# Years ------------------------------------------------------------------------------------------------------------


def _columns(made: Projection, as_index: bool) -> tuple[Column, ...]:
    """The amounts with the index of two, or the index of all."""
    year, amounts = Column("year", "Year"), made.years[0].amounts.items()
    times = {name: Column(f"{name}_index", f"{LABELS[name].split(',')[0]}, ×", "number") for name, _ in amounts}
    if as_index:
        return (year, *times.values())
    told = (Column(name, LABELS[name], "estimate", drawn(estimate).unit) for name, estimate in amounts)
    return (year, *told, times["energy"], times["gwp"])


def _row(made: Projection, year: Year) -> Mapping[str, Any]:
    amounts = {category: drawn(estimate) for category, estimate in year.amounts.items()}
    return {"year": str(year.year), **amounts, **{f"{category}_index": value for category, value in year.index.items()},
            "method": made.base.projected_method}  # fmt: skip


def _sentence(made: Projection, category: str) -> str:
    first, last = made.years[0], made.years[-1]
    now, then = drawn(first.amounts[category]), drawn(last.amounts[category])
    if not now.known:
        return ""
    times, label = number(last.index[category]), LABELS[category].split(",")[0]
    return (
        f"{label} goes from {amount(now.mid, now.unit)} in {first.year} to {in_words(then)} in {last.year}: × {times}."
    )


def _tiles(made: Projection, category: str) -> tuple[Tile, ...]:
    last = made.years[-1]
    covers = made.base.covers
    amounts = tuple(
        Tile(f"{LABELS[name]}, {last.year}", drawn(last.amounts[name]), covers.get(name, ""))
        for name in dict.fromkeys((category, "energy", "gwp", "water"))
    )
    title = f"{LABELS[category].split(',')[0]}, {last.year} ÷ {made.years[0].year}"
    return (*amounts[:3], Tile(title, _times(made, last, category), made.scenario.name))


def _times(made: Projection, year: Year, category: str) -> Estimate:
    """A year against the base year: at the central drivers, from P5 to P95 of the draws."""
    index, spread = year.index[category], year.index_range[category]
    if index is None or spread is None:
        return unknown("1", made.base.missing.get(category, "it is not known"))
    return Estimate(min(spread[0], index), index, max(spread[2], index), "1", "modelled")


def _fan(made: Projection, look: Look) -> Figure | None:
    category = look.category
    told = [(year.year, _times(made, year, category) if look.as_index else drawn(year.amounts[category]))
            for year in made.years]  # fmt: skip
    if not all(estimate.known for _, estimate in told):
        return None
    years = tuple(year for year, _ in told)
    low, mid, high = (tuple(getattr(estimate, end) for _, estimate in told) for end in ("low", "mid", "high"))
    unit, last = told[0][1].unit, told[-1][1]
    title = f"{LABELS[category]} by year, P5 to P95"
    if look.as_index:
        title = f"{LABELS[category]} by year, {years[0]} = 1"
    alt = f"{title}: {amount(mid[0], unit)} in {years[0]}, {in_words(last)} in {years[-1]}."
    return Figure("fan", title, unit, (Series(made.scenario.name, years, mid, low, high),), alt,
                  band=INDEX_BAND if look.as_index else "")  # fmt: skip


def _beside(made: Projection, look: Look) -> View:
    """Carbon; beside carbon, energy."""
    category = "energy" if look.category == "gwp" else "gwp"
    estimates = ((year, _times(made, year, category) if look.as_index else drawn(year.amounts[category]))
                 for year in made.years)  # fmt: skip
    rows = tuple({"year": str(year.year), category: estimate} for year, estimate in estimates)
    figure = _fan(made, Look(category, look.as_index))
    unit = "1" if look.as_index else rows[0][category].unit
    columns = (Column("year", "Year"), Column(category, LABELS[category], "estimate", unit))
    return View("projection_beside", LABELS[category].split(",")[0], columns=columns, rows=rows if figure else (),
                figure=figure)  # fmt: skip


def _alerts(told: Answer) -> tuple[str, ...]:
    made = told.projection
    base, stress = made.base, made.stress
    alerts = left_out(base)
    if base.engine.name == paper2501.NAME:
        alerts.append(f"Take the index, not the amounts. {WHY_NOT_THE_PAPER}")
    alerts += [f"{LABELS[category]} is not known: {reason}." for category, reason in base.missing.items()]
    if stress.percentile >= 0.95:
        alerts.append(
            f"× {number(stress.index)} of {stress.scenario} is a stress case: {percent(stress.percentile)} of the "
            f"outcomes of {stress.among} are below it (× {number(stress.reference[0])} to "
            f"{number(stress.reference[2])} from P5 to P95)."
        )
    if any(use_case.defaults for use_case in base.portfolio.use_cases):
        alerts.append("Gaps of the portfolio are filled with defaults: joulebook portfolio marks them.")
    return tuple(alerts)


def left_out(base: Base) -> list[str]:
    """A sentence for each use case that the engine says nothing of."""
    told = (f"{use_case.name} is in no sum: {reason.rstrip('.')}." for use_case, reason in base.silent)
    return list(dict.fromkeys(told))


def _notes(made: Projection) -> tuple[str, ...]:
    base = made.base
    covered = (f"{LABELS[name]}: {what}." for name, what in base.covers.items() if what != "operation and manufacture")
    fixed = "" if made.uncertain else "Nothing of it has a range: the scenario fixes all its drivers. "
    ranges = (
        f"{fixed}Ranges are P5 to P95 of {made.draws:,} draws of what has a range. A driver that is fixed has none: "
        "the range is not that of what may happen."
    )
    return (
        ranges,
        "P50 is the middle of the draws. Where ranges are lopsided it is not the central value, which index goes by.",
        f"After {TARGET_YEAR} growth of use settles at 5 % a year, sizes and gains come to rest: our assumption.",
        *covered, *base.portfolio.notes, WHY_NOT_THE_PAPER, *base.notes,
    )  # fmt: skip


# What drives it ---------------------------------------------------------------------------------------------------


def _drivers(made: Projection) -> tuple[View, View]:
    """The drivers with a range, and those that the scenario fixes."""
    columns = (
        Column("label", "Driver"), Column("value", f"{TARGET_YEAR} ÷ {REFERENCE_YEAR}", "number"),
        Column("low", "Low", "number"), Column("high", "High", "number"), Column("distribution", "As"),
        Column("basis", "Rests on"), Column("source", "Source"),
    )  # fmt: skip
    every = made.scenario.drivers.values()
    ranged, fixed = (tuple(_driver_row(each) for each in every if each.fixed is is_fixed) for is_fixed in (False, True))
    values = "PUE, life and price of carbon are values, not ratios."
    note = (
        "A lognormal has its median at the value and is as wide as from low (P5) to high (P95); a lopsided one has "
        f"low, value and high as its P5, P50 and P95. {values}"
    )
    held = tuple(column for column in columns if column.key not in ("low", "high", "distribution"))
    return (
        View("drivers", "Drivers with a range", columns=columns, rows=ranged, notes=(note,)),
        View("fixed_drivers", "Drivers that the scenario fixes", columns=held, rows=fixed, notes=(values,)),
    )


def _driver_row(driver: Driver) -> Mapping[str, Any]:
    told = {"driver": driver.name, "label": NAMES.get(driver.name, driver.name), "value": driver.value}
    ends = {"low": None, "high": None} if driver.fixed else {"low": driver.low, "high": driver.high}
    shape = "fixed by the scenario" if driver.fixed else driver.distribution
    return {**told, **ends, "distribution": shape, "basis": driver.basis, "source": driver.source, "url": driver.url}


def _tornado(told: Answer) -> View:
    base = told.projection.scenario
    columns = (
        Column("label", "Driver"), Column("at_low", "At its low", "number"), Column("at_high", "At its high", "number"),
        Column("less", "10 % less", "number"), Column("more", "10 % more", "number"),
    )  # fmt: skip
    telling = (swing for swing in told.tornado if abs(swing.more / swing.less - 1) > TELLING)
    rows = tuple({"label": NAMES.get(swing.driver, swing.driver), **swing._asdict()} for swing in telling)
    wide = [row for row in rows if row["at_low"] is not None] or list(rows)
    ends = ("at_low", "at_high") if wide and wide[0]["at_low"] is not None else ("less", "more")
    labels = tuple(row["label"] for row in wide)
    series = tuple(
        Series(name, labels, tuple(row[end] for row in wide))
        for end, name in zip(ends, ("Driver at its low", "Driver at its high"), strict=True)
    )
    centre = _index_of(told)
    alt = f"Energy in {TARGET_YEAR} with one driver changed at a time; none changed, it is × {number(centre)}."
    figure = Figure("tornado", f"Energy in {TARGET_YEAR}, one driver at a time", "1", series, alt, base=centre)
    note = "Growth is 10 % off in its yearly rate. Each driver alone; the others as the scenario has them."
    return View("tornado", f"What moves {base.name}", columns=columns, rows=rows, figure=figure if centre else None,
                notes=(note,))  # fmt: skip


def _index_of(told: Answer) -> float | None:
    return next((year.index["energy"] for year in told.projection.years if year.year == TARGET_YEAR), None)


def _sobol(told: Answer) -> View:
    columns = (Column("label", "Driver"), Column("first", "Alone (S1)", "number", "%"),
               Column("total", "With all others (ST)", "number", "%"))  # fmt: skip
    rows = tuple(
        {"label": NAMES.get(each.driver, each.driver), **each._asdict()} for each in told.sobol if each.total > TELLING
    )
    note = "Parts of the variance of the energy, of independent drivers: the correlation of growth is left out here."
    figure = Figure(
        "bars", "Part of the variance of energy, with interactions", "%",
        (Series("ST", tuple(row["label"] for row in rows), tuple(row["total"] for row in rows)),),
        "; ".join(f"{row['label']} {percent(row['total'])}" for row in rows),
    ) if rows else None  # fmt: skip
    return View("sobol", "Whose uncertainty it is", columns=columns, rows=rows, figure=figure, notes=(note,))


# What others say --------------------------------------------------------------------------------------------------


def _engines(told: Answer) -> View:
    made = told.projection
    columns = (
        Column("engine", "Engine"), Column("now", f"Energy, {made.years[0].year}", "estimate", "J"),
        Column("then", f"Energy, {TARGET_YEAR}", "estimate", "J"), Column("within", "Its own range, ×", "number"),
        Column("covers", "Of the requests", "number", "%"), Column("reason", "What it does not know"),
    )  # fmt: skip
    rows = tuple(
        {"engine": level.engine, "now": drawn(level.now_wh), "then": drawn(level.then_wh), "within": level.within,
         "covers": level.covers, "reason": level.reason or ""}
        for level in told.levels
    )  # fmt: skip
    known = [row for row in rows if row["now"].known]
    apart = told.between
    sentence = (
        f"From {apart.lowest} to {apart.highest}, they are {number(apart.ratio)} × apart; draws of one do not show it."
        if apart
        else "Fewer than two engines know all of it."
    )
    mid, low, high = (tuple(getattr(row["now"], end) for row in known) for end in ("mid", "low", "high"))
    series = Series(f"Energy, {made.years[0].year}", tuple(row["engine"] for row in known), mid, low, high)
    figure = Figure("bars", f"Energy in {made.years[0].year}, by engine", "J", (series,), sentence) if known else None
    notes = (f"Of generative use. {EVIDENCE} takes for each use case what is measured, else the first that knows it.",)
    return View("engines", "Between engines, and within one", sentence, columns=columns, rows=rows, figure=figure,
                notes=notes)  # fmt: skip


def _study(told: Answer) -> View:
    columns = (
        Column("scenario", "Scenario"), Column("published", "The study has, ×", "number"),
        Column("calibrated", "Calibrated inputs, ×", "number"), Column("calibrated_off", "off by", "number", "%"),
        Column("printed", "Printed inputs, ×", "number"), Column("printed_off", "off by", "number", "%"),
    )  # fmt: skip
    rows = tuple(
        {**each._asdict(), "calibrated_off": each.calibrated / each.published - 1,
         "printed_off": each.printed / each.published - 1}
        for each in told.reproduced
    )  # fmt: skip
    title = f"{paper2501.CITATION}, reproduced: energy in {TARGET_YEAR} over {REFERENCE_YEAR}"
    return View("study", title, columns=columns, rows=rows, notes=(WHY_THEY_DIFFER,))


def _checks(made: Projection) -> View:
    """The yearly growth of this projection beside what others say."""
    columns = (
        Column("label", ""), Column("times", "Six years, ×", "number"), Column("yearly", "A year", "number", "%"),
        Column("basis", "What it is"), Column("source", "Source"),
    )  # fmt: skip
    span = TARGET_YEAR - REFERENCE_YEAR
    index = next((year for year in made.years if year.year == TARGET_YEAR), made.years[-1])
    yearly = (index.index["energy"] or 1.0) ** (1 / (index.year - made.years[0].year))
    own = {
        "label": "this projection",
        "times": yearly**span,
        "yearly": yearly - 1,
        "basis": made.scenario.name,
        "source": "",
    }
    rows = (
        own,
        *(
            {"label": words(each.name), "times": each.value, "yearly": each.value ** (1 / span) - 1,
             "basis": each.basis, "source": each.source}
            for each in checks()
        ),
    )  # fmt: skip
    return View("checks", "Beside the International Energy Agency", columns=columns, rows=rows)


# Manufacture and money --------------------------------------------------------------------------------------------


def _bought(made: Projection) -> View:
    """Two ways to count manufacture: over the life of the hardware, or all of it in the year in which it is bought."""
    columns = (
        Column("year", "Year"), Column("with_charged", "Carbon, manufacture over its life", "estimate", "g"),
        Column("with_bought", "Carbon, manufacture when bought", "estimate", "g"),
        Column("bought", "of it bought in the year", "estimate", "g"),
    )  # fmt: skip
    if made.base.covers.get("gwp", "operation only") == "operation only" or not made.base.engine.by_vintage:
        return View("bought", "")
    rows = tuple(
        {"year": str(year.year), "with_charged": _grams(year.central["gwp"]),
         "with_bought": _grams((year.central["gwp"] or 0.0) - year.charged["gwp"] + year.bought["gwp"]),
         "bought": _grams(year.bought["gwp"])}
        for year in made.years
    )  # fmt: skip
    note = (
        "An inventory of one's own hardware (GHG Protocol, scope 3 category 2) counts all of it when it is bought. "
        "Both at the central drivers; never add them."
    )
    return View("bought", "Manufacture in an inventory", columns=columns, rows=rows, notes=(note,))


def _grams(value: float | None) -> Estimate:
    return unknown("g", "it is not known") if value is None else exactly(value, "g", "modelled")


def _costs(told: Answer) -> View:
    columns = (
        Column("year", "Year"), Column("api_usd", "At APIs", "estimate", "USD"),
        Column("electricity_usd", "Electricity of one's own machines", "estimate", "USD"),
        Column("carbon_usd", "Carbon, at its price", "estimate", "USD"),
    )  # fmt: skip
    rows = tuple({**cost._asdict(), "year": str(cost.year)} for cost in told.costs)
    known = any(cell.known for cost in told.costs for cell in (cost.api_usd, cost.electricity_usd, cost.carbon_usd))
    reasons = {cell.reason for cost in told.costs[:1] for cell in (cost.api_usd, cost.electricity_usd, cost.carbon_usd)}
    notes = ("At the central drivers and today's prices.", *sorted(f"{why}." for why in reasons if why))
    return View("costs", "What it costs", columns=columns, rows=rows if known else (), notes=notes)
