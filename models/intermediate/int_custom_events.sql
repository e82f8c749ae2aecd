-- Grain: one prediction (accepted event that is no error) of a monitored model, with the columns
-- that custom metrics over events may use, and the slices that it is in.
{{ config(materialized='view', schema='restricted') }}
select
    events.model_name,
    events.event_date,
    {% for column in custom_metric_columns('events') %}
    events.{{ column }},
    {% endfor %}
    {{ slices_of('events') }} as slices
from {{ ref('stg_inference_events') }} as events
inner join {{ ref('int_monitored_models') }} as models on events.model_name = models.model_name
where events.status < 400
