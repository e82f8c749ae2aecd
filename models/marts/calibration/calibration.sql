-- Grain: one model_name, model_version, role, slice, closed window of whole days with
-- predictions, and label_view.
select
    {{ shared_keys() | join(',\n    ') }},
    label_view,
    labeled_count,
    {{ calibration_columns() | join(',\n    ') }},
    ece - ece_noise_floor as ece_excess,
    line_status,
    calibration_status as data_status
from {{ ref('int_performance_windows') }}
