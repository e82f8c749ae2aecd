-- Grain: one field of one valid line of an inference event whose value could not be used.
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{{ forget_changed_files('inference_events', is_kept('ts')) }}",
) }}
-- depends_on: {{ ref('stg_landing_files') }}
select
    lines.model_name,
    lines.model_version,
    lines.role,
    lines.request_id,
    lines.ts,
    unnest(lines.field_issues, recursive := true), -- noqa: AL03
    lines.file_path,
    lines.line_number,
    lines.load_number
from {{ ref('stg_inference_lines') }} as lines
where
    {{ is_read_in_this_run('lines') }}
    and lines.reject_reason is null
    and lines.field_issues is not null
