-- Grain: one model_name, model_version, role, closed window of a day with predictions, feature and
-- integrity_check.
select
    {{ shared_keys()[:6] | join(',\n    ') }},
    window_start::timestamp as window_start,
    window_end::timestamp as window_end,
    feature,
    'baseline' as comparison,
    integrity_check,
    other_feature,
    is_flagged,
    value,
    threshold,
    factor,
    value_offset,
    fit_residual,
    sample_count,
    detail,
    data_status
from {{ ref('int_feature_integrity') }}
