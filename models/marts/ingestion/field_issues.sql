-- Grain: one field of one accepted event whose value could not be used; it was read as null.
select
    issues.model_name,
    issues.model_version,
    issues.role,
    issues.request_id,
    issues.ts,
    issues.field,
    issues.issue,
    issues.file_path,
    issues.line_number
from {{ ref('int_field_issues') }} as issues
cross join {{ ref('int_as_of') }} as clock
where
    issues.ts <= clock.held_after
    and not exists (
        select 1
        from {{ ref('int_duplicate_lines') }} as duplicates
        where
            duplicates.file_path = issues.file_path
            and duplicates.line_number = issues.line_number
    )
