-- Grain: one line of an input that was rejected. Its text is in the restricted schema only
-- (stg_rejected_lines).
select
    rejected.input,
    rejected.file_path,
    rejected.line_number,
    rejected.reject_reason,
    rejected.model_name,
    rejected.request_id,
    rejected.ts
from {{ ref('int_rejected_lines') }} as rejected
cross join {{ ref('int_as_of') }} as clock
-- Whether a label fits its event is judged when its time has come.
where rejected.request_hash is null or rejected.ts <= clock.held_after
