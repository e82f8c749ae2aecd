-- Grain: one event_date, model_name, model_version, combination of slice values (mix_cell), score
-- bin, known_on and replaced_on: the labelled live predictions of a classifier, of the days and
-- versions that a release is compared by.
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    meta={
        'settings': ['calibration_bins'],
        'retention': {'kind': 'days', 'key': 'rows.event_date', 'raw_key': 'rows.event_date'},
    },
    pre_hook="{{ forget_stale(ref('int_release_dates'), ['event_date']) }}",
) }}

with

{{ labelled_predictions('binary_classification', wanted='int_release_dates') }},

predicted as (
    select
        labelled.*,
        to_json({{ slices_of('labelled') }})::varchar as mix_cell,
        labelled.label_number::integer as label,
        coalesce(
            case when labelled.prediction in ('0', '1') then labelled.prediction::integer end,
            (labelled.score >= labelled.decision_threshold)::integer
        ) as predicted,
        (select edges from {{ ref('int_score_edges') }} where grid = 'fine') as edges,
        0 as below
    from labelled
    inner join {{ ref('int_release_dates') }} as dates on labelled.event_date = dates.event_date
    where
        labelled.role = 'live'
        and list_contains(dates.versions, struct_pack(
            model_name := labelled.model_name, model_version := labelled.model_version
        ))
),

-- A binary search: how many edges are below the score?
{% for step in search_steps(most_score_edges()) %}
searched_{{ step }} as (
    select
        * replace (
            below + case when edges[below + {{ step }}] < score then {{ step }} else 0 end
                as below
        )
    from {{ 'predicted' if loop.first else 'searched_' ~ 2 * step }}
){{ ',' if not loop.last }}
{% endfor %}

select
    model_name,
    model_version,
    mix_cell,
    known_on,
    replaced_on,
    case when score is not null then below end as score_bin,
    count(*) as labeled_count,
    count(*) filter (where label = 1) as positive_count,
    count(*) filter (where label = 1 and predicted = 1) as true_positive_count,
    count(*) filter (where label = 0 and predicted = 1) as false_positive_count,
    count(*) filter (where label = 0 and predicted = 0) as true_negative_count,
    count(*) filter (where label = 1 and predicted = 0) as false_negative_count,
    {{ fixed_sum('score') }} as score_sum,
    {{ fixed_sum('(score - label) * (score - label)') }} as squared_error_sum,
    {{ fixed_sum('power(score - label, 4)') }} as squared_error_square_sum,
    event_date,
    revision
from searched_1
group by all
