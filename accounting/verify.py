"""The ledger's invariants, checked. Each check says what it looked at and what it found.

totals        what periods add up to is what their runs used
children      no span used more than the span it is inside
rollups       minutes and hours add up to the readings
watermarks    what the ledger holds of a journal is what stands in the journal before its watermark
spans         no span begins twice, none ends unbegun
nodes         no run has more of a device than the device used, nor have all of them together
calls         what a call used is the sum of its parts, and each call says what it cost or why nobody knows
factors       every impact names its factors
claims        no line of the claims journal was changed after it was written
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from joulebook.accounting.assess import CATEGORIES, ENDS, Assessor, estimate_of
from joulebook.accounting.errors import LedgerError
from joulebook.accounting.factors import factor_set
from joulebook.accounting.home import journal_dir
from joulebook.accounting.ledger.database import Ledger
from joulebook.accounting.ledger.nodes import proof
from joulebook.accounting.returns.record import versions
from joulebook.accounting.site import load_site

RELATIVE = 1e-9
# A child in another process may be seen a clock tick later than the parent sees it.
CHILD_SLACK = 0.05
MOST_SHOWN = 20


@dataclass(frozen=True)
class Check:
    """One invariant: how much was looked at, and what broke it."""

    name: str
    says: str
    examined: int
    violations: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.violations


def verify(ledger: Ledger) -> list[Check]:
    """Check every invariant. Reads everything; changes nothing."""
    return [check(ledger) for check in _CHECKS]


def _spans(ledger: Ledger) -> Check:
    bad = ledger.rows("""
        select 'span ' || span_id::varchar || ' begins ' || count(*) || ' times' as text
        from span group by span_id having count(*) > 1
        union all
        select 'span ' || span_id::varchar || ' ends ' || count(*) || ' times'
        from span_end group by span_id having count(*) > 1
        union all
        select 'span ' || span_id::varchar || ' ends but never began'
        from span_end where span_id not in (select span_id from span)
    """)
    return Check("spans", "every span begins once and ends at most once", _count(ledger, "span"), _texts(bad))


# Each event of a kind is one row of a table; ticks are in `reading`, a row for each counter.
_TABLES = {"span_start": "span", "span_end": "span_end", "sensor": "sensor", "usage": "usage", "quality": "quality",
           "note": "note", "gap": "gap", "call": "call", "bill": "bill"}  # fmt: skip
_KIND = re.compile(rb'"event"\s*:\s*"(\w+)"')


def _watermarks(ledger: Ledger) -> Check:
    counts = ", ".join(
        f"(select count(*) from {table} t where t.journal_id = j.journal_id) as {kind}"
        for kind, table in _TABLES.items()
    )
    rows = ledger.rows(f"select path, end_byte, events, quarantined, {counts} from journal j")
    bad = [found for row in rows if (found := _journal_problem(journal_dir(ledger.home) / row["path"], row))]
    return Check(
        "watermarks", "the ledger holds what stands in each journal before its watermark", len(rows), _shown(bad)
    )


def _journal_problem(path: Path, row: dict[str, Any]) -> str | None:
    if not path.exists():
        return None  # sealed: its segment counts from here on
    if path.stat().st_size < row["end_byte"]:
        return f"{path.name}: shorter ({path.stat().st_size} bytes) than what was read of it ({row['end_byte']})"
    with path.open("rb") as file:
        head = file.read(row["end_byte"])
    lines = head.count(b"\n") + (bool(head) and not head.endswith(b"\n"))
    if lines != row["events"] + row["quarantined"]:
        held = f"{row['events']} events and {row['quarantined']} quarantined"
        return f"{path.name}: {lines} lines before the watermark, {held}"
    if row["quarantined"]:
        return None  # which of its lines are bad is for the parser to say
    kinds = Counter(_KIND.findall(head))
    wrong = [kind for kind in _TABLES if kinds[kind.encode()] != row[kind]]
    told = ", ".join(f"{kinds[kind.encode()]} {kind} lines but {row[kind]} rows" for kind in wrong)
    return f"{path.name}: {told}" if wrong else None


def _rollups(ledger: Ledger) -> Check:
    """A run's readings lie between its first and its last; both ends are readings, so the difference is the total."""
    rows = ledger.rows("""
        with edge as (
            select w.span_id as run_id, r.sensor, max(r.shared) - min(r.shared) as amount, max(r.shared) as level
            from work w
            join reading r on r.span_id = w.span_id
            where w.parent_id is null and w.end_mono_ns is not null
            group by w.span_id, r.sensor having count(*) > 1  -- a counter that was found later has no first end
        ), minute as (select run_id, sensor, sum(amount) as amount from rollup_minute group by run_id, sensor),
        hour as (select run_id, sensor, sum(amount) as amount from rollup_hour group by run_id, sensor)
        select e.*, m.amount as minutes, h.amount as hours
        from edge e left join minute m using (run_id, sensor) left join hour h using (run_id, sensor)
    """)
    bad = [
        f"run {row['run_id']}, {row['sensor']}: readings {row['amount']!r},"
        f" minutes {row['minutes']!r}, hours {row['hours']!r}"
        for row in rows
        if not all(_equal(row["amount"], row[by], row["level"]) for by in ("minutes", "hours"))
    ]
    return Check("rollups", "minutes and hours add up to the readings", len(rows), _shown(bad))


