-- Grain: one alert_id, suspect_kind and suspect: what else changed when the metric broke, and how
-- far it may explain that. What hardly does has no row; an alert without rows has no suspects.
select
    alerts.model_name,
    alerts.model_version,
    alerts.role,
    suspects.slice_key,
    suspects.slice_value,
    alerts.window_size,
    alerts.window_start,
    alerts.window_end,
    suspects.alert_id,
    alerts.alert_name,
    alerts.metric,
    suspects.suspect_kind,
    suspects.suspect,
    suspects.started_at,
    suspects.evidence,
    suspects.score,
    suspects.suspect_rank,
    suspects.runbook,
    'ok' as data_status
from {{ ref('int_root_cause_suspects') }} as suspects
inner join {{ ref('int_suspect_alerts') }} as alerts on suspects.alert_id = alerts.alert_id
where suspects.score >= {{ least_suspect_score() }}
