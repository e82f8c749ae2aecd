-- Grain: one landing file (or day of an input relation), and what became of its lines.
{% set outcome_names = ['accepted', 'duplicate', 'rejected', 'held', 'superseded', 'unmatched'] %}

with

clock as (
    select * from {{ ref('int_as_of') }}
),

label_lines as (
    select
        history.label_file_path as file_path,
        history.label_line_number as line_number,
        case
            when any_value(history.labeled_at) > any_value(clock.held_after) then 'held'
            when bool_and(history.match_status in ('unmatched', 'held')) then 'unmatched'
            when bool_or(history.match_status in ('ambiguous_model', 'invalid_label'))
                then 'rejected'
            when bool_and(history.is_duplicate) then 'duplicate'
            when
                bool_and(
                    history.is_duplicate
                    or coalesce(history.known_until <= clock.held_after, false)
                )
                then 'superseded'
            else 'accepted'
        end as outcome
    from {{ ref('int_label_history') }} as history
    cross join clock
    group by all
),

outcomes as (
    select
        'inference_events' as input,
        file_path,
        'accepted' as outcome,
        count(*) as line_count
    from {{ ref('stg_inference_events') }}
    group by all
    union all
    select
        'inference_events' as input,
        lines.file_path,
        case
            when lines.reject_reason is not null then 'rejected' else 'held'
        end as outcome,
        count(*) as line_count
    from {{ ref('stg_inference_lines') }} as lines
    cross join clock
    where
        lines.line_number > 0
        and (lines.reject_reason is not null or lines.ts > clock.held_after)
    group by all
    union all
    select
        'inference_events' as input,
        duplicates.file_path,
        'duplicate' as outcome,
        count(*) as line_count
    from {{ ref('int_duplicate_lines') }} as duplicates
    cross join clock
    where duplicates.ts <= clock.held_after
    group by all
    union all
    select
        'labels' as input,
        file_path,
        outcome,
        count(*) as line_count
    from label_lines
    group by all
    union all
    select
        'labels' as input,
        file_path,
        'rejected' as outcome,
        count(*) as line_count
    from {{ ref('stg_label_lines') }}
    where line_number > 0 and reject_reason is not null
    group by all
),

counted as (
    select
        input,
        {% for outcome in outcome_names %}
        coalesce(sum(line_count) filter (where outcome = '{{ outcome }}'), 0)::bigint
            as {{ outcome }}_count,
        {% endfor %}
        file_path
    from outcomes
    group by all
)

select
    files.input,
    files.file_path,
    files.file_size,
    files.modified_at,
    files.file_line_count as line_count,
    {% for outcome in outcome_names %}
    coalesce(counted.{{ outcome }}_count, 0) as {{ outcome }}_count,
    {% endfor %}
    files.file_problem
from {{ ref('int_ingested_files') }} as files
left join counted
    on files.input = counted.input and files.file_path = counted.file_path
