-- Grain: one model_name, model_version, role, slice and day with requests.
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    meta={'retention': {'raw_key': 'rows.event_date'}},
    pre_hook="{{ forget_stale(ref('int_event_dates'), ['event_date']) }}",
) }}

with

stale_days as (
    {{ stale_keys(ref('int_event_dates'), ['event_date']) }}
),

events as (
    select
        events.*,
        stale_days.revision
    from {{ ref('stg_inference_events') }} as events
    inner join stale_days on events.event_date = stale_days.event_date
    where {{ is_stale('events.event_date', ref('int_event_dates'), 'event_date') }}
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
    event_date::timestamp as window_start,
    {{ service_measures() }},
    event_date,
    revision
from sliced_events
group by all
