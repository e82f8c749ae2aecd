-- Grain: one event_date, model_name, model_version, role, score bin and prediction: how many
-- predictions there were, labelled or not. Of classifiers of two classes and of regressions; of
-- other models all are counted together.
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    meta={
        'settings': ['calibration_bins', 'drift_bins'],
        'retention': {'kind': 'days', 'key': 'rows.event_date', 'raw_key': 'rows.event_date'},
    },
    pre_hook="{{ forget_stale(ref('int_estimation_dates'), ['event_date']) }}",
) }}

with

stale_dates as (
    {{ stale_keys(ref('int_estimation_dates'), ['event_date']) }}
),

searched as (
    select
        events.event_date,
        events.model_name,
        events.model_version,
        events.role,
        events.score,
        events.prediction,
        models.task,
        models.decision_threshold,
        stale_dates.revision,
        {{ estimation_edges() }} as edges,
        0 as below
    from {{ ref('stg_inference_events') }} as events
    inner join stale_dates on events.event_date = stale_dates.event_date
    inner join {{ ref('int_monitored_models') }} as models
        on events.model_name = models.model_name
    where
        events.status < 400
        and {{ is_stale('events.event_date', ref('int_estimation_dates'), 'event_date') }}
),

-- A binary search: how many edges are below the score?
{% for step in search_steps([most_score_edges(), 2 * settings().drift_bins] | max) %}
searched_{{ step }} as (
    select
        * replace (
            below + case when edges[below + {{ step }}] < score then {{ step }} else 0 end
                as below
        )
    from {{ 'searched' if loop.first else 'searched_' ~ 2 * step }}
),
{% endfor %}

decided as (
    select
        *,
        case when isfinite(score) and len(edges) > 0 then below end as score_bin,
        case
            when task = 'binary_classification'
                then coalesce(
                    case when prediction in ('0', '1') then prediction::integer end,
                    (score >= decision_threshold)::integer
                )
        end as predicted
    from searched_1
)

select
    model_name,
    model_version,
    role,
    score_bin,
    predicted,
    count(*) as prediction_count,
    event_date,
    revision
from decided
group by all
