-- Grain: one accepted inference event (model_name, model_version, role, request_id): valid, the
-- winner of its identity, and not from the future.
select events.*
from {{ ref('stg_valid_events') }} as events
cross join {{ ref('int_as_of') }} as clock
where events.ts <= clock.held_after
