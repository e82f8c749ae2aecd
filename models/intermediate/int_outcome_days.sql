-- Grain: one event_date, model_name, model_version, role, slice and label_view: how the predictions
-- turned out, in numbers that can be added up. From the daily summaries, not from windows, so that
-- it does not depend on which windows are configured.
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    meta={
        'unit': ['event_date', 'revision'],
        'retention': {
            'kind': 'windows', 'key': '(rows.event_date + 1)', 'raw_key': 'rows.event_date'
        },
    },
    pre_hook="{{ forget_stale(ref('int_label_dates'), ['event_date']) }}",
) }}

with

stale_dates as (
    {{ stale_keys(ref('int_label_dates'), ['event_date']) }}
),

predictions as (
    select
        model_name,
        model_version,
        role,
        slice_key,
        slice_value,
        event_date,
        views.label_view,
        sum(prediction_count)::bigint as prediction_count,
        coalesce(
            sum(labeled_count)
                filter (where views.label_view = 'latest' or known_on <= event_date + 1),
            0
        )::bigint as labeled_count
    from {{ ref('int_label_coverage_days') }}
    cross join (values ('as_known'), ('latest')) as views (label_view)
    where {{ is_stale('event_date', ref('int_label_dates'), 'event_date') }}
    group by all
),

labels as (
    select
        model_name,
        model_version,
        role,
        slice_key,
        slice_value,
        event_date,
        known_on,
        replaced_on,
        true_positive_count,
        false_positive_count,
        true_negative_count,
        false_negative_count,
        true_positive_count + true_negative_count as correct_count,
        true_positive_count + false_positive_count + true_negative_count + false_negative_count
            as judged_count,
        case when score_bin is null then 0 else labeled_count end as scored_count,
        null::double as absolute_error_sum,
        -- The macro fixed_sum counts in these.
        squared_error_sum / 1073741824 as squared_error_sum
    from {{ ref('int_labelled_days') }}
    where {{ is_stale('event_date', ref('int_label_dates'), 'event_date') }}
    union all by name
    select
        model_name,
        model_version,
        role,
        slice_key,
        slice_value,
        event_date,
        known_on,
        replaced_on,
        case when predicted_class = label_class then labeled_count else 0 end as correct_count,
        case when predicted_class is null then 0 else labeled_count end as judged_count
    from {{ ref('int_multiclass_days') }}
    where {{ is_stale('event_date', ref('int_label_dates'), 'event_date') }}
    union all by name
    select
        model_name,
        model_version,
        role,
        slice_key,
        slice_value,
        event_date,
        known_on,
        replaced_on,
        scored_count as judged_count,
        scored_count,
        absolute_error_sum,
        squared_error_sum
    from {{ ref('int_regression_days') }}
    where {{ is_stale('event_date', ref('int_label_dates'), 'event_date') }}
),

outcomes as (
    select
        model_name,
        model_version,
        role,
        slice_key,
        slice_value,
        event_date,
        views.label_view,
        sum(judged_count)::bigint as judged_count,
        sum(correct_count)::bigint as correct_count,
        sum(true_positive_count)::bigint as true_positive_count,
        sum(false_positive_count)::bigint as false_positive_count,
        sum(true_negative_count)::bigint as true_negative_count,
        sum(false_negative_count)::bigint as false_negative_count,
        sum(scored_count)::bigint as scored_count,
        -- In order: a parallel sum of doubles differs from run to run.
        sum(absolute_error_sum order by absolute_error_sum) as absolute_error_sum,
        sum(squared_error_sum order by squared_error_sum) as squared_error_sum
    from labels
    cross join (values ('as_known'), ('latest')) as views (label_view)
    where
        case views.label_view
            when 'latest' then replaced_on is null
            else known_on <= event_date + 1 and coalesce(replaced_on > event_date + 1, true)
        end
    group by all
)

select
    predictions.model_name,
    predictions.model_version,
    predictions.role,
    predictions.slice_key,
    predictions.slice_value,
    predictions.label_view,
    predictions.prediction_count,
    predictions.labeled_count,
    outcomes.* exclude (
        model_name, model_version, role, slice_key, slice_value, event_date, label_view
    ),
    predictions.event_date,
    stale_dates.revision
from predictions
inner join stale_dates on predictions.event_date = stale_dates.event_date
left join outcomes
    on
        predictions.model_name = outcomes.model_name
        and predictions.model_version = outcomes.model_version
        and predictions.role = outcomes.role
        and predictions.slice_key = outcomes.slice_key
        and predictions.slice_value = outcomes.slice_value
        and predictions.event_date = outcomes.event_date
        and predictions.label_view = outcomes.label_view
