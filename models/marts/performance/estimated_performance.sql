-- Grain: one model_name, model_version, role, closed window of whole days with predictions, and
-- metric.
select
    model_name,
    model_version,
    role,
    'all' as slice_key,
    'all' as slice_value,
    window_size,
    window_start::timestamp as window_start,
    window_end::timestamp as window_end,
    metric,
    value,
    value_lower,
    value_upper,
    realised_value,
    reference_value,
    prediction_count,
    labeled_count,
    reference_labeled_count,
    past_window_count,
    interval_status,
    data_status
from {{ ref('int_estimated_performance') }}
