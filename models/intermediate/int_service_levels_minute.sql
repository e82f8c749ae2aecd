-- Grain: one model_name, model_version, role and closed minute: all minutes of its span, and
-- those outside it that had requests.
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    meta={'retention': {'kind': 'minutes', 'key': 'rows.event_hour'}},
    pre_hook="{{ forget_stale(ref('int_service_calendar'), ['event_hour']) }}",
) }}

with

stale_hours as (
    {{ stale_keys(ref('int_service_calendar'), ['event_hour']) }}
),

expected as (
    select
        spans.model_name,
        spans.model_version,
        spans.role,
        unnest(generate_series(
            greatest(spans.span_start, stale_hours.event_hour),
            least(spans.span_end, stale_hours.event_hour + interval '1 hour')
            - interval '1 minute',
            interval '1 minute'
        )) as window_start
    from {{ ref('int_service_spans') }} as spans
    inner join stale_hours
        on
            stale_hours.event_hour < spans.span_end
            and stale_hours.event_hour >= date_trunc('hour', spans.span_start)
),

observed as (
    select minutes.*
    from {{ ref('int_service_minutes') }} as minutes
    cross join {{ ref('int_as_of') }} as clock
    where
        minutes.event_hour in (select event_hour from stale_hours)
        and minutes.window_start + interval '1 minute' <= clock.as_of
),

joined as (
    select
        coalesce(expected.model_name, observed.model_name) as model_name,
        coalesce(expected.model_version, observed.model_version) as model_version,
        coalesce(expected.role, observed.role) as role,
        coalesce(expected.window_start, observed.window_start) as window_start,
        coalesce(observed.request_count, 0) as request_count,
        coalesce(observed.error_count, 0) as error_count,
        -- Of a minute with requests it may not be known.
        case when observed.request_count is null then 0 else observed.slow_count end as slow_count,
        observed.latency_quantiles,
        observed.latency_sum,
        observed.latency_count,
        observed.latency_max_ms,
        observed.inference_time_quantiles
    from expected
    full outer join observed
        on
            expected.model_name = observed.model_name
            and expected.model_version = observed.model_version
            and expected.role = observed.role
            and expected.window_start = observed.window_start
)

select
    joined.model_name,
    joined.model_version,
    joined.role,
    joined.window_start,
    {{ service_columns(1) }},
    stale_hours.event_hour,
    stale_hours.revision
from joined
inner join stale_hours on date_trunc('hour', joined.window_start) = stale_hours.event_hour
