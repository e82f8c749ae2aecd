-- Grain: one alert, with what people have done about it: acknowledged it, silenced it, or announced
-- maintenance. The alert itself does not change.
with

acknowledgements as (
    select
        alert_id,
        arg_min(acknowledged_by, acknowledged_at) as acknowledged_by,
        arg_min(comment, acknowledged_at) as comment,
        min(acknowledged_at) as acknowledged_at
    from {{ ref('stg_alert_acknowledgements') }}
    where problem is null
    group by alert_id
),

-- What is in force now.
silences as (
    select
        alerts.alert_id,
        max(silences.ends_at) filter (where silences.kind = 'silence') as silenced_until,
        bool_or(silences.kind = 'maintenance') as is_in_maintenance
    from {{ ref('alerts') }} as alerts
    cross join {{ ref('int_as_of') }} as clock
    inner join {{ ref('stg_alert_silences') }} as silences
        on
            silences.problem is null
            and coalesce(silences.alert_name, alerts.alert_name) = alerts.alert_name
            and coalesce(silences.model_name, alerts.model_name) = alerts.model_name
            and clock.as_of >= silences.starts_at
            and clock.as_of < silences.ends_at
    group by alerts.alert_id
)

select
    alerts.*,
    acknowledgements.acknowledged_at,
    acknowledgements.acknowledged_by,
    acknowledgements.comment as acknowledgement_comment,
    silences.silenced_until is not null as is_silenced,
    silences.silenced_until,
    coalesce(silences.is_in_maintenance, false) as is_in_maintenance
from {{ ref('alerts') }} as alerts
left join acknowledgements on alerts.alert_id = acknowledgements.alert_id
left join silences on alerts.alert_id = silences.alert_id
