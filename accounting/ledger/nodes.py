"""From raw values of a node's sensors to joules, and from the node's joules to the part of each run.

    node_reading ─> node_step      what a device used between two values, as low, mid and high
    node_bound, node_crowd,        the node's time, cut at every value and wherever a run begins or ends; who was there
    node_own, node_busy            in each piece, and how busy
    node_window ──> node_segment   what the device used while a window (a run or a span) was there, and its part
    node_segment ─> share_minute, share_hour

All processes of a node (one boot of one host: their monotonic clocks are one clock) write values of the same
counters. They are united, so that a counter counts once, whoever read it.

**Between two values.** A counter's energy is its difference. It may have begun again: at `wraps_at` (then the range is
added), after a reset (then what it shows is the least it can be, if that can have been counted since) or because two
processes wrote in another order than they read, within half a second (then nothing). More than `max_w` cannot be: a
longer silence than a counter needs to go round leaves open how often it did. A gauge is integrated; for the part of the
time that its values are not the mean of (`window_s`), all between 0 and `max_w` is possible. Where a device does not
say `max_w`, it is three times the most that was seen of it nearby.

**At the edges of a window.** Between two values the power is unknown: the energy up to the edge lies between what is
left if the rest ran at `max_w` and what `max_w` gives. A value may be `update_s` old (and a gauge's tells of `window_s`
before that). Both widen the range once per edge. Before the first value and after the last one the device is taken to
have drawn what it drew in the minute beside it, at least nothing and at most `max_w`.

**The run's part.** `share_by`
    cpu          active energy (by busy CPU time of the node) by CPU time; the rest is idle
    busy         by the time for which its processes kept the device busy; while nobody does, all is idle
    reservation  in equal parts of what is reserved by the runs that are open
Idle energy is kept apart: by reservation (as much as is reserved; in proportion where more than all is reserved) and in
equal parts. All windows are cut at the same instants, and in each piece the parts are parts of the same: the parts of
all runs, what others used and the idle rest make up the node, and the parts of spans those of their run.

What a window is given depends on nothing that is further than ten minutes from it, so it does not matter when what was
ingested: a batch changes the windows within ten minutes of its events, and no others. So it is with the parts of one
window, too: of a long one only its last part is worked anew (`nodes_kept.sql`).
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa

from joulebook.accounting.ledger.database import Ledger

# The columns of a window, from a span `s` of a process `p` and its end `e`.
_WINDOW = """
    s.span_id as window_id, s.process_id, p.node_id, s.start_mono_ns as from_ns, s.started_at_utc as from_utc,
    e.end_mono_ns as to_ns, e.ended_at_utc as to_utc
    from span s join process p on p.process_id = s.process_id left join span_end e on e.span_id = s.span_id
"""

# The windows that a batch may change: runs on its nodes within ten minutes of its events, and those that had the
# company of a process of which it is now known that it is gone.
_TOUCHED = f"""
create or replace temp table node_change as
with event_of as (
    select p.node_id, e.mono_ns from event e
    join process_of o on o.journal = e.owner join process p on p.process_id = o.process_id
    union all
    select p.node_id, unnest([max(r.mono_ns), 9000000000000000000]) from reading r
    join process p on p.process_id = r.process_id and p.ended
    where r.process_id in (select process_id from span where process_id in (select process_id from process_of)
                           and span_id not in (select span_id from span_end)) group by p.node_id, p.process_id
)
select node_id, min(mono_ns) - 600000000000 as from_ns, max(mono_ns) + 600000000000 as to_ns from event_of
where node_id in (select node_id from node_sensor) group by node_id;

create or replace temp table node_window as
select w.* from (select {_WINDOW} where s.parent_id is null) w join node_change t on t.node_id = w.node_id
where w.process_id in (select process_id from node_sensor)
  and w.from_ns <= t.to_ns and coalesce(w.to_ns, t.from_ns) >= t.from_ns
"""

# What has not ended ends, for now, with the last reading of its process.
_CLOSE = """
update node_window set to_ns = last.mono_ns, to_utc = last.at_utc
from (select process_id, max(mono_ns) as mono_ns, max(read_at_utc) as at_utc from reading
      where process_id in (select process_id from node_window where to_ns is null) group by process_id) last
where to_ns is null and last.process_id = node_window.process_id
"""

_KEPT, _STEPS = (
    (resources.files("joulebook.accounting.ledger") / name).read_text(encoding="utf-8")
    for name in ("nodes_kept.sql", "nodes.sql")
)

_PART_OF = """
    select s.window_id::varchar as window_id, s.sensor, s.at_utc, s.from_ns, s.to_ns, s.seconds,
           d.device, case when d.unit = 'GB' then 'GB' else 'J' end as unit, d.method, d.boundary, d.share_by,
           d.counted,
           s.low / (1 + d.accuracy) as node_low, s.mid as node_mid,
           s.high / (1 - least(d.accuracy, 0.9)) as node_high, s.active, s.idle_reservation, s.idle_equal,
           case when s.is_beyond then 0 else s.seconds end as covered_s
    from node_segment s join node_device d on d.node_id = s.node_id and d.sensor = s.sensor
