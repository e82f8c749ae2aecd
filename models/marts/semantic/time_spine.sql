-- Grain: one day, from the first with requests to as_of. MetricFlow counts along it.
with

days as (
    select min(event_date) as first_day from {{ ref('int_service_days') }}
)

select unnest(range(days.first_day, clock.as_of, interval '1 day'))::date as date_day
from {{ ref('int_as_of') }} as clock
cross join days
