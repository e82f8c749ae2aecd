-- Grain: one alert, with the time in which its breaches lie as far as they had been judged when it
-- fired. So what is suspected does not change afterwards, unless the data does.
with

breaches as (
    select
        alerts.alert_id,
        min(evaluations.window_start) as event_from,
        max(evaluations.window_end) as event_to
    from {{ ref('alerts') }} as alerts
    cross join {{ ref('int_as_of') }} as clock
    inner join {{ ref('int_alert_evaluations') }} as evaluations
        on
            alerts.alert_name = evaluations.alert_name
            and alerts.model_name = evaluations.model_name
            and alerts.model_version = evaluations.model_version
            and alerts.role = evaluations.role
            and alerts.slice_key = evaluations.slice_key
            and alerts.slice_value = evaluations.slice_value
            and evaluations.line_feature in ('', '*', coalesce(alerts.feature, ''))
            and evaluations.condition_number = 1
            and evaluations.is_breached
            and evaluations.window_end > alerts.started_at
            and evaluations.evaluated_at <= coalesce(alerts.fired_at, clock.as_of)
    group by alerts.alert_id
),

spans as (
    select
        alerts.*,
        coalesce(breaches.event_from, alerts.started_at) as event_from,
        coalesce(breaches.event_to, alerts.fired_at, clock.as_of) as event_to,
        -- Labels of these events went on coming until then.
        coalesce(alerts.fired_at, clock.as_of) as known_to
    from {{ ref('alerts') }} as alerts
    cross join {{ ref('int_as_of') }} as clock
    left join breaches on alerts.alert_id = breaches.alert_id
)

select
    model_name,
    model_version,
    role,
    slice_key,
    slice_value,
    window_size,
    window_start,
    window_end,
    alert_id,
    alert_name,
    metric,
    feature,
    started_at,
    runbook,
    -- A month that a metric is taken of has begun long before what made it worse.
    greatest(event_from, started_at - interval '7 days') as event_from,
    greatest(event_to, started_at + interval '1 minute') as event_to,
    greatest(known_to, event_to, started_at + interval '1 minute') as known_to
from spans
