-- Grain: one hour with accepted events, and the fingerprint of what it holds. A summary that
-- remembers another fingerprint rebuilds that hour.
select
    event_hour,
    {{ fingerprint('row_hash') }} as revision
from {{ ref('stg_inference_events') }}
group by event_hour
