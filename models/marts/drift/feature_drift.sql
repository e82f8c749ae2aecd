-- Grain: one model_name, model_version, role, slice, closed window of whole days with
-- predictions, feature and comparison.
select
    {{ shared_keys()[:6] | join(',\n    ') }},
    window_start::timestamp as window_start,
    window_end::timestamp as window_end,
    feature,
    feature_type,
    comparison,
    baseline_version,
    baseline_count,
    current_count,
    {{ drift_columns() | join(',\n    ') }},
    drift_level,
    data_status
from {{ ref('int_feature_drift') }}
