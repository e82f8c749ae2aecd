-- Grain: one model_name, model_version, role, slice and closed window of a size that a target
-- names.
select
    {{ shared_keys() | join(',\n    ') }},
    request_count,
    request_count / {{ window_minutes('window_size') }} as requests_per_minute,
    error_count,
    error_count / nullif(request_count, 0) as error_rate,
    {{ slow_columns() }},
    latency_p50_ms,
    latency_p95_ms,
    latency_p99_ms,
    latency_mean_ms,
    latency_max_ms,
    inference_time_p50_ms,
    inference_time_p95_ms
from {{ ref('int_service_rolling') }}
