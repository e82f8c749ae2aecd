-- Which alerts are one incident?
--
-- Suspects that came first for more than one alert, within three days of each other: the alerts
-- have one cause, and want one report.
--
-- Read it like this: `alerts` names the alerts of the incident, `first_alert` the one that began
-- first. Make a report of that one: make rca ALERT=<first_alert>.
--
-- Run it with: dbt show --select which_alerts_are_one_incident --limit 50
with

first_suspects as (
    select
        suspects.model_name,
        suspects.suspect_kind,
        suspects.suspect,
        suspects.alert_id,
        suspects.alert_name,
        suspects.score,
        alerts.started_at
    from {{ ref('root_cause_suspects') }} as suspects
    inner join {{ ref('alerts') }} as alerts on suspects.alert_id = alerts.alert_id
    where suspects.suspect_rank = 1
),

marked as (
    select
        *,
        coalesce(started_at > lag(started_at) over suspect + interval '3 days', true) as begins
    from first_suspects
    window
        suspect as (
            partition by model_name, suspect_kind, suspect order by started_at, alert_id
        )
),

numbered as (
    select
        *,
        sum(begins::integer) over (
            partition by model_name, suspect_kind, suspect
            order by started_at, alert_id
        ) as incident_number
    from marked
)

select
    model_name,
    suspect_kind || ': ' || suspect as suspect,
    min(started_at) as began_at,
    count(*) as alert_count,
    round(max(score), 2) as highest_score,
    arg_min(alert_id, (started_at, alert_id)) as first_alert,
    string_agg(distinct alert_name, ', ' order by alert_name) as alerts
from numbered
group by model_name, suspect_kind, suspect, incident_number
having count(*) > 1
order by began_at
