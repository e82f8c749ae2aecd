-- Grain: one model_name, model_version, role, slice, closed window of whole days with predictions
-- and label_view: performance and calibration, as far as enough is known of the labels.
{{ config(materialized='view') }}

with

coverage as (
    select
        coverage.*,
        models.task,
        models.protected_attributes,
        {{ is_still_growing() }}
        or coverage.labeled_count < models.min_label_coverage * coverage.prediction_count
            as is_immature
    from {{ ref('int_label_coverage') }} as coverage
    cross join {{ ref('int_as_of') }} as clock
    inner join {{ ref('int_monitored_models') }} as models
        on coverage.model_name = models.model_name
),

stated as (
    select
        coverage.*,
        {% for column in performance_columns() + calibration_columns() %}
        performance.{{ column }},
        {% endfor %}
        performance.performance_status,
        performance.calibration_status,
        performance.line_status,
        performance.reliability_curve,
        case
            when coverage.labeled_count = 0 then 'no_data'
            when coverage.is_immature then 'immature'
        end as label_status,
        case when coverage.task <> 'binary_classification' then 'not_applicable' end
            as task_status
    from coverage
    left join {{ ref('int_performance') }} as performance
        using (
            model_name, model_version, role, slice_key, slice_value, window_size, window_end,
            label_view
        )
)

select
    {{ shared_keys()[:6] | join(',\n    ') }},
    window_start::timestamp as window_start,
    window_end::timestamp as window_end,
    label_view,
    task,
    labeled_count,
    list_contains(protected_attributes, slice_key) as is_protected,
    {% for column in performance_columns() + calibration_columns() %}
    case when label_status is null then {{ column }} end as {{ column }},
    {% endfor %}
    case when label_status is null then reliability_curve end as reliability_curve,
    -- Labels of predictions without a score tell nothing of these.
    coalesce(label_status, performance_status, 'no_data') as performance_status,
    coalesce(task_status, label_status, calibration_status, 'no_data') as calibration_status,
    coalesce(task_status, label_status, line_status, 'no_data') as line_status
from stated
