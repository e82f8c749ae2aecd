-- When do labels arrive?
--
-- For each week of predictions: the share that had a label 1, 2, 3, 7, 14 and 30 days after the
-- prediction, from the first label of each request. Use it to set label_grace_hours (where the
-- curve is flat), min_label_coverage, and the objective of a label_coverage target (what it
-- reaches). A share is null while the week is younger than that: it may still grow.
--
-- A week whose curve lies under the others lost labels; one that starts low and catches up had a
-- feed that stood still.
--
-- It reads the history of labels in the internal schema: request by request, without values.
-- Run it with: dbt show --select when_do_labels_arrive --limit 60
with

clock as (
    select as_of from {{ ref('int_as_of') }}
),

predictions as (
    select
        events.model_name,
        events.model_version,
        events.role,
        events.request_id,
        events.ts,
        clock.as_of
    from {{ ref('stg_inference_events') }} as events
    cross join clock
    where
        events.status < 400
        and events.ts <= clock.as_of
),

first_labels as (
    select
        history.model_name,
        history.model_version,
        history.role,
        history.request_id,
        min(history.labeled_at) as labeled_at
    from {{ ref('int_label_history') }} as history
    cross join clock
    where
        history.match_status = 'matched'
        and history.labeled_at <= clock.as_of
    group by all
),

labelled as (
    select
        predictions.*,
        date_trunc('week', predictions.ts) as week,
        date_diff('second', predictions.ts, first_labels.labeled_at) / 86400.0 as delay_days
    from predictions
    left join first_labels
        on
            predictions.model_name = first_labels.model_name
            and predictions.model_version = first_labels.model_version
            and predictions.role = first_labels.role
            and predictions.request_id = first_labels.request_id
)

select
    model_name,
    model_version,
    role,
    week::date as week,
    count(*) as prediction_count,
    round(median(delay_days) * 24, 1) as delay_p50_hours,
    {% for days in [1, 2, 3, 7, 14, 30] %}
    case
        when max(ts) + interval '{{ days }} days' <= any_value(as_of)
            then round(count(*) filter (where delay_days <= {{ days }}) / count(*), 4)
    end as labeled_after_{{ days }}d,
    {% endfor %}
    round(count(delay_days) / count(*), 4) as labeled_by_now
from labelled
group by all
order by model_name, role, week, model_version
