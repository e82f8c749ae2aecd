-- Grain: one event_date, model_name, model_version, role, score bin, known_on and replaced_on: the
-- errors of labelled predictions of a regression, with the midnights from which their label counts
-- as known and as replaced by a newer one.
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    meta={
        'settings': ['drift_bins'],
        'retention': {'kind': 'days', 'key': 'rows.event_date', 'raw_key': 'rows.event_date'},
    },
    pre_hook="{{ forget_stale(ref('int_estimation_dates'), ['event_date']) }}",
) }}

with

{{ labelled_predictions('regression', wanted='int_estimation_dates') }},

searched as (
    select
        labelled.*,
        labelled.score - labelled.label_number as error,
        {{ estimation_edges() }} as edges,
        0 as below
    from labelled
    inner join {{ ref('int_monitored_models') }} as models
        on labelled.model_name = models.model_name
    where isfinite(labelled.score)
),

-- A binary search: how many edges are below the predicted value?
{% for step in search_steps([most_score_edges(), 2 * settings().drift_bins] | max) %}
searched_{{ step }} as (
    select
        * replace (
            below + case when edges[below + {{ step }}] < score then {{ step }} else 0 end
                as below
        )
    from {{ 'searched' if loop.first else 'searched_' ~ 2 * step }}
){{ ',' if not loop.last }}
{% endfor %}

select
    model_name,
    model_version,
    role,
    known_on,
    replaced_on,
    below as score_bin,
    count(*) as labeled_count,
    -- In one order: a parallel sum of doubles differs from run to run.
    sum(abs(error) order by abs(error)) as absolute_error_sum,
    sum(error * error order by abs(error)) as squared_error_sum,
    event_date,
    revision
from searched_1
where len(edges) > 0 and isfinite(error * error)
group by all
