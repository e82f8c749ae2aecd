-- Grain: one event_date, model_name, model_version, role, slice and feature (the output of the
-- model is the feature score): how many predictions fell into each bin.
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    meta={'retention': {'kind': 'days', 'key': 'rows.event_date', 'raw_key': 'rows.event_date'}},
    pre_hook="{{ forget_stale(ref('int_feature_dates'), ['event_date'], is_final=true) }}",
) }}
-- depends_on: {{ ref('int_feature_dates') }}
-- The predictions to count are those of dates that this model lacks: the samples go before it, or a
-- build that is killed in between would leave them out for ever.
-- depends_on: {{ ref('int_feature_samples') }}
{% set cells = as_left_by_last_build('int_prediction_cells') %}
{% set dates_to_count = 'select event_date from ' ~ cells if cells %}

with

features as (
    {% for model in monitored_models() %}
    {% for feature in drift_features(model) %}
    select
        {{ text_literal(model.name) }} as model_name,
        {{ loop.index }} as position,
        {{ text_literal(feature.name) }} as feature,
        '{{ feature.type }}' as feature_type
    {{ 'union all' if not loop.last }}
    {% endfor %}
    {{ 'union all' if not loop.last }}
    {% endfor %}
),

cells_of_groups as (
    select
        group_number,
        unnest(cell_numbers) as cell_number
    from {{ ref('int_prediction_groups') }}
),

counted as (
    {% for position in range(1, most_features() + 1) %}
    select
        cells_of_groups.group_number,
        {{ position }} as position,
        bins.bin_{{ position }} as bin,
        count(*) as bin_count
    from {{ ref('int_prediction_bins') }} as bins
    inner join cells_of_groups using (cell_number)
    group by all
    {{ 'union all' if not loop.last }}
    {% endfor %}
),

histograms as (
    select
        group_number,
        position,
        coalesce(sum(bin_count) filter (where bin is null), 0)::bigint as null_count,
        {{ filled_bins('bin', 'bin_count') }} as bin_counts
    from counted
    group by all
),

predictions as ( -- noqa: ST03
    select *
    from {{ ref('stg_inference_events') }}
    where
        status < 400
        and {{ is_one_of('event_date', dates_to_count) }}
),

-- How far the outer bins reach, for the whole model.
extremes as (
    {% for model in monitored_models() %}
    select
        event_date,
        model_name,
        model_version,
        role,
        'all' as slice_key,
        unnest([
            {% for feature in drift_features(model)
                  if feature.type in number_types() %}
            {{ feature_extremes(feature) }}{{ ',' if not loop.last }}
            {% endfor %}
        ], recursive := true)
    from predictions
    where model_name = {{ text_literal(model.name) }}
    group by event_date, model_name, model_version, role
    {{ 'union all' if not loop.last }}
    {% endfor %}
)

select
    slice_groups.model_name,
    slice_groups.model_version,
    slice_groups.role,
    slice_groups.slice_key,
    slice_groups.slice_value,
    slice_groups.event_date,
    features.feature,
    features.feature_type,
    slice_groups.prediction_count,
    histograms.null_count,
    histograms.bin_counts,
    extremes.value_min,
    extremes.value_max,
    extremes.infinite_count,
    slice_groups.revision
from histograms
inner join {{ ref('int_prediction_groups') }} as slice_groups using (group_number)
inner join features
    on
        slice_groups.model_name = features.model_name
        and histograms.position = features.position
left join extremes
    on
        slice_groups.event_date = extremes.event_date
        and slice_groups.model_name = extremes.model_name
        and slice_groups.model_version = extremes.model_version
        and slice_groups.role = extremes.role
        and slice_groups.slice_key = extremes.slice_key
        and features.feature = extremes.feature
