-- Grain: one landing file of labels, model_name and hour of labeled_at: its labels that found an
-- event; one row without an hour where the file has none. Only files are looked at again that this
-- run read, or of which a label, an event or another label of its requests has changed.
{{ config(
    materialized='incremental', incremental_strategy='delete+insert', unique_key='file_path'
) }}
-- depends_on: {{ ref('int_affected_requests') }}

with

changed_files as (
    select distinct label_file_path as file_path
    from {{ ref('int_label_history') }}
    {% if is_incremental() %}
    where {{ is_affected() }}
    union
    select label_file_path as file_path
    from {{ ref('int_affected_requests') }}
    where label_file_path is not null
    {% endif %}
),

-- A label counts once, also where several versions and roles answered its request.
labels as (
    select
        label_file_path as file_path,
        label_line_number as line_number,
        model_name,
        date_trunc('hour', labeled_at) as label_hour,
        bool_or(is_correction) as is_correction
    from {{ ref('int_label_history') }}
    where
        label_file_path in (select file_path from changed_files)
        and match_status = 'matched'
        and not is_duplicate
    group by all
)

select
    changed_files.file_path,
    labels.model_name,
    labels.label_hour,
    count(labels.line_number) as label_count,
    count(*) filter (where labels.is_correction) as corrected_count
from changed_files
left join labels on changed_files.file_path = labels.file_path
group by all
