-- Grain: one line of an input that was rejected, without its text; and one label line and request
-- that shows only beside the events: a label that fits several models, or not its model's task.
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{% if is_incremental() %}
        delete from {{ this }}
        where
            input = 'inference_events' and {{ is_of_changed_file('inference_events') }}
            or input = 'labels' and {{ is_of_changed_file('labels') }}
            or {{ is_kept('ts') }}
            and {{ is_affected() }}
    {% endif %}",
) }}
-- depends_on: {{ ref('stg_landing_files') }}
-- depends_on: {{ ref('int_affected_requests') }}

with

lines as (
    {% for input, lines, moment in [
        ('inference_events', ref('stg_inference_lines'), 'ts'),
        ('labels', ref('stg_label_lines'), 'labeled_at'),
    ] %}
    select
        '{{ input }}' as input,
        file_path,
        line_number,
        reject_reason,
        model_name,
        request_id,
        {{ moment }} as happened_at
    from {{ lines }} as lines
    where {{ is_read_in_this_run('lines') }} and reject_reason is not null
    {{ 'union all' if not loop.last }}
    {% endfor %}
),

labels as (
    select distinct
        label_file_path,
        label_line_number,
        match_status,
        case when match_status = 'invalid_label' then model_name end as model_name,
        request_id,
        labeled_at,
        request_hash
    from {{ ref('int_label_history') }}
    where
        match_status in ('ambiguous_model', 'invalid_label')
        and {{ is_affected() if is_incremental() else true }}
        and {{ is_kept('labeled_at') }}
)

select
    input,
    file_path,
    line_number,
    reject_reason,
    model_name,
    request_id,
    happened_at as ts,
    -- Only of labels that are judged beside their event.
    null::ubigint as request_hash
from lines
union all
select
    'labels' as input,
    label_file_path as file_path,
    label_line_number as line_number,
    match_status as reject_reason,
    model_name,
    request_id,
    labeled_at as ts,
    request_hash
from labels
