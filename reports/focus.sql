-- The lines of calls as charges: one a day, provider, model, unit, price, project and account, each with what its calls
-- have in common. A line may bill more than was used, where there is a least amount.
with used as (
    select c.started_at_utc::date as day, coalesce(c.provider, c.host, '(no provider)') as provider,
           coalesce(c.model, '(no model)') as model, c.account,
           coalesce(c.price_context, '{{}}') as context, nullif(c.of_project, '(no project)') as project, l.unit,
           l.usd_per_unit::decimal(20, 17) as price,
           coalesce(l.list_usd_per_unit, l.usd_per_unit)::decimal(20, 17) as list_price, l.tier_start, l.basis,
           coalesce(b.amount, l.amount)::decimal(18, 4) as amount, l.amount::decimal(18, 4) as billed_amount,
           -- the energy of a call belongs to its tokens alike
           e.energy_kwh * l.amount / sum(l.amount) over (partition by l.call_no) as energy_kwh,
           e.gco2e * l.amount / sum(l.amount) over (partition by l.call_no) as gco2e,
           c.usage_method, c.version_id, coalesce(nullif(c.tags, '{{}}'), r.tags, '{{}}') as tags
    from call_line l
    join api_call c on c.call_no = l.call_no
    left join call_bucket b on b.call_no = l.call_no and b.unit = l.unit
    left join span r on r.span_id = c.run_id
    left join call_energy e on e.call_no = l.call_no
    where c.counted and {asked}
), charge as (
    select day, provider, model, account, context, project, unit, price, list_price, tier_start,
           sum(amount)::decimal(18, 4) as quantity, sum(billed_amount)::decimal(18, 4) as billed_quantity,
           sum(energy_kwh) as energy_kwh, sum(gco2e) as gco2e,
           count(*) as calls, list(distinct usage_method) as methods, list(distinct tags) as tags,
           string_agg(distinct basis, ' ' order by basis) as bases,
           string_agg(distinct version_id, ' ' order by version_id) as versions
    from used
    group by all
)
select *, price * billed_quantity as cost, list_price * billed_quantity as list_cost
from charge
order by day, provider, model, unit, context, list_price, price, project, account
