-- Custom metrics whose expression failed on the rows of a window of the last week: make it fit every
-- row, by try_cast(...) in place of a cast, a `filter`, or nullif(..., 0).
{{ config(severity='warn') }}

select
    metric,
    model_name,
    model_version,
    window_size,
    count(distinct window_end) as window_count,
    max(window_end) as last_window_end,
    min(problem) as problem
from {{ ref('custom_metrics') }} as metrics
cross join {{ ref('int_as_of') }} as clock
where
    problem is not null
    and window_end > clock.as_of - interval '7 days'
group by all
