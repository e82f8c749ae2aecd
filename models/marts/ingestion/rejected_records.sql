-- Grain: one line of an input that was rejected. Its text is in the restricted schema only
-- (stg_rejected_lines).
select
    input,
    file_path,
    line_number,
    reject_reason,
    model_name,
    request_id,
    ts
from {{ ref('stg_rejected_lines') }}
