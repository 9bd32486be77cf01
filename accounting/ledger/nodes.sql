-- From raw values to parts, in temporary tables. `node_window` is given: window_id, process_id, node_id, from_ns,
-- from_utc, to_ns, to_utc. The docstring of nodes.py tells the method. Limits: values further than 60 s from a window
-- say nothing about it; two processes write at most 0.5 s out of order.

delete from node_window where to_ns is null or to_ns <= from_ns;

-- Ten minutes more than the windows: nothing further away may change what they are given.
create or replace temp table node_scope as
select node_id, min(from_ns) - 600000000000 as from_ns, max(to_ns) + 600000000000 as to_ns
from node_window group by node_id;

-- What the sensors of these nodes are. Processes may have reserved different parts of one.
create or replace temp table node_device as
select node_id, sensor, max(device) as device, max(unit) as unit, max(method) as method, max(boundary) as boundary,
       max(share_by) as share_by, bool_and(counted) as counted, max(wraps_at) as wraps_at,
       max(update_s) as update_s, max(window_s) as window_s, max(accuracy) as accuracy, max(max_w) as max_w,
       max(case when unit in ('mJ', 'mW') then 1e-3 when unit in ('uJ', 'uW') then 1e-6 else 1 end) as scale
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
), fall as (
    select *, (before - value) * scale as fall_j, (value + wraps_at - before) * scale as round_j,
           cap_w * (seconds + 0.5) as most_j, cap_w * (0.5 - seconds + update_s) as late_j
    from pair
)
select *,
    case when is_gauge or before is null then 'value'
         when value >= before and late_j > 0 and value - before > wraps_at / 2 and -fall_j > most_j then 'unwrap'
         when value >= before and max_w is not null and -fall_j > 2 * (most_j + cap_w * update_s) then 'jump'
         when value >= before then 'value'
         when round_j <= most_j and not (fall_j < round_j and fall_j <= late_j) then 'wrap'
         when fall_j <= late_j then 'late'
         else 'reset' end as what
from fall;

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

-- The energy between two values, and what was drawn around them. `limit_w`: more cannot be. The sums are of all before.
create or replace temp table node_step as
with plain as (
    select node_id, sensor, unit, scale, max_w, wraps_at * scale as wraps_at_j, seconds, what, is_gauge, update_s,
           from_ns, mono_ns as to_ns, from_utc, at_utc as to_utc, update_s + coalesce(window_s, 0) as stale_s,
           case when value * scale <= most_j then value * scale else 0 end as least_j,  -- since a reset
           case when is_gauge then (value + before) / 2 * scale * seconds
                when what <> 'reset' then (level - lag(level) over w) * scale end as amount,
           case when unit = 'GB' or not is_gauge then 1
                else least(1, coalesce(window_s, 0) / greatest(seconds, update_s)) end as seen
    from node_level window w as (partition by node_id, sensor order by mono_ns)
), judged as (
    select *, case when is_gauge or wraps_at_j is null or what in ('reset', 'jump') then 0
                   else greatest(0, floor((coalesce(max_w, 0) * seconds - amount) / wraps_at_j)) end as more_turns
    from plain where from_ns is not null and seconds > 0
), sure as (
    select *, case when what not in ('reset', 'jump') and more_turns = 0 and seconds <= 60 then amount end as sure_j,
           case when sure_j is not null then seconds end as sure_s,
           sum((seconds > 60)::int) over (partition by node_id, sensor order by from_ns) as stretch
    from judged
), around as (
    select *, sum(sure_j) over earlier / sum(sure_s) over earlier as earlier_w,
           sum(sure_j) over later / sum(sure_s) over later as later_w,
           max(sure_j / case when is_gauge then seconds else seconds + update_s + 0.001 end) over nearby as nearby_w
    from sure
    window w as (partition by node_id, sensor, stretch order by from_ns),
           earlier as (w rows between 10 preceding and 1 preceding),
           later as (w rows between 1 following and 10 following),
           nearby as (w rows between 10 preceding and 10 following)
), guessed as (
    select *, coalesce(earlier_w, later_w, 0) as guess_w,
           coalesce(max_w, case when unit = 'GB' then nearby_w else nullif(3 * nearby_w, 0) end, 1000) as limit_w
    from around
), ranged as (
    select *,
        case when what = 'reset' then least_j when what = 'jump' then 0 else amount * seen end as low,
        case when what = 'reset' then greatest(least_j, limit_w * seconds) when what = 'jump' then amount
             when more_turns > 0 then amount + more_turns * wraps_at_j
             else amount * seen + (1 - seen) * limit_w * seconds end as high,
        case when what in ('reset', 'jump') then guess_w * seconds
             when more_turns > 0 then amount + wraps_at_j * round((guess_w * seconds - amount) / wraps_at_j)
             else amount end as likely
    from guessed
), step as (
    select node_id, sensor, from_ns, to_ns, from_utc, to_utc, seconds, stale_s, limit_w,
           case when unit = 'GB' then limit_w else 0 end as rest_w,
           case when more_turns > 0 then 'ambiguous' when is_gauge and seen < 0.5 then 'unseen' else what end as what,
           low, greatest(low, least(likely, high)) as mid, greatest(low, high) as high
    from ranged
)
select *, sum(low) over w - low as sum_low, sum(mid) over w - mid as sum_mid, sum(high) over w - high as sum_high
from step window w as (partition by node_id, sensor order by from_ns);

