"""Method: how the numbers come about, printed from what computes them; and how good the data of a period is.

formulas      every function that says its unit, with the expression that it returns
in force      the factors of this site today, and how well each fits
data quality  what the energy of the period rests on, method by method
coverage      what could not be read, and what has no energy or no price
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from joulebook.accounting.estimates import exactly
from joulebook.accounting.ledger import Ledger
from joulebook.accounting.quality import METHOD_TIER, WORDS
from joulebook.accounting.records import METHODS
from joulebook.accounting.site import Site, load_site
from joulebook.reports.formulas import formulas
from joulebook.reports.view import Column, Figure, Series, View
from joulebook.reports.views.api_sums import in_period
from joulebook.reports.views.common import (
    Period,
    assess_period,
    at_once,
    capital,
    naive,
    percent,
    plural,
    project_filter,
)
from joulebook.reports.views.factors import factors

_ENERGY = (
    "Energy has three boundaries: device (what a sensor on the chip sees), IT (the server at its plug), facility (the "
    "whole building: IT × PUE). Each amount says which it is."
)
_WATER = (
    "Water is consumed water: IT energy × (WUE + PUE × off-site). WUE is per kWh of IT energy, so PUE touches only the "
    "off-site part."
)
_RANGES = (
    "Low, mid and high are worked with the low, mid and high of every factor at once: what is wrong with a factor is "
    "wrong for all runs, so a total is not surer than its parts."
)
BOUNDARIES = (
    _ENERGY,
    "Carbon of electricity is location-based unless it says market-based; the two are never added.",
    _WATER,
    _RANGES,
    "What is not known is written –, never 0.",
)


@at_once
def method(ledger: Ledger, period: Period, project: str | None = None) -> View:
    """The formulas, the factors in force, and the data quality and gaps of a period."""
    site = load_site(ledger.home)
    parts = (_quality(ledger, period, project), _coverage(ledger, period, project), _in_force(site), *_formulas())
    return View(
        "method", "Method", f"{len(formulas())} formulas, printed from the functions that compute with them.",
        f"{capital(period.label)} · data quality and gaps of this period", parts=parts, notes=BOUNDARIES,
    )  # fmt: skip


def _in_force(site: Site) -> View:
    """The factors of the site today, with their kinds in words."""
    view = factors(site)
    rows = tuple({**row, "kind": _in_words(row["kind"])} for row in view.rows)
    columns = tuple(column for column in view.columns if column.key not in ("unit", "factor_id"))
    place = site.region + (f", {site.provider}" if site.provider else "")
    return replace(view, key="in_force", sentence=f"The site is {place}.", rows=rows, columns=columns)


def _in_words(kind: str) -> str:
    """`cpu_power` as `CPU power`."""
    return capital(" ".join(word.upper() if word in _SHORT else word for word in kind.split("_")))


_SHORT = ("adpe", "cpu", "dram", "it", "pue", "wue")


def _formulas() -> tuple[View, ...]:
    """One table for each folder."""
    columns = (Column("name", "Quantity"), Column("what", "What it is"), Column("unit", "Unit and formula"),
               Column("returns", "As computed"))  # fmt: skip
    folders: dict[str, list[dict[str, Any]]] = {}
    for formula in formulas():
        folder, _, file = formula.place.rpartition("/")
        folders.setdefault(folder, []).append(formula._asdict() | {"file": file})
    return tuple(
        View(f"formulas_{folder.replace('/', '_')}", f"Formulas of {folder}", columns=columns, rows=tuple(rows))
        for folder, rows in folders.items()
    )


# Data quality -----------------------------------------------------------------------------------------------------


def _quality(ledger: Ledger, period: Period, project: str | None) -> View:
    condition, params = project_filter(project)
    found = assess_period(ledger, period).rows(
        f"""select method_rank, sum(it_energy_j_mid) as energy_j, count(distinct a.run_id) as runs
            from assessed a join work w on w.span_id = a.run_id
            where a.at_utc >= ? and a.at_utc < ? {condition} group by 1 order by 1""",
        (naive(period.start), naive(period.end), *params),
    )
    whole = sum(row["energy_j"] or 0.0 for row in found)
    rows = tuple(
        {
            "method": (name := METHODS[row["method_rank"]]),
            "energy_j": exactly(row["energy_j"], "J", name),
            "share": row["energy_j"] / whole if whole else None,
            "runs": row["runs"],
            "tier": METHOD_TIER[name],
            "means": capital(WORDS[METHOD_TIER[name]]),
        }
        for row in found
        if row["energy_j"] is not None
    )
    columns = (
        Column("method", "Evidence", "state"), Column("energy_j", "IT energy", "estimate", "J"),
        Column("share", "Share", "number", "%"), Column("runs", "Runs", "number"), Column("tier", "Tier", "number"),
        Column("means", "The tier means"),
    )  # fmt: skip
    told = "; ".join(f"{percent(row['share'])} {row['method']}" for row in rows if row["share"])
    series = Series("Share", tuple(row["method"] for row in rows), tuple(row["share"] for row in rows))
    title = "What the energy rests on"
    figure = Figure("bars", title, "%", (series,), f"{title}: {told}.") if told else None
    return View("quality", title, columns=columns, rows=rows, figure=figure,
                empty=f"No energy is on record for {period.label}.")  # fmt: skip


# Coverage ---------------------------------------------------------------------------------------------------------

_GAPS_SQL = """
    select g.reason, g.sensor, count(*) as times, sum(epoch_us(g.to_utc - g.from_utc) / 1e6) as missing_s
    from gap g where g.noted_at_utc >= ? and g.noted_at_utc < ? group by 1, 2 order by times desc, 1, 2
