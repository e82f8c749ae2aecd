-- Grain: one day, from the first with requests to as_of. MetricFlow counts along it.
select unnest(range(first_days.first_day, clock.as_of, interval '1 day'))::date as date_day
from {{ ref('int_as_of') }} as clock
cross join (
    select min(window_start) as first_day from {{ ref('int_service_days') }}
) as first_days
