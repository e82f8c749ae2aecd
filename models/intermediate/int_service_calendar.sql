-- Grain: one hour with events or in which a version is expected to serve, and the fingerprint of
-- both and of how much of the hour is closed.
with

expected as (
    select
        spans.*,
        unnest(generate_series(
            date_trunc('hour', span_start), span_end - interval '1 minute', interval '1 hour'
        )) as event_hour
    from {{ ref('int_service_spans') }} as spans
),

expected_hours as (
    select
        event_hour,
        {{ fingerprint(hash64([
            'model_name', 'model_version', 'role', 'greatest(span_start, event_hour)',
            "least(span_end, event_hour + interval '1 hour')",
        ])) }} as revision
    from expected
    group by event_hour
)

select
    coalesce(events.event_hour, expected_hours.event_hour) as event_hour,
    {{ hash64([
        'events.revision', 'expected_hours.revision',
        "least(clock.as_of, coalesce(events.event_hour, expected_hours.event_hour)"
        ~ " + interval '1 hour')",
    ]) }} as revision
from {{ ref('int_event_hours') }} as events
full outer join expected_hours on events.event_hour = expected_hours.event_hour
cross join {{ ref('int_as_of') }} as clock