"""
_UNMEASURED_SQL = """
    select count(*) as runs, count(*) filter (state = 'lost') as lost,
           count(*) filter (not exists (select 1 from energy_source_hour e where e.run_id = w.span_id)) as unmeasured
    from work w where parent_id is null and started_at_utc >= ? and started_at_utc < ? $project
"""
_UNPRICED_SQL = """
    select count(*) as attempts, count(*) filter (basis = 'unpriced') as unpriced,
           count(*) filter (usage_method is null or usage_method = 'unknown') as unread
    from api_call c where $asked
"""


def _coverage(ledger: Ledger, period: Period, project: str | None) -> View:
    """What is missing: of runs, of calls, of readings."""
    times = (naive(period.start), naive(period.end))
    condition, params = project_filter(project)
    runs = ledger.rows(_UNMEASURED_SQL.replace("$project", condition), (*times, *params))[0]
    asked = in_period(period, project)
    calls = ledger.rows(_UNPRICED_SQL.replace("$asked", asked.condition), asked.params)[0]
    told = (
        (
            "Runs without any energy",
            runs["unmeasured"],
            runs["runs"],
            "no sensor, no CPU time and no record of the job",
        ),
        ("Runs that ended without a word", runs["lost"], runs["runs"], "killed; what they wrote until then is counted"),
        ("Attempts of calls without a price", calls["unpriced"], calls["attempts"], "in no sum of money"),
        ("Attempts of calls without usage", calls["unread"], calls["attempts"], "in no sum of tokens"),
    )
    rows: list[dict[str, Any]] = [
        {"what": what, "count": count, "of": of, "missing_s": None, "means": means}
        for what, count, of, means in told
        if of
    ]
    rows += [
        {
            "what": f"Readings: {row['reason']}" + (f" ({row['sensor']})" if row["sensor"] else ""),
            "count": row["times"],
            "of": None,
            "missing_s": row["missing_s"],
            "means": "a counter catches up at its next value; a gauge does not",
        }
        for row in ledger.rows(_GAPS_SQL, times)
    ]
    columns = (
        Column("what", "What is missing"), Column("count", "How many", "number"), Column("of", "Of", "number"),
        Column("missing_s", "Time", "duration", "s"), Column("means", "What that means"),
    )  # fmt: skip
    gaps = sum(row["count"] for row in rows if row["of"] is None)
    sentence = f"{plural(gaps, 'gap')} in readings on record." if gaps else "No gap in readings is on record."
    return View("coverage", "What is missing", sentence, columns=columns, rows=tuple(rows),
                empty=f"Nothing is on record for {period.label}.")  # fmt: skip
