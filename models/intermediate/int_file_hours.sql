-- Grain: one landing file of inference events, model and hour that its lines belong to. A line
-- that was rejected for want of a model or a time counts with the valid lines of its file.
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{{ forget_changed_files('inference_events', is_kept('event_hour')) }}",
) }}
-- depends_on: {{ ref('stg_landing_files') }}

with

lines as (
    select lines.*
    from {{ ref('stg_inference_lines') }} as lines
    where {{ is_read_in_this_run('lines') }}
),

files as (
    select
        lines.file_path,
        arg_max(lines.model_name, lines.line_number)
        filter (where lines.reject_reason is null) as model_name,
        -- The middle one: a single line of a wrong year must not take the others along.
        quantile_disc(lines.ts, 0.5) filter (where lines.reject_reason is null) as ts,
        any_value(landing_files.modified_at) as modified_at
    from lines
    left join {{ ref('stg_landing_files') }} as landing_files
        on
            lines.file_path = landing_files.file_path
            and landing_files.input = 'inference_events'
    group by lines.file_path
)

select
    lines.file_path,
    coalesce(
        case when lines.model_name <> '' then lines.model_name end,
        files.model_name,
        {% if monitored_models() | length == 1 %}
        {{ text_literal(monitored_models()[0].name) }}
        {% else %}
        '(unknown)'
        {% endif %}
    ) as model_name,
    date_trunc('hour', coalesce(
        -- What is counted of closed days stays as it is: late lines count with the others.
        case when {{ is_kept('lines.ts') }} then lines.ts end,
        files.ts,
        files.modified_at,
        timestamp '{{ as_of() }}'
    )) as event_hour,
    count(*) as line_count,
    count(lines.reject_reason) as rejected_count,
    coalesce(sum(len(lines.field_issues)), 0)::bigint as field_issue_count,
    count(lines.field_issues) as flawed_count,
    max(lines.ts) filter (where lines.reject_reason is null) as last_ts,
    count(*) filter (where lines.reject_reason is null) as valid_count,
    coalesce(sum(lines.row_hash::hugeint) filter (where lines.reject_reason is null), 0)
        as valid_hash,
    any_value(lines.load_number) as load_number
from lines
left join files on lines.file_path = files.file_path
group by all
