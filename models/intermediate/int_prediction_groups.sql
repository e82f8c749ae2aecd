-- Grain: one event_date, model_name, model_version, role and slice with predictions, of the dates
-- that int_feature_days has to count in this run.
-- depends_on: {{ ref('int_monitored_models') }}
{% set held = as_left_by_last_build('int_feature_days') if not flags.FULL_REFRESH %}

with

stale_dates as (
    select dates.*
    from {{ ref('int_feature_dates') }} as dates
    {{ where_not_held(held, {'event_date': 'dates.event_date', 'revision': 'dates.revision'}) }}
),

predictions as (
    select
        events.*,
        stale_dates.event_date,
        stale_dates.revision
    from {{ ref('stg_inference_events') }} as events
    inner join stale_dates on date_trunc('day', events.ts) = stale_dates.event_date
    where
        events.status < 400
        and events.model_name in (select model_name from {{ ref('int_monitored_models') }})
),

sliced as (
    select
        event_date,
        revision,
        model_name,
        model_version,
        role,
        unnest({{ slices_of('predictions') }}, recursive := true)
    from predictions
),

counted as (
    select
        *,
        count(*) as prediction_count
    from sliced
    group by all
)

select
    *,
    -- A small number stands for the group while predictions are counted.
    (row_number() over (
        order by event_date, model_name, model_version, role, slice_key, slice_value
    ))::integer as group_number
from counted
