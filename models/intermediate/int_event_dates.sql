-- Grain: one date with accepted events, and the fingerprint of what it holds.
select
    date_trunc('day', event_hour)::date as event_date,
    {{ fingerprint(hash64(['event_hour', 'revision'])) }} as revision
from {{ ref('int_event_hours') }}
group by event_date
