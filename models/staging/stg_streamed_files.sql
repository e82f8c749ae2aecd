-- Grain: one landing file of inference events that this streaming run reads, or that is gone since
-- an earlier one has read it. Only files that can hold an event of the lookback are looked at.
{{ config(materialized='table', tags=['streaming']) }}

{% set ledger = as_left_by_last_build('stg_streamed_lines', 'restricted')
    if is_streaming_run() and not flags.FULL_REFRESH %}

with

found as (
    {% if is_streaming_run() and not input_relation('inference_events') %}
    select
        unnest(landing_files(
            {{ text_literal(landing_path()) }}, 'inference_events', {{ streaming_files_since() }}
        ), recursive := true)
    {% else %}
    select
        null::varchar as file_path,
        null::bigint as file_size,
        null::timestamp as modified_at
    where false
    {% endif %}
),

revised as (
    select
        *,
        {{ hash64(['file_size', 'modified_at', text_literal(streaming_definition())]) }}
            as file_revision
    from found
),

ledger as (
    {% if ledger %}
    select
        file_path,
        file_size,
        modified_at,
        file_revision
    from {{ ledger }}
    where line_number = 0 and modified_at >= {{ streaming_files_since() }}
    {% else %}
    select * from revised where false
    {% endif %}
)

select
    coalesce(revised.file_path, ledger.file_path) as file_path,
    coalesce(revised.file_size, ledger.file_size) as file_size,
    coalesce(revised.modified_at, ledger.modified_at) as modified_at,
    revised.file_revision,
    (revised.file_revision is null) as is_gone
from revised
full outer join ledger on revised.file_path = ledger.file_path
where revised.file_revision is distinct from ledger.file_revision
