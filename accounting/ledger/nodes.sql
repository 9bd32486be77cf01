-- From raw values to parts, in temporary tables; `node_window` (window_id, process_id, node_id, from_ns, to_ns) is given.
-- The docstring of nodes.py tells the method. Limits: values further than an hour from a window say nothing about it; a
-- window that no value comes nearer than 10 s has no energy; two processes write at most 0.5 s out of order.

delete from node_window where to_ns is null or to_ns <= from_ns;

create or replace temp table node_scope as
select node_id, min(from_ns) - 3600000000000 as from_ns, max(to_ns) + 3600000000000 as to_ns
from node_window group by node_id;

-- What the sensors of these nodes are. Processes may have reserved different parts of one.
create or replace temp table node_device as
select node_id, sensor, max(device) as device, max(unit) as unit, max(method) as method, max(boundary) as boundary,
       max(share_by) as share_by, bool_and(counted) as counted, max(wraps_at) as wraps_at,
       max(update_s) as update_s, max(window_s) as window_s, max(accuracy) as accuracy, max(max_w) as max_w,
       max(case unit when 'mJ' then 1e-3 when 'uJ' then 1e-6 when 'mW' then 1e-3 when 'uW' then 1e-6 else 1 end) as scale
from node_sensor where node_id in (select node_id from node_scope) group by node_id, sensor;

-- Every value, with the one before it, and what happened in between.
create or replace temp table node_value as
with sample as (
    select c.node_id, r.sensor, r.mono_ns, min(r.read_at_utc) as at_utc, max(r.value) as value
    from node_reading r join process p on p.process_id = r.process_id
    join node_scope c on c.node_id = p.node_id and r.mono_ns between c.from_ns and c.to_ns
    where r.value is not null group by c.node_id, r.sensor, r.mono_ns
), pair as (
    select s.*, d.* exclude (node_id, sensor), d.unit in ('W', 'mW', 'uW', 'GB') as is_gauge,
           coalesce(d.max_w, 1e5) as cap_w,
           lag(s.value) over w as before, lag(s.mono_ns) over w as from_ns, lag(s.at_utc) over w as from_utc,
           (s.mono_ns - lag(s.mono_ns) over w) / 1e9 as seconds
    from sample s join node_device d on d.node_id = s.node_id and d.sensor = s.sensor
    window w as (partition by s.node_id, s.sensor order by s.mono_ns)
)
select *,
    case when is_gauge or before is null then 'value'
         when value < before and (value + wraps_at - before) * scale <= cap_w * (seconds + 0.5) then 'wrap'
         when value < before and (before - value) * scale <= cap_w * 0.5 then 'late'
         when value < before then 'reset'
         when value - before > wraps_at / 2 and (value - before) * scale > cap_w * (seconds + 0.5) then 'unwrap'
         when max_w is not null and (value - before) * scale > 2 * cap_w * (seconds + update_s + 0.5)
             then 'jump'
         else 'value' end as what
from pair;

-- A counter laid out straight: it never falls, but for resets, where it begins anew.
create or replace temp table node_level as
with turned as (
    select *, sum((what = 'reset')::int) over w as epoch,
           sum(case what when 'wrap' then 1 when 'unwrap' then -1 else 0 end) over w as turns
    from node_value window w as (partition by node_id, sensor order by mono_ns)
)
select *, max(value + turns * coalesce(wraps_at, 0))
              over (partition by node_id, sensor, epoch order by mono_ns) as level
from turned;

