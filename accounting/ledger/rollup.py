"""Roll-ups: what each run used of each counter, by minute and by hour.

A process keeps, for each counter, one cumulative value `shared`: what one of the runs open at once has used. It is a
function of time, so what a run used between two instants is a difference. Where two readings lie on both sides of a
full minute the value there is interpolated; the differences of a run telescope to its total, so sums are exact.
Only runs that this batch touches and that were not already over are computed again.
"""

from __future__ import annotations

import duckdb

_TARGET = """
create or replace temp table target as
select s.span_id as run_id, s.journal_id, s.start_mono_ns, coalesce(e.end_mono_ns, 9223372036854775807) as end_mono_ns
from span s left join span_end e on e.span_id = s.span_id
where s.parent_id is null
  and s.journal_id in (select distinct owner::uuid from event)
  and (e.span_id is null or e.span_id in (select span_id::uuid from event where event = 'span_end')
       or s.span_id in (select span_id::uuid from event where event = 'span_start'))
"""

_SCOPE = """
create or replace temp table scope as
select r.journal_id, r.sensor, r.read_at_utc, r.mono_ns, r.shared
from reading r
join (select journal_id, min(start_mono_ns) as from_mono_ns, max(end_mono_ns) as to_mono_ns from target group by journal_id) t
  on t.journal_id = r.journal_id and r.mono_ns between t.from_mono_ns and t.to_mono_ns
"""

_POINT = """
create or replace temp table point as
with counted as (
    select t.*, n.sensor from target t join (select distinct journal_id, sensor from scope) n on n.journal_id = t.journal_id
), begun as (
    select c.run_id, c.journal_id, c.sensor, c.end_mono_ns, r.read_at_utc, r.mono_ns, r.shared
    from counted c asof join scope r
      on r.journal_id = c.journal_id and r.sensor = c.sensor and c.start_mono_ns <= r.mono_ns
), ended as (
    select c.run_id, c.journal_id, c.sensor, r.read_at_utc, r.mono_ns, r.shared
    from counted c asof join scope r
      on r.journal_id = c.journal_id and r.sensor = c.sensor and c.end_mono_ns >= r.mono_ns
), step as (
    select *, lead(read_at_utc) over w as next_at, lead(mono_ns) over w as next_mono_ns, lead(shared) over w as next_shared
    from scope window w as (partition by journal_id, sensor order by mono_ns)
), crossing as (
    select *, unnest(generate_series(
        date_trunc('minute', read_at_utc) + interval 1 minute, date_trunc('minute', next_at), interval 1 minute)) as full_minute
    from step where date_trunc('minute', read_at_utc) < date_trunc('minute', next_at)
      and next_at < read_at_utc + interval 31 day  -- a clock that jumps further is not followed minute by minute
), boundary as (
    select *, epoch_us(full_minute - read_at_utc) / epoch_us(next_at - read_at_utc) as part from crossing
)
select run_id, journal_id, sensor, read_at_utc as at_utc, mono_ns::double as mono_ns, shared from begun where mono_ns <= end_mono_ns
union all
select b.run_id, b.journal_id, b.sensor, c.full_minute, c.mono_ns + (c.next_mono_ns - c.mono_ns) * c.part,
       c.shared + (c.next_shared - c.shared) * c.part
from boundary c join begun b on b.journal_id = c.journal_id and b.sensor = c.sensor
join ended e on e.run_id = b.run_id and e.sensor = b.sensor
where c.mono_ns >= b.mono_ns and c.next_mono_ns <= e.mono_ns
union all
select run_id, journal_id, sensor, read_at_utc, mono_ns::double, shared from ended
"""

_ROLL = (
    "delete from rollup_minute where run_id in (select run_id from target)",
    "delete from rollup_hour where run_id in (select run_id from target)",
    """
    insert into rollup_minute
    with segment as (
        select *, lead(mono_ns) over w - mono_ns as covered_ns, lead(shared) over w - shared as amount
        from point window w as (partition by run_id, sensor order by mono_ns, shared)
    )
    select run_id, journal_id, sensor, date_trunc('minute', at_utc), sum(amount), sum(covered_ns) / 1e9, count(*)
    from segment where covered_ns > 0
    group by run_id, journal_id, sensor, date_trunc('minute', at_utc)
    """,
    """
    insert into rollup_hour
    select run_id, journal_id, sensor, date_trunc('hour', minute_utc), sum(amount), sum(covered_s), sum(steps)
    from rollup_minute where run_id in (select run_id from target)
    group by run_id, journal_id, sensor, date_trunc('hour', minute_utc)
    """,
)


def refresh(con: duckdb.DuckDBPyConnection) -> None:
    """Compute the roll-ups of the runs that the registered `event` batch touches. Part of its transaction."""
    for sql in (_TARGET, _SCOPE, _POINT, *_ROLL):
        con.execute(sql)
