-- Grain: one alert: a rule, model_version and role, and a stretch of time in which some of its
-- lines were firing, or may do so soon.
with

lines as (
    select
        *,
        {{ short_id(['slice_key', 'slice_value', 'feature']) }} as line,
        -- How bad: in the direction of the rule.
        case when comparator in ('<', '<=') then -worst_value else worst_value end as badness
    from {{ ref('int_alert_groups') }}
),

-- What fires now says more than what has ended.
named as (
    select *
    from lines
    qualify row_number() over (
        partition by alert_id
        order by
            state = 'firing' desc, badness desc nulls last, fired_at asc, slice_key asc,
            slice_value asc, feature asc
    ) = 1
),

spans as (
    select
        alert_id,
        case
            when bool_or(state = 'firing') then 'firing'
            when bool_and(state = 'pending') then 'pending'
            else 'resolved'
        end as state,
        min(started_at) as started_at,
        min(fired_at) as fired_at,
        max(resolved_at) as resolved_at,
        count(distinct line) as line_count,
        count(distinct line) filter (where state = 'firing') as firing_line_count,
        arg_max(worst_value, badness) as worst_value
    from lines
    group by alert_id
)

select
    named.model_name,
    named.model_version,
    named.role,
    named.slice_key,
    named.slice_value,
    named.window_size,
    named.window_start,
    named.window_end,
    named.alert_id,
    named.alert_name,
    named.kind,
    named.severity,
    named.owner,
    spans.state,
    spans.started_at,
    spans.fired_at,
    case when spans.state = 'resolved' then spans.resolved_at end as resolved_at,
    spans.line_count,
    spans.firing_line_count,
    named.metric,
    nullif(nullif(named.feature, ''), '*') as feature,
    named.compare_to,
    named.comparator,
    named.threshold,
    named.condition_count,
    spans.worst_value,
    named.last_value,
    named.runbook,
    named.triggers_retraining,
    named.data_status
from named
inner join spans on named.alert_id = spans.alert_id
