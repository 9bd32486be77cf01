"""Roll-ups: what each run used of each counter, by minute and by hour.

A process keeps, for each counter, one cumulative value `shared`: what one of the runs open at once has used. It is a
function of time, so what a run used between two instants is a difference. A run inside one minute is the difference
of its two ends. For a longer one the value at each full minute is interpolated between the readings on both sides;
the differences telescope to its total, so sums are exact.

    target     runs that this batch touches and that were not already over
    fresh      their minutes: from the two ends (within one minute), or from points (longer, or still open)
"""

from __future__ import annotations

import duckdb

_TARGET = """
create or replace temp table target as
with begun as (select span_id::uuid as run_id from event where event = 'span_start' and parent_id is null),
over as (select span_id::uuid as run_id from event where event = 'span_end')
select s.span_id as run_id, s.process_id, s.start_mono_ns, coalesce(e.end_mono_ns, 9223372036854775807) as end_mono_ns,
       e.span_id is null as is_open, s.span_id not in (select run_id from begun) as is_known,
       coalesce(date_trunc('minute', s.started_at_utc) = date_trunc('minute', e.ended_at_utc), false) as in_one_minute
from span s left join span_end e on e.span_id = s.span_id
where s.parent_id is null and s.process_id in (select process_id from process_of)
  and (e.span_id is null or e.span_id in (select run_id from over) or s.span_id in (select run_id from begun))
"""

_SHORT = """
create or replace temp table fresh as
select t.run_id, t.process_id, r.sensor, date_trunc('minute', min(r.read_at_utc)) as minute_utc,
       max(r.shared) - min(r.shared) as amount, (max(r.mono_ns) - min(r.mono_ns)) / 1e9 as covered_s, 1 as steps
from target t join reading r on r.span_id = t.run_id
where t.in_one_minute and r.mono_ns >= (select min(start_mono_ns) from target)
group by t.run_id, t.process_id, r.sensor
having count(*) > 1
"""

# The edges of nested spans are left out, but for the last reading of a run that may have died just after it.
_SCOPE = """
create or replace temp table scope as
with span_of as (
    select process_id, min(start_mono_ns) as from_mono_ns, max(end_mono_ns) as to_mono_ns, bool_or(is_open) as any_open
    from target where not in_one_minute group by process_id
), last as (
    select r.process_id, max(r.mono_ns) as mono_ns
    from reading r join span_of o on o.process_id = r.process_id and o.any_open group by r.process_id
)
select r.process_id, r.sensor, r.read_at_utc, r.mono_ns, r.shared
from reading r
join span_of o on o.process_id = r.process_id and r.mono_ns between o.from_mono_ns and o.to_mono_ns
left join last l on l.process_id = r.process_id
where r.span_id is null or r.mono_ns = l.mono_ns or r.span_id in (select run_id from target)
"""

_POINT = """
create or replace temp table point as
with counted as (
    select t.*, n.sensor from target t
    join (select distinct process_id, sensor from scope) n on n.process_id = t.process_id
    where not t.in_one_minute
), begun as (
    select c.run_id, c.process_id, c.sensor, c.end_mono_ns, r.read_at_utc, r.mono_ns, r.shared
    from counted c asof join scope r
      on r.process_id = c.process_id and r.sensor = c.sensor and c.start_mono_ns <= r.mono_ns
), ended as (
    select c.run_id, c.process_id, c.sensor, r.read_at_utc, r.mono_ns, r.shared
    from counted c asof join scope r
      on r.process_id = c.process_id and r.sensor = c.sensor and c.end_mono_ns >= r.mono_ns
), step as (
    select *, lead(read_at_utc) over w as next_at, lead(mono_ns) over w as next_mono_ns,
           lead(shared) over w as next_shared
    from scope window w as (partition by process_id, sensor order by mono_ns)
), crossing as (
    select *, unnest(generate_series(date_trunc('minute', read_at_utc) + interval 1 minute,
                                     date_trunc('minute', next_at), interval 1 minute)) as full_minute
    from step where date_trunc('minute', read_at_utc) < date_trunc('minute', next_at)
      and next_at < read_at_utc + interval 31 day  -- a clock that jumps further is not followed minute by minute
), boundary as (
    select *, epoch_us(full_minute - read_at_utc) / epoch_us(next_at - read_at_utc) as part from crossing
)
select run_id, process_id, sensor, read_at_utc as at_utc, mono_ns::double as mono_ns, shared
from begun where mono_ns <= end_mono_ns
union all
select b.run_id, b.process_id, b.sensor, c.full_minute, c.mono_ns + (c.next_mono_ns - c.mono_ns) * c.part,
       c.shared + (c.next_shared - c.shared) * c.part
from boundary c join begun b on b.process_id = c.process_id and b.sensor = c.sensor
join ended e on e.run_id = b.run_id and e.sensor = b.sensor
where c.mono_ns >= b.mono_ns and c.next_mono_ns <= e.mono_ns
union all
select run_id, process_id, sensor, read_at_utc, mono_ns::double, shared from ended
"""

_LONG = """
insert into fresh
with segment as (
    select *, lead(mono_ns) over w - mono_ns as covered_ns, lead(shared) over w - shared as amount
    from point window w as (partition by run_id, sensor order by mono_ns, shared)
)
select run_id, process_id, sensor, date_trunc('minute', at_utc), sum(amount), sum(covered_ns) / 1e9, count(*)
from segment where covered_ns > 0
group by run_id, process_id, sensor, date_trunc('minute', at_utc)
"""

_STORE = (
    "delete from rollup_minute where run_id in (select run_id from target where is_known)",
    "delete from rollup_hour where run_id in (select run_id from target where is_known)",
    "insert into rollup_minute select * from fresh",
    """
    insert into rollup_hour
    select run_id, process_id, sensor, date_trunc('hour', minute_utc), sum(amount), sum(covered_s), sum(steps)
    from fresh group by run_id, process_id, sensor, date_trunc('hour', minute_utc)
    """,
)


def refresh(con: duckdb.DuckDBPyConnection) -> None:
    """Compute the roll-ups of the runs that the registered `event` batch touches. Part of its transaction."""
    for sql in (_TARGET, _SHORT):
        con.execute(sql)
    longer = con.execute("select exists (select 1 from target where not in_one_minute)").fetchone()
    if longer and longer[0]:
        for sql in (_SCOPE, _POINT, _LONG):
            con.execute(sql)
    for sql in _STORE:
        con.execute(sql)
