-- Grain: one line of an input that was rejected, with its text.
select
    'inference_events' as input,
    file_path,
    line_number,
    reject_reason,
    model_name,
    request_id,
    ts,
    raw_line
from {{ ref('stg_inference_lines') }}
where line_number > 0 and reject_reason is not null
union all
select
    'labels' as input,
    file_path,
    line_number,
    reject_reason,
    model_name,
    request_id,
    labeled_at as ts,
    raw_line
from {{ ref('stg_label_lines') }}
where line_number > 0 and reject_reason is not null
union all
-- What shows only beside the events: a label that fits several models, or not its model's task.
select distinct
    'labels' as input,
    history.label_file_path as file_path,
    history.label_line_number as line_number,
    history.match_status as reject_reason,
    case when history.match_status = 'invalid_label' then history.model_name end as model_name,
    history.request_id,
    history.labeled_at as ts,
    null::varchar as raw_line
from {{ ref('int_label_history') }} as history
cross join {{ ref('int_as_of') }} as clock
where
    history.match_status in ('ambiguous_model', 'invalid_label')
    and history.labeled_at <= clock.held_after
