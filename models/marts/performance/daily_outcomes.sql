-- Grain: one model_name, model_version, role, slice, closed day with predictions, and label_view:
-- counts and sums that may be added up over days, versions and the values of one slice. They come
-- from the daily summaries, so that they do not depend on which windows are configured.
with

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
),

coverage as (
    select
        *,
        event_date::timestamp as window_start,
        (event_date + 1)::timestamp as window_end
    from predictions
)

select
    coverage.model_name,
    coverage.model_version,
    coverage.role,
    coverage.slice_key,
    coverage.slice_value,
    '1d' as window_size,
    coverage.window_start,
    coverage.window_end,
    coverage.label_view,
    models.task,
    coverage.prediction_count,
    coverage.labeled_count,
    outcomes.judged_count,
    outcomes.correct_count,
    outcomes.true_positive_count,
    outcomes.false_positive_count,
    outcomes.true_negative_count,
    outcomes.false_negative_count,
    outcomes.scored_count,
    outcomes.absolute_error_sum,
    outcomes.squared_error_sum,
    case when {{ is_still_growing() }} then 'immature' else 'ok' end as data_status
from coverage
cross join {{ ref('int_as_of') }} as clock
inner join {{ ref('int_monitored_models') }} as models
    on coverage.model_name = models.model_name
left join outcomes
    on
        coverage.model_name = outcomes.model_name
        and coverage.model_version = outcomes.model_version
        and coverage.role = outcomes.role
        and coverage.slice_key = outcomes.slice_key
        and coverage.slice_value = outcomes.slice_value
        and coverage.event_date = outcomes.event_date
        and coverage.label_view = outcomes.label_view
where coverage.window_end <= clock.as_of