-- The energy between two values.
create or replace temp table node_step as
with plain as (
    select node_id, sensor, device, unit, method, scale, cap_w, max_w, wraps_at, seconds, what, is_gauge,
           from_ns, mono_ns as to_ns, from_utc, at_utc as to_utc, value * scale as shown,
           greatest(update_s, coalesce(window_s, 0)) as stale_s,
           case when is_gauge then (value + before) / 2 * scale * seconds
                when what <> 'reset' then (level - lag(level) over w) * scale end as amount,
           case when unit = 'GB' or not is_gauge then 1
                else least(1, coalesce(window_s, 0) / greatest(seconds, update_s)) end as seen
    from node_level window w as (partition by node_id, sensor order by mono_ns)
), guessed as (
    select *, coalesce(sum(amount) over before / sum(seconds) over before, 0) as before_w,
           case when is_gauge or wraps_at is null or what = 'reset' then 0
                else greatest(0, floor((coalesce(max_w, 0) * seconds - amount) / (wraps_at * scale))) end
              as more_turns
    from plain where from_ns is not null and seconds > 0
    window before as (partition by node_id, sensor order by to_ns rows between 10 preceding and 1 preceding)
), ranged as (
    select *,
        case when what = 'reset' then greatest(shown, least(before_w * seconds, cap_w * seconds))
             when what = 'jump' then least(amount, cap_w * seconds)
             else amount + wraps_at_j * least(more_turns, greatest(0, round((before_w * seconds - amount) / wraps_at_j)))
             end as mid
    from (select *, case when more_turns > 0 then wraps_at * scale else 1e-9 end as wraps_at_j from guessed)
)
select node_id, sensor, from_ns, to_ns, from_utc, to_utc, seconds, stale_s,
       case when more_turns > 0 then 'ambiguous' when is_gauge and seen < 0.5 then 'unseen' else what end as what,
       coalesce(max_w, 3 * max(mid / greatest(seconds, 0.5)) over (partition by node_id, sensor)) as edge_w,
       least(mid, case what when 'reset' then shown when 'jump' then 0 else amount * seen end) as low, mid,
       greatest(mid, case when what = 'reset' then cap_w * seconds when what = 'jump' then amount
                          when is_gauge then amount * seen + (1 - seen) * coalesce(max_w, 3 * amount / seconds) * seconds
                          else amount + more_turns * wraps_at_j end) as high
from ranged;

-- Running sums, so that the energy between any two instants is a difference.
create or replace temp table node_sum as
select *, sum(low) over w - low as sum_low, sum(mid) over w - mid as sum_mid, sum(high) over w - high as sum_high
from node_step window w as (partition by node_id, sensor order by from_ns);

create or replace temp table node_end as
select s.node_id, s.sensor, first_ns, last_ns, max(edge_w) as edge_w,
       sum(mid) filter (from_ns < first_ns + 5e9) / sum(seconds) filter (from_ns < first_ns + 5e9) as first_w,
       sum(mid) filter (to_ns > last_ns - 5e9) / sum(seconds) filter (to_ns > last_ns - 5e9) as last_w
from node_step s
join (select node_id, sensor, min(from_ns) as first_ns, max(to_ns) as last_ns from node_step group by all) e
  on e.node_id = s.node_id and e.sensor = s.sensor
group by s.node_id, s.sensor, first_ns, last_ns;

-- Which sensors each window has: those that its process declared and that were read near it.
create or replace temp table node_pair as
select w.*, n.sensor, n.reserved_as, d.share_by, d.accuracy
from node_window w
join node_sensor n on n.process_id = w.process_id
join node_device d on d.node_id = w.node_id and d.sensor = n.sensor
join node_end e on e.node_id = w.node_id and e.sensor = n.sensor
               and e.first_ns <= w.to_ns + 10000000000 and e.last_ns >= w.from_ns - 10000000000;

