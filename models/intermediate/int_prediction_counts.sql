-- Grain: one combination of event_date, model_name, model_version, role and slice values that has
-- predictions, of the dates that int_feature_days has to count in this run.
{{ config(meta={
    'retention': {'kind': 'days', 'key': 'rows.event_date', 'raw_key': 'rows.event_date'}
}) }}
-- depends_on: {{ ref('int_monitored_models') }}
{% set held = as_left_by_last_build('int_feature_days') if not flags.FULL_REFRESH %}
{% set where_stale = where_not_held(
    held, {'event_date': 'dates.event_date', 'revision': 'dates.revision'}
) %}
{% set stale_dates %}
    select event_date from {{ ref('int_feature_dates') }} as dates
    {{ where_stale }} and {{ is_to_build('dates') }}
{% endset %}

with

stale_dates as (
    select dates.*
    from {{ ref('int_feature_dates') }} as dates
    {{ where_stale or 'where true' }} and {{ is_to_build('dates') }}
),

predictions as (
    select
        events.*,
        stale_dates.revision
    from {{ ref('stg_inference_events') }} as events
    inner join stale_dates on events.event_date = stale_dates.event_date
    where
        events.status < 400
        and {{ is_one_of('events.event_date', stale_dates if held) }}
        and events.model_name in (select model_name from {{ ref('int_monitored_models') }})
)

select
    event_date,
    revision,
    model_name,
    model_version,
    role,
    {{ slices_of('predictions') }} as slices,
    count(*) as prediction_count
from predictions
group by all
