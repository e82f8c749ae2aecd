-- Grain: one model_name and model_version that was a shadow, and the time in which live requests
-- should have reached it: from its first minute to the end of its last hour with requests, or of
-- its deployment.
with

served as (
    select
        hours.model_name,
        hours.model_version,
        min(hours.first_minute) as started_at,
        max(hours.window_start) + interval '1 hour' as last_hour_end
    from {{ ref('int_service_hours') }} as hours
    inner join {{ ref('int_monitored_models') }} as models on hours.model_name = models.model_name
    where hours.role = 'shadow' and hours.slice_key = 'all'
    group by hours.model_name, hours.model_version
),

ends as (
    select
        model_name,
        model_version,
        max(coalesce(deployed_to, 'infinity')) as deployed_to
    from {{ ref('stg_deployments') }}
    where role = 'shadow' and problem is null
    group by model_name, model_version
)

select
    served.model_name,
    served.model_version,
    served.started_at,
    -- A shadow answers a little after the live version; a deployment that ended more than a day
    -- before the last request is mistaken.
    case
        when ends.deployed_to > served.last_hour_end - interval '1 day'
            then least(served.last_hour_end, ends.deployed_to)
        else served.last_hour_end
    end as ended_at
from served
left join ends
    on served.model_name = ends.model_name and served.model_version = ends.model_version