-- The runs that were open on these nodes; `end_ns` is null for one that still is.
create or replace temp table node_run as
with opened as (
    select p.node_id, c.from_ns as scope_ns, p.ended, s.process_id, s.span_id, s.start_mono_ns as from_ns,
           s.started_at_utc as from_utc, e.end_mono_ns as end_ns, e.ended_at_utc as end_utc
    from node_scope c join process p on p.node_id = c.node_id
    join span s on s.process_id = p.process_id and s.parent_id is null and s.start_mono_ns <= c.to_ns
    left join span_end e on e.span_id = s.span_id
), last as (
    select process_id, max(mono_ns) as ns, max(read_at_utc) as at_utc from reading
    where process_id in (select process_id from opened where ended and end_ns is null) group by process_id
)
select o.node_id, o.process_id, o.from_ns, o.from_utc,
       coalesce(o.end_ns, case when l.ns is not null then greatest(o.from_ns, l.ns) end) as end_ns,
       coalesce(o.end_utc, l.at_utc) as end_utc
from opened o left join last l on l.process_id = o.process_id and o.end_ns is null
where coalesce(o.end_ns, l.ns, o.scope_ns) >= o.scope_ns;

-- The time of a node, cut at every value, wherever a run begins or ends, and at full minutes while one is open. Every
-- window is cut there, so that the parts of all of them are parts of the same. In an `era` the same runs are open.
create or replace temp table node_bound as
with instant as (
    select node_id, mono_ns::double as ns, at_utc, 0 as change from node_value
    union all
    select node_id, from_ns, from_utc, 1 from node_run
    union all
    select node_id, end_ns, end_utc, -1 from node_run where end_ns is not null
    union all
    select node_id, min(from_ns), arg_min(from_utc, from_ns), 0 from node_window group by node_id
    union all
    select node_id, max(to_ns), arg_max(to_utc, to_ns), 0 from node_window group by node_id
), point as (
    select node_id, ns, min(at_utc) as at_utc, sum(change) as change, bool_or(change <> 0) as is_edge
    from instant group by node_id, ns
), stretch as (
    select *, sum(change) over w as runs, lead(ns) over w as next_ns, lead(at_utc) over w as next_utc
    from point window w as (partition by node_id order by ns)
), crossing as (
    select *, unnest(generate_series(date_trunc('minute', at_utc) + interval 1 minute,
                                     date_trunc('minute', next_utc), interval 1 minute)) as minute_utc
    from stretch where runs > 0 and date_trunc('minute', at_utc) < date_trunc('minute', next_utc)
      and next_utc < at_utc + interval 31 day
), bound as (
    select node_id, ns, at_utc, is_edge from stretch
    union all
    select node_id, ns + (next_ns - ns) * (epoch_us(minute_utc - at_utc) / epoch_us(next_utc - at_utc)), minute_utc,
           false
    from crossing where minute_utc > at_utc and minute_utc < next_utc
)
select node_id, ns, at_utc, row_number() over w as n, sum(is_edge::int) over w as era,
       (lead(ns) over w - ns) / 1e9 as seconds
from bound window w as (partition by node_id order by ns);

-- How many runs of each process are open in each era, and what part of a device each of them has by reservation and in
-- equal parts. Processes that say the same `reserved_as` have one reservation together; where more than all is
-- reserved, it is cut down.
create or replace temp table node_member as
with within as (
    select r.node_id, r.process_id, b.era as first_era,
           coalesce(e.era, (select max(era) + 1 from node_bound l where l.node_id = r.node_id)) as next_era
    from node_run r join node_bound b on b.node_id = r.node_id and b.ns = r.from_ns::double
    left join node_bound e on e.node_id = r.node_id and e.ns = r.end_ns::double
)
select node_id, process_id, era, count(*) as runs
from (select node_id, process_id, unnest(range(first_era::bigint, next_era::bigint)) as era from within) group by all;

