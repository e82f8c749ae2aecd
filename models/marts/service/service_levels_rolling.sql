-- Grain: one model_name, model_version, role, slice and closed window of a size that a target
-- names.
select
    {{ shared_keys() | join(',\n    ') }},
    request_count,
    request_count / {{ window_minutes('window_size') }} as requests_per_minute,
    error_count,
    error_count / nullif(request_count, 0) as error_rate,
    {{ service_metrics()[4:] | join(',\n    ') }}
from {{ ref('int_service_rolling') }}