-- Who else was there: the running integral of a run's part by reservation, and of 1 ÷ the number of open runs. Runs
-- that say the same `reserved_as` have one reservation together; where all is reserved more than once, it is cut down.
create or replace temp table node_crowd as
with open_run as (
    select p.node_id, n.sensor, n.reserved_as, n.reserved, s.start_mono_ns as from_ns,
           coalesce(e.end_mono_ns, case when p.ended then greatest(s.start_mono_ns, l.mono_ns) end) as to_ns
    from span s join node_sensor n on n.process_id = s.process_id
    join process p on p.process_id = s.process_id
    join node_scope c on c.node_id = p.node_id and s.start_mono_ns <= c.to_ns
    left join span_end e on e.span_id = s.span_id
    left join (select process_id, max(mono_ns) as mono_ns from reading group by process_id) l
      on l.process_id = s.process_id
    where s.parent_id is null and coalesce(e.end_mono_ns, c.from_ns) >= c.from_ns
), change as (
    select node_id, sensor, reserved_as, from_ns as ns, 1 as runs from open_run
    union all
    select node_id, sensor, reserved_as, to_ns, -1 from open_run where to_ns is not null
), reservation as (
    select node_id, sensor, reserved_as, max(reserved) as reserved from open_run group by all
), own as (
    select *, sum(change) over (partition by node_id, sensor, reserved_as order by ns) as runs
    from (select node_id, sensor, reserved_as, ns, sum(runs) as change from change group by all)
), level as (
    select r.*, i.ns, i.next_ns, coalesce(o.runs, 0) as runs
    from (select *, lead(ns) over (partition by node_id, sensor order by ns) as next_ns
          from (select distinct node_id, sensor, ns from change)) i
    join reservation r on r.node_id = i.node_id and r.sensor = i.sensor
    asof left join own o on o.node_id = r.node_id and o.sensor = r.sensor and o.reserved_as = r.reserved_as and i.ns >= o.ns
), part as (
    select *, reserved / greatest(1, runs)
              / greatest(1, sum(case when runs > 0 then reserved else 0 end) over at_once) as by_reservation,
           1 / greatest(1, sum(runs) over at_once) as in_parts
    from level window at_once as (partition by node_id, sensor, ns)
)
select node_id, sensor, reserved_as, ns, by_reservation, in_parts,
       coalesce(sum((next_ns - ns) * by_reservation) over earlier, 0) as sum_reservation,
       coalesce(sum((next_ns - ns) * in_parts) over earlier, 0) as sum_parts
from part
window earlier as (partition by node_id, sensor, reserved_as order by ns
                   rows between unbounded preceding and 1 preceding);

-- Where each window is cut: at the readings of its process, at the values of its sensors, whenever another run begins
-- or ends (so that between two cuts nothing but the power changes) and, if asked for, at full minutes.
create or replace temp table node_cut as
with clock as (
    select distinct w.window_id, w.process_id, w.node_id, r.mono_ns::double as ns, r.read_at_utc as at_utc
    from node_window w
    join reading r on r.process_id = w.process_id and r.mono_ns between w.from_ns and w.to_ns
    where r.span_id is null or r.span_id = w.window_id or r.mono_ns = w.to_ns
), other as (
    select p.window_id, s.from_ns as ns from node_pair p
    join node_step s on s.node_id = p.node_id and s.sensor = p.sensor and s.from_ns > p.from_ns and s.from_ns < p.to_ns
    union
    select p.window_id, s.to_ns from node_pair p
    join node_step s on s.node_id = p.node_id and s.sensor = p.sensor and s.to_ns > p.from_ns and s.to_ns < p.to_ns
    union
    select p.window_id, g.ns from node_pair p
    join node_crowd g on g.node_id = p.node_id and g.sensor = p.sensor and g.ns > p.from_ns and g.ns < p.to_ns
), base as (
    select window_id, process_id, node_id, ns, at_utc from clock
    union
    select c.window_id, c.process_id, c.node_id, o.ns::double, c.at_utc + to_microseconds(((o.ns - c.ns) / 1000)::bigint)
    from other o asof join clock c on c.window_id = o.window_id and o.ns >= c.ns
    where o.ns::double <> c.ns
), next as (
    select *, lead(ns) over w as next_ns, lead(at_utc) over w as next_utc
    from base window w as (partition by window_id order by ns)
), crossing as (
    select *, unnest(generate_series(date_trunc('minute', at_utc) + interval 1 minute,
                                     date_trunc('minute', next_utc), interval 1 minute)) as minute_utc
    from next where getvariable('by_minute') and date_trunc('minute', at_utc) < date_trunc('minute', next_utc)
      and next_utc < at_utc + interval 31 day
)
select window_id, process_id, node_id, ns, at_utc from base
union
select window_id, process_id, node_id,
       ns + (next_ns - ns) * (epoch_us(minute_utc - at_utc) / epoch_us(next_utc - at_utc)), minute_utc
