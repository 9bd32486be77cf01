-- Sensors of a node, which all its processes share. Their values are raw, as the kernel or the driver gave them.
alter table sensor add column scope varchar;       -- null: a counter of the process; 'node': of the machine
alter table sensor add column source varchar;
alter table sensor add column model varchar;
alter table sensor add column wraps_at double;
alter table sensor add column update_s double;
alter table sensor add column window_s double;
alter table sensor add column accuracy double;
alter table sensor add column max_w double;
alter table sensor add column share_by varchar;
alter table sensor add column reserved double;
alter table sensor add column reserved_as varchar;
alter table sensor add column counted boolean;
alter table usage add column coverage double;
alter table usage add column source varchar;

create table node_reading (
    journal_id uuid, seq bigint, process_id uuid, span_id uuid, sensor varchar, read_at_utc timestamp, mono_ns bigint,
    value double, status varchar
);

-- What a device of the node used while a run was there (low, mid, high), and the run's part of it: by its activity,
-- and of the idle rest by reservation or in equal parts. Joules, or GB·s of memory.
create table share_minute (
    run_id uuid, process_id uuid, node_id varchar, sensor varchar, minute_utc timestamp,
    device varchar, unit varchar, method varchar, boundary varchar, share_by varchar, counted boolean,
    node_low double, node_mid double, node_high double,
    active double, idle_reservation double, idle_equal double, covered_s double
);
create table share_hour (
    run_id uuid, process_id uuid, node_id varchar, sensor varchar, hour_utc timestamp,
    device varchar, unit varchar, method varchar, boundary varchar, share_by varchar, counted boolean,
    node_low double, node_mid double, node_high double,
    active double, idle_reservation double, idle_equal double, covered_s double
);

create or replace view process as
select process_id, bool_and(ended) as ended, max(last_event_at_utc) as last_event_at_utc,
       max(coalesce(boot_id, host)) as node_id, max(cpus) as cpus
from journal group by process_id;

create view node_sensor as
select n.process_id, n.sensor, any_value(p.node_id) as node_id, any_value(n.device) as device,
       any_value(n.unit) as unit, any_value(n.method) as method, any_value(n.boundary) as boundary,
       any_value(n.model) as model, any_value(n.source) as source, any_value(n.wraps_at) as wraps_at,
       any_value(coalesce(n.update_s, 0)) as update_s, any_value(n.window_s) as window_s,
       any_value(coalesce(n.accuracy, 0)) as accuracy, any_value(n.max_w) as max_w,
       any_value(coalesce(n.share_by, 'cpu')) as share_by, any_value(coalesce(n.reserved, 1)) as reserved,
       any_value(coalesce(n.reserved_as, '')) as reserved_as,
       any_value(coalesce(n.counted, true)) as counted
from sensor n join process p on p.process_id = n.process_id
where n.scope = 'node' group by n.process_id, n.sensor;

-- The counters of a process that count. CPU time does not where the same process read that device's joules: the model
-- must not be added to the measurement. Seconds of anything but the CPU say who used a device, not how much energy.
create or replace view counted as
select distinct n.process_id, n.sensor, n.device, n.unit, n.method, n.boundary from sensor n
where n.scope is null
  and (n.unit = 'J'
       or (n.device = 'cpu' and not exists (
              select 1 from sensor o where o.process_id = n.process_id and o.unit = 'J'
              and split_part(o.device, ':', 1) in ('cpu', 'module', 'platform') and o.scope is null)));

-- Runs whose CPU a sensor of the node saw: there the model from CPU time does not count.
create view cpu_seen as
select distinct run_id from share_hour where counted and split_part(device, ':', 1) in ('cpu', 'module', 'platform');

-- What each run used, by hour and by minute, with what observed it. `amount` is what it used for certain or by
-- activity; of a node's device the idle parts and the whole device's range stand beside it.
drop view energy_source_hour;
create view energy_source_hour as
select r.run_id, r.hour_utc as at_utc, n.sensor, n.device, n.unit, n.method, n.boundary, r.amount, r.covered_s,
       0 as idle_reservation, 0 as idle_equal, null::double as node_low, null::double as node_mid,
       null::double as node_high, null as share_by
from rollup_hour r join counted n on n.process_id = r.process_id and n.sensor = r.sensor
where n.unit = 'J' or r.run_id not in (select run_id from cpu_seen)
union all
select run_id, hour_utc, sensor, device, unit, method, boundary, active, covered_s,
       idle_reservation, idle_equal, node_low, node_mid, node_high, share_by
from share_hour where counted
union all
select run_id, date_trunc('hour', used_at_utc), 'recorded by the job', 'recorded', 'J', method, 'it', sum(amount), 0,
       0, 0, null, null, null, null
from recorded_energy group by run_id, date_trunc('hour', used_at_utc), method;

drop view energy_source_minute;
create view energy_source_minute as
select r.run_id, r.minute_utc as at_utc, n.sensor, n.device, n.unit, n.method, n.boundary, r.amount, r.covered_s,
       0 as idle_reservation, 0 as idle_equal, null::double as node_low, null::double as node_mid,
       null::double as node_high, null as share_by
from rollup_minute r join counted n on n.process_id = r.process_id and n.sensor = r.sensor
where n.unit = 'J' or r.run_id not in (select run_id from cpu_seen)
union all
select run_id, minute_utc, sensor, device, unit, method, boundary, active, covered_s,
       idle_reservation, idle_equal, node_low, node_mid, node_high, share_by
from share_minute where counted
union all
select run_id, date_trunc('minute', used_at_utc), 'recorded by the job', 'recorded', 'J', method, 'it', sum(amount), 0,
       0, 0, null, null, null, null
from recorded_energy group by run_id, date_trunc('minute', used_at_utc), method;
