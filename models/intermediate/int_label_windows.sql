-- Grain: one window_size and window_end of closed windows of whole days, and the fingerprint of
-- the days in it, labels included.
{{ config(meta={'settings': ['min_samples', 'min_samples_per_class', 'calibration_bins']}) }}

with

sizes as (
    select unnest({{ performance_windows_days() }}) as days
),

ends as (
    select distinct
        sizes.days,
        (dates.event_date + to_days(unnest(generate_series(1, sizes.days))::integer))::date
            as window_end
    from {{ ref('int_label_dates') }} as dates
    cross join sizes
)

select
    ends.days,
    ends.days || 'd' as window_size,
    ends.window_end,
    {{ revision_of(fingerprint(hash64(['dates.event_date', 'dates.revision']))) }} as revision
from ends
cross join {{ ref('int_as_of') }} as clock
inner join {{ ref('int_label_dates') }} as dates
    on
        dates.event_date < ends.window_end
        and dates.event_date >= ends.window_end - to_days(ends.days::integer)
where
    ends.window_end <= clock.as_of
    and {{ is_kept('ends.window_end', 'windows') }}
    and {{ is_kept('(ends.window_end - ends.days::integer)') }}
group by all
