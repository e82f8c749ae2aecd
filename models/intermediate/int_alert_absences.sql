-- Grain: one alert that absence breaches, model_version and role, and stretch of time in which the
-- version served and nothing could be judged for longer than the alert allows.
with

rules as (
    select
        alert_name,
        model_name,
        role,
        min(max_age_hours) as max_age_hours,
        max({{ window_minutes('window_size') }}) as minutes,
        any_value(feature) as feature
    from {{ ref('int_alert_conditions') }}
    where on_missing = 'breach'
    group by all
),

spans as (
    select
        model_name,
        model_version,
        role,
        span_start,
        case when not is_serving then span_end end as span_end
    from {{ ref('int_service_spans') }}
    union all
    select
        model_name,
        'all' as model_version,
        'all' as role,
        min(span_start) as span_start,
        case when not bool_or(is_serving) then max(span_end) end as span_end
    from {{ ref('int_service_spans') }}
    group by model_name
),

-- Nothing is missed before a whole window could have been judged.
beginnings as (
    select
        rules.alert_name,
        rules.model_name,
        spans.model_version,
        rules.role,
        rules.feature,
        spans.span_start,
        spans.span_end,
        spans.span_start + to_minutes(rules.minutes)
        + to_microseconds((rules.max_age_hours * 3.6e9)::bigint) as expected_by
    from rules
    inner join spans on rules.model_name = spans.model_name and rules.role = spans.role
),

moments as (
    select
        alert_name,
        model_name,
        model_version,
        role,
        span_start as known_until,
        span_start as evaluated_at,
        expected_by as expires_at
    from beginnings
    union all
    select
        alert_name,
        model_name,
        model_version,
        role,
        window_end as known_until,
        evaluated_at,
        max(expires_at) as expires_at
    from {{ ref('int_alert_evaluations') }}
    where
        is_breached is not null
        and (alert_name, model_name) in (select (alert_name, model_name) from rules)
    group by all
),

-- Until when is what is known by then good for?
gaps as (
    select
        alert_name,
        model_name,
        model_version,
        role,
        max(known_until) over earlier as known_until,
        max(expires_at) over earlier as absent_from,
        lead(evaluated_at) over earlier as absent_to
    from moments
    window earlier as (
        partition by alert_name, model_name, model_version, role
        order by evaluated_at, expires_at
        rows between unbounded preceding and current row
    )
)

select
    gaps.alert_name,
    gaps.model_name,
    gaps.model_version,
    gaps.role,
    coalesce(beginnings.feature, '') as feature,
    gaps.known_until,
    gaps.absent_from,
    case
        when least(gaps.absent_to, beginnings.span_end) <= clock.as_of
            then least(gaps.absent_to, beginnings.span_end)
    end as absent_to
from gaps
inner join beginnings using (alert_name, model_name, model_version, role)
cross join {{ ref('int_as_of') }} as clock
where
    gaps.absent_from < coalesce(gaps.absent_to, timestamp '9999-01-01')
    and gaps.absent_from <= clock.as_of
    and gaps.absent_from < coalesce(beginnings.span_end, timestamp '9999-01-01')
