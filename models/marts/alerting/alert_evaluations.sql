-- Grain: one condition of an alert and window of the metric that it watches, by model_version,
-- slice_value and feature.
select
    {{ shared_keys() | join(',\n    ') }},
    alert_name,
    condition_number,
    severity,
    metric,
    nullif(feature, '') as feature,
    comparison,
    compare_to,
    value,
    reference_value,
    compared_value,
    sample_count,
    comparator,
    threshold,
    is_breached,
    evaluated_at,
    data_status
from {{ ref('int_alert_evaluations') }}
