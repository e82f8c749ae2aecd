-- Grain: one model_name, model_version and role that has had events, and the minutes in which it
-- is expected to serve: a minute without requests in there is silence, not absence.
with

observed as (
    select
        model_name,
        model_version,
        role,
        min(window_start) as first_minute,
        max(window_start) as last_minute
    from {{ ref('int_service_minutes') }}
    group by all
),

deployed as (
    select
        model_name,
        model_version,
        role,
        nullif(max(coalesce(deployed_to, timestamp '9999-01-01')), timestamp '9999-01-01')
            as deployed_to
    from {{ ref('stg_deployments') }}
    group by all
),

newest as (
    select
        model_name,
        max(last_minute) as last_minute
    from observed
    where role = 'live'
    group by model_name
),

ended as (
    select
        observed.*,
        date_trunc('minute', clock.as_of) as closed_until,
        case
            when deployed.model_name is not null
                then coalesce(deployed.deployed_to, clock.as_of)
            -- Nobody said how long it serves: only the live version that is in use goes on.
            when observed.role = 'live' and observed.last_minute = newest.last_minute
                then clock.as_of
            else observed.last_minute + interval '1 minute'
        end as served_until
    from observed
    cross join {{ ref('int_as_of') }} as clock
    left join deployed
        on
            observed.model_name = deployed.model_name
            and observed.model_version = deployed.model_version
            and observed.role = deployed.role
    left join newest on observed.model_name = newest.model_name
)

select
    model_name,
    model_version,
    role,
    first_minute as span_start,
    least(date_trunc('minute', served_until), closed_until) as span_end,
    served_until >= closed_until as is_serving
from ended
