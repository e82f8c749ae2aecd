-- Grain: one model_name, model_version, role, slice, closed day with predictions, and label_view.
with

coverage as (
    select
        *,
        event_date::timestamp as window_start,
        (event_date + 1)::timestamp as window_end
    from {{ ref('int_outcome_days') }}
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
    coverage.judged_count,
    coverage.correct_count,
    coverage.true_positive_count,
    coverage.false_positive_count,
    coverage.true_negative_count,
    coverage.false_negative_count,
    coverage.scored_count,
    coverage.absolute_error_sum,
    coverage.squared_error_sum,
    case
        when {{ is_still_growing() }} then 'immature'
        when coverage.scored_count > 0 and coverage.squared_error_sum is null then 'not_estimable'
        else 'ok'
    end as data_status
from coverage
cross join {{ ref('int_as_of') }} as clock
inner join {{ ref('int_monitored_models') }} as models
    on coverage.model_name = models.model_name
where coverage.window_end <= clock.as_of
