-- Grain: one model_name, model_version, role, hour, status of an error and where it came from.
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

errors as (
    select
        events.*,
        stale_hours.revision
    from {{ ref('stg_inference_events') }} as events
    inner join stale_hours on events.event_hour = stale_hours.event_hour
    where
        events.status >= 400
        and {{ is_stale('events.event_hour', ref('int_event_hours'), 'event_hour') }}
),

failed_calls as (
    select
        *,
        list_filter(
            {{ json_members('upstream') }},
            lambda member: coalesce({{ json_number("(member.value -> '$.status')") }} >= 400, false)
        ) as failed_upstreams
    from errors
)

select
    model_name,
    model_version,
    role,
    status,
    -- As far as was logged: a model that never ran took no time.
    case
        when len(failed_upstreams) > 0 then 'an upstream failed'
        when inference_time_ms is null then 'the model did not run'
        else 'the model had run'
    end as error_stage,
    count(*) as error_count,
    event_hour,
    revision
from failed_calls
group by all
