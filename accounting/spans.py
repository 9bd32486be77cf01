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
