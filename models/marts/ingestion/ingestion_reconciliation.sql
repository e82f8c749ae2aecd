-- Grain: one landing file (or day of an input relation), and what became of its lines.
with

-- Of a file that was read again, what had been counted of closed days is another reading's.
files as (
    select * from {{ ref('int_ingested_files') }}
),

event_lines as (
    select
        hours.file_path,
        sum(hours.valid_count)::bigint as valid_count,
        sum(hours.rejected_count)::bigint as rejected_count
    from {{ ref('int_file_hours') }} as hours
    inner join files
        on
            hours.file_path = files.file_path
            and hours.load_number = files.load_number
            and files.input = 'inference_events'
    group by hours.file_path
),

duplicates as (
    select
        duplicates.file_path,
        count(*) as duplicate_count
    from {{ ref('int_duplicate_lines') }} as duplicates
    cross join {{ ref('int_as_of') }} as clock
    inner join files
        on
            duplicates.file_path = files.file_path
            and duplicates.load_number = files.load_number
            and files.input = 'inference_events'
    where duplicates.ts <= clock.held_after
    group by duplicates.file_path
),

held_lines as (
    select
        file_path,
        held_count
    from {{ ref('int_held_lines') }}
    where input = 'inference_events'
),

-- What a label line is worth by itself; the rest shows beside the events.
rejected_labels as (
    select
        file_path,
        count(*) as rejected_count
    from {{ ref('int_rejected_lines') }}
    where input = 'labels' and request_hash is null
    group by file_path
),

outcomes as (
    select
        'inference_events' as input,
        event_lines.file_path,
        event_lines.valid_count - coalesce(duplicates.duplicate_count, 0)
        - coalesce(held_lines.held_count, 0) as accepted_count,
        duplicates.duplicate_count,
        event_lines.rejected_count,
        held_lines.held_count,
        0 as superseded_count,
        0 as unmatched_count
    from event_lines
    left join duplicates on event_lines.file_path = duplicates.file_path
    left join held_lines on event_lines.file_path = held_lines.file_path
    union all by name
    select
        'labels' as input,
        coalesce(outcomes.file_path, rejected_labels.file_path) as file_path,
        outcomes.accepted_count,
        outcomes.duplicate_count,
        coalesce(outcomes.rejected_count, 0) + coalesce(rejected_labels.rejected_count, 0)
            as rejected_count,
        outcomes.held_count,
        outcomes.superseded_count,
        outcomes.unmatched_count
    from {{ ref('int_label_outcomes') }} as outcomes
    full outer join rejected_labels on outcomes.file_path = rejected_labels.file_path
)

select
    files.input,
    files.file_path,
    files.file_size,
    files.modified_at,
    files.file_line_count as line_count,
    {% for outcome in ['accepted', 'duplicate', 'rejected', 'held', 'superseded', 'unmatched'] %}
    coalesce(outcomes.{{ outcome }}_count, 0)::bigint as {{ outcome }}_count,
    {% endfor %}
    files.file_problem
from files
left join outcomes
    on files.input = outcomes.input and files.file_path = outcomes.file_path
