-- Grain: one condition of an alert and window of the metric that it watches, by model_version,
-- slice_value and feature: what it was compared with, and whether the condition held.
with

conditions as (
    select * from {{ ref('int_alert_conditions') }}
),

watched as (
    select distinct
        model_name,
        role,
        metric,
        window_size,
        slice_key
    from conditions
),

metrics as (
    select metrics.*
    from {{ ref('int_metric_values') }} as metrics
    inner join watched using (model_name, role, metric, window_size, slice_key)
    -- What people knew at the time is the only fair history.
    where coalesce(metrics.label_view, 'as_known') = 'as_known'
),

months_before as (
    select
        *,
        case
            when count(value) over month_before >= {{ least_baseline_windows() }}
                then avg(value) over month_before
        end as reference_value
    from metrics
    where
        right(window_size, 1) = 'd'
        and (model_name, metric) in (
            select (model_name, metric) from conditions where compare_to like '%baseline'
        )
    window month_before as ({{ month_before() }})
),

spans as (
    select
        *,
        lag(model_version) over (
            partition by model_name, role order by span_start, model_version
        ) as previous_version
    from {{ ref('int_service_spans') }}
),

-- A release is compared with the version before, as that was in its last 30 days.
versions_before as (
    select
        spans.model_name,
        spans.model_version,
        spans.role,
        spans.span_start,
        metrics.slice_key,
        metrics.slice_value,
        metrics.window_size,
        coalesce(metrics.feature, '') as feature,
        coalesce(metrics.comparison, '') as comparison,
        metrics.metric,
        case
            when count(metrics.value) >= {{ least_baseline_windows() }}
                -- In order, so that the sum is the same in each run.
                then list_avg(list(metrics.value order by metrics.window_end))
        end as reference_value
    from spans
    inner join metrics
        on
            spans.model_name = metrics.model_name
            and spans.previous_version = metrics.model_version
            and spans.role = metrics.role
            and spans.span_start >= metrics.window_end
            and spans.span_start - interval '30 days' < metrics.window_end
    where
        (metrics.model_name, metrics.metric) in (
            select (model_name, metric) from conditions where compare_to like '%version'
        )
    group by all
),

shadows as (
    select distinct
        model_name,
        model_version
    from metrics
    where role <> 'live'
),

-- Beside a shadow, of the other versions that were live the one with the most requests: in a window
-- in which the shadow itself went live, it would be compared with itself on other days.
live as (
    select
        metrics.model_name,
        shadows.model_version as shadow_version,
        metrics.slice_key,
        metrics.slice_value,
        metrics.window_size,
        metrics.window_end,
        coalesce(metrics.feature, '') as feature,
        coalesce(metrics.comparison, '') as comparison,
        metrics.metric,
        arg_max(metrics.value, (metrics.sample_count, metrics.model_version)) as reference_value
    from {{ ref('int_metric_values') }} as metrics
    inner join conditions
        on
            metrics.model_name = conditions.model_name
            and metrics.metric = conditions.metric
            and metrics.window_size = conditions.window_size
            and metrics.slice_key = conditions.slice_key
            and conditions.compare_to like '%live'
    inner join shadows
        on
            metrics.model_name = shadows.model_name
            and metrics.model_version <> shadows.model_version
    where
        metrics.role = 'live'
        and coalesce(metrics.label_view, 'as_known') = 'as_known'
        and metrics.value is not null
    group by all
),

matched as (
    select
        conditions.*,
        metrics.model_version,
        metrics.slice_value,
        coalesce(metrics.feature, '') as window_feature,
        coalesce(metrics.comparison, '') as window_comparison,
        metrics.window_start,
        metrics.window_end,
        metrics.value,
        metrics.value_lower,
        metrics.value_upper,
        metrics.sample_count,
        metrics.data_status as metric_status
    from metrics
    inner join conditions
        on
            metrics.model_name = conditions.model_name
            and metrics.role = conditions.role
            and metrics.metric = conditions.metric
            and metrics.window_size = conditions.window_size
            and metrics.slice_key = conditions.slice_key
            and (
                conditions.feature = '*'
                or metrics.feature is not distinct from conditions.feature
            )
            and coalesce(metrics.comparison, conditions.comparison) = conditions.comparison
),