"""

_COLUMNS = """run_id, process_id, node_id, sensor, {time}, device, unit, method, boundary, share_by, counted,
    sum(node_low) as node_low, sum(node_mid) as node_mid, sum(node_high) as node_high, sum(active) as active,
    sum(idle_reservation) as idle_reservation, sum(idle_equal) as idle_equal, sum(covered_s) as covered_s"""

_STORE = (
    "delete from share_minute s using node_anew a where s.run_id = a.run_id and s.minute_utc >= a.from_minute_utc",
    "delete from share_hour s using node_anew a where s.run_id = a.run_id and s.hour_utc >= a.from_hour_utc",
    f"""
    insert into share_minute
    select {_COLUMNS.format(time="minute_utc")}
    from (select s.*, w.process_id, w.node_id, w.window_id as run_id, a.from_minute_utc,
                 date_trunc('minute', s.at_utc) as minute_utc
          from ({_PART_OF}) s join node_window w on w.window_id::varchar = s.window_id
          join node_anew a on a.run_id = w.window_id)
    where minute_utc >= from_minute_utc group by all
    """,
    f"""
    insert into share_hour select {_COLUMNS.format(time="date_trunc('hour', minute_utc)")}
    from (select s.* from share_minute s join node_anew a on a.run_id = s.run_id and s.minute_utc >= a.from_hour_utc)
    group by all
    """,
)


_GIVEN = f"""
create or replace temp table node_window as select {_WINDOW}
where s.span_id::varchar in (select unnest(?)) and s.process_id in (select process_id from node_sensor)
"""


_ODD = """
    select p.window_id::varchar as window_id, s.sensor, s.what, s.from_utc, s.to_utc, s.low, s.mid, s.high
    from node_step s join node_pair p on p.node_id = s.node_id and p.sensor = s.sensor
    where s.what in ('reset', 'jump', 'ambiguous', 'unseen') and s.from_ns < p.to_ns and s.to_ns > p.from_ns
      and s.from_ns >= p.first.ns and s.to_ns <= p.last.ns
    order by s.from_ns
"""


class Parts(NamedTuple):
    """What some spans used of the devices of their nodes.

    used: a row for each span (`window_id`), sensor and stretch between readings, with the columns of `share_minute`.
    odd: stretches in which a counter was reset, jumped, or may have gone round more often, or a gauge saw little.
    """

    used: pa.Table
    odd: pa.Table


def parts(ledger: Ledger, span_ids: Sequence[str]) -> Parts:
    """What some spans used of the devices of their nodes. Changes nothing in the ledger."""
    with ledger.reading() as con:
        con.execute(_GIVEN, [list(span_ids)])
        _work(con)
        return Parts(con.sql(_PART_OF).to_arrow_table(), con.sql(_ODD).to_arrow_table())


_ALL = f"""
create or replace temp table node_window as select {_WINDOW}
where s.parent_id is null and s.process_id in (select process_id from node_sensor)
"""
_STORED = """
    with anew as (
        select window_id as run_id, sensor, sum(mid) as node_mid, sum(active) as active,
               sum(idle_reservation) as idle_reservation
        from node_segment group by window_id, sensor
    ), stored as (
        select run_id, sensor, sum(node_mid) as node_mid, sum(active) as active,
               sum(idle_reservation) as idle_reservation
        from share_hour group by run_id, sensor
    )
    select coalesce(a.run_id, s.run_id)::varchar as run_id, coalesce(a.sensor, s.sensor) as sensor,
           a.node_mid, a.active, a.idle_reservation, s.node_mid as stored_node_mid, s.active as stored_active,
           s.idle_reservation as stored_idle
    from anew a full join stored s on s.run_id = a.run_id and s.sensor = a.sensor
"""
# What the runs were given of each device, and what it used; beyond its values both are guessed alike.
_GIVEN_AWAY = """
    select g.node_id, g.sensor, g.given, g.beyond, s.used
    from (select node_id, sensor, sum(active + idle_reservation) as given,
                 sum(case when is_beyond then mid else 0 end) as beyond from node_segment group by all) g
    join (select node_id, sensor, sum(mid) as used from node_step group by all) s
      on s.node_id = g.node_id and s.sensor = g.sensor
"""


def proof(ledger: Ledger) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """For `verify`: each run's part of each sensor, worked anew and as stored; each sensor's joules, and whose."""
    with ledger.reading() as con:
        con.execute(_ALL)
        _work(con)
        stored, given_away = (con.sql(sql).to_arrow_table().to_pylist() for sql in (_STORED, _GIVEN_AWAY))
        return stored, given_away


def refresh(con: duckdb.DuckDBPyConnection) -> None:
    """Work out anew the runs that the registered `event` batch touches. Part of its transaction."""
    known = con.execute("select exists (select 1 from sensor where scope = 'node')").fetchone()
    if known and known[0]:
        con.execute(_TOUCHED)
        con.execute(_CLOSE)
        con.execute(_KEPT)
        _work(con)
        for sql in _STORE:
            con.execute(sql)


def _work(con: duckdb.DuckDBPyConnection) -> None:
    con.execute("set asof_loop_join_threshold = 0")  # it takes our many rows for few, and then compares all with all
    con.execute(_CLOSE)
    con.execute(_STEPS)