create or replace temp table node_crowd as
with part as (
    select m.node_id, m.era, n.sensor, n.reserved_as, sum(m.runs) as runs, max(n.reserved) as reserved
    from node_member m join node_sensor n on n.process_id = m.process_id group by all
)
select node_id, era, sensor, reserved_as, reserved / runs / greatest(1, sum(reserved) over at_once) as by_reservation,
       1 / sum(runs) over at_once as in_parts
from part window at_once as (partition by node_id, era, sensor);

-- What the processes say of themselves between two cuts while they have runs: CPU time, and for how long they kept a
-- device busy. `shared` is of one of their runs, `whole` as they counted it.
create or replace temp table node_own as
with member as (
    select m.node_id, m.process_id, min(b.n) as first_n, max(b.n) + 1 as last_n
    from node_member m join node_bound b on b.node_id = m.node_id and b.era = m.era group by all
), moment as (
    select m.node_id, m.process_id, b.n, b.ns, b.era
    from (select *, unnest(range(first_n, last_n + 1)) as n from member) m
    join node_bound b on b.node_id = m.node_id and b.n = m.n
), step as (
    select r.process_id, r.sensor, r.mono_ns as from_ns, r.shared, r.value as whole,
           lead(r.mono_ns) over w as to_ns, lead(r.shared) over w as next_shared, lead(r.value) over w as next_whole
    from reading r join member m on m.process_id = r.process_id
    join node_scope c on c.node_id = m.node_id
                     and r.mono_ns between c.from_ns - 3600000000000 and c.to_ns + 3600000000000
    where r.sensor = 'cpu-time' or starts_with(r.sensor, 'busy')
    window w as (partition by r.process_id, r.sensor order by r.mono_ns, r.shared)
), level as (
    select a.node_id, a.process_id, a.n, a.era, k.sensor,
           coalesce((a.ns - s.from_ns) / nullif(s.to_ns - s.from_ns, 0), 0) as past,
           s.shared + past * coalesce(s.next_shared - s.shared, 0) as shared,
           s.whole + past * coalesce(s.next_whole - s.whole, 0) as whole
    from moment a join (select distinct process_id, sensor from step) k on k.process_id = a.process_id
    asof join step s on s.process_id = k.process_id and s.sensor = k.sensor and a.ns >= s.from_ns
), used as (
    select *, lead(shared) over w - shared as used_shared, lead(whole) over w - whole as used_whole
    from level window w as (partition by process_id, sensor order by n)
)
select u.node_id, u.process_id, u.n, u.sensor, u.used_shared as shared, u.used_whole as whole, m.runs
from used u join node_member m on m.process_id = u.process_id and m.era = u.era;

-- For how long a device was busy between two cuts (CPU seconds, of all CPUs), and the part of it that was. What all
-- processes of the node are seen to use beyond what those that tell us use, in ten seconds together, is others' use:
-- in less time the two differ by how finely they are counted.
create or replace temp table node_busy as
with cpu as (
    select b.node_id, b.n, s.mid * b.seconds / s.seconds as seen
    from node_bound b asof join (select * from node_step where sensor = 'node-cpu' and seconds <= 600) s
      on s.node_id = b.node_id and b.ns >= s.from_ns
    where b.ns < s.to_ns
), told as (
    select node_id, n, 'cpu-time' as sensor, seen, 0 as ours from cpu
    union all
    select node_id, n, replace(sensor, 'busy-all:', 'busy:'), avg(whole), 0 from node_own
    where starts_with(sensor, 'busy-all:') group by all
    union all
    select node_id, n, sensor, 0, sum(shared * runs) from node_own
    where sensor = 'cpu-time' or starts_with(sensor, 'busy:') group by all
), united as (
    select t.node_id, t.n, t.sensor, b.seconds, floor(b.ns / 1e10) as tenth, sum(t.seen) as seen, sum(t.ours) as ours
    from told t join node_bound b on b.node_id = t.node_id and b.n = t.n
    where b.era in (select era from node_member m where m.node_id = b.node_id) group by all
), known as (
    select *, ours + coalesce(greatest(0, sum(seen) over w - sum(ours) over w) * seen / nullif(sum(seen) over w, 0), 0)
                  as busy_s
    from united window w as (partition by node_id, sensor, tenth)
)
select k.node_id, k.n, k.sensor, k.busy_s,
       case when k.sensor <> 'cpu-time' then (k.busy_s > 0)::int
            else least(1, k.busy_s / (c.cpus * k.seconds)) end as part
