-- Grain: one event_date, model_name, model_version, role, slice, score bin, first_known_on,
-- known_on and replaced_on: the labelled predictions of a classifier, with the midnights from
-- which any label of theirs is known, and from which this one counts as known and as replaced by
-- a newer one. A corrected label has a row for each of its versions.
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    meta={
        'settings': ['calibration_bins'],
        'retention': {'kind': 'days', 'key': 'rows.event_date', 'raw_key': 'rows.event_date'},
    },
    pre_hook="{{ forget_stale(ref('int_label_dates'), ['event_date']) }}",
) }}

with

{{ labelled_predictions('binary_classification') }},

-- Few predictions have several versions of their label.
versions as (
    select
        request_hash,
        request_id,
        model_name,
        model_version,
        role,
        min(labeled_at) as first_labeled_at,
        min(label_number) filter (where replaced_at is null) as newest_label
    from labels
    where
        request_hash in (
            select replaced.request_hash from labels as replaced
            where replaced.replaced_at is not null
        )
    group by all
),

predicted as (
    select
        labelled.*,
        labelled.label_number::integer as label,
        coalesce(versions.newest_label, labelled.label_number)::integer as newest_label,
        {{ known_on(
            'coalesce(versions.first_labeled_at, labelled.labeled_at)', 'labelled.event_date',
            'labelled.label_grace_hours'
        ) }} as first_known_on,
        coalesce(
            case when labelled.prediction in ('0', '1') then labelled.prediction::integer end,
            (labelled.score >= labelled.decision_threshold)::integer
        ) as predicted
    from labelled
    left join versions
        using (request_hash, model_name, model_version, role, request_id)
),

searched as (
    select
        *,
        (select edges from {{ ref('int_score_edges') }} where grid = 'fine') as edges,
        (select coarse_bins from {{ ref('int_score_edges') }} where grid = 'fine') as coarse_bins,
        0 as below
    from predicted
),

-- A binary search: how many edges are below the score?
{% for step in search_steps(most_score_edges()) %}
searched_{{ step }} as (
    select
        * replace (
            below + case when edges[below + {{ step }}] < score then {{ step }} else 0 end
                as below
        )
    from {{ 'searched' if loop.first else 'searched_' ~ 2 * step }}
),
{% endfor %}

measured as (
    select
        * exclude (edges, below),
        case when score is not null then below end as fine_bin,
        -- As scikit-learn clips them. greatest() passes over a null.
        case
            when score is not null
                then least(greatest(score, power(2, -52)), 1 - power(2, -52))
        end as clipped_score
    from searched_1
),

sliced as (
    select
        measured.*,
        unnest({{ slices_of('measured', intersections=true) }}, recursive := true)
    from measured
)

select
    model_name,
    model_version,
    role,
    slice_key,
    slice_value,
    first_known_on,
    known_on,
    replaced_on,
    case
        when slice_key = 'all' then fine_bin
        else coarse_bins[fine_bin + 1]
    end as score_bin,
    count(*) as labeled_count,
    count(*) filter (where label = 1) as positive_count,
    count(*) filter (where label = 1 and predicted = 1) as true_positive_count,
    count(*) filter (where label = 0 and predicted = 1) as false_positive_count,
    count(*) filter (where label = 0 and predicted = 0) as true_negative_count,
    count(*) filter (where label = 1 and predicted = 0) as false_negative_count,
    -- What has become of them since.
    count(*) filter (where label = 0 and newest_label = 1) as turned_positive_count,
    count(*) filter (where label = 1 and newest_label = 0) as turned_negative_count,
    {{ fixed_sum('score') }} as score_sum,
    {{ fixed_sum('score * (1 - score)') }} as variance_sum,
    {{ fixed_sum('(score - label) * (score - label)') }} as squared_error_sum,
    {{ fixed_sum('-ln(case when label = 1 then clipped_score else 1 - clipped_score end)') }}
        as log_loss_sum,
    {{ fixed_sum('power(score - label, 4)') }} as squared_error_square_sum,
    -- Up to 1300 each: in units of 1024, so that sums stay as small as the others.
    {{ fixed_sum(
        'power(ln(case when label = 1 then clipped_score else 1 - clipped_score end), 2) / 1024'
    ) }} as log_loss_square_sum,
    min(score) as score_min,
    max(score) as score_max,
    event_date,
    revision
from sliced
group by all
