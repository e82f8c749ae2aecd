-- Grain: one metric of one home table, for its shared keys, label_view, feature and comparison.
with

metrics as (
    select * from {{ ref('int_metric_values') }}
),

-- The month before the window, of windows of whole days.
compared as (
    select
        *,
        count(value) over month_before >= {{ least_baseline_windows() }} as has_baseline,
        avg(value) over month_before as baseline_mean,
        stddev_samp(value) over month_before as baseline_stddev
    from metrics
    where right(window_size, 1) = 'd'
    window month_before as ({{ month_before() }})
),

final as (
    select
        * exclude (has_baseline) replace (
            case when has_baseline then baseline_mean end as baseline_mean,
            -- The squares of huge values overflow.
            case when has_baseline and isfinite(baseline_stddev) then baseline_stddev end
                as baseline_stddev
        )
    from compared
    union all by name
    select
        *,
        null::double as baseline_mean,
        null::double as baseline_stddev
    from metrics
    where right(window_size, 1) <> 'd'
)

select
    {{ shared_keys() | join(',\n    ') }},
    label_view,
    feature,
    comparison,
    metric,
    value,
    value_lower,
    value_upper,
    sample_count,
    error_bound,
    baseline_mean,
    baseline_stddev,
    value - baseline_mean as change_vs_baseline,
    data_status,
    home_table
from final
