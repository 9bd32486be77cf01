"""Software Carbon Intensity: carbon per functional unit, of a run or of the runs of a period.

    (operational, location-based + embodied, by time share) ÷ how many correct answers, tokens, requests, runs …

Runs with the tag `sci_role=provider` (making a model) have a score of their own, as SCI for AI wants it; the two are
never added. Contracts for electricity do not change a score.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from joulebook.accounting.assess import SUMS_SQL, estimate_of
from joulebook.accounting.errors import NotFound
from joulebook.accounting.estimates import Estimate, added, between, ends_of, unknown
from joulebook.accounting.sci import ROLES, sci_g
from joulebook.reports.format import count, mid_of
from joulebook.reports.view import Column, Tile, View
from joulebook.reports.views.common import of_project, plural
from joulebook.reports.views.impact import Subject

COLUMNS = (
    Column("label", "Score"),
    Column("runs", "Runs", "number"),
    Column("operational_g", "Running, CO₂e", "estimate", "g"),
    Column("embodied_g", "Manufacture, CO₂e", "estimate", "g"),
    Column("functional_units", "Units", "number"),
    Column("operational_per_unit_g", "Running, per unit", "estimate", "g"),
    Column("sci_g", "SCI, per unit", "estimate", "g"),
)
LABELS = {"consumer": "Consumer: operation", "provider": "Provider: making the model"}
_ROLE = "case when json_extract_string(w.tags, '$.sci_role') = 'provider' then 'provider' else 'consumer' end"
# What can be asked per without a job that recorded it -> how many of it the calls of a run are
OF_CALLS = {"requests": "count(distinct c.call_id)", "tokens": "sum(c.input_tokens + c.output_tokens)"}


def sci(subject: Subject, per: str) -> View:
    """The scores of a run or period per some functional unit. Raises NotFound where nobody recorded any of it."""
    role_of = _roles(subject)
    units = _units(subject, per, role_of)
    if not any(units.values()):
        raise NotFound(_nothing(subject, per))
    running = _running(subject)
    rows = tuple(_row(subject, role, role_of, running, units) for role in ROLES if role in role_of.values())
    return View(
        "sci", f"Software Carbon Intensity per {_one(per)}", " ".join(_sentence(row, per) for row in rows),
        f"{subject.title}{of_project(subject.project)} · location-based",
        tiles=tuple(Tile(row["label"], row["sci_g"], f"per {_one(per)}") for row in rows), columns=COLUMNS, rows=rows,
        alerts=_alerts(subject), notes=_notes(per), factors=subject.factors,
    )  # fmt: skip


def _roles(subject: Subject) -> dict[str, str]:
    """The role of each run."""
    where, params = subject.where
    rows = subject.ledger.rows(
        f"select w.span_id::varchar as run_id, {_ROLE} as role from work w where {where}", params
    )
    return {row["run_id"]: row["role"] for row in rows}


def _units(subject: Subject, per: str, role_of: Mapping[str, str]) -> dict[str, float]:
    """How many functional units each role has: what jobs recorded, else what calls are."""
    if per == "runs":
        return {role: float(list(role_of.values()).count(role)) for role in ROLES}
    where, params = subject.where
    recorded = subject.ledger.rows(
        f"""select {_ROLE} as role, sum(u.amount) as units from usage u join work w on w.span_id = u.run_id
            where u.kind = ? and u.used_at_utc >= ? and u.used_at_utc < ? and {where} group by 1""",
        (per, *subject.window, *params),
    )
    if recorded or per not in OF_CALLS:
        return {row["role"]: row["units"] for row in recorded}
    of_calls = subject.ledger.rows(
        f"""select {_ROLE} as role, {OF_CALLS[per]} as units from api_call c join work w on w.span_id = c.run_id
            where c.counted and c.started_at_utc >= ? and c.started_at_utc < ? and {where} group by 1""",
        (*subject.window, *params),
    )
    return {row["role"]: float(row["units"] or 0) for row in of_calls}


def _running(subject: Subject) -> dict[str, Estimate]:
    """Operational carbon by role."""
    where, params = subject.where
    rows = subject.assess.rows(
        f"""select {_ROLE} as role, {SUMS_SQL}, max(a.method_rank) as method_rank
            from assessed a join work w on w.span_id = a.run_id
            where a.at_utc >= date_trunc('{subject.assess.grain}', ?::timestamp) and a.at_utc < ? and {where}
            group by 1""",
        (*subject.window, *params),
    )
    return {row["role"]: estimate_of(row, "carbon_g") for row in rows}


def _nothing(subject: Subject, per: str) -> str:
    where, params = subject.where
    kinds = subject.ledger.rows(
        f"select distinct u.kind from usage u join work w on w.span_id = u.run_id where {where} order by 1", params
    )
    there = ", ".join(dict.fromkeys([*(row["kind"] for row in kinds), *OF_CALLS, "runs"]))
    return f"no {per!r} was recorded in {subject.title}: run.record({per!r}, 1) does, or ask per one of {there}"


def _row(
    subject: Subject, role: str, role_of: Mapping[str, str], running: Mapping[str, Estimate], units: Mapping[str, float]
) -> dict[str, Any]:
    runs = {run_id for run_id, own in role_of.items() if own == role}
    operational = running.get(role) or unknown("g", "no energy was recorded")
    embodied, number = subject.embodied("gwp_g", runs), units.get(role, 0.0)
    return {
        "role": role,
        "label": LABELS[role],
        "runs": len(runs),
        "operational_g": operational,
        "embodied_g": embodied,
        "functional_units": number,
        "operational_per_unit_g": _per_unit(operational, number),
        "sci_g": _per_unit(added(operational, embodied), number),
    }


def _per_unit(carbon: Estimate, units: float) -> Estimate:
    if not carbon.known or not units:
        return unknown("g", carbon.reason or "none of it was recorded in these runs")
    return between((sci_g(end, 0.0, functional_units=units) for end in ends_of(carbon)), "g", carbon.method)


def _sentence(row: Mapping[str, Any], per: str) -> str:
    score, running = row["sci_g"], row["operational_per_unit_g"]
    if score.known:
        over = f"{count(row['functional_units'])} {_some(per)}"
        return f"{row['label']}: {mid_of(score)} of CO₂e per {_one(per)}, over {over}."
    alone = f"{mid_of(running)} per {_one(per)} for running alone; " if running.known else ""
    return f"{row['label']}: {alone}{score.reason}."


def _one(per: str) -> str:
    """`correct_answers` → correct answer."""
    words = per.replace("_", " ")
    return words[:-1] if words.endswith("s") and not words.endswith("ss") else words


def _some(per: str) -> str:
    return per.replace("_", " ")


def _alerts(subject: Subject) -> tuple[str, ...]:
    where, params = subject.where
    calls = subject.ledger.rows(
        f"""select count(*) as n from api_call c join work w on w.span_id = c.run_id
            where c.counted and c.source != 'server' and {where}""",
        params,
    )[0]["n"]
    told = f"{plural(calls, 'call')} of model APIs in these runs are not in the score: joulebook scopes estimates them."
    return (told,) if calls else ()


def _notes(per: str) -> tuple[str, ...]:
    return (
        f"SCI = (operational + embodied) ÷ {_some(per)}, after ISO/IEC 21031, location-based.",
        "Consumer and provider (tag sci_role=provider: making a model) are two scores of SCI for AI, and never added.",
    )
