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
)

select
    events.model_name,
    events.model_version,
    events.role,
    events.status,
    -- As far as was logged: a model that never ran took no time.
    case
        when len(list_filter(
            {{ json_members('events.upstream') }},
            lambda member: coalesce({{ json_number("(member.value -> '$.status')") }} >= 400, false)
        )) > 0 then 'an upstream failed'
        when events.inference_time_ms is null then 'the model did not run'
        else 'the model had run'
    end as stage,
    count(*) as error_count,
    events.event_hour,
    stale_hours.revision
from {{ ref('stg_inference_events') }} as events
inner join stale_hours on events.event_hour = stale_hours.event_hour
where
    events.status >= 400
    and {{ is_stale('events.event_hour', ref('int_event_hours'), 'event_hour') }}
group by all
