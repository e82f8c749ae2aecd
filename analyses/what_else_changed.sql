-- What else changed when alerts began?
--
-- The alerts of the last 30 days with their first three suspects, and when each changed.
--
-- Read it like this: a first suspect with a score over one half, that began when the alert did, is
-- where to look. An alert without suspects is one beside which nothing else changed that the tables
-- know of: ask what they do not know. The same suspect for several alerts: they are one incident.
--
-- Run it with: dbt show --select what_else_changed --limit 50
with

newest as (
    select max(started_at) as newest_at
    from {{ ref('alerts') }}
),

alerts as (
    select alerts.*
    from {{ ref('alerts') }} as alerts
    cross join newest
    where alerts.started_at >= newest.newest_at - interval '30 days'
)

select
    alerts.started_at,
    alerts.alert_name,
    alerts.model_name,
    alerts.model_version,
    alerts.state,
    suspects.suspect_rank,
    suspects.suspect_kind || ': ' || suspects.suspect as suspect,
    round(suspects.score, 2) as score,
    date_diff('minute', suspects.started_at, alerts.started_at) as minutes_before_the_alert,
    suspects.evidence,
    alerts.alert_id
from alerts
left join {{ ref('root_cause_suspects') }} as suspects
    on
        alerts.alert_id = suspects.alert_id
        and suspects.suspect_rank <= 3
order by alerts.started_at desc, alerts.alert_id asc, suspects.suspect_rank asc
