-- Grain: one line of an alert: a slice value and feature, and a stretch of time in which it was
-- pending or firing.
select
    model_name,
    model_version,
    role,
    slice_key,
    slice_value,
    window_size,
    window_start,
    window_end,
    alert_id,
    alert_name,
    nullif(nullif(feature, ''), '*') as feature,
    state,
    started_at,
    fired_at,
    resolved_at,
    breached_windows,
    worst_value,
    last_value,
    data_status
from {{ ref('int_alert_groups') }}
