-- Grain: one model_name, model_version, role, hour and upstream dependency that requests called.
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    meta={'retention': {'raw_key': 'rows.event_hour'}},
    pre_hook="{{ forget_stale(ref('int_event_hours'), ['event_hour']) }}",
) }}

with

stale_hours as (
    {{ stale_keys(ref('int_event_hours'), ['event_hour']) }}
),

calls as (
    select
        events.model_name,
        events.model_version,
        events.role,
        events.event_hour,
        unnest({{ json_members('events.upstream') }}, recursive := true),
        stale_hours.revision
    from {{ ref('stg_inference_events') }} as events
    inner join stale_hours on events.event_hour = stale_hours.event_hour
    where
        events.upstream is not null
        and {{ is_stale('events.event_hour', ref('int_event_hours'), 'event_hour') }}
),

-- A dependency that was not called may be logged as null.
typed_calls as (
    select
        * exclude (value),
        {{ json_number("(value -> '$.status')") }} as status,
        {{ json_number("(value -> '$.latency_ms')") }} as latency_ms
    from calls
    where value::varchar <> 'null'
),

named_calls as (
    select
        * exclude (latency_ms),
        case when latency_ms between 0 and 1e9 then latency_ms end as latency_ms,
        dense_rank() over (
            partition by model_name, model_version, role, event_hour
            order by name_count desc, name asc
        ) as place
    from (
        select
            *,
            count(*) over (
                partition by model_name, model_version, role, event_hour, name
            ) as name_count
        from typed_calls
    )
)

select
    model_name,
    model_version,
    role,
    case when place <= {{ most_names() }} then name else '(other)' end as upstream,
    count(*) as call_count,
    count(*) filter (where status >= 400) as error_count,
    count(latency_ms) as latency_count,
    -- Fixed point: a parallel sum of doubles differs from run to run.
    sum(round(latency_ms * {{ latency_unit() }})::bigint)::hugeint as latency_sum,
    event_hour,
    revision
from named_calls
group by all
