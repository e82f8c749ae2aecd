-- Grain: one window_size and window_end of closed windows of whole days in which some version was
-- a shadow, of the sizes of drift, and the fingerprint of the days in it.
{{ config(meta={'settings': ['min_samples', 'min_samples_per_class', 'calibration_bins']}) }}

with

ends as (
    select distinct
        sizes.days,
        (dates.event_date + 1)::date as window_end
    from {{ ref('int_shadow_dates') }} as dates
    cross join (select unnest({{ settings().drift_windows_days }}) as days) as sizes
)

select
    ends.days,
    ends.days || 'd' as window_size,
    ends.window_end,
    {{ revision_of(fingerprint(hash64(['dates.event_date', 'dates.revision']))) }} as revision
from ends
cross join {{ ref('int_as_of') }} as clock
inner join {{ ref('int_shadow_dates') }} as dates
    on
        dates.event_date < ends.window_end
        and dates.event_date >= ends.window_end - to_days(ends.days::integer)
where
    ends.window_end <= clock.as_of
    and {{ is_kept('ends.window_end', 'windows') }}
    and {{ is_kept('(ends.window_end - ends.days::integer - 1)') }}
group by all
