-- Custom metrics whose expression failed on rows of a window of the last week: make it fit every
-- row, by try_cast(...) in place of a cast, a `filter`, or nullif(..., 0).
{{ config(severity='warn') }}

select
    metrics.metric,
    metrics.model_name,
    metrics.model_version,
    metrics.window_size,
    count(distinct metrics.window_end) as window_count,
    max(metrics.window_end) as last_window_end,
    min(metrics.problem) as problem
from {{ ref('custom_metrics') }} as metrics
cross join {{ ref('int_as_of') }} as clock
where
    metrics.problem is not null
    and metrics.window_end > clock.as_of - interval '7 days'
group by all
