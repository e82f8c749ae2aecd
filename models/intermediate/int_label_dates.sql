-- Grain: one date with accepted events, and the fingerprint of its events and of all that is
-- known of their labels.
select
    dates.event_date,
    {{ hash64(['dates.revision', 'labels.revision']) }} as revision
from {{ ref('int_event_dates') }} as dates
left join {{ ref('int_label_revisions') }} as labels on dates.event_date = labels.event_date
