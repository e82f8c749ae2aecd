-- Grain: one window_size and window_end of closed windows of whole days in which some version has
-- labels and a baseline that was over before, and the fingerprint of the days in the window and of
-- such baselines, labels included.
{{ config(meta={'settings': ['min_samples', 'min_samples_per_class', 'calibration_bins']}) }}

with

periods as (
    select
        periods.model_name,
        periods.model_version,
        periods.baseline_start,
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
    where periods.kind = 'score' and models.task = 'binary_classification'
    group by periods.model_name, periods.model_version, periods.baseline_start, periods.baseline_end
),

labelled as (
    select distinct
        model_name,
        model_version,
        window_size,
        window_end
    from {{ ref('int_label_coverage') }}
    where label_view = 'latest' and slice_key <> 'all' and labeled_count > 0
)

select
    windows.days,
    windows.window_size,
    windows.window_end,
    {{ revision_of(hash64(['windows.revision', fingerprint('periods.revision')])) }} as revision
from {{ ref('int_label_windows') }} as windows
inner join labelled using (window_size, window_end)
inner join periods
    on
        labelled.model_name = periods.model_name
        and labelled.model_version = periods.model_version
        and windows.window_end - windows.days::integer >= periods.baseline_end
        and periods.baseline_end - periods.baseline_start >= windows.days
group by windows.days, windows.window_size, windows.window_end, windows.revision
