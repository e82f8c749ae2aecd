-- Files say how many events were accepted, and summaries how many they counted: none may be lost on
-- the way, nor counted twice.
with

files as (
    select
        (select coalesce(sum(valid_count), 0) from {{ ref('int_file_hours') }})
        - (
            select count(*)
            from {{ ref('int_duplicate_lines') }} as duplicates
            cross join {{ ref('int_as_of') }} as clock
            where duplicates.ts <= clock.held_after
        )
        - (
            select coalesce(sum(held_count), 0)
            from {{ ref('int_held_lines') }}
            where input = 'inference_events'
        ) as event_count
),

days as (
    select coalesce(sum(request_count), 0) as event_count
    from {{ ref('int_service_days') }}
    where slice_key = 'all'
)

select
    files.event_count as accepted_count,
    days.event_count as counted
from files
cross join days
where files.event_count <> days.event_count
