-- Grain: one model_name, model_version and role that has had events, and the minutes in which it
-- is expected to serve: a minute without requests in there is silence, not absence.
with

observed as ( -- noqa: ST03
    select
        model_name,
        model_version,
        role,
        min(window_start) as first_minute,
        max(window_start) as last_minute
    from {{ ref('int_service_minutes') }}
    group by all
),

final as (
    {{ service_spans(ref('stg_deployments'), '(select as_of from ' ~ ref('int_as_of') ~ ')') }}
)

select * from final
