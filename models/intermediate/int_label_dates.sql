-- Grain: one date with accepted events, and the fingerprint of its events and of all that is
-- known of their labels.
with

labels as (
    select
        date_trunc('day', history.event_ts)::date as event_date,
        {{ fingerprint(hash64([
            'history.request_hash', 'history.model_name', 'history.model_version', 'history.role',
            'history.label_number', 'history.label_text', 'history.labeled_at',
            'case when history.known_until <= clock.held_after then history.known_until end',
        ])) }} as revision
    from {{ ref('int_label_history') }} as history
    cross join {{ ref('int_as_of') }} as clock
    where
        history.match_status = 'matched'
        and not history.is_duplicate
        and history.labeled_at <= clock.held_after
    group by event_date
)

select
    dates.event_date,
    {{ hash64(['dates.revision', 'labels.revision']) }} as revision
from {{ ref('int_event_dates') }} as dates
left join labels on dates.event_date = labels.event_date
