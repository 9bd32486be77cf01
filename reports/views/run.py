"""One run: power over time, its spans, what it used, its impacts, and what they rest on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from joulebook.accounting.assess import (
    CATEGORIES,
    ENDS,
    Assessor,
    energy_sql,
    estimate_of,
    in_force_table,
    with_amounts,
    worst_match,
)
from joulebook.accounting.errors import InputError, NotFound
from joulebook.accounting.estimates import Estimate, unknown
from joulebook.accounting.factors import MATCHES
from joulebook.accounting.ledger import Ledger
from joulebook.accounting.ledger.nodes import parts as node_parts
from joulebook.accounting.records import METHODS
from joulebook.accounting.spans import READ_SQL, span_energies
from joulebook.reports.format import amount, duration, mid_of, scale_for
from joulebook.reports.view import Column, Figure, Series, View
from joulebook.reports.views.api_usage import calls_of_run
from joulebook.reports.views.common import (
    assess_period,
    at_once,
    aware,
    factor_uses,
    impact_cells,
    impact_tiles,
    in_words,
    period_of,
    standing_notes,
)
from joulebook.reports.views.devices import devices
from joulebook.reports.views.flops import Spent, flops
from joulebook.reports.views.quality import energy_rests_on, qualities, quality_cells, quality_notes
from joulebook.reports.views.runs import RUNS_SQL, gaps_of, run_row
from joulebook.reports.views.served import served

if TYPE_CHECKING:
    import pyarrow as pa

MOST_SPANS = 200
MOST_BARS = 30
MOST_POINTS = 1500


def find_run(ledger: Ledger, text: str) -> str:
    """The id of the run that a user means: a whole id, its beginning or end, or `last`.

    Raises NotFound when there is none, InputError when there are several.
    """
    sql = "select span_id::varchar as id from span where parent_id is null "
    if not text:
        raise InputError("no run named: give its id, the beginning or end of it, or `last`")
    if text == "last":
        found = ledger.rows(sql + "order by started_at_utc desc, span_id desc limit 1")
    else:
        found = ledger.rows(
            sql + "and (starts_with(span_id::varchar, lower(?)) or ends_with(span_id::varchar, lower(?))) limit 9",
            (text, text),
        )
    if not found:
        raise NotFound(f"no run {text!r} in {ledger.path}: joulebook runs lists them")
    if len(found) > 1:
        raise InputError(f"{text!r} fits several runs ({', '.join(row['id'] for row in found)}): give more of the id")
    return str(found[0]["id"])


@at_once
def run(ledger: Ledger, run_id: str) -> View:
    """Everything about one run. Raises NotFound when it is not in the ledger."""
    run_id = find_run(ledger, run_id)
    begun = ledger.rows("select started_at_utc, seen_until_utc from work where span_id = ?::uuid", (run_id,))[0]
    period = period_of(aware(begun["started_at_utc"]), aware(begun["seen_until_utc"] + timedelta(seconds=1)))
    assess = assess_period(ledger, period)
    facts = assess.rows(f"{RUNS_SQL} and w.span_id = ?::uuid", (run_id,))[0]
    row = run_row(facts, gaps_of(ledger, [facts])[run_id])
    cells = impact_cells(facts)
    shown = ledger.rows(_SPANS_SQL.replace("$run", f"'{run_id}'"))
    used, odd = node_parts(ledger, [span["span_id"] for span in shown])
    device_view = devices(assess, run_id, used, [step for step in odd.to_pylist() if step["window_id"] == run_id])
    good = qualities(assess, "a.run_id", "a.run_id = ?::uuid", (run_id,)).get(run_id)
    row |= quality_cells(good)
    shares = energy_rests_on(good)
    parts = (
        _power(assess, facts, used),
        _spans(assess, shown, used),
        *served(assess, run_id, used, _method(facts)),
        _impacts(assess, facts, cells),
        device_view,
        flops(ledger, run_id, assess.site, device_view.rows, _spent(facts, cells["energy_j"])),
        *calls_of_run(ledger, run_id),
        _usage(ledger, run_id),
        _quality(ledger, run_id),
        _notes(ledger, run_id),
        _gaps(row["gaps"]),
        _about(facts),
    )
    return View(
        key="run",
        title=facts["name"],
        subtitle=f"{facts['project'] or 'no project'} · {period.start:%d %b %Y %H:%M:%S} UTC · location-based",
        sentence=_sentence(row, shares),
        tiles=impact_tiles(cells, {"energy_j": ", ".join(shares) if len(shares) > 1 else ""}),
        rows=(row,),
        parts=tuple(part for part in parts if part.rows),
        notes=(*standing_notes(assess, [facts]), *quality_notes(good)),
        factors=factor_uses(assess, [facts]),
    )


def _spent(facts: Mapping[str, Any], it_energy_j: Estimate) -> Spent:
    """Time and energy of the devices; where no sensor saw them, of the server."""
    if facts["device_energy_j_mid"] is None:
        return Spent(facts["duration_s"], it_energy_j)
    return Spent(facts["duration_s"], _device_energy(facts))


def _method(facts: Mapping[str, Any]) -> str:
    """How its energy is known."""
    return "unknown" if facts["method_rank"] is None else METHODS[facts["method_rank"]]


def _device_energy(facts: Mapping[str, Any]) -> Estimate:
    low, mid, high = (facts[f"device_energy_j_{end}"] for end in ENDS)
    return Estimate(low, mid, high, "J", METHODS[facts["device_method_rank"]])


def _sentence(row: Mapping[str, Any], shares: Sequence[str]) -> str:
    took = {
        "ended": f"Took {duration(row['duration_s'])}",
        "failed": f"Failed after {duration(row['duration_s'])}" + (f" ({row['error']})" if row["error"] else ""),
        "lost": f"Ended without a word, last heard of after {duration(row['duration_s'])}",
        "running": f"Running for {duration(row['duration_s'])}",
    }[row["state"]]
    if not row["energy_j"].known:
        return f"{took}; {row['energy_j'].reason}."
    return f"{took}, used {in_words(row['energy_j'], shares)} and caused {mid_of(row['carbon_g'])} of CO₂e."


# Power ------------------------------------------------------------------------------------------------------------

_POWER_SQL = """
    with bucket as (
        select sensor, unit, boundary, method, share_by, min(at_utc) as at_utc, sum(amount) as amount,
               sum(idle_reservation) as idle_reservation, sum(idle_equal) as idle_equal, sum(node_low) as node_low,
               sum(node_mid) as node_mid, sum(node_high) as node_high, sum(at_s - from_s) as seconds, max(at_s) as at_s
        from (select *, ntile({points}) over (partition by sensor order by at_s) as ntile
              from ({read}) where at_s - from_s > {shortest})
        group by sensor, unit, boundary, method, share_by, ntile
    )
    select at_s, max(seconds) as seconds, sum({low}) as low, sum({mid}) as mid, sum({high}) as high
    from {amounts} group by at_s order by at_s
