-- Grain: one deployment of a model version in a role, as the seed or the user's relation has it,
-- typed, with what is wrong with it in words. deployed_to is null while it goes on.
{{ config(schema='internal', materialized='table') }}

with

given as (
    select
        model::varchar as model_name,
        version::varchar as model_version,
        role::varchar as role,
        try_cast("from" as timestamptz) at time zone 'UTC' as deployed_from,
        try_cast("to" as timestamptz) at time zone 'UTC' as deployed_to,
        nullif("to"::varchar, '') as deployed_to_text
    from {{ seed_or_relation('deployments', ['model', 'version', 'role', 'from', 'to']) }}
)

select
    * exclude (deployed_to_text),
    case
        when coalesce(model_name, '') = '' then 'model is empty'
        when coalesce(model_version, '') = '' then 'version is empty'
        when coalesce(role, '') not in ('live', 'shadow') then 'role must be live or shadow'
        when deployed_from is null then 'from must be a time in UTC, such as 2024-01-31T18:05:00Z'
        when deployed_to_text is not null and deployed_to is null
            then 'to must be empty or a time in UTC, such as 2024-01-31T18:05:00Z'
        when deployed_to <= deployed_from then 'to must be after from'
    end as problem
from given
