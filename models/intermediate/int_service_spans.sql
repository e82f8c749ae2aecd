-- Grain: one model_name, model_version and role that has had events, and the minutes in which it
-- is expected to serve: a minute without requests in there is silence, not absence.
-- depends_on: {{ ref('int_service_hours') }}
with

starts as (
    select
        model_name,
        model_version,
        role,
        window_start
    from {{ ref('int_service_minutes') }}
    {% if kept_since('minutes') %}
    -- Of what came before the minutes that are still there, the hours tell.
    union all
    select
        model_name,
        model_version,
        role,
        first_minute as window_start
    from {{ ref('int_service_hours') }}
    where slice_key = 'all' and not {{ is_kept('window_start', 'minutes') }}
    {% endif %}
),

observed as ( -- noqa: ST03
    select
        model_name,
        model_version,
        role,
        min(window_start) as first_minute,
        max(window_start) as last_minute
    from starts
    group by all
),

final as (
    {{ service_spans(ref('stg_deployments'), '(select as_of from ' ~ ref('int_as_of') ~ ')') }}
)

select * from final