"""


def _power(assess: Assessor, facts: Mapping[str, Any], used: pa.Table) -> View:
    """Mean power between readings. Readings closer than a tenth of a second say little and are left out."""
    ends = {end: f"({energy_sql(end)}) / seconds" for end in ENDS}
    shortest = min(0.1, (facts["duration_s"] or 0) / 20)
    sql = _POWER_SQL.format(
        points=MOST_POINTS,
        read=READ_SQL.replace("$run", f"'{facts['run_id']}'"),
        shortest=f"{shortest:.6f}",
        amounts=with_amounts("bucket", assess.site.idle_energy),
        **ends,
    )
    found = assess.ledger.rows(sql, (), {"in_force": in_force_table(assess.pieces), "node_part": used})
    columns = (Column("at_s", "Since start", "duration", "s"), Column("power_w", "Power", "estimate", "W"))
    method = _method(facts)
    rows = tuple(
        {"at_s": row["at_s"], "power_w": Estimate(row["low"], row["mid"], row["high"], "W", method)} for row in found
    )
    view = View("power", "Power over time", columns=columns, rows=rows)
    if not rows:
        return view
    mean = facts["it_energy_j_mid"] / facts["duration_s"]
    peak = max(found, key=lambda row: row["mid"])
    scale = scale_for("W", peak["mid"])
    alt = (
        f"IT power over {duration(facts['duration_s'])}: about {amount(mean, 'W', scale)} on average, "
        f"at most {amount(peak['mid'], 'W', scale)} at {duration(peak['at_s'])}."
    )
    before = [0.0, *(row["at_s"] for row in found)]  # a device's values are not taken when the run's are
    begins = [max(row["at_s"] - row["seconds"], at_s) for row, at_s in zip(found, before, strict=False)]
    x = tuple(at for row, begin in zip(found, begins, strict=True) for at in (begin, row["at_s"]))
    mid, low, high = (_twice(row[end] for row in found) for end in ("mid", "low", "high"))
    series = Series("IT power", x, mid, low, high)
    figure = Figure("trace", "Power over time", "W", (series,), alt)
    return View("power", "Power over time", columns=columns, rows=rows, figure=figure)


def _twice(values: Iterable[float]) -> tuple[float, ...]:
    return tuple(value for value in values for _ in range(2))


# Spans ------------------------------------------------------------------------------------------------------------

# The longest spans only: a run may have a million. A span that ended has readings of its own; another its process's.
_SPANS_SQL = f"""
    with recursive mine as (
        select w.*, 0 as depth from work w where span_id = $run::uuid
        union all
        select c.*, m.depth + 1 from work c
        join mine m on c.parent_id = m.span_id and c.run_id = $run::uuid where m.depth < 50
    ), longest as (
        select *, count(*) over () as spans,
               coalesce((end_mono_ns - start_mono_ns) / 1e9,
                        epoch_us(seen_until_utc - started_at_utc) / 1e6) as duration_s
        from mine order by depth > 0, duration_s desc limit {MOST_SPANS}
    )
    select m.span_id::varchar as span_id, m.name, m.state, m.error, m.depth, m.started_at_utc, m.duration_s, m.spans,
           epoch_us(m.started_at_utc - root.started_at_utc) / 1e6 as at_s
    from longest m join longest root on root.span_id = $run::uuid
    order by m.started_at_utc, m.depth, m.seq
