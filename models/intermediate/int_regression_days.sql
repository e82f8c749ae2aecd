-- Grain: one event_date, model_name, model_version, role, slice, known_on and replaced_on: the
-- labelled predictions of a regression, with known_on and replaced_on as in int_labelled_days.
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    meta={
        'retention': {'kind': 'days', 'key': 'rows.event_date', 'raw_key': 'rows.event_date'},
    },
    pre_hook="{{ forget_stale(ref('int_label_dates'), ['event_date']) }}",
) }}

with

{{ labelled_predictions('regression') }},

sliced as (
    select
        labelled.*,
        unnest({{ slices_of('labelled', intersections=true) }}, recursive := true)
    from labelled
),

-- Sums of doubles depend on their order: so the predictions of a group come in one.
grouped as (
    select
        model_name,
        model_version,
        role,
        slice_key,
        slice_value,
        known_on,
        replaced_on,
        count(*) as labeled_count,
        count(score) as scored_count,
        count(*) filter (where score is not null and label_number <> 0) as nonzero_label_count,
        min(label_number) filter (where score is not null) as label_min,
        max(label_number) filter (where score is not null) as label_max,
        coalesce(
            list(
                struct_pack(label := label_number, error := score - label_number)
                order by label_number, score
            ) filter (where score is not null),
            []
        ) as scored,
        event_date,
        revision
    from sliced
    group by all
),

averaged as (
    select
        *,
        {{ ordered_sum('p.label') }} / nullif(scored_count, 0) as label_mean,
        {{ ordered_sum('p.error') }} / nullif(scored_count, 0) as error_mean
    from grouped
)

select
    * exclude (scored),
    {{ ordered_sum('power(p.label - label_mean, 2)') }} as label_m2,
    {{ ordered_sum('power(p.label - label_mean, 3)') }} as label_m3,
    {{ ordered_sum('power(p.label - label_mean, 4)') }} as label_m4,
    {{ ordered_sum('power(p.error - error_mean, 2)') }} as error_m2,
    {{ ordered_sum('abs(p.error)') }} as absolute_error_sum,
    {{ ordered_sum('power(p.error, 2)') }} as squared_error_sum,
    {{ ordered_sum('power(p.error, 4)') }} as fourth_power_error_sum,
    {{ ordered_sum('power(p.error, 2) * (p.label - label_mean)') }} as squared_error_label_sum,
    {{ ordered_sum('power(p.error * (p.label - label_mean), 2)') }}
        as squared_error_squared_label_sum,
    {{ ordered_sum('abs(p.error / nullif(p.label, 0))') }} as percentage_error_sum,
    {{ ordered_sum('power(p.error / nullif(p.label, 0), 2)') }} as percentage_error_square_sum
from averaged
