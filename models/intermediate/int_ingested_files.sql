-- Grain: one landing file that has been read, as it was then: the ledger.
-- It depends on all that works on "the files of this run", so that it is written last, and with it
-- in one transaction that they are settled: a build that is killed before reads them again.
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{% if is_incremental() %}
        delete from {{ this }} as held
        where exists (
            select 1 from {{ ref('stg_landing_files') }} as files
            where files.input = held.input and files.file_path = held.file_path
                and (files.is_changed or files.is_gone)
        )
    {% endif %}",
    post_hook=[
        "update {{ ref('stg_landing_files') }} set is_settled = true",
        "delete from {{ ref('int_affected_requests') }}",
    ],
) }}
-- depends_on: {{ ref('int_duplicate_lines') }}
-- depends_on: {{ ref('int_file_hours') }}
-- depends_on: {{ ref('int_field_issues') }}
-- depends_on: {{ ref('int_rejected_lines') }}
-- depends_on: {{ ref('int_label_revisions') }}
-- depends_on: {{ ref('int_label_outcomes') }}
-- depends_on: {{ ref('int_label_file_hours') }}

with

reports as (
    select
        'inference_events' as input,
        file_path,
        file_line_count,
        file_problem
    from {{ ref('stg_inference_lines') }}
    where line_number = 0 {{ 'and load_number = ' ~ load_number() if is_incremental() }}
    union all
    select
        'labels' as input,
        file_path,
        file_line_count,
        file_problem
    from {{ ref('stg_label_lines') }}
    where line_number = 0 {{ 'and load_number = ' ~ load_number() if is_incremental() }}
)

select
    files.input,
    files.file_path,
    files.file_size,
    files.modified_at,
    files.file_revision,
    files.load_number,
    false as is_closed,
    reports.file_line_count,
    reports.file_problem,
    '{{ input_definition() }}' as input_definition
from {{ ref('stg_landing_files') }} as files
left join reports
    on files.input = reports.input and files.file_path = reports.file_path
where not files.is_gone {{ 'and files.is_changed' if is_incremental() }}
