-- Of a run that began long before anything that may change, only the last part is worked anew: what is stored of it
-- stands up to a full minute. `node_window` is given, and `node_change`: node_id, from_ns, before which nothing changes.
-- The window then begins half an hour before that, at a value, so that the edge there is far from what is stored anew.
--
-- It is left whole where that could be told apart from a ledger made at once: values that are not seen in time, a
-- process that was silent, a wall clock that was set back, sensors that processes describe differently, minutes that
-- are not stored yet.

create or replace temp table node_kept as
with long as (
    select w.*, c.from_ns as change_ns from node_window w join node_change c on c.node_id = w.node_id
    where w.to_ns > c.from_ns and w.from_ns < c.from_ns - 3600000000000
), seen as (
    select l.window_id, r.sensor, r.mono_ns, r.read_at_utc
    from long l join process p on p.node_id = l.node_id
    join node_reading r on r.process_id = p.process_id and r.value is not null
                       and r.mono_ns between l.from_ns - 60000000000 and l.to_ns + 60000000000
), cut as (
    select l.window_id, l.process_id, l.node_id, l.to_ns, l.change_ns,
           max(s.mono_ns) filter (s.mono_ns <= l.change_ns - 1800000000000) as begin_ns,
           arg_max(s.read_at_utc, s.mono_ns) filter (s.mono_ns <= l.change_ns - 1800000000000) as begin_utc,
           max(s.mono_ns) filter (s.mono_ns <= l.change_ns) as cut_ns,
           date_trunc('minute', arg_max(s.read_at_utc, s.mono_ns) filter (s.mono_ns <= l.change_ns)) as kept_utc
    from long l join seen s on s.window_id = l.window_id group by all
), in_order as (
    select c.window_id from cut c join seen s on s.window_id = c.window_id
    group by c.window_id, c.begin_ns, c.cut_ns, c.change_ns
    having c.cut_ns >= c.change_ns - 60000000000
       and bool_and(case when s.mono_ns > c.cut_ns then s.read_at_utc >= c.kept_utc
                         when s.mono_ns < c.cut_ns - 61000000000 then s.read_at_utc < c.kept_utc else true end)
), of_sensor as (
    select c.window_id, c.kept_utc, d.unit, d.sensor,
           bool_or(s.mono_ns between c.begin_ns - 60000000000 and c.begin_ns) as is_near
    from cut c join node_sensor d on d.process_id = c.process_id
    join seen s on s.window_id = c.window_id and s.sensor = d.sensor group by all
), silent as (
    select window_id from of_sensor o
    where not is_near
       or unit <> 's' and not exists (select 1 from share_minute m where m.run_id = o.window_id and m.sensor = o.sensor
                                      and m.minute_utc = o.kept_utc - interval 1 minute)
    union all
    select window_id
    from (select c.window_id, r.mono_ns, lag(r.mono_ns) over (partition by c.window_id order by r.mono_ns) as before_ns
          from cut c join reading r on r.process_id = c.process_id and r.mono_ns between c.begin_ns - 60000000000 and c.to_ns)
    where mono_ns - before_ns > 60000000000
), odd as (
    select distinct node_id from node_sensor where node_id in (select node_id from cut) group by node_id, sensor
    having count(distinct (device, unit, method, boundary, share_by, counted, wraps_at, update_s, window_s, accuracy,
                           max_w)) > 1
)
select window_id, begin_ns, begin_utc, kept_utc from cut
where begin_ns is not null and window_id in (from in_order) and window_id not in (from silent)
  and node_id not in (from odd);

-- From when on each run is stored anew.
create or replace temp table node_anew as
select w.window_id as run_id, coalesce(k.kept_utc, '-infinity'::timestamp) as from_minute_utc,
       date_trunc('hour', from_minute_utc) as from_hour_utc
from node_window w left join node_kept k on k.window_id = w.window_id;

update node_window set from_ns = k.begin_ns, from_utc = k.begin_utc
from node_kept k where k.window_id = node_window.window_id;
