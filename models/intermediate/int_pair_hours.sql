-- Grain: one model_name, model_version, role, pair of slices and hour with requests: as
-- int_service_hours is of slices, from the events themselves. A view: read it for a few hours.
{{ config(materialized='view') }}

with

paired as (
    select
        events.model_name,
        events.model_version,
        events.role,
        events.event_hour,
        events.status,
        events.latency_ms,
        unnest({{ slice_pairs_of('events') }}, recursive := true)
    from {{ ref('stg_inference_events') }} as events
)

select
    model_name,
    model_version,
    role,
    slice_key,
    slice_value,
    first_key,
    first_value,
    second_key,
    second_value,
    event_hour,
    count(*) as request_count,
    count(*) filter (where status >= 400) as error_count,
    count(latency_ms) as latency_count,
    sum((coalesce(latency_ms, 0) > {{ latency_threshold_ms() }})::integer)::bigint as slow_count,
    sum(round(latency_ms * {{ latency_unit() }})::bigint)::hugeint as latency_sum,
    histogram({{ latency_bin('latency_ms') }}) as latency_histogram
from paired
group by all