from known k join (select node_id, max(cpus) as cpus from process group by node_id) c on c.node_id = k.node_id;

-- Which sensors each window has: those that its process declared and that were read near it; the first and the last of
-- these values, the step in which it begins, and the one in which it ends.
create or replace temp table node_pair as
with read as (
    select w.*, n.sensor, n.reserved_as, d.share_by, d.device, f.from_ns as first_ns, l.to_ns as last_ns,
           struct_pack(ns := f.from_ns, low := f.sum_low, mid := f.sum_mid, high := f.sum_high, rest_w := f.rest_w,
                       limit_w := f.limit_w, stale_s := f.stale_s) as first,
           struct_pack(ns := l.to_ns, low := l.sum_low + l.low, mid := l.sum_mid + l.mid, high := l.sum_high + l.high,
                       rest_w := l.rest_w, limit_w := l.limit_w, stale_s := l.stale_s) as last
    from (select *, from_ns - 60000000000 as near_ns, to_ns + 60000000000 as far_ns from node_window) w
    join node_sensor n on n.process_id = w.process_id
    join node_device d on d.node_id = w.node_id and d.sensor = n.sensor and d.unit <> 's'
    asof join node_step f on f.node_id = w.node_id and f.sensor = n.sensor and w.near_ns <= f.from_ns
    asof join node_step l on l.node_id = w.node_id and l.sensor = n.sensor and w.far_ns >= l.to_ns
), minute as (
    select *, least(last_ns, first_ns + 60000000000) as early_ns, greatest(first_ns, last_ns - 60000000000) as late_ns
    from read where first_ns < last_ns
)
select m.* exclude (near_ns, far_ns, early_ns, late_ns),
       least(first.limit_w, (e.sum_mid + e.mid * (early_ns - e.from_ns) / (e.to_ns - e.from_ns) - first.mid)
                            / (early_ns - first_ns) * 1e9) as first_w,
       least(last.limit_w, (last.mid - l.sum_mid - l.mid * (late_ns - l.from_ns) / (l.to_ns - l.from_ns))
                           / (last_ns - late_ns) * 1e9) as last_w,
       struct_pack(step := o.mid, limit_w := o.limit_w, past_s := (m.from_ns - o.from_ns) / 1e9,
                   rest_s := (o.to_ns - m.from_ns) / 1e9) as opening,
       struct_pack(step := c.mid, limit_w := c.limit_w, past_s := (m.to_ns - c.from_ns) / 1e9,
                   rest_s := (c.to_ns - m.to_ns) / 1e9) as closing
from minute m
asof join node_step e on e.node_id = m.node_id and e.sensor = m.sensor and m.early_ns > e.from_ns
asof join node_step l on l.node_id = m.node_id and l.sensor = m.sensor and m.late_ns >= l.from_ns
asof left join node_step o on o.node_id = m.node_id and o.sensor = m.sensor and m.from_ns >= o.from_ns
asof left join node_step c on c.node_id = m.node_id and c.sensor = m.sensor and m.to_ns > c.from_ns;

-- The running sums at the cuts of each window. Before the first value and after the last one, all between `rest_w` and
-- `limit_w` is possible.
create or replace temp table node_at as
with within as (
    select w.*, b.n as first_n, e.n as last_n from node_window w
    asof join node_bound b on b.node_id = w.node_id and w.from_ns::double >= b.ns
    asof join node_bound e on e.node_id = w.node_id and w.to_ns::double > e.ns
), cut as (
    select c.window_id, c.node_id, c.n, greatest(b.ns, c.from_ns) as ns,
           case when b.ns < c.from_ns then c.from_utc else b.at_utc end as at_utc, b.era
    from (select *, unnest(range(first_n, last_n + 1)) as n from within) c
    join node_bound b on b.node_id = c.node_id and b.n = c.n
    union all
    select window_id, node_id, null, to_ns, to_utc, null from within
)
select p.window_id, p.process_id, p.node_id, p.sensor, p.device, p.share_by, p.reserved_as, c.n, c.era, c.ns, c.at_utc,
       c.ns < p.first.ns or c.ns >= p.last.ns as is_beyond,
       case when c.ns < p.first.ns then p.first.low - p.first.rest_w * (p.first.ns - c.ns) / 1e9
            when c.ns > p.last.ns then p.last.low + p.last.rest_w * (c.ns - p.last.ns) / 1e9
            else s.sum_low + s.low * (c.ns - s.from_ns) / (s.to_ns - s.from_ns) end as low,
       case when c.ns < p.first.ns then p.first.mid - p.first_w * (p.first.ns - c.ns) / 1e9
            when c.ns > p.last.ns then p.last.mid + p.last_w * (c.ns - p.last.ns) / 1e9
            else s.sum_mid + s.mid * (c.ns - s.from_ns) / (s.to_ns - s.from_ns) end as mid,
       case when c.ns < p.first.ns then p.first.high - p.first.limit_w * (p.first.ns - c.ns) / 1e9
            when c.ns > p.last.ns then p.last.high + p.last.limit_w * (c.ns - p.last.ns) / 1e9
            else s.sum_high + s.high * (c.ns - s.from_ns) / (s.to_ns - s.from_ns) end as high
