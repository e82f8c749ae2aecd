-- Grain: one model_name, model_version, role and closed minute, silent ones included.
select
    model_name,
    model_version,
    role,
    'all' as slice_key,
    'all' as slice_value,
    '1m' as window_size,
    window_start,
    window_start + interval '1 minute' as window_end,
    {{ service_metrics() | join(',\n    ') }}
from {{ ref('int_service_levels_minute') }}
