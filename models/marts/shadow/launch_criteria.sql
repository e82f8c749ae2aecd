-- Grain: one model_name, model_version that was a shadow, live_version, look (window_end, from its
-- first day in the shadow) and criterion with its slice_key.
select
    model_name,
    model_version,
    'shadow' as role,
    slice_key,
    'all' as slice_value,
    window_size,
    window_start::timestamp as window_start,
    window_end::timestamp as window_end,
    live_version,
    criterion,
    margin,
    is_default,
    live_value,
    shadow_value,
    difference,
    difference_lower,
    difference_upper,
    sample_count,
    verdict,
    summary,
    data_status
from {{ ref('int_launch_criteria') }}
