-- Grain: one event_date, model_name, model_version and combination of slice values (mix_cell) with
-- live requests, of the days and versions that a release is compared by.
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    meta={
        'retention': {'kind': 'days', 'key': 'rows.event_date', 'raw_key': 'rows.event_date'},
    },
    pre_hook="{{ forget_stale(ref('int_release_dates'), ['event_date']) }}",
) }}

with

stale_dates as (
    {{ stale_keys(ref('int_release_dates'), ['event_date']) }}
),

events as (
    select
        events.*,
        to_json({{ slices_of('events') }})::varchar as mix_cell,
        stale_dates.revision
    from {{ ref('stg_inference_events') }} as events
    inner join stale_dates on events.event_date = stale_dates.event_date
    inner join {{ ref('int_release_dates') }} as dates on events.event_date = dates.event_date
    where
        events.role = 'live'
        and list_contains(dates.versions, struct_pack(
            model_name := events.model_name, model_version := events.model_version
        ))
        and {{ is_stale('events.event_date', ref('int_release_dates'), 'event_date') }}
)

select
    model_name,
    model_version,
    mix_cell,
    count(*) as request_count,
    count(*) filter (where status >= 400) as error_count,
    count(latency_ms) as latency_count,
    -- Null where the model has no threshold.
    sum((coalesce(latency_ms, 0) > {{ latency_threshold_ms() }})::integer)::bigint as slow_count,
    -- A sum of whole numbers, as service_measures has it.
    coalesce(
        sum(round(latency_ms * {{ latency_unit() }})::bigint)::hugeint::double
        / {{ latency_unit() }}, 0
    ) as latency_sum_ms,
    histogram({{ latency_bin('latency_ms') }}) as latency_histogram,
    event_date,
    revision
from events
group by all
