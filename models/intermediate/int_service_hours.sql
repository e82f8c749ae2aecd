-- Grain: one model_name, model_version, role, slice and hour with requests.
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

events as (
    select
        events.*,
        stale_hours.revision
    from {{ ref('stg_inference_events') }} as events
    inner join stale_hours on events.event_hour = stale_hours.event_hour
    where {{ is_stale('events.event_hour', ref('int_event_hours'), 'event_hour') }}
),

sliced_events as (
    select
        events.*,
        unnest({{ slices_of('events') }}, recursive := true)
    from events
)

select
    model_name,
    model_version,
    role,
    slice_key,
    slice_value,
    event_hour as window_start,
    {{ service_measures() }},
    -- Where a version's time begins, once its minutes are no longer kept.
    date_trunc('minute', min(ts)) as first_minute,
    event_hour,
    revision
from sliced_events
group by all
