-- Grain: one model_name, model_version, role with labels of late, and method of recalibration.
{% set days = recalibration_days() %}

select
    maps.model_name,
    maps.model_version,
    maps.role,
    'all' as slice_key,
    'all' as slice_value,
    '{{ days.all }}d' as window_size,
    (clock.as_of::date - {{ days.all }})::timestamp as window_start,
    clock.as_of::date::timestamp as window_end,
    (clock.as_of::date - {{ days.judged }})::timestamp as judged_start,
    maps.method,
    maps.parameters,
    maps.fit_labeled_count,
    maps.judged_labeled_count,
    maps.baseline_labeled_count,
    maps.baseline_ece,
    maps.ece,
    maps.ece_noise_floor,
    maps.recalibrated_ece,
    maps.brier_score,
    maps.recalibrated_brier_score,
    maps.is_needed,
    maps.is_recommended,
    maps.data_status
from {{ ref('int_recalibration') }} as maps
cross join {{ ref('int_as_of') }} as clock
