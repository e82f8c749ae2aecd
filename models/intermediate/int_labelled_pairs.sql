-- Grain: one event_date, model_name, model_version, role, pair of slices, score bin, known_on and
-- replaced_on: as int_labelled_days is of slices, from events and labels themselves. A view: read
-- it for a few days.
{{ config(materialized='view') }}

with

labels as (
    {{ matched_labels() }}
),

labelled as (
    select
        events.model_name,
        events.model_version,
        events.role,
        events.event_date,
        events.score,
        labels.label_number::integer as label,
        coalesce(
            case when events.prediction in ('0', '1') then events.prediction::integer end,
            (events.score >= models.decision_threshold)::integer
        ) as predicted,
        case
            when events.score is not null
                then least(greatest(events.score, power(2, -52)), 1 - power(2, -52))
        end as clipped_score,
        {{ known_on('labels.labeled_at', 'events.event_date', 'models.label_grace_hours') }}
            as known_on,
        case
            when labels.replaced_at is not null
                then {{ known_on(
                    'labels.replaced_at', 'events.event_date', 'models.label_grace_hours'
                ) }}
        end as replaced_on,
        (select edges from {{ ref('int_score_edges') }} where grid = 'coarse') as edges,
        {{ slice_pairs_of('events') }} as pairs
    from {{ ref('stg_inference_events') }} as events
    inner join {{ ref('int_monitored_models') }} as models
        on events.model_name = models.model_name and models.task = 'binary_classification'
    inner join labels
        on
            events.event_date = labels.event_date
            and events.request_hash = labels.request_hash
            and events.model_name = labels.model_name
            and events.model_version = labels.model_version
            and events.role = labels.role
            and events.request_id = labels.request_id
    where events.status < 400
),

paired as (
    select
        * exclude (edges, pairs),
        case
            when score is not null
                then len(list_filter(edges, lambda edge: edge < score))
        end as score_bin,
        unnest(pairs, recursive := true) -- noqa: AL03
    from labelled
    where replaced_on is null or replaced_on > known_on
)

select
    model_name,
    model_version,
    role,
    slice_key,
    slice_value,
    first_key,
    first_value,
    second_key,
    second_value,
    event_date,
    known_on,
    replaced_on,
    score_bin,
    count(*) as labeled_count,
    count(*) filter (where label = 1) as positive_count,
    count(*) filter (where label = 1 and predicted = 1) as true_positive_count,
    count(*) filter (where label = 0 and predicted = 1) as false_positive_count,
    count(*) filter (where label = 0 and predicted = 0) as true_negative_count,
    count(*) filter (where label = 1 and predicted = 0) as false_negative_count,
    {{ fixed_sum('score') }} as score_sum,
    {{ fixed_sum('score * (1 - score)') }} as variance_sum,
    {{ fixed_sum('(score - label) * (score - label)') }} as squared_error_sum,
    {{ fixed_sum('power(score - label, 4)') }} as squared_error_square_sum,
    {{ fixed_sum('-ln(case when label = 1 then clipped_score else 1 - clipped_score end)') }}
        as log_loss_sum,
    {{ fixed_sum(
        'power(ln(case when label = 1 then clipped_score else 1 - clipped_score end), 2) / 1024'
    ) }} as log_loss_square_sum
from paired
group by all
