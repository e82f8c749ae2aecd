-- Grain: one date on which some version was a shadow, and the fingerprint of the events and labels
-- of it and of the days around: the two requests of a pair may have midnight between them.
with

spans as (
    select
        spans.*,
        unnest(generate_series(
            date_trunc('day', started_at), ended_at - interval '1 microsecond', interval '1 day'
        ))::date as event_date
    from {{ ref('int_shadow_spans') }} as spans
),

shadow_dates as (
    select
        event_date,
        {{ fingerprint(hash64([
            'model_name', 'model_version', "greatest(started_at, event_date::timestamp)",
            "least(ended_at, event_date + interval '1 day')",
        ])) }} as spans_revision
    from spans
    group by event_date
)

select
    shadow_dates.event_date,
    {{ hash64([
        'shadow_dates.spans_revision', fingerprint(hash64(['dates.event_date', 'dates.revision'])),
    ]) }} as revision
from shadow_dates
inner join {{ ref('int_label_dates') }} as dates
    on dates.event_date between shadow_dates.event_date - 1 and shadow_dates.event_date + 1
group by shadow_dates.event_date, shadow_dates.spans_revision
