-- Grain: one model_name, model_version, role, slice, closed window of whole days with
-- predictions, and label_view.
select
    coverage.model_name,
    coverage.model_version,
    coverage.role,
    coverage.slice_key,
    coverage.slice_value,
    coverage.window_size,
    coverage.window_start::timestamp as window_start,
    coverage.window_end::timestamp as window_end,
    coverage.label_view,
    coverage.prediction_count,
    coverage.labeled_count,
    case
        when {{ is_still_growing() }} then null
        else coverage.labeled_count / coverage.prediction_count
    end as label_coverage,
    coverage.label_delay_p50_hours,
    coverage.label_delay_p95_hours,
    case when {{ is_still_growing() }} then 'immature' else 'ok' end as data_status
from {{ ref('int_label_coverage') }} as coverage
cross join {{ ref('int_as_of') }} as clock
inner join {{ ref('int_monitored_models') }} as models
    on coverage.model_name = models.model_name