-- Most are about the value itself, and need no other.
compared as (
    select
        *,
        null::double as reference_value
    from matched
    where compare_to = 'value'
    union all
    select
        matched.*,
        case
            when matched.compare_to like '%baseline' then months_before.reference_value
            when matched.compare_to like '%version' then versions_before.reference_value
            when matched.compare_to like '%live' then live.reference_value
        end as reference_value
    from matched
    left join months_before
        on
            matched.compare_to like '%baseline'
            and matched.model_name = months_before.model_name
            and matched.model_version = months_before.model_version
            and matched.role = months_before.role
            and matched.slice_key = months_before.slice_key
            and matched.slice_value = months_before.slice_value
            and matched.window_size = months_before.window_size
            and matched.window_end = months_before.window_end
            and matched.metric = months_before.metric
            and matched.window_feature = coalesce(months_before.feature, '')
            and matched.window_comparison = coalesce(months_before.comparison, '')
    left join versions_before
        on
            matched.compare_to like '%version'
            and matched.model_name = versions_before.model_name
            and matched.model_version = versions_before.model_version
            and matched.role = versions_before.role
            and matched.slice_key = versions_before.slice_key
            and matched.slice_value = versions_before.slice_value
            and matched.window_size = versions_before.window_size
            and matched.metric = versions_before.metric
            and matched.window_feature = versions_before.feature
            and matched.window_comparison = versions_before.comparison
            and matched.window_start <= versions_before.span_start + interval '30 days'
    left join live
        on
            matched.compare_to like '%live'
            and matched.model_name = live.model_name
            and matched.model_version = live.shadow_version
            and matched.slice_key = live.slice_key
            and matched.slice_value = live.slice_value
            and matched.window_size = live.window_size
            and matched.window_end = live.window_end
            and matched.metric = live.metric
            and matched.window_feature = live.feature
            and matched.window_comparison = live.comparison
    where matched.compare_to <> 'value'
),

judged as (
    select
        *,
        case
            when compare_to = 'value' then value
            when compare_to like 'change%' then value - reference_value
            else value / nullif(reference_value, 0)
        end as compared_value,
        case
            when metric_status <> 'ok' then metric_status
            when sample_count < min_requests then 'too_few_requests'
            -- It says nothing of now by the time that its labels count as known.
            when max_age_hours <= grace_hours then 'expired'
            when
                compare_to <> 'value'
                and (reference_value is null or compare_to like 'ratio%' and reference_value = 0)
                then 'no_reference'
            else 'ok'
        end as data_status,
        -- A gap between groups grows with their number: only its interval can break a target.
        case
            when compare_to <> 'value' or metric not in ({{ text_literals(fairness_metrics()) }})
                then compared_value
            when comparator in ('>', '>=') then value_lower
            else value_upper
        end as judged_value
    from compared
)

select
    {{ shared_keys() | join(',\n    ') }},
    alert_name,
    kind,
    condition_number,
    severity,
    metric,
    -- What the condition is about, and what tells its lines apart.
    window_feature as feature,
    case when feature = '*' then window_feature else '' end as line_feature,
    comparison,
    compare_to,
    value,
    reference_value,
    compared_value,
    sample_count,
    comparator,
    threshold,
    case
        when data_status <> 'ok' then null
        when comparator = '<' then judged_value < threshold
        when comparator = '<=' then judged_value <= threshold
        when comparator = '>' then judged_value > threshold
        when comparator = '>=' then judged_value >= threshold
    end as is_breached,
    data_status,
    -- A long window is tipped over by its newest part.
    greatest(window_start, window_end - to_minutes(step_minutes)) as breached_since,
    window_end + to_microseconds((grace_hours * 3.6e9)::bigint) as evaluated_at,
    window_end + to_microseconds((max_age_hours * 3.6e9)::bigint) as expires_at,
    step_minutes
from judged
where
    -- Some windows are closed whose labels are still to come.
    window_end + to_microseconds((grace_hours * 3.6e9)::bigint)
    <= (select as_of from {{ ref('int_as_of') }})
    -- By the minute, most windows of little traffic could not be judged.
    and (data_status = 'ok' or step_minutes > 1)
