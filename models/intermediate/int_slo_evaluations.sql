-- Grain: one target and window of the last 28 days that it could judge: old enough to be mature
-- and with enough requests.
with

targets as (
    select * from {{ ref('stg_slo_targets') }} where problem is null
),

windows as (
    select metrics.*
    from {{ ref('monitoring_metrics') }} as metrics
    cross join {{ ref('int_as_of') }} as clock
    where
        metrics.window_end > clock.as_of - interval '28 days'
        and metrics.data_status = 'ok'
        -- What people knew at the time is the only fair history.
        and coalesce(metrics.label_view, 'as_known') = 'as_known'
        and metrics.metric in (select metric from targets)
)

select
    targets.slo_name,
    {% for key in shared_keys() %}
    windows.{{ key }},
    {% endfor %}
    windows.value as sli_value,
    windows.sample_count,
    case targets.comparator
        when '<' then not windows.value < targets.objective
        when '<=' then not windows.value <= targets.objective
        when '>' then not windows.value > targets.objective
        when '>=' then not windows.value >= targets.objective
    end as is_breached
from windows
inner join targets
    on
        windows.model_name = targets.model_name
        and windows.role = targets.role
        and windows.metric = targets.metric
        and windows.slice_key = targets.slice_key
        and windows.window_size = targets.window_size
        and windows.feature is not distinct from targets.feature
        and windows.sample_count >= targets.min_requests
