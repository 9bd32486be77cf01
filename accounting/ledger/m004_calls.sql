-- Requests to the APIs of models, an attempt a row, as they were observed; and what providers say they were.
create table call (
    journal_id uuid, seq bigint, process_id uuid,
    call_no bigint,               -- in the order of ingestion; another one after a rebuild
    call_id uuid,                 -- the same for all attempts of one request
    attempt bigint, span_id uuid, run_id uuid,
    source varchar, source_id varchar,   -- who observed it, and under which id
    provider varchar, host varchar, path varchar, operation varchar,
    request_model varchar, response_model varchar, response_id varchar, is_stream boolean,
    status bigint, outcome varchar, error varchar,
    started_at_utc timestamp, duration_s double, first_token_s double,
    chunks bigint, gap_p50_s double, gap_p95_s double, gap_max_s double,  -- pieces of a stream, and the time between two
    usage_json varchar,           -- the numbers of the provider's usage, as they came
    units varchar[][], method varchar, context varchar[][],
    sent_chars bigint, received_chars bigint,
    cost decimal(38, 12), currency varchar,     -- what the source says that it cost
    project varchar, tags varchar, account varchar
);
create table bill (
    journal_id uuid, seq bigint, source varchar, source_id varchar,
    provider varchar, model varchar, operation varchar, line_item varchar,
    from_utc timestamp, to_utc timestamp, requests bigint,
    units varchar[][], context varchar[][], cost decimal(38, 12), currency varchar, project varchar, account varchar
);

-- What a call means: derived at ingest from the facts above.
create table call_usage (
    call_no bigint,
    provider varchar, model varchar,     -- as the price list names them; null where it knows none
    price_context varchar,               -- the part of its context on which its price depends, as JSON
    counted boolean,                     -- not the second observation of one and the same response
    input_tokens double, output_tokens double,                                     -- all of them
    cache_read_tokens double, cache_write_tokens double, reasoning_tokens double,  -- parts of those
    method varchar, reason varchar       -- how its usage is known, or why it is not
);
-- Its usage in parts that do not overlap: they add up to what the provider counted.
create table call_bucket (call_no bigint, unit varchar, amount double);
-- What it cost by the prices known when it was ingested: never changed afterwards.
create table call_cost (
    journal_id uuid, seq bigint, call_no bigint, cost_usd double,
    basis varchar,                       -- contract · list · fallback · unpriced · not billed
    reason varchar, version_id varchar
);

-- The same, part by part, of the calls whose cost is known: amount × price, which add up to it.
create table call_line (
    call_no bigint, unit varchar, amount double, usd_per_unit double,
    list_usd_per_unit double,            -- before discounts and own prices; null where no list has it
    tier_start double,                   -- of input tokens of the call; 0: the lowest
    basis varchar, source varchar
);

-- Prices, by the list they come from. A version is which lists were in force, from when on.
create table price (
    list_id varchar, provider varchar, model varchar, context varchar,
    valid_from date, valid_to date, daily_from time, daily_to time,
    unit varchar, tier_start double, usd_per_unit double,
    least_amount double,                 -- a smaller amount is billed as this
    source varchar
);
create table price_list (list_id varchar, kind varchar, name varchar, stored_at_utc timestamp, content varchar);
create table price_version (version_id varchar, adopted_at_utc timestamp, lists varchar[]);

create view api_call as
select c.* exclude (provider, method), coalesce(u.provider, c.provider) as provider,
       coalesce(u.model, c.response_model, c.request_model) as model,
       u.provider is not null and u.model is not null as is_listed, u.price_context, coalesce(u.counted, true) as counted,
       u.input_tokens, u.output_tokens, u.cache_read_tokens, u.cache_write_tokens, u.reasoning_tokens,
       u.method as usage_method, u.reason as usage_reason,
       k.cost_usd, coalesce(k.basis, 'unpriced') as basis, k.reason as cost_reason, k.version_id,
       coalesce(c.project, s.project, '(no project)') as of_project
from call c
left join call_usage u on u.call_no = c.call_no
left join call_cost k on k.call_no = c.call_no
left join span s on s.span_id = c.span_id;

-- What providers say now: of each bucket of time the last statement. `source_id` is `bucket.statement`.
create view latest_bill as
select * exclude (age) from (
    select *, row_number() over (
        partition by source, split_part(source_id, '.', 1) order by journal_id desc, seq desc) as age
    from bill
) where age = 1;
