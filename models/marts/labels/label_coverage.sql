-- Grain: one model_name, model_version, role, slice, closed window of whole days with
-- predictions, and label_view.
with

coverage as (
    select
        coverage.*,
        {{ is_still_growing() }} as is_immature
    from {{ ref('int_label_coverage') }} as coverage
    cross join {{ ref('int_as_of') }} as clock
    inner join {{ ref('int_monitored_models') }} as models
        on coverage.model_name = models.model_name
)

select
    model_name,
    model_version,
    role,
    slice_key,
    slice_value,
    window_size,
    window_start::timestamp as window_start,
    window_end::timestamp as window_end,
    label_view,
    prediction_count,
    labeled_count,
    case when not is_immature then labeled_count / prediction_count end as label_coverage,
    case when not is_immature then label_delay_p50_hours end as label_delay_p50_hours,
    case when not is_immature then label_delay_p95_hours end as label_delay_p95_hours,
    case when is_immature then 'immature' else 'ok' end as data_status
from coverage