from crossing where minute_utc > at_utc and minute_utc < next_utc;

-- The running sums at the cuts. Before the first value and after the last one, all between 0 and `edge_w` is possible.
create or replace temp table node_at as
select p.window_id, p.process_id, p.node_id, p.sensor, p.share_by, p.reserved_as, c.ns, c.at_utc,
       case when s.from_ns is null then -e.first_w * (e.first_ns - c.ns) / 1e9
            when c.ns <= s.to_ns then s.sum_mid + s.mid * (c.ns - s.from_ns) / (s.to_ns - s.from_ns)
            else s.sum_mid + s.mid + e.last_w * (c.ns - s.to_ns) / 1e9 end as mid,
       case when s.from_ns is null then 0
            when c.ns <= s.to_ns then s.sum_low + s.low * (c.ns - s.from_ns) / (s.to_ns - s.from_ns)
            else s.sum_low + s.low end as low,
       case when s.from_ns is null then -e.edge_w * (e.first_ns - c.ns) / 1e9
            when c.ns <= s.to_ns then s.sum_high + s.high * (c.ns - s.from_ns) / (s.to_ns - s.from_ns)
            else s.sum_high + s.high + s.edge_w * (c.ns - s.to_ns) / 1e9 end as high
from node_pair p join node_cut c on c.window_id = p.window_id
join node_end e on e.node_id = p.node_id and e.sensor = p.sensor
asof left join node_sum s on s.node_id = p.node_id and s.sensor = p.sensor and c.ns >= s.from_ns;

-- What the window's process says of itself at the cuts: CPU time, and for how long it kept a device busy.
create or replace temp table own_at as
with step as (
    select r.process_id, r.sensor, r.mono_ns as from_ns, r.shared, r.value,
           lead(r.mono_ns) over w as to_ns, lead(r.shared) over w as next_shared, lead(r.value) over w as next_value
    from reading r join (select process_id, min(from_ns) as from_ns, max(to_ns) as to_ns from node_window group by all) o
      on o.process_id = r.process_id and r.mono_ns between o.from_ns - 60000000000 and o.to_ns + 60000000000
    where r.sensor = 'cpu-time' or starts_with(r.sensor, 'busy')
    window w as (partition by r.process_id, r.sensor order by r.mono_ns, r.shared)
), kind as (select distinct process_id, sensor from step)
select c.window_id, k.sensor, c.ns,
       s.shared + coalesce((s.next_shared - s.shared) * (c.ns - s.from_ns) / nullif(s.to_ns - s.from_ns, 0), 0) as shared,
       s.value + coalesce((s.next_value - s.value) * (c.ns - s.from_ns) / nullif(s.to_ns - s.from_ns, 0), 0) as value
from node_cut c join kind k on k.process_id = c.process_id
asof join step s on s.process_id = k.process_id and s.sensor = k.sensor and c.ns >= s.from_ns;

