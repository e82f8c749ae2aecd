-- Grain: one alert that is firing, with its worst line.
with

alerts as (
    select * from {{ ref('alerts') }} where state = 'firing'
),

lines as (
    select *
    from {{ ref('int_alert_groups') }}
    where state = 'firing'
)

select
    alerts.* exclude ( -- noqa: RF02
        feature, started_at, last_value, window_start, window_end, data_status -- noqa: RF02
    ),
    coalesce(alerts.feature, '') as feature,
    lines.comparison,
    lines.started_at as breached_since,
    lines.window_start,
    lines.window_end,
    lines.last_value as sli_value,
    lines.breached_windows,
    lines.data_status
from alerts
inner join lines
    on
        alerts.alert_id = lines.alert_id
        and alerts.slice_key = lines.slice_key
        and alerts.slice_value = lines.slice_value
        and coalesce(alerts.feature, '') = coalesce(nullif(lines.feature, '*'), '')