def _children(ledger: Ledger) -> Check:
    rows = ledger.rows(f"""
        with amount as (
            select span_id, sensor, max(shared) - min(shared) as amount, max(journal_id) as journal_id
            from reading where span_id is not null group by span_id, sensor having count(*) > 1
        )
        select c.span_id, c.parent_id, a.sensor, a.amount as child, p.amount as parent
        from span c
        join amount a on a.span_id = c.span_id
        join amount p on p.span_id = c.parent_id and p.sensor = a.sensor
        join span_end ce on ce.span_id = c.span_id
        join span_end pe on pe.span_id = c.parent_id
        where ce.ended_at_utc <= pe.ended_at_utc
          and a.amount > p.amount * {1 + RELATIVE}
                         + case when a.journal_id = p.journal_id then 1e-9 else {CHILD_SLACK} end
    """)
    bad = [f"span {row['span_id']}, {row['sensor']}: {row['child']!r}, its parent {row['parent']!r}" for row in rows]
    examined = _count(ledger, "span where parent_id is not null")
    return Check("children", "no span used more than the span it is inside", examined, _shown(bad))


def _assess_all(ledger: Ledger) -> Assessor:
    end = datetime.now(UTC).date() + timedelta(days=1)
    return Assessor(ledger, load_site(ledger.home), factor_set(ledger.home), date(1970, 1, 1), end)


def _totals(ledger: Ledger) -> Check:
    """Summed by run, and summed by hour and project: two ways to the same total, for every category."""
    assess = _assess_all(ledger)
    sums = ", ".join(f"sum({category}_{end}) as {category}_{end}" for category in CATEGORIES for end in ENDS)
    by_root = assess.rows(f"""
        select {sums} from (select {sums} from assessed a
                            join span s on s.span_id = a.run_id and s.parent_id is null group by s.span_id)
    """)[0]
    by_hour = assess.rows(f"""
        select {sums} from (select {sums} from assessed a
                            join span s on s.span_id = a.run_id group by at_utc, s.project)
    """)[0]
    bad = [
        f"{key}: by run {by_root[key]!r}, by hour {by_hour[key]!r}"
        for key in by_root
        if not _equal(by_root[key], by_hour[key])
    ]
    return Check("totals", "totals are the sums of their runs", len(by_root), _shown(bad))


