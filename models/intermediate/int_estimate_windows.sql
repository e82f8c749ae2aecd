-- Grain: one window_size and window_end of closed windows of whole days, and the fingerprint of
-- the days in it and in the reference before it, labels included.
{{ config(meta={
    'settings': [
        'min_samples', 'min_samples_per_class', 'calibration_bins', 'estimation_reference_days'
    ]
}) }}

select
    windows.days,
    windows.window_size,
    windows.window_end,
    {{ revision_of(fingerprint(hash64(['dates.event_date', 'dates.revision']))) }} as revision
from {{ ref('int_label_windows') }} as windows
inner join {{ ref('int_estimation_dates') }} as dates
    on
        dates.event_date < windows.window_end
        and dates.event_date
        >= windows.window_end
        - to_days((windows.days + {{ settings().estimation_reference_days }})::integer)
group by all
