-- Facts, as the journals told them. Append only; no keys and no indexes: the natural key is (journal_id, seq).
-- No carbon and no cost stands here: those are derived, again and again, from facts and factors.
create table journal (
    journal_id uuid,
    process_id uuid,              -- the first of the journals that one process wrote one after the other
    path varchar, host varchar, pid bigint, boot_id varchar, joulebook varchar, python varchar,
    cpus bigint, cpu_model varchar, previous_id uuid, opened_at_utc timestamp,
    end_byte bigint,              -- the watermark: bytes before it are in the ledger
    events bigint, quarantined bigint,
    last_event_at_utc timestamp,
    ended boolean                 -- its process is gone and all it wrote is here
);
create table sensor (journal_id uuid, seq bigint, process_id uuid, sensor varchar, device varchar, unit varchar, method varchar, boundary varchar);
create table span (
    journal_id uuid, seq bigint, process_id uuid, span_id uuid, run_id uuid, parent_id uuid, name varchar, project varchar,
    tags varchar, command varchar, started_at_utc timestamp, start_mono_ns bigint
);
create table span_end (
    journal_id uuid, seq bigint, span_id uuid, run_id uuid, ended_at_utc timestamp, end_mono_ns bigint,
    ok boolean, error varchar, exit_code bigint, lost_events bigint
);
create table reading (
    journal_id uuid, seq bigint, process_id uuid, span_id uuid, sensor varchar, read_at_utc timestamp, mono_ns bigint,
    value double, shared double
);
create table usage (
    journal_id uuid, seq bigint, span_id uuid, run_id uuid, used_at_utc timestamp,
    kind varchar, amount double, unit varchar, method varchar
);
create table quality (journal_id uuid, seq bigint, span_id uuid, run_id uuid, at_utc timestamp, metric varchar, value double);
create table note (journal_id uuid, seq bigint, span_id uuid, run_id uuid, at_utc timestamp, text varchar);
create table gap (
    journal_id uuid, seq bigint, process_id uuid, run_id uuid, sensor varchar, reason varchar,
    from_utc timestamp, to_utc timestamp, amount double, noted_at_utc timestamp
);
create table quarantine (
    journal_id uuid, path varchar, at_byte bigint, line_count bigint, reason varchar, line varchar, noted_at_utc timestamp
);

-- What a run used of each counter, by minute and by hour. Sums are exact; `covered_s` is how much of the time was seen.
create table rollup_minute (
    run_id uuid, process_id uuid, sensor varchar, minute_utc timestamp, amount double, covered_s double, steps bigint
);
create table rollup_hour (
    run_id uuid, process_id uuid, sensor varchar, hour_utc timestamp, amount double, covered_s double, steps bigint
);
