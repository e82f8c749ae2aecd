-- Grain: one hour with accepted events, and the fingerprint of what it holds. A summary that
-- remembers another fingerprint rebuilds that hour.
-- Accepted are the valid lines less the duplicates; sums of hashes can be subtracted. So no event
-- is looked at again.
with

valid_lines as (
    select
        event_hour,
        sum(valid_count) as line_count,
        sum(valid_hash) as line_hash,
        max(last_ts) as last_ts
    from {{ ref('int_file_hours') }}
    where valid_count > 0
    group by event_hour
),

duplicates as (
    select
        date_trunc('hour', ts) as event_hour,
        count(*) as line_count,
        sum(row_hash::hugeint) as line_hash
    from {{ ref('int_duplicate_lines') }}
    group by event_hour
)

select
    valid_lines.event_hour,
    -- Some of the hour may be held back: how much depends on the time.
    {{ hash64([
        'valid_lines.line_count - coalesce(duplicates.line_count, 0)',
        'valid_lines.line_hash - coalesce(duplicates.line_hash, 0)',
        'case when valid_lines.last_ts > clock.held_after then clock.held_after end',
    ]) }} as revision
from valid_lines
cross join {{ ref('int_as_of') }} as clock
left join duplicates on valid_lines.event_hour = duplicates.event_hour
where
    valid_lines.event_hour <= clock.held_after
    and valid_lines.line_count > coalesce(duplicates.line_count, 0)