from node_pair p join cut c on c.window_id = p.window_id
asof left join node_step s on s.node_id = p.node_id and s.sensor = p.sensor and c.ns >= s.from_ns;

-- The energy between two cuts, and the window's part of it.
create or replace temp table node_segment as
with segment as (
    select * exclude (ns, low, mid, high), ns as from_ns, lead(ns) over w as to_ns,
           greatest(0, lead(low) over w - low) as low, greatest(0, lead(mid) over w - mid) as mid,
           greatest(0, lead(high) over w - high) as high  -- none falls, but for rounding
    from node_at window w as (partition by window_id, sensor order by ns)
), shared as (
    select s.*, c.by_reservation, c.in_parts,
           case when share_by = 'reservation' then c.by_reservation
                when b.busy_s > 0 then b.part * coalesce(o.shared, 0) / b.busy_s else 0 end as mine,
           case when share_by = 'reservation' then 1 else coalesce(b.part, 0) end as busy
    from segment s
    join node_crowd c
      on c.node_id = s.node_id and c.era = s.era and c.sensor = s.sensor and c.reserved_as = s.reserved_as
    left join node_busy b on b.node_id = s.node_id and b.n = s.n
          and b.sensor = case share_by when 'cpu' then 'cpu-time' else 'busy:' || s.device end
    left join node_own o on o.process_id = s.process_id and o.n = s.n and o.sensor = b.sensor
    where s.to_ns > s.from_ns
)
select window_id, process_id, node_id, sensor, at_utc, from_ns, to_ns, (to_ns - from_ns) / 1e9 as seconds, is_beyond,
       low, mid, high, mid * mine as active, mid * (1 - busy) * by_reservation as idle_reservation,
       mid * (1 - busy) * in_parts as idle_equal
from shared;

-- What is unknown at the two edges of each window widens the segments there: `less` from the edge inwards, until it is
-- used up, `more` the outermost one. A value may be `stale_s` old, so that what it says of an edge is of before.
insert into node_segment
with part as (
    select window_id, sensor, from_ns, to_ns, first, last, opening, closing,
           from_ns >= first.ns and from_ns < last.ns as is_opened, to_ns > first.ns and to_ns <= last.ns as is_closed,
           opening.step * opening.past_s / (opening.past_s + opening.rest_s) as opening_j,
           least(opening.step, opening.limit_w * opening.past_s) as opening_most,
           greatest(0, opening.step - opening.limit_w * opening.rest_s) as opening_least,
           closing.step * closing.past_s / (closing.past_s + closing.rest_s) as closing_j,
           least(closing.step, closing.limit_w * closing.past_s) as closing_most,
           greatest(0, closing.step - closing.limit_w * closing.rest_s) as closing_least
    from node_pair
), spread as (
    select window_id, sensor, true as is_start,
           case when is_opened then greatest(0, opening_most - opening_j) else 0 end
               + case when from_ns < last.ns
                      then first.limit_w * greatest(0, first.stale_s - greatest(0, first.ns - from_ns) / 1e9) else 0 end
               as less,
           case when is_opened then greatest(0, opening_j - opening_least) else 0 end as more
    from part
    union all
    select window_id, sensor, false, case when is_closed then greatest(0, closing_j - closing_least) else 0 end,
           case when is_closed then greatest(0, closing_most - closing_j) else 0 end
               + case when to_ns > first.ns then last.limit_w * last.stale_s else 0 end
    from part
), reach as (
    select s.*, e.is_start, e.less, e.more, sum(s.low) over w - s.low as outside,
           row_number() over w = 1 as is_outermost
    from node_segment s join spread e on e.window_id = s.window_id and e.sensor = s.sensor
    window w as (partition by s.window_id, s.sensor, e.is_start
                 order by case when e.is_start then s.from_ns else -s.from_ns end)
)
select window_id, process_id, node_id, sensor, at_utc, from_ns, to_ns, 0, is_beyond,
       -least(low, greatest(0, less - outside)), 0, case when is_outermost then more else 0 end, 0, 0, 0
from reach where outside < less or is_outermost;
