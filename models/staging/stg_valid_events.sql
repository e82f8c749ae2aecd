-- Grain: one valid inference event (model_name, model_version, role, request_id), the winner of
-- its identity. Those from the future are among them.
select
    lines.request_id,
    lines.model_name,
    lines.model_version,
    lines.role,
    lines.ts,
    lines.event_hour,
    lines.event_date,
    lines.status,
    lines.latency_ms,
    lines.inference_time_ms,
    lines.score,
    lines.prediction,
    lines.numerical_features,
    lines.categorical_features,
    lines.attributes,
    lines.upstream,
    lines.preprocessing,
    lines.field_issues,
    lines.hashed,
    lines.file_path,
    lines.line_number,
    lines.request_hash,
    lines.row_hash
from {{ ref('stg_inference_lines') }} as lines
where
    lines.line_number > 0
    and lines.reject_reason is null
    and not exists (
        select 1
        from {{ ref('int_duplicate_lines') }} as duplicates
        where
            duplicates.identity_hash = lines.identity_hash
            and duplicates.file_path = lines.file_path
            and duplicates.line_number = lines.line_number
    )
