-- Grain: one silence or maintenance window, as the user's relations have it, typed, with what is
-- wrong with it in words. A null or `*` stands for all.
{{ config(schema='internal', materialized='table') }}
{% set silence = ['alert_name', 'model_name', 'starts_at', 'ends_at', 'comment'] %}
{% set maintenance = ['model_name', 'starts_at', 'ends_at', 'comment'] %}

with

given as (
    select
        'silence' as kind,
        alert_name::varchar as alert_name,
        model_name::varchar as model_name,
        starts_at::varchar as starts_at,
        ends_at::varchar as ends_at,
        comment::varchar as comment
    from {{ relation_or_empty('alert_silences_relation', silence) }}
    union all
    select
        'maintenance' as kind,
        null as alert_name,
        model_name::varchar as model_name,
        starts_at::varchar as starts_at,
        ends_at::varchar as ends_at,
        comment::varchar as comment
    from {{ relation_or_empty('maintenance_windows_relation', maintenance) }}
),

typed as (
    select
        kind,
        nullif(nullif(alert_name, '*'), '') as alert_name,
        nullif(nullif(model_name, '*'), '') as model_name,
        try_cast(starts_at as timestamptz) at time zone 'UTC' as starts_at,
        try_cast(ends_at as timestamptz) at time zone 'UTC' as ends_at,
        comment
    from given
)

select
    *,
    case
        when starts_at is null
            then 'starts_at must be a time in UTC, such as 2024-01-31T18:05:00Z'
        when ends_at is null then 'ends_at must be a time in UTC: nothing is silent for ever'
        when ends_at <= starts_at then 'ends_at must be after starts_at'
    end as problem
from typed
