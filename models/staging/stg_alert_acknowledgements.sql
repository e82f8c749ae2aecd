-- Grain: one acknowledgement of an alert, as the user's relation has it, typed, with what is wrong
-- with it in words.
{{ config(schema='internal', materialized='table') }}
{% set columns = ['alert_id', 'acknowledged_at', 'acknowledged_by', 'comment'] %}

with

given as (
    select
        alert_id::varchar as alert_id,
        try_cast(acknowledged_at::varchar as timestamptz) at time zone 'UTC' as acknowledged_at,
        acknowledged_by::varchar as acknowledged_by,
        comment::varchar as comment
    from {{ relation_or_empty('alert_acknowledgements_relation', columns) }}
)

select
    *,
    case
        when coalesce(alert_id, '') = '' then 'alert_id is empty'
        when acknowledged_at is null
            then 'acknowledged_at must be a time in UTC, such as 2024-01-31T18:05:00Z'
    end as problem
from given
