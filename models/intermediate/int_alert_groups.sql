-- Grain: one line of an alert: a slice value and feature, and a stretch of time in which it was
-- pending or firing. Lines of one model_version that fire at the same time are of one alert.
with

conditions as (
    select
        *,
        row_number() over (
            partition by alert_name, model_name order by condition_number, slice_key
        ) as place,
        max(condition_number) over (partition by alert_name, model_name) as condition_count
    from {{ ref('int_alert_conditions') }}
),

lines as (
    select
        *,
        'ok' as data_status
    from {{ ref('int_alert_lines') }}
    union all by name
    select
        alert_name,
        model_name,
        model_version,
        role,
        'all' as slice_key,
        'all' as slice_value,
        feature,
        case when absent_to is null then 'firing' else 'resolved' end as state,
        known_until as started_at,
        absent_from as fired_at,
        absent_to as resolved_at,
        false as is_expired,
        'no_data' as data_status
    from {{ ref('int_alert_absences') }}
),

-- A line that fires while others do, or at the moment when they resolve, is of their alert.
marked as (
    select
        *,
        coalesce(
            fired_at > max(coalesce(resolved_at, timestamp '9999-01-01')) over (
                partition by alert_name, model_name, model_version, role, state = 'pending'
                order by fired_at, resolved_at, slice_key, slice_value, feature
                rows between unbounded preceding and 1 preceding
            ),
            true
        ) as begins
    from lines
),

numbered as (
    select
        *,
        sum(begins::integer) over (
            partition by alert_name, model_name, model_version, role, state = 'pending'
            order by fired_at, resolved_at, slice_key, slice_value, feature
        ) as number
    from marked
),

-- All that are pending may become one alert, or join the one that fires.
grouped as (
    select
        *,
        min(coalesce(fired_at, started_at)) over (
            partition by
                alert_name, model_name, model_version, role, state = 'pending',
                case when state <> 'pending' then number end
        ) as group_at
    from numbered
    qualify
        state <> 'pending'
        or not bool_or(state = 'firing') over (
            partition by alert_name, model_name, model_version, role
        )
)

select
    {{ short_id([
        'grouped.alert_name', 'grouped.model_name', 'grouped.model_version', 'grouped.role',
        'group_at', "grouped.state = 'pending'",
    ]) }} as alert_id,
    grouped.* exclude (begins, number, group_at), -- noqa: RF02
    conditions.kind,
    conditions.metric,
    conditions.comparison,
    conditions.comparator,
    conditions.threshold,
    conditions.compare_to,
    conditions.condition_count,
    conditions.window_size,
    conditions.severity,
    conditions.runbook,
    conditions.owner,
    conditions.triggers_retraining
from grouped
inner join conditions
    on
        grouped.alert_name = conditions.alert_name
        and grouped.model_name = conditions.model_name
        and conditions.place = 1
