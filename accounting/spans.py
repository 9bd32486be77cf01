"""The energy of spans: of whole runs, and of the pieces of work inside them.

A span is inside its parent: its energy is part of the parent's, not on top of it. Counters of its process are read at
its edges; of the devices of the node it has its part, as a run has.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from joulebook.accounting.assess import ENDS, METHOD_RANK_SQL, Assessor, energy_sql, in_force_table, with_amounts
from joulebook.accounting.estimates import Estimate, unknown
from joulebook.accounting.ledger.nodes import parts
from joulebook.accounting.records import METHODS

if TYPE_CHECKING:
    import pyarrow as pa

_SPAN_ENERGY_SQL = """
    with shown as (
        select w.* from work w where w.span_id::varchar in (select unnest(?))
    ), its_reading as (
        select m.span_id, r.process_id, r.sensor, r.shared
        from shown m join reading r on r.span_id = m.span_id where m.end_mono_ns is not null
        union all
        select m.span_id, r.process_id, r.sensor, r.shared
        from shown m join reading r on r.process_id = m.process_id and r.mono_ns >= m.start_mono_ns
        where m.end_mono_ns is null
    ), seen as (
        select distinct window_id from node_part
        where counted and split_part(device, ':', 1) in ('cpu', 'module', 'platform')
    ), edge as (
        select r.span_id::varchar as span_id, m.started_at_utc as at_utc, r.sensor, n.unit, n.boundary, n.method,
               case when count(*) > 1 then max(r.shared) - min(r.shared) end as amount,  -- one reading tells nothing
               0 as idle_reservation, 0 as idle_equal, null as node_low, null as node_mid, null as node_high,
               null as share_by
        from its_reading r join shown m on m.span_id = r.span_id
        join counted n on n.process_id = r.process_id and n.sensor = r.sensor
        where n.unit = 'J' or r.span_id::varchar not in (select window_id from seen) group by all
        union all
        select p.window_id, min(at_utc), sensor, unit, boundary, method, sum(active), sum(idle_reservation),
               sum(idle_equal), sum(node_low), sum(node_mid), sum(node_high), share_by
        from node_part p where counted group by all
    )
    select span_id, sum({low}) as low, sum({mid}) as mid, sum({high}) as high, max({rank}) as method_rank
    from {amounts} group by span_id
"""


# What is known of the run between two readings: counters of its process, and its part of the devices of its node.
READ_SQL = """
    select e.*, (from_ns - start_mono_ns) / 1e9 as from_s, (to_ns - start_mono_ns) / 1e9 as at_s
    from (
        select s.span_id, s.start_mono_ns, r.read_at_utc as at_utc, lag(r.mono_ns) over w as from_ns,
               r.mono_ns as to_ns, r.sensor, n.unit, n.boundary, n.method, r.shared - lag(r.shared) over w as amount,
               0 as idle_reservation, 0 as idle_equal, null as node_low, null as node_mid, null as node_high,
               null as share_by
        from work s
        join reading r on r.process_id = s.process_id and r.mono_ns >= s.start_mono_ns
                      and r.mono_ns <= coalesce(s.end_mono_ns, r.mono_ns)
                      and (r.span_id is null or r.span_id = s.span_id or not exists (select 1 from node_part))
        join counted n on n.process_id = r.process_id and n.sensor = r.sensor
        where s.span_id = $run::uuid and (n.unit = 'J' or s.span_id not in (select run_id from cpu_seen))
        window w as (partition by r.sensor order by r.mono_ns)
        union all
        select s.span_id, s.start_mono_ns, min(p.at_utc), min(p.from_ns), r.mono_ns, p.sensor, p.unit, p.boundary,
               p.method, sum(p.active), sum(p.idle_reservation), sum(p.idle_equal), sum(p.node_low), sum(p.node_mid),
               sum(p.node_high), p.share_by
        from node_part p join work s on s.span_id::varchar = p.window_id
        asof join (select distinct process_id, mono_ns from reading
                   where sensor = 'cpu-time' and (span_id is null or span_id = $run::uuid)) r
          on r.process_id = s.process_id and p.to_ns <= r.mono_ns
        where p.counted and p.seconds > 0 and s.span_id = $run::uuid group by all
    ) e where from_ns is not null
"""


def span_energies(assess: Assessor, span_ids: Sequence[str], used: pa.Table | None = None) -> dict[str, Estimate]:
    """IT energy (J) of each of some spans; `used` is what `nodes.parts` says of them, if that was asked already."""
    ends = {end: energy_sql(end) for end in ENDS}
    sql = _SPAN_ENERGY_SQL.format(rank=METHOD_RANK_SQL, amounts=with_amounts("edge", assess.site.idle_energy), **ends)
    node_part = parts(assess.ledger, span_ids).used if used is None else used
    tables = {"in_force": in_force_table(assess.pieces), "node_part": node_part}
    found = {row["span_id"]: row for row in assess.ledger.rows(sql, (list(span_ids),), tables)}
    nothing = unknown("J", "no counter was read in this span")
    return {span_id: _estimate(found[span_id]) if span_id in found else nothing for span_id in span_ids}


def _estimate(row: dict[str, Any]) -> Estimate:
    if row["mid"] is None:
        return unknown("J", "no counter was read in this span")
    return Estimate(row["low"], row["mid"], row["high"], "J", METHODS[int(row["method_rank"])])


def energy_pieces(assess: Assessor, run_id: str, used: pa.Table) -> list[dict[str, Any]]:
    """IT energy (J) of a run from reading to reading: from_s and to_s since it began, low, mid, high. They add up."""
    ends = ", ".join(f"{energy_sql(end)} as {end}" for end in ENDS)
    read = READ_SQL.replace("$run", f"'{run_id}'")
    amounts = with_amounts(f"({read})", assess.site.idle_energy)
    sql = (
        f"""select * from (select from_s, at_s as to_s, {ends} from {amounts}) where mid is not null order by from_s"""
    )
    return assess.ledger.rows(sql, (), {"in_force": in_force_table(assess.pieces), "node_part": used})
