-- Grain: one model_name, model_version, role and minute with requests.
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    meta={'retention': {'kind': 'minutes', 'key': 'rows.event_hour', 'raw_key': 'rows.event_hour'}},
    pre_hook="{{ forget_stale(ref('int_event_hours'), ['event_hour']) }}",
) }}

with

stale_hours as (
    {{ stale_keys(ref('int_event_hours'), ['event_hour']) }}
),

events as (
    select
        events.*,
        stale_hours.revision
    from {{ ref('stg_inference_events') }} as events
    inner join stale_hours on events.event_hour = stale_hours.event_hour
    where {{ is_stale('events.event_hour', ref('int_event_hours'), 'event_hour') }}
)

select
    model_name,
    model_version,
    role,
    date_trunc('minute', ts) as window_start,
    {{ service_measures() }},
    event_hour,
    revision
from events
group by all
