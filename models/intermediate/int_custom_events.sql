-- Grain: one prediction (accepted event that is no error) of a monitored model, with the columns
-- that custom metrics may use, and the slices that it is in.
{{ config(materialized='view', schema='restricted') }}
select
    events.model_name,
    events.event_date,
    events.request_hash,
    {% for column in custom_metric_columns('events') if column != 'prediction' %}
    events.{{ column }},
    {% endfor %}
    -- The class of a classifier of two, as in model_performance.
    case
        when models.task <> 'binary_classification' or events.prediction in ('0', '1')
            then events.prediction
        else (events.score >= models.decision_threshold)::integer::varchar
    end as prediction,
    {{ slices_of('events') }} as slices
from {{ ref('stg_inference_events') }} as events
inner join {{ ref('int_monitored_models') }} as models on events.model_name = models.model_name
where events.status < 400
