-- Grain: one metric of one home table, for its shared keys, label_view, feature and comparison.
with

metrics as (
    {% for home in metric_homes() %}
    {% set home_loop = loop %}
    {% for metric in home.metrics %}
    select
        {{ shared_keys() | join(', ') }},
        {{ 'label_view' if home.label_view else 'null::varchar' }} as label_view,
        '{{ metric }}' as metric,
        {{ metric }}::double as value,
        {{ home.sample_count }}::bigint as sample_count,
        {{ 'data_status' if home.data_status else "'ok'" }} as data_status,
        '{{ home.table }}' as home_table
    from {{ ref(home.table) }}
    {{ 'union all' if not (loop.last and home_loop.last) }}
    {% endfor %}
    {% endfor %}
),

stated as (
    select
        * replace (
            -- A quotient of nothing, or a latency that nobody measured.
            case
                when data_status = 'ok' and value is null then 'no_data' else data_status
            end as data_status
        )
    from metrics
),

-- The month before the window, of windows of whole days.
compared as (
    select
        *,
        count(value) over month_before as baseline_count,
        avg(value) over month_before as baseline_mean,
        stddev_samp(value) over month_before as baseline_stddev
    from stated
    where right(window_size, 1) = 'd'
    window month_before as (
        partition by
            model_name, model_version, role, slice_key, slice_value, window_size, label_view,
            metric, home_table
        order by window_end
        range between -- noqa: PRS
        (window_end - window_start) + interval '30 days' - interval '1 microsecond'
        preceding and (window_end - window_start) preceding
    )
),

final as (
    select
        * exclude (baseline_count) replace (
            case when baseline_count >= 7 then baseline_mean end as baseline_mean,
            case when baseline_count >= 7 then baseline_stddev end as baseline_stddev
        )
    from compared
    union all by name
    select
        *,
        null::double as baseline_mean,
        null::double as baseline_stddev
    from stated
    where right(window_size, 1) <> 'd'
)

select
    {{ shared_keys() | join(',\n    ') }},
    label_view,
    null::varchar as feature,
    null::varchar as comparison,
    metric,
    value,
    sample_count,
    case
        when home_table in ('service_levels_rolling') and metric like '%\_p__\_ms' escape '\'
            then value * 0.02
        when metric like 'label\_delay%' escape '\' then value * 0.02
        when metric not like 'latency_mean%' and value is not null then 0.0
        when value is not null then 0.000001
    end as error_bound,
    baseline_mean,
    baseline_stddev,
    value - baseline_mean as change_vs_baseline,
    data_status,
    home_table
from final
