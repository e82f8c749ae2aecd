-- Grain: one model_name and closed hour or day in which labels became known. All versions and roles
-- together, since they share the labels of their requests.
with

hours as (
    select file_hours.*
    from {{ ref('int_label_file_hours') }} as file_hours
    inner join {{ ref('int_monitored_models') }} as models
        on file_hours.model_name = models.model_name
),

sizes as (
    select *
    from (
        values ('1h', 'hour', 60), ('1d', 'day', 1440)
    ) as sizes (window_size, unit, minutes) -- noqa: AL05
),

windows as (
    select
        hours.model_name,
        sizes.window_size,
        case sizes.unit
            when 'hour' then hours.label_hour else date_trunc('day', hours.label_hour)
        end as window_start,
        any_value(sizes.minutes) as minutes,
        sum(hours.label_count)::bigint as label_count,
        sum(hours.corrected_count)::bigint as corrected_label_count
    from hours
    cross join sizes
    group by all
)

select
    windows.model_name,
    'all' as model_version,
    'all' as role,
    'all' as slice_key,
    'all' as slice_value,
    windows.window_size,
    windows.window_start,
    windows.window_start + to_minutes(windows.minutes) as window_end,
    windows.label_count,
    windows.corrected_label_count,
    windows.corrected_label_count / windows.label_count as label_correction_rate
from windows
cross join {{ ref('int_as_of') }} as clock
where windows.window_start + to_minutes(windows.minutes) <= clock.as_of
