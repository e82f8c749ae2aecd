-- Grain: one live event and one shadow event of the same request; also a live event that should
-- have reached a shadow version and did not, and a shadow event that no live version had. Paired
-- and live events are of the date of the live one.
{{ config(
    materialized=of_event_size('incremental'),
    incremental_strategy='append',
    meta={'retention': {
        'kind': 'days', 'key': 'rows.event_date', 'raw_key': '(rows.event_date - 1)'
    }},
    pre_hook="{{ forget_stale(ref('int_shadow_dates'), ['event_date']) }}",
) }}

with

stale_dates as (
    {{ stale_keys(ref('int_shadow_dates'), ['event_date']) }}
),

near_dates as (
    select distinct event_date + unnest([-1, 0, 1]) as event_date
    from stale_dates
),

events as (
    select
        events.event_date,
        events.ts,
        events.request_id,
        events.model_name,
        events.model_version,
        events.role,
        events.status,
        events.latency_ms,
        events.score,
        case models.task
            when 'binary_classification'
                then coalesce(
                    case when events.prediction in ('0', '1') then events.prediction end,
                    (events.score >= models.decision_threshold)::integer::varchar
                )
            when 'multiclass_classification' then events.prediction
        end as decision,
        {{ slices_of('events', intersections=true) }} as slices
    from {{ ref('stg_inference_events') }} as events
    inner join {{ ref('int_monitored_models') }} as models
        on events.model_name = models.model_name
    where
        events.event_date in (select event_date from near_dates)
        and {{ is_stale('events.event_date', ref('int_shadow_dates'), 'event_date', around=1) }}
),

live as (
    select * from events where role = 'live'
),

shadows as (
    select * from events where role = 'shadow'
),

expected as (
    select
        live.*,
        spans.model_version as shadow_version,
        live.ts >= spans.started_at and live.ts < spans.ended_at as is_in_span
    from live
    inner join {{ ref('int_shadow_spans') }} as spans on live.model_name = spans.model_name
    where live.event_date in (select event_date from stale_dates)
),

paired as (
    select
        expected.event_date,
        expected.model_name,
        expected.shadow_version as model_version,
        expected.model_version as live_version,
        expected.request_id,
        case when shadows.request_id is null then 'live_only' else 'paired' end as pairing,
        expected.status as live_status,
        shadows.status as shadow_status,
        expected.latency_ms as live_latency_ms,
        shadows.latency_ms as shadow_latency_ms,
        expected.score as live_score,
        shadows.score as shadow_score,
        expected.decision as live_decision,
        shadows.decision as shadow_decision,
        expected.slices
    from expected
    left join shadows
        on
            expected.model_name = shadows.model_name
            and expected.shadow_version = shadows.model_version
            and expected.request_id = shadows.request_id
            and shadows.event_date between expected.event_date - 1 and expected.event_date + 1
    where expected.is_in_span or shadows.request_id is not null
),

without_live as (
    select
        shadows.event_date,
        shadows.model_name,
        shadows.model_version,
        null::varchar as live_version,
        shadows.request_id,
        'shadow_only' as pairing,
        null::smallint as live_status,
        shadows.status as shadow_status,
        null::double as live_latency_ms,
        shadows.latency_ms as shadow_latency_ms,
        null::double as live_score,
        shadows.score as shadow_score,
        null::varchar as live_decision,
        shadows.decision as shadow_decision,
        shadows.slices
    from shadows
    where
        shadows.event_date in (select event_date from stale_dates)
        and not exists (
            select 1
            from live
            where
                live.model_name = shadows.model_name
                and live.request_id = shadows.request_id
                and live.event_date between shadows.event_date - 1 and shadows.event_date + 1
        )
)

select
    pairs.*,
    stale_dates.revision
from (
    select * from paired
    union all
    select * from without_live
) as pairs
inner join stale_dates on pairs.event_date = stale_dates.event_date
