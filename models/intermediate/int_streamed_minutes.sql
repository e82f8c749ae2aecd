-- Grain: one model_name, model_version, role and closed minute, as streaming runs saw it while it
-- was in their lookback. The rows of a minute are made and deleted together.
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    tags=['streaming'],
    meta={'unit': ['window_start']},
    pre_hook="{{ forget_streamed_minutes() }}",
) }}
-- depends_on: {{ ref('int_as_of') }}

with

stale_minutes as (
    select
        calendar.* exclude (revision),
        {{ revision_of('calendar.revision') }} as revision
    from {{ ref('int_streamed_calendar') }} as calendar
    {% if is_incremental() %}
    where calendar.window_start not in (select held.window_start from {{ this }} as held)
    {% endif %}
),

events as (
    {{ streamed_events() }}
),

measured as (
    select
        model_name,
        model_version,
        role,
        event_minute as window_start,
        {{ service_measures() }}
    from events
    where event_minute in (select window_start from stale_minutes)
    group by all
),

joined as (
    select
        stale_minutes.model_name,
        stale_minutes.model_version,
        stale_minutes.role,
        stale_minutes.window_start,
        stale_minutes.revision,
        coalesce(measured.request_count, 0) as request_count,
        coalesce(measured.error_count, 0) as error_count,
        coalesce(measured.slow_count, 0) as slow_count,
        measured.latency_quantiles,
        measured.latency_sum,
        measured.latency_count,
        measured.latency_max_ms,
        measured.inference_time_quantiles
    from stale_minutes
    left join measured using (model_name, model_version, role, window_start)
)

select
    model_name,
    model_version,
    role,
    window_start,
    {{ service_columns(1) }},
    revision
from joined
