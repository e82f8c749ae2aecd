-- Files say how many events were accepted, and summaries how many they counted: none may be lost on
-- the way, nor counted twice.
with

files as (
    select coalesce(sum(accepted_count), 0) as event_count
    from {{ ref('ingestion_reconciliation') }}
    where input = 'inference_events'
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
