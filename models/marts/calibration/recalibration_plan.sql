-- Grain: one model_name, model_version, role with labels of late, and method of recalibration.
{% set days = recalibration_days() %}

select
    plans.model_name,
    plans.model_version,
    plans.role,
    'all' as slice_key,
    'all' as slice_value,
    '{{ days.all }}d' as window_size,
    (clock.as_of::date - {{ days.all }})::timestamp as window_start,
    clock.as_of::date::timestamp as window_end,
    (clock.as_of::date - {{ days.judged }})::timestamp as judged_start,
    plans.method, -- noqa: RF04
    plans.parameters,
    plans.fit_labeled_count,
    plans.judged_labeled_count,
    plans.baseline_labeled_count,
    plans.baseline_ece,
    plans.ece,
    plans.ece_noise_floor,
    plans.recalibrated_ece,
    plans.brier_score,
    plans.recalibrated_brier_score,
    plans.is_needed,
    plans.is_recommended,
    plans.data_status
from {{ ref('int_recalibration') }} as plans
cross join {{ ref('int_as_of') }} as clock
