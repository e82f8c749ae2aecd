-- Grain: one target, window of the last 28 days that it could judge (old enough to be mature and
-- with enough requests) and feature, for metrics of features.
with

targets as (
    select * from {{ ref('stg_slo_targets') }} where problem is null
),

windows as (
    select metrics.*
    from {{ ref('int_metric_values') }} as metrics
    cross join {{ ref('int_as_of') }} as clock
    where
        metrics.window_end > clock.as_of - interval '28 days'
        and metrics.data_status = 'ok'
        -- What people knew at the time is the only fair history.
        and coalesce(metrics.label_view, 'as_known') = 'as_known'
        and metrics.metric in (select metric from targets)
),

judged as (
    select
        targets.slo_name,
        {% for key in shared_keys() %}
        windows.{{ key }},
        {% endfor %}
        coalesce(windows.feature, '') as feature,
        windows.value as sli_value,
        windows.sample_count,
        targets.comparator,
        targets.objective,
        -- A gap between groups grows with their number: only its interval can break a target.
        case
            when windows.metric not in ({{ text_literals(fairness_metrics()) }}) then windows.value
            when targets.comparator in ('<', '<=') then windows.value_lower
            else windows.value_upper
        end as judged_value
    from windows
    inner join targets
        on
            windows.model_name = targets.model_name
            and windows.role = targets.role
            and windows.metric = targets.metric
            and windows.window_size = targets.window_size
            and windows.slice_key = targets.slice_key
            and (targets.feature = '*' or windows.feature is not distinct from targets.feature)
            and coalesce(windows.comparison, targets.comparison) = targets.comparison
            and windows.sample_count >= targets.min_requests
)

select
    * exclude (comparator, objective, judged_value),
    case comparator
        when '<' then not judged_value < objective
        when '<=' then not judged_value <= objective
        when '>' then not judged_value > objective
        when '>=' then not judged_value >= objective
    end as is_breached
from judged