"""


def _spans(assess: Assessor, shown: Sequence[dict[str, Any]], used: pa.Table) -> View:
    energies = span_energies(assess, [row["span_id"] for row in shown], used)
    rows = tuple(
        {
            "name": row["name"],
            "state": row["state"],
            "depth": row["depth"],
            "at_s": row["at_s"],
            "duration_s": row["duration_s"],
            "energy_j": energies[row["span_id"]],
            "error": row["error"],
            "span_id": row["span_id"],
        }
        for row in shown
    )
    columns = (
        Column("name", "Span"), Column("state", "State", "state"), Column("at_s", "Began after", "duration", "s"),
        Column("duration_s", "Duration", "duration", "s"), Column("energy_j", "IT energy", "estimate", "J"),
    )  # fmt: skip
    notes = ("A span is inside its parent: its energy is part of the parent's, not on top of it.",)
    if len(shown) < shown[0]["spans"]:
        notes += (f"The {len(shown)} longest of {shown[0]['spans']:,} spans are shown.",)
    return View("spans", "Spans", columns=columns, rows=rows, figure=_span_figure(shown), notes=notes)


def _largest(found: Sequence[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """The longest spans, in the order in which they began."""
    longest = {row["span_id"] for row in sorted(found, key=lambda row: -row["duration_s"])[:count]}
    return [row for row in found if row["span_id"] in longest]


def _span_figure(found: Sequence[dict[str, Any]]) -> Figure | None:
    if len(found) < 2:
        return None
    shown = _largest(found, MOST_BARS)
    series = Series(
        "Spans",
        tuple(row["name"] for row in shown),
        tuple(row["depth"] for row in shown),
        tuple(row["at_s"] for row in shown),
        tuple(row["at_s"] + row["duration_s"] for row in shown),
    )
    inner = max(shown[1:], key=lambda row: row["duration_s"], default=shown[0])
    alt = f"Spans over time; the longest inside the run is {inner['name']} with {duration(inner['duration_s'])}."
    return Figure("spans", "Spans over time", "s", (series,), alt)


# Tables -----------------------------------------------------------------------------------------------------------

_LABELS = {
    "it_energy_j": "Energy, IT",
    "facility_energy_j": "Energy, facility",
    "carbon_g": "Carbon, operational, location-based",
    "water_l": "Water consumed",
    "cost_usd": "Electricity cost",
    "primary_energy_j": "Primary energy of the electricity",
    "adpe_kgsb": "Minerals (ADPe) of the electricity",
}


def _impacts(assess: Assessor, facts: Mapping[str, Any], cells: Mapping[str, Estimate]) -> View:
    columns = (
        Column("label", "Impact"), Column("amount", "Estimate", "estimate"), Column("method", "Method", "state"),
        Column("match", "Factor match", "state"), Column("factor_ids", "Factors"),
    )  # fmt: skip
    rows: list[dict[str, Any]] = [_device_row(facts)]
    if cells["energy_j"].known:
        pieces = [assess.pieces[number] for number in sorted(facts["pieces"])]
        energy_kinds = ("cpu_power",) if facts["cpu_time_s"] is not None else ()
        energy_kinds += ("dram_power",) if facts["memory_gb_s"] is not None else ()
        energy_kinds += ("it_overhead",) if facts["device_energy_j_mid"] is not None else ()
        for category, (_, kinds) in CATEGORIES.items():
            estimate = estimate_of(facts, category)
            used = energy_kinds + kinds
            ids = ", ".join(dict.fromkeys(piece.matches[kind].factor.factor_id for kind in used for piece in pieces
                                          if kind in piece.matches))  # fmt: skip
            match = max((worst_match(piece, used) for piece in pieces), key=MATCHES.index)
            rows.append({"category": category, "label": _LABELS[category], "amount": estimate,
                         "method": estimate.method, "match": match, "factor_ids": ids})  # fmt: skip
    return View("impacts", "Impacts", columns=columns, rows=tuple(rows))


def _device_row(facts: Mapping[str, Any]) -> dict[str, Any]:
    if facts["device_energy_j_mid"] is None:
        estimate = unknown("J", "no device sensor could be read; the model gives the server's share at the plug")
    else:
        estimate = _device_energy(facts)
    return {"category": "device_energy_j", "label": "Energy, device", "amount": estimate, "method": estimate.method,
            "match": "–", "factor_ids": ""}  # fmt: skip


def _usage(ledger: Ledger, run_id: str) -> View:
    found = ledger.rows(
        """select kind, unit, method, sum(amount) as amount, count(*) as entries from usage
           where run_id = ?::uuid group by kind, unit, method order by kind""", (run_id,))  # fmt: skip
    columns = (
        Column("kind", "Kind"), Column("amount", "Amount", "number"), Column("unit", "Unit"),
        Column("method", "Method", "state"), Column("entries", "Entries", "number"),
    )  # fmt: skip
    return View("usage", "Usage", columns=columns, rows=tuple(found), width="half")


def _quality(ledger: Ledger, run_id: str) -> View:
    found = ledger.rows(
        """select s.name as span, q.metric, q.value from quality q join span s on s.span_id = q.span_id
           where q.run_id = ?::uuid order by q.at_utc""", (run_id,))  # fmt: skip
    columns = (Column("span", "Span"), Column("metric", "Metric"), Column("value", "Value", "number"))
    return View("quality", "Quality", columns=columns, rows=tuple(found), width="half")


def _notes(ledger: Ledger, run_id: str) -> View:
    found = ledger.rows(
        """select n.at_utc as noted_at, s.name as span, n.text from note n join span s on s.span_id = n.span_id
           where n.run_id = ?::uuid order by n.at_utc""", (run_id,))  # fmt: skip
    rows = tuple(row | {"noted_at": aware(row["noted_at"])} for row in found)
    columns = (Column("noted_at", "Noted, UTC", "time"), Column("span", "Span"), Column("text", "Note"))
    return View("notes", "Notes", columns=columns, rows=rows)


def _gaps(gaps: Sequence[Mapping[str, Any]]) -> View:
    columns = (
        Column("reason", "What is missing"),
        Column("from", "From, UTC", "time"),
        Column("to", "To, UTC", "time"),
    )
    notes = ("At most one sampling interval of energy is missing where a run ended without a word.",)
    return View("gaps", "Gaps", columns=columns, rows=tuple(gaps), notes=notes)


def _about(facts: Mapping[str, Any]) -> View:
    tags = json.loads(facts["tags"] or "{}")
    pairs = {
        "Run": facts["run_id"],
        "Host": facts["host"],
        "Processor": f"{facts['cpu_model']} ({facts['cpus']} logical CPUs)" if facts["cpu_model"] else None,
        "Command": facts["command"],
        "Exit code": facts["exit_code"],
        "CPU time": duration(facts["cpu_time_s"]) if facts["cpu_time_s"] is not None else None,
        **{f"Tag {key}": value for key, value in tags.items()},
    }
    rows = tuple({"what": what, "value": str(value)} for what, value in pairs.items() if value is not None)
    return View("about", "About this run", columns=(Column("what", ""), Column("value", "")), rows=rows)
