-- A process, which may have written several journals.
create view process as
select process_id, bool_and(ended) as ended, max(last_event_at_utc) as last_event_at_utc from journal group by process_id;

-- A piece of work with its end. `state`: running · ended · failed · lost (ended without a word).
create view work as
select s.*, e.end_mono_ns, e.ok, e.error, e.exit_code, coalesce(e.lost_events, 0) as lost_events,
       j.host, j.pid, j.cpus, j.cpu_model,
       case when e.ok then 'ended' when not e.ok then 'failed' when p.ended then 'lost' else 'running' end as state,
       coalesce(e.ended_at_utc, p.last_event_at_utc) as seen_until_utc,
       e.ended_at_utc
from span s
join journal j on j.journal_id = s.journal_id
join process p on p.process_id = s.process_id
left join span_end e on e.span_id = s.span_id;

-- The counters that count. CPU time does not where the same process read that device's joules: the model must not be
-- added to the measurement.
create view counted as
select distinct n.process_id, n.sensor, n.device, n.unit, n.method, n.boundary from sensor n
where n.unit = 'J'
   or not exists (select 1 from sensor o where o.process_id = n.process_id and o.unit = 'J' and o.device = n.device);

-- Energy that jobs recorded themselves.
create view recorded_energy as
select run_id, used_at_utc, method,
       amount * case unit when 'J' then 1 when 'Ws' then 1 when 'Wh' then 3.6e3 when 'kWh' then 3.6e6
                          when 'MWh' then 3.6e9 when 'GWh' then 3.6e12 when 'uJ' then 1e-6 when 'mJ' then 1e-3
                          when 'kJ' then 1e3 when 'MJ' then 1e6 when 'GJ' then 1e9 end as amount
from usage
where kind = 'energy' and unit in ('J', 'Ws', 'Wh', 'kWh', 'MWh', 'GWh', 'uJ', 'mJ', 'kJ', 'MJ', 'GJ');

-- What each run used of each counter, by hour and by minute, with what the counter is.
create view energy_source_hour as
select r.run_id, r.hour_utc as at_utc, n.sensor, n.device, n.unit, n.method, n.boundary, r.amount, r.covered_s
from rollup_hour r join counted n on n.process_id = r.process_id and n.sensor = r.sensor
union all
select run_id, date_trunc('hour', used_at_utc), 'recorded by the job', 'recorded', 'J', method, 'it', sum(amount), 0
from recorded_energy group by run_id, date_trunc('hour', used_at_utc), method;

create view energy_source_minute as
select r.run_id, r.minute_utc as at_utc, n.sensor, n.device, n.unit, n.method, n.boundary, r.amount, r.covered_s
from rollup_minute r join counted n on n.process_id = r.process_id and n.sensor = r.sensor
union all
select run_id, date_trunc('minute', used_at_utc), 'recorded by the job', 'recorded', 'J', method, 'it', sum(amount), 0
from recorded_energy group by run_id, date_trunc('minute', used_at_utc), method;
