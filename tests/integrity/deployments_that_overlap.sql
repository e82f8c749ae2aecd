-- Two versions of one model that are live at once: a canary, or an end that nobody entered.
{{ config(severity='warn') }}

select
    earlier.model_name,
    earlier.model_version,
    later.model_version as other_version,
    later.deployed_from as both_from
from {{ ref('stg_deployments') }} as earlier
inner join {{ ref('stg_deployments') }} as later
    on
        earlier.model_name = later.model_name
        and earlier.model_version <> later.model_version
        and (earlier.deployed_from, earlier.model_version)
        < (later.deployed_from, later.model_version)
        and (earlier.deployed_to is null or later.deployed_from < earlier.deployed_to)
where
    earlier.role = 'live'
    and later.role = 'live'
    and earlier.problem is null
    and later.problem is null
