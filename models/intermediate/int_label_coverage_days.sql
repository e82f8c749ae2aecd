-- Grain: one event_date, model_name, model_version, role, slice and known_on: the first midnight
-- at which, with the model's grace, the first label of a prediction was known; null for
-- predictions without one. Predictions are the accepted events that are no errors.
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    meta={'retention': {'kind': 'days', 'key': 'rows.event_date', 'raw_key': 'rows.event_date'}},
    pre_hook="{{ forget_stale(ref('int_label_dates'), ['event_date']) }}",
) }}

with

stale_dates as (
    {{ stale_keys(ref('int_label_dates'), ['event_date']) }}
),

predictions as (
    select
        events.*,
        stale_dates.revision
    from {{ ref('stg_inference_events') }} as events
    inner join stale_dates on events.event_date = stale_dates.event_date
    where
        events.status < 400
        and {{ is_stale('events.event_date', ref('int_label_dates'), 'event_date') }}
),

first_labels as (
    select
        history.request_hash,
        history.model_name,
        history.model_version,
        history.role,
        history.request_id,
        min(history.labeled_at) as labeled_at
    from {{ ref('int_label_history') }} as history
    cross join {{ ref('int_as_of') }} as clock
    where
        history.match_status = 'matched'
        and history.labeled_at <= clock.held_after
        and history.event_date in (select event_date from stale_dates)
        and {{ is_stale('history.event_date', ref('int_label_dates'), 'event_date') }}
    group by all
),

labelled as (
    select
        predictions.*,
        first_labels.labeled_at,
        epoch_us(first_labels.labeled_at - predictions.ts) / 3.6e9 as delay_hours,
        {{ known_on(
            'first_labels.labeled_at', 'predictions.event_date', 'models.label_grace_hours'
        ) }} as known_on
    from predictions
    left join first_labels
        on
            predictions.request_hash = first_labels.request_hash
            and predictions.model_name = first_labels.model_name
            and predictions.model_version = first_labels.model_version
            and predictions.role = first_labels.role
            and predictions.request_id = first_labels.request_id
    -- A model that nobody described has service levels only.
    inner join {{ ref('int_monitored_models') }} as models
        on predictions.model_name = models.model_name
),

sliced as (
    select
        labelled.*,
        unnest({{ slices_of('labelled', intersections=true) }}, recursive := true)
    from labelled
)

select
    model_name,
    model_version,
    role,
    slice_key,
    slice_value,
    case when labeled_at is not null then known_on end as known_on,
    count(*) as prediction_count,
    count(labeled_at) as labeled_count,
    -- greatest() passes over a null: predictions without a label have no delay.
    histogram(
        case when labeled_at is not null then {{ latency_bin('greatest(delay_hours, 0)') }} end
    ) as delay_histogram,
    event_date,
    revision
from sliced
group by all