-- The energy between two cuts, and the window's part of it.
create or replace temp table node_segment as
with whole as (
    select a.*, cpu.shared as cpu_s, mine.shared as busy_s, everybody.shared as all_busy_s, node.mid as node_cpu_s,
           g.sum_reservation + g.by_reservation * (a.ns - g.ns) as reservation_ns,
           g.sum_parts + g.in_parts * (a.ns - g.ns) as parts_ns
    from (select a.*, d.device, d.unit from node_at a
          join node_device d on d.node_id = a.node_id and d.sensor = a.sensor where d.unit <> 's') a
    left join own_at cpu on cpu.window_id = a.window_id and cpu.ns = a.ns and cpu.sensor = 'cpu-time'
    left join own_at mine on mine.window_id = a.window_id and mine.ns = a.ns and mine.sensor = 'busy:' || a.device
    left join own_at everybody
      on everybody.window_id = a.window_id and everybody.ns = a.ns and everybody.sensor = 'busy-all:' || a.device
    left join node_at node on node.window_id = a.window_id and node.ns = a.ns and node.sensor = 'node-cpu'
    asof join node_crowd g
      on g.node_id = a.node_id and g.sensor = a.sensor and g.reserved_as = a.reserved_as and a.ns >= g.ns
), segment as (
    select window_id, process_id, node_id, sensor, share_by, at_utc, ns as from_ns, lead(ns) over w as to_ns,
           lead(low) over w - low as low, lead(mid) over w - mid as mid, lead(high) over w - high as high,
           lead(cpu_s) over w - cpu_s as cpu_s, lead(busy_s) over w - busy_s as busy_s,
           lead(all_busy_s) over w - all_busy_s as all_busy_s, lead(node_cpu_s) over w - node_cpu_s as node_cpu_s,
           (lead(reservation_ns) over w - reservation_ns) / (lead(ns) over w - ns) as by_reservation,
           (lead(parts_ns) over w - parts_ns) / (lead(ns) over w - ns) as in_parts
    from whole window w as (partition by window_id, sensor order by ns)
), used as (
    select s.*, (to_ns - from_ns) / 1e9 as seconds,
           case share_by when 'cpu' then least(1, coalesce(cpu_s, 0) / (p.cpus * (to_ns - from_ns) / 1e9))
                         when 'busy' then case when all_busy_s > 0 then least(1, busy_s / all_busy_s) else 0 end
                         else by_reservation end as mine,
           case share_by when 'cpu' then least(1, greatest(coalesce(node_cpu_s, 0), coalesce(cpu_s, 0))
                                                  / (p.cpus * (to_ns - from_ns) / 1e9))
                         when 'busy' then (coalesce(all_busy_s, 0) > 0)::int
                         else 1 end as busy
    from segment s join process p on p.process_id = s.process_id where to_ns > from_ns
)
select window_id, process_id, node_id, sensor, at_utc, from_ns, to_ns, seconds, low, mid, high,
       mid * mine as active, mid * (1 - busy) * by_reservation as idle_reservation,
       mid * (1 - busy) * in_parts as idle_equal
from used;

-- What is unknown at the two edges of each window: it widens the first and the last segment.
insert into node_segment
with edge as (
    select p.window_id, p.process_id, p.node_id, p.sensor, p.from_ns as ns, true as is_start from node_pair p
    union all
    select p.window_id, p.process_id, p.node_id, p.sensor, p.to_ns, false from node_pair p
), at_edge as (
    select e.*, s.mid, s.edge_w, s.edge_w * s.stale_s as stale, (s.to_ns - e.ns) / 1e9 as rest_s, (e.ns - s.from_ns) / 1e9 as past_s,
           s.mid * (e.ns - s.from_ns) / (s.to_ns - s.from_ns) as part
    from edge e asof join node_step s on s.node_id = e.node_id and s.sensor = e.sensor and e.ns >= s.from_ns
), spread as (
    select *, case when rest_s <= 0 then 0 else part - greatest(0, mid - edge_w * rest_s) end as less,
           case when rest_s <= 0 then 0 else least(mid, edge_w * past_s) - part end as more
    from at_edge
)
select s.window_id, s.process_id, s.node_id, s.sensor, a.at_utc, a.from_ns, a.to_ns, 0,
       -greatest(0, case when is_start then more else less end) - case when is_start then stale else 0 end, 0,
       greatest(0, case when is_start then less else more end) + case when is_start then 0 else stale end, 0, 0, 0
from spread s
join (select window_id, sensor, min(at_utc) as first_utc, max(at_utc) as last_utc from node_segment group by all) o
  on o.window_id = s.window_id and o.sensor = s.sensor
join node_segment a on a.window_id = s.window_id and a.sensor = s.sensor and a.seconds > 0
                   and a.at_utc = case when is_start then o.first_utc else o.last_utc end;
