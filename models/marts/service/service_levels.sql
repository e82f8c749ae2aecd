-- Grain: one model_name, model_version, role, slice and closed hour or day with requests.
with

windows as (
    select
        * exclude (event_hour, first_minute, revision),
        '1h' as window_size,
        60 as minutes
    from {{ ref('int_service_hours') }}
    union all by name
    select
        * exclude (event_date, revision),
        '1d' as window_size,
        1440 as minutes
    from {{ ref('int_service_days') }}
),

closed as (
    select
        windows.*,
        windows.window_start + to_minutes(windows.minutes) as window_end
    from windows
    cross join {{ ref('int_as_of') }} as clock
    where windows.window_start + to_minutes(windows.minutes) <= clock.as_of
)

select
    {{ shared_keys() | join(',\n    ') }},
    {{ service_columns('minutes') }},
    latency_count
from closed
