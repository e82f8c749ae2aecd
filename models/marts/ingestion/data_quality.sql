-- Grain: one model_name and closed hour or day with lines that were read. All versions and roles
-- together, since a rejected line may not say whose it is.
with

hours as (
    select
        model_name,
        event_hour,
        line_count,
        rejected_count,
        field_issue_count,
        flawed_count,
        0 as duplicate_count
    from {{ ref('int_file_hours') }}
    union all
    select
        model_name,
        date_trunc('hour', ts) as event_hour,
        0 as line_count,
        0 as rejected_count,
        0 as field_issue_count,
        0 as flawed_count,
        1 as duplicate_count
    from {{ ref('int_duplicate_lines') }}
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
            when 'hour' then hours.event_hour else date_trunc('day', hours.event_hour)
        end as window_start,
        any_value(sizes.minutes) as minutes,
        sum(hours.line_count)::bigint as line_count,
        sum(hours.rejected_count)::bigint as rejected_count,
        sum(hours.duplicate_count)::bigint as duplicate_count,
        sum(hours.field_issue_count)::bigint as field_issue_count,
        sum(hours.flawed_count)::bigint as flawed_count
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
    windows.line_count,
    windows.rejected_count,
    windows.rejected_count / nullif(windows.line_count, 0) as reject_rate,
    windows.duplicate_count,
    windows.duplicate_count / nullif(windows.line_count, 0) as duplicate_rate,
    windows.field_issue_count,
    windows.flawed_count / nullif(windows.line_count - windows.rejected_count, 0)
        as field_issue_rate
from windows
cross join {{ ref('int_as_of') }} as clock
where windows.window_start + to_minutes(windows.minutes) <= clock.as_of
