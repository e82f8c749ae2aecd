-- Grain: one model_name, model_version, role and closed window of the longest size of
-- drift_windows_days that begins where another ends, with predictions.
select
    {{ shared_keys()[:6] | join(',\n    ') }},
    window_start::timestamp as window_start,
    window_end::timestamp as window_end,
    baseline_version,
    baseline_count,
    current_count,
    domain_classifier_auc,
    domain_classifier_auc_lower,
    domain_classifier_auc_upper,
    pvalue,
    auc_own_windows_q95,
    drift_level,
    data_status
from {{ ref('int_multivariate_drift') }}
