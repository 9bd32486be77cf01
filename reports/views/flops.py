"""What a run computed: FLOP, per joule, and as a share of what its accelerators could have done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from joulebook.accounting import flops as formulas
from joulebook.accounting.accelerators import peak_flop_per_s
from joulebook.accounting.estimates import Estimate, between, exactly, unknown
from joulebook.accounting.ledger import Ledger
from joulebook.accounting.site import Site
from joulebook.reports.format import amount, count, duration, mid_of
from joulebook.reports.view import Column, View

COLUMNS = (
    Column("kind", "Kind"),
    Column("verdict", "Verdict", "state"),
    Column("amount", "Amount", "estimate", "FLOP"),
    Column("method", "Method", "state"),
    Column("source", "Counted by"),
    Column("coverage", "Coverage", "number", "%"),
    Column("flop_per_j", "Per joule", "estimate", "FLOP/J"),
    Column("utilization", "MFU or HFU", "estimate", "%"),
)
_SOMETIMES = ("verdict", "source")  # only where a row has something to say there
# Nothing in the catalogue idles at less than this part of its board power; for what cannot be true, no finer number
# is needed.
LEAST_IDLE = 0.02

_SQL = """
    select kind, method, source, sum(amount) as amount,
           case when count(coverage) = count(*) then sum(amount * coverage) / nullif(sum(amount), 0) end as coverage
    from usage where run_id = ?::uuid and kind in ('model_flop', 'hardware_flop') and unit = 'FLOP'
    group by all order by kind, method, source
"""


class Ceiling(NamedTuple):
    """What the accelerators of a run can do at the most. `flop_per_s` is None where that is not known, with `why`."""

    flop_per_s: float | None
    idle_w: float | None
    why: str


class Spent(NamedTuple):
    """What the run's devices spent on it."""

    seconds: float
    energy_j: Estimate


def flops(ledger: Ledger, run_id: str, site: Site, devices: Sequence[Mapping[str, Any]], spent: Spent) -> View:
    """The FLOP of a run. `devices` are the rows of its View of devices."""
    ceiling = _ceiling(site, devices)
    rows = tuple(_row(row, ceiling, spent) for row in ledger.rows(_SQL, (run_id,)))
    columns = tuple(c for c in COLUMNS if c.key not in _SOMETIMES or any(row[c.key] for row in rows))
    return View(
        "flops",
        "Computation",
        columns=columns,
        rows=rows,
        alerts=tuple(_alert(row, ceiling, spent) for row in rows if row["implausible"]),
        notes=(f"Utilisation is against {ceiling.why}.",) if rows and ceiling.flop_per_s else (),
    )


def _alert(row: Mapping[str, Any], ceiling: Ceiling, spent: Spent) -> str:
    """Why an amount cannot be true, for people: the key `implausible` says it in plain numbers."""
    told = f"Impossible: {mid_of(row['amount'])} ({row['kind']})"
    if row["amount"].mid > (ceiling.flop_per_s or 0) * spent.seconds:
        return f"{told} in {duration(spent.seconds)} is more than {ceiling.why} allows."
    most = amount(spent.energy_j.high, "J")
    return f"{told} from at most {most} is more than {ceiling.why} allows, even on idle power."


def _row(row: Mapping[str, Any], ceiling: Ceiling, spent: Spent) -> dict[str, Any]:
    kind = row["kind"].removesuffix("_flop")
    used = _utilization(row, ceiling, spent.seconds)
    other = unknown("1", f"these are {kind} FLOP")
    energy_j = spent.energy_j.high  # the most it may have used: what is impossible even then is impossible
    implausible = formulas.implausible(row["amount"], spent.seconds, energy_j, ceiling.flop_per_s, ceiling.idle_w)
    return {
        "kind": kind,
        "amount": exactly(row["amount"], "FLOP", row["method"]),
        "method": row["method"],
        "source": row["source"],
        "coverage": row["coverage"],
        "flop_per_j": _per_joule(row, spent.energy_j),
        "utilization": used,
        "mfu": used if kind == "model" else other,
        "hfu": used if kind == "hardware" else other,
        "implausible": implausible,
        "verdict": "impossible" if implausible else None,
    }


def _per_joule(row: Mapping[str, Any], energy_j: Estimate) -> Estimate:
    if not (energy_j.low and energy_j.mid and energy_j.high):
        return unknown("FLOP/J", energy_j.reason or "the energy may be zero")
    ends = (formulas.flop_per_j(row["amount"], end) for end in (energy_j.high, energy_j.mid, energy_j.low))
    return between(ends, "FLOP/J", energy_j.method)


def _utilization(row: Mapping[str, Any], ceiling: Ceiling, seconds: float) -> Estimate:
    if ceiling.flop_per_s is None or not seconds:
        return unknown("1", ceiling.why if seconds else "the run took no time")
    of_kind = {"model_flop": formulas.model_flop_utilization, "hardware_flop": formulas.hardware_flop_utilization}
    return exactly(of_kind[row["kind"]](row["amount"], seconds, ceiling.flop_per_s), "1", row["method"])


def _ceiling(site: Site, devices: Sequence[Mapping[str, Any]]) -> Ceiling:
    if site.peak_flop_per_s:
        return Ceiling(site.peak_flop_per_s[1], None, "the peak_flop_per_s of site.toml")
    seen = [row for row in devices if row["counted"] and row["device"].partition(":")[0] in ("gpu", "module")]
    if not seen:
        return Ceiling(
            None, None, "no accelerator was seen in this run; its peak can be set by peak_flop_per_s in site.toml"
        )
    peaks = [(row, peak_flop_per_s(row["model"] or "")) for row in seen]
    missing = [row["model"] or row["device"] for row, peak in peaks if peak is None]
    if missing:
        return Ceiling(None, None, f"no peak is known of {missing[0]}; set peak_flop_per_s in site.toml")
    known = [(row["reserved"], peak) for row, peak in peaks if peak is not None]
    names = ", ".join(dict.fromkeys(f"{peak.name} ({peak.dtype}, dense)" for _, peak in known))
    idle_w = [reserved * LEAST_IDLE * peak.tdp_w for reserved, peak in known if peak.tdp_w is not None]
    total = sum(reserved * peak.flop_per_s for reserved, peak in known)
    parts = sum(reserved for reserved, _ in known)
    return Ceiling(total, sum(idle_w), f"the peak of {count(parts)} × {names}")
