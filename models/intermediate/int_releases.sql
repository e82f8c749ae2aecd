-- Grain: one release: a live version of a monitored model that was deployed after another live
-- version of it, and the days that the two are compared by. The day of the release is in neither,
-- unless it was at midnight. Of several releases of one version on one day the last one counts.
{% set longest = settings().performance_windows_days | max %}

with

deployments as (
    select distinct
        deployments.model_name,
        deployments.model_version,
        deployments.deployed_from
    from {{ ref('stg_deployments') }} as deployments
    inner join {{ ref('int_monitored_models') }} as models
        on deployments.model_name = models.model_name
    where deployments.problem is null and deployments.role = 'live'
),

releases as (
    select
        deployments.model_name,
        deployments.model_version,
        previous.model_version as previous_version,
        deployments.deployed_from as released_at,
        deployments.deployed_from::date as previous_end,
        time_bucket(
            interval '1 day',
            deployments.deployed_from + interval '1 day' - interval '1 microsecond'
        )::date as window_start
    from deployments
    inner join deployments as previous
        on
            deployments.model_name = previous.model_name
            and deployments.model_version <> previous.model_version
            and deployments.deployed_from > previous.deployed_from
    -- The version before need not have ended.
    qualify row_number() over (
        partition by
            deployments.model_name, deployments.model_version, deployments.deployed_from
        order by previous.deployed_from desc, previous.model_version desc
    ) = 1
)

select
    releases.model_name,
    releases.model_version,
    releases.previous_version,
    releases.released_at,
    (releases.previous_end - {{ longest }})::date as previous_start,
    releases.previous_end,
    releases.window_start,
    least((releases.window_start + {{ longest }})::date, clock.as_of::date) as window_end
from releases
cross join {{ ref('int_as_of') }} as clock
where
    releases.window_start < clock.as_of::date
    -- Daily summaries are kept for longer by twice the longest window.
    and {{ is_kept('releases.window_start', 'windows') }}
qualify row_number() over (
    partition by releases.model_name, releases.model_version, releases.window_start
    order by releases.released_at desc
) = 1
