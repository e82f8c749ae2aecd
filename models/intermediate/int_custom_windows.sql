-- Grain: one custom metric, window_size and window_end of closed windows of whole days, and the
-- fingerprint of the definition and of the days in the window, labels included where they matter.
with

dates as (
    select
        'events' as rows_over,
        event_date,
        revision
    from {{ ref('int_event_dates') }}
    union all
    select
        'labels' as rows_over,
        event_date,
        revision
    from {{ ref('int_label_dates') }}
),

sizes as (
    select
        metric,
        rows_over,
        unnest(windows_days) as days,
        {{ hash64(['definition', 'models', 'slices']) }} as definition_hash
    from {{ ref('int_custom_definitions') }}
),

ends as (
    select distinct
        sizes.*,
        (dates.event_date + to_days(unnest(generate_series(1, sizes.days))::integer))::date
            as window_end
    from dates
    inner join sizes on dates.rows_over = sizes.rows_over
)

select
    ends.metric,
    ends.days,
    ends.days || 'd' as window_size,
    ends.window_end,
    {{ revision_of(hash64([
        'any_value(ends.definition_hash)', fingerprint(hash64(['dates.event_date', 'dates.revision']))
    ])) }} as revision
from ends
cross join {{ ref('int_as_of') }} as clock
inner join dates
    on
        ends.rows_over = dates.rows_over
        and dates.event_date < ends.window_end
        and dates.event_date >= ends.window_end - to_days(ends.days::integer)
where
    ends.window_end <= clock.as_of
    and {{ is_kept('ends.window_end', 'windows') }}
    and {{ is_kept('(ends.window_end - ends.days::integer)') }}
group by all
