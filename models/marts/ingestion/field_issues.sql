-- Grain: one field of one accepted event whose value could not be used; it was read as null.
with

issues as (
    select
        *,
        unnest(field_issues, recursive := true) -- noqa: AL03
    from {{ ref('stg_inference_events') }}
    where field_issues is not null
)

select
    model_name,
    model_version,
    role,
    request_id,
    ts,
    field,
    issue,
    file_path,
    line_number
from issues