def _nodes(ledger: Ledger) -> Check:
    """Parts are worked anew from the raw values: as stored, none larger than its device, all together not either."""
    parts, devices = proof(ledger)
    bad = [
        f"run {row['run_id']}, {row['sensor']}: stored {row[f'stored_{what}']!r}, worked anew {row[key]!r}"
        for row in parts
        for key, what in (("node_mid", "node_mid"), ("active", "active"), ("idle_reservation", "idle"))
        if not _equal(row[key], row[f"stored_{what}"], row["node_mid"] or 0)
    ]
    bad += [
        f"run {row['run_id']}, {row['sensor']}: has {row['active'] + row['idle_reservation']!r} of {row['node_mid']!r}"
        for row in parts
        if row["active"] is not None and row["active"] + row["idle_reservation"] > row["node_mid"] * (1 + RELATIVE)
    ]
    bad += [
        f"node {row['node_id']}, {row['sensor']}: used {row['used']!r}, its runs have {row['given']!r}"
        for row in devices
        if row["given"] > (row["used"] + row["beyond"]) * (1 + RELATIVE)
    ]
    return Check("nodes", "no run, nor all runs together, have more of a device than it used", len(parts), _shown(bad))


def _calls(ledger: Ledger) -> Check:
    bad = ledger.rows(f"""
        with part as (
            select call_no, sum(amount) filter (where unit like '%tokens' and unit not like '%output%') as tokens_in
            from call_bucket group by call_no
        )
        select 'call ' || u.call_no || ': ' || coalesce(u.input_tokens::varchar, 'no') || ' tokens in, its parts are '
               || coalesce(p.tokens_in::varchar, 'none') as text
        from call_usage u left join part p on p.call_no = u.call_no
        where abs(coalesce(u.input_tokens, -1) - coalesce(p.tokens_in, -1)) > {RELATIVE} * coalesce(u.input_tokens, 1)
        union all
        select 'call ' || c.call_no || ': neither a cost nor a reason why not'
        from call c left join call_cost k on k.call_no = c.call_no
        where k.call_no is null or (k.cost_usd is null and k.reason is null)
    """)
    says = "what a call used is the sum of its parts, and it says what it cost or why nobody knows"
    return Check("calls", says, _count(ledger, "call"), _texts(bad))


def _factors(ledger: Ledger) -> Check:
    assess = _assess_all(ledger)
    rows = assess.rows("""
        select run_id, piece, max(method_rank) as method_rank, sum(carbon_g_low) as carbon_g_low,
               sum(carbon_g_mid) as carbon_g_mid, sum(carbon_g_high) as carbon_g_high
        from assessed group by run_id, piece
    """)
    pieces = assess.pieces
    bad: list[str] = []
    for row in rows:
        ids = [match.factor.factor_id for match in pieces[int(row["piece"])].matches.values()]
        estimate = estimate_of(row, "carbon_g")
        if not all(ids) or not estimate.known or not estimate.low <= estimate.mid <= estimate.high:  # type: ignore[operator]
            bad.append(f"run {row['run_id']}: {estimate}")
    unassessed = ledger.rows("select count(distinct run_id) as n from energy_source_hour")[0]["n"]
    if unassessed != len({row["run_id"] for row in rows}):
        bad.append(f"{unassessed} runs with energy, {len({row['run_id'] for row in rows})} with impacts")
    return Check("factors", "every impact names its factors and low ≤ mid ≤ high", len(rows), _shown(bad))


def _equal(left: float | None, right: float | None, level: float = 0.0) -> bool:
    """Equal but for rounding; `level` is the size of the numbers whose difference was taken."""
    if left is None or right is None:
        return left is right
    return abs(left - right) <= RELATIVE * max(abs(left), abs(right)) + 1e-12 * max(abs(level), 1.0)


def _count(ledger: Ledger, what: str) -> int:
    return int(ledger.rows(f"select count(*) as n from {what}")[0]["n"])


def _texts(rows: list[dict[str, Any]]) -> tuple[str, ...]:
    return _shown([row["text"] for row in rows])


def _shown(bad: list[str]) -> tuple[str, ...]:
    more = len(bad) - MOST_SHOWN
    return tuple(bad[:MOST_SHOWN]) + ((f"… and {more} more",) if more > 0 else ())


def _claims(ledger: Ledger) -> Check:
    says = "no line of the claims journal was changed after it was written"
    try:
        return Check("claims", says, len(versions(ledger.home)))
    except LedgerError as error:
        return Check("claims", says, 1, (str(error),))


_CHECKS: tuple[Callable[[Ledger], Check], ...] = (
    _spans, _watermarks, _rollups, _children, _totals, _nodes, _calls, _factors, _claims,
)  # fmt: skip
