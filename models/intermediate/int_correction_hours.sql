-- Grain: one model_name, hour of labeled_at and slice or pair of slices: its labels that found an
-- event, as int_label_file_hours is of whole models. A view: read it for a few hours.
{{ config(materialized='view') }}

with

-- A label counts once, also where several versions and roles answered its request.
labels as (
    select
        label_file_path,
        label_line_number,
        model_name,
        date_trunc('hour', labeled_at) as label_hour,
        bool_or(is_correction) as is_correction,
        min(struct_pack(
            role := role, model_version := model_version, request_hash := request_hash,
            request_id := request_id, event_date := event_date
        )) as first_answer
    from {{ ref('int_label_history') }}
    where match_status = 'matched' and not is_duplicate
    group by label_file_path, label_line_number, model_name, label_hour
),

matched as (
    select
        model_name,
        label_hour,
        is_correction,
        unnest(first_answer, recursive := true) -- noqa: AL03
    from labels
),

answered as (
    select
        matched.label_hour,
        matched.is_correction,
        events.*
    from matched
    inner join {{ ref('stg_inference_events') }} as events
        on
            matched.model_name = events.model_name
            and matched.event_date = events.event_date
            and matched.request_hash = events.request_hash
            and matched.request_id = events.request_id
            and matched.model_version = events.model_version
            and matched.role = events.role
),

sliced as (
    select
        model_name,
        label_hour,
        is_correction,
        unnest({{ slices_of('answered') }}, recursive := true)
    from answered
),

paired as (
    select
        model_name,
        label_hour,
        is_correction,
        unnest({{ slice_pairs_of('answered') }}, recursive := true)
    from answered
),

slices as (
    select * from sliced
    union all by name
    select * from paired
)

select
    model_name,
    'all' as model_version,
    'all' as role,
    slice_key,
    slice_value,
    first_key,
    first_value,
    second_key,
    second_value,
    label_hour,
    count(*) as label_count,
    count(*) filter (where is_correction) as corrected_label_count
from slices
group by all
