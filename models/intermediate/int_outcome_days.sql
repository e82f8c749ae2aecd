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
        coverage_days.model_name,
        coverage_days.model_version,
        coverage_days.role,
        coverage_days.slice_key,
        coverage_days.slice_value,
        coverage_days.event_date,
        known.label_view,
        sum(coverage_days.prediction_count)::bigint as prediction_count,
        coalesce(sum(
            case
                when
                    known.label_view = 'latest'
                    or coverage_days.known_on <= coverage_days.event_date + 1
                    then coverage_days.labeled_count
            end
        ), 0)::bigint as labeled_count
    from {{ ref('int_label_coverage_days') }} as coverage_days
    cross join (values ('as_known'), ('latest')) as known (label_view) -- noqa: AL05
    where {{ is_stale('coverage_days.event_date', ref('int_label_dates'), 'event_date') }}
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
        squared_error_sum / {{ fixed_unit() }} as squared_error_sum
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
        labels.model_name,
        labels.model_version,
        labels.role,
        labels.slice_key,
        labels.slice_value,
        labels.event_date,
        known.label_view,
        sum(labels.judged_count)::bigint as judged_count,
        sum(labels.correct_count)::bigint as correct_count,
        sum(labels.true_positive_count)::bigint as true_positive_count,
        sum(labels.false_positive_count)::bigint as false_positive_count,
        sum(labels.true_negative_count)::bigint as true_negative_count,
        sum(labels.false_negative_count)::bigint as false_negative_count,
        sum(labels.scored_count)::bigint as scored_count,
        -- In order: a parallel sum of doubles differs from run to run.
        sum(labels.absolute_error_sum order by labels.absolute_error_sum) as absolute_error_sum,
        sum(labels.squared_error_sum order by labels.squared_error_sum) as squared_error_sum
    from labels
    cross join (values ('as_known'), ('latest')) as known (label_view) -- noqa: AL05
    where
        case known.label_view
            when 'latest' then labels.replaced_on is null
            else
                labels.known_on <= labels.event_date + 1
                and coalesce(labels.replaced_on > labels.event_date + 1, true)
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
    outcomes.judged_count,
    outcomes.correct_count,
    outcomes.true_positive_count,
    outcomes.false_positive_count,
    outcomes.true_negative_count,
    outcomes.false_negative_count,
    outcomes.scored_count,
    -- What a double cannot hold counts neither here nor there.
    case when isfinite(outcomes.squared_error_sum) then outcomes.absolute_error_sum end
        as absolute_error_sum,
    case when isfinite(outcomes.squared_error_sum) then outcomes.squared_error_sum end
        as squared_error_sum,
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
