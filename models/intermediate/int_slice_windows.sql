-- Grain: one window_size and window_end of closed windows of whole days, and the fingerprint of
-- the days in it and of the baselines that were over when it began, labels included.
{{ config(meta={'settings': ['min_samples', 'min_samples_per_class', 'calibration_bins']}) }}

with

periods as (
    select
        periods.baseline_end,
        {{ hash64([
            'periods.model_name', 'periods.model_version', 'periods.baseline_start',
            'periods.baseline_end', fingerprint(hash64(['dates.event_date', 'dates.revision'])),
        ]) }} as revision
    from {{ ref('int_baseline_periods') }} as periods
    inner join {{ ref('int_monitored_models') }} as models
        on
            periods.model_name = models.model_name
            and periods.baseline_version = models.baseline_version
    left join {{ ref('int_label_dates') }} as dates
        on
            periods.baseline_start <= dates.event_date
            and periods.baseline_end > dates.event_date
    where periods.kind = 'score'
    group by periods.model_name, periods.model_version, periods.baseline_start, periods.baseline_end
)

select
    windows.days,
    windows.window_size,
    windows.window_end,
    {{ revision_of(hash64([
        'windows.revision',
        fingerprint(hash64(['periods.baseline_end', 'periods.revision'])),
    ])) }} as revision
from {{ ref('int_label_windows') }} as windows
left join periods on windows.window_end - windows.days::integer >= periods.baseline_end
group by windows.days, windows.window_size, windows.window_end, windows.revision
