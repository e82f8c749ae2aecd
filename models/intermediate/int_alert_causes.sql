-- Grain: one firing alert, with what the summaries say of its cause, in words.
-- First hints for who is paged; the runbook goes on from there.
{% set labelled = text_literals(metrics_of(['model_performance', 'calibration', 'fairness'])) %}

with

breaches as (
    select * from {{ ref('int_firing_alerts') }}
),

-- Where is it? The hours of the breach by slice, beside those of the day before.
slice_hours as (
    select
        breaches.alert_id,
        breaches.metric,
        hours.slice_key,
        hours.slice_value,
        hours.window_start >= date_trunc('hour', breaches.breached_since) as is_during,
        sum(hours.request_count) as request_count,
        sum(hours.error_count) as error_count,
        sum(hours.latency_sum)::double / {{ latency_unit() }}
        / nullif(sum(hours.latency_count), 0) as latency_mean_ms,
        max(hours.inference_time_quantiles[2]) as inference_time_p95_ms
    from breaches
    inner join {{ ref('int_service_hours') }} as hours
        on
            breaches.model_name = hours.model_name
            and breaches.model_version = hours.model_version
            and breaches.role = hours.role
            and hours.window_start < breaches.window_end
            and hours.window_start >= breaches.breached_since - interval '25 hours'
            and (breaches.slice_key = 'all' or hours.slice_key = 'all')
    where
        breaches.metric like 'latency%'
        or breaches.metric like 'slow%'
        or breaches.metric like 'inference%'
        or breaches.metric like 'error%'
    group by all
),

slice_values as (
    select
        *,
        case
            when metric like 'error%' then error_count / nullif(request_count, 0)
            else latency_mean_ms
        end as value
    from slice_hours
),

ranked_slices as (
    select
        during.*,
        whole.value as whole_value,
        row_number() over (
            partition by during.alert_id
            order by
                during.value / nullif(whole.value, 0) desc,
                during.slice_key asc,
                during.slice_value asc
        ) as place
    from slice_values as during
    inner join slice_values as whole
        on
            during.alert_id = whole.alert_id
            and whole.slice_key = 'all'
            and whole.is_during
    where
        during.is_during
        and during.slice_key <> 'all'
        and during.request_count >= 10
),

slice_causes as (
    select
        alert_id,
        1 as place,
        case
            -- Of few requests some slice always has twice the errors: it must be far from chance.
            when
                value > 1.5 * whole_value
                and (
                    metric not like 'error%'
                    or value - whole_value
                    > 4 * sqrt(whole_value * (1 - whole_value) / request_count)
                )
                then
                    'it stands out in ' || slice_key || ' = ' || slice_value || ' ('
                    || case
                        when metric like 'error%' then round(100 * value, 1) || ' % errors'
                        else round(value) || ' ms on average'
                    end || ', overall '
                    || case
                        when metric like 'error%' then round(100 * whole_value, 1) || ' %'
                        else round(whole_value) || ' ms'
                    end || ')'
            else
                'no slice stands out, so look at what all requests share:'
                || ' the service, its host, an upstream'
        end as cause
    from ranked_slices
    where place = 1
),

-- Is it the model or what is around it?
inference_causes as (
    select
        during.alert_id,
        2 as place,
        case
            when during.inference_time_p95_ms > 1.5 * before.inference_time_p95_ms
                then
                    'the model itself is slower: inference takes '
                    || round(during.inference_time_p95_ms) || ' ms at the p95 of its worst hour, '
                    || round(before.inference_time_p95_ms) || ' ms the day before'
            else
                'the model itself is as fast as the day before (p95 '
                || round(during.inference_time_p95_ms)
                || ' ms), so the time is lost around it: an upstream, a queue, the network'
        end as cause
    from slice_values as during
    inner join slice_values as before
        on
            during.alert_id = before.alert_id
            and before.slice_key = 'all'
            and not before.is_during
    where
        during.slice_key = 'all'
        and during.is_during
        and (during.metric like 'latency%' or during.metric like 'slow%')
        and during.inference_time_p95_ms is not null
        and before.inference_time_p95_ms is not null
),

-- Did somebody deploy?
deployment_causes as (
    select
        breaches.alert_id,
        0 as place,
        deployments.model_version || ' went ' || deployments.role || ' at '
        || strftime(deployments.deployed_from, '%Y-%m-%d %H:%M') || ' UTC' as cause
    from breaches
    inner join {{ ref('stg_deployments') }} as deployments
        on
            breaches.model_name = deployments.model_name
            and deployments.deployed_from <= breaches.breached_since + interval '1 hour'
            and deployments.deployed_from > breaches.breached_since - interval '24 hours'
),

-- Does anything arrive at all?
arrival_causes as (
    select
        breaches.alert_id,
        3 as place,
        case
            when sum(hours.rejected_count) > 0
                then
                    sum(hours.rejected_count)::bigint || ' of '
                    || sum(hours.line_count)::bigint
                    || ' lines that arrived were rejected (see rejected_records)'
            when sum(hours.line_count) > 0
                then
                    'only ' || sum(hours.line_count)::bigint
                    || ' lines arrived, none of them bad: fewer callers, or files that are late'
            else
                'no line arrived for these hours, not even a bad one:'
                || ' the service, or the shipping of its logs, stopped'
        end as cause
    from breaches
    left join {{ ref('int_file_hours') }} as hours
        on
            breaches.model_name = hours.model_name
            and hours.event_hour >= date_trunc('hour', breaches.breached_since)
            and hours.event_hour < breaches.window_end
    where
        breaches.metric in (
            'is_unexpectedly_silent', 'requests_vs_week_before', 'request_count',
            'requests_per_minute'
        )
        and breaches.data_status = 'ok'
    group by all
),

reject_reasons as (
    select
        breaches.alert_id,
        rejected.reject_reason,
        rejected.file_path,
        count(*) as reason_count
    from breaches
    inner join {{ ref('stg_rejected_lines') }} as rejected
        on
            rejected.input = 'inference_events'
            and rejected.file_path in (
                select file_path from {{ ref('int_file_hours') }} as hours
                where
                    hours.model_name = breaches.model_name
                    and hours.rejected_count > 0
                    and hours.event_hour >= date_trunc('hour', breaches.breached_since)
                    and hours.event_hour < breaches.window_end
            )
    where breaches.metric = 'reject_rate'
    group by all
),

reject_causes as (
    select
        alert_id,
        4 as place,
        'most are ' || arg_max(reject_reason, (reason_count, reject_reason)) || ', such as in '
        || arg_max(file_path, (reason_count, reject_reason, file_path)) as cause
    from reject_reasons
    group by all
),

label_causes as (
    select
        breaches.alert_id,
        5 as place,
        coalesce(
            'the newest label known is of ' || strftime(max(history.labeled_at), '%Y-%m-%d %H:%M')
            || ' UTC',
            'no label is known at all'
        ) as cause
    from breaches
    cross join {{ ref('int_as_of') }} as clock
    left join {{ ref('int_label_history') }} as history
        on
            breaches.model_name = history.model_name
            and history.labeled_at <= clock.as_of
    where
        breaches.metric in ({{ text_literals(metrics_of(['label_coverage'])) }})
        or (breaches.metric in ({{ labelled }}) and breaches.data_status <> 'ok')
    group by all
),

-- Where did the values go that the cells of PSI lost?
moved_cells as (
    select
        breaches.alert_id,
        drift.comparison,
        drift.baseline_count,
        drift.current_count,
        drift.baseline_median,
        drift.current_median,
        unnest(drift.cells) as cell
    from breaches
    inner join {{ ref('int_feature_drift') }} as drift
        on
            breaches.model_name = drift.model_name
            and breaches.model_version = drift.model_version
            and breaches.role = drift.role
            and breaches.slice_key = drift.slice_key
            and breaches.slice_value = drift.slice_value
            and breaches.window_size = drift.window_size
            and breaches.window_end = drift.window_end
            and breaches.feature = drift.feature
            and breaches.comparison = drift.comparison
),

cell_shares as (
    select
        *,
        100 * cell.current_count / current_count as current_share,
        100 * cell.baseline_count / baseline_count as baseline_share,
        case
            when cell.category = '(missing)' then 'are missing'
            when cell.category = '(rest)' then 'are such as were rare or unknown'
            when cell.category is not null then 'are ' || cell.category
            when cell.bin_lower = cell.bin_upper then 'are ' || {{ short_number('cell.bin_upper') }}
            when cell.bin_lower is null then 'are at most ' || {{ short_number('cell.bin_upper') }}
            when cell.bin_upper is null then 'are over ' || {{ short_number('cell.bin_lower') }}
            else
                'are between ' || {{ short_number('cell.bin_lower') }} || ' and '
                || {{ short_number('cell.bin_upper') }}
        end as place_in_words
    from moved_cells
),

drift_causes as (
    select
        alert_id,
        6 as place,
        round(current_share)::bigint || ' % of the values ' || place_in_words || ', '
        || case comparison when 'baseline' then 'in the baseline ' else 'in the window before ' end
        || round(baseline_share)::bigint || ' %'
        || coalesce(
            '; the median is about ' || {{ short_number('current_median') }} || ', there '
            || {{ short_number('baseline_median') }},
            ''
        ) as cause
    from cell_shares
    qualify row_number() over (
        partition by alert_id
        order by current_share - baseline_share desc, cell.bin asc
    ) = 1
),

-- Which inputs moved while the model got worse?
drifted_features as (
    select
        breaches.alert_id,
        drift.feature as drifted_feature,
        drift.psi,
        row_number() over (
            partition by breaches.alert_id
            order by drift.psi desc, drift.feature asc
        ) as place
    from breaches
    inner join {{ ref('int_feature_drift') }} as drift
        on
            breaches.model_name = drift.model_name
            and breaches.model_version = drift.model_version
            and breaches.role = drift.role
            and drift.slice_key = 'all'
            and drift.window_size = '7d'
            and breaches.window_end = drift.window_end
            and drift.comparison = 'previous'
            and drift.drift_level = 'significant'
    where breaches.metric in ({{ labelled }}) and breaches.data_status = 'ok'
),

input_causes as (
    select
        alert_id,
        7 as place,
        'inputs that moved most against the week before: ' || string_agg(
            drifted_feature || ' (PSI ' || {{ short_number('psi') }} || ')', ', ' order by place
        ) as cause
    from drifted_features
    where place <= 3
    group by alert_id
),

calibration_causes as (
    select
        breaches.alert_id,
        6 as place,
        'scores say ' || round(100 * calibration.mean_score, 1) || ' % on average, labels say '
        || round(100 * performance.positive_rate, 1) || ' %' as cause
    from breaches
    inner join {{ ref('calibration') }} as calibration
        using (
            model_name, model_version, role, slice_key, slice_value, window_size, window_end
        )
    inner join {{ ref('model_performance') }} as performance
        using (
            model_name, model_version, role, slice_key, slice_value, window_size, window_end,
            label_view
        )
    where
        breaches.metric in ({{ text_literals(metrics_of(['calibration'])) }})
        and label_view = 'as_known'
),

group_causes as (
    select
        breaches.alert_id,
        8 as place,
        gaps.slice_key || ' = ' || gaps.lowest_group || ' has the lowest rate and '
        || gaps.highest_group || ' the highest; the gap is at least '
        || {{ short_number('gaps.value_lower') }} as cause
    from breaches
    inner join {{ ref('fairness') }} as gaps
        on
            breaches.model_name = gaps.model_name
            and breaches.model_version = gaps.model_version
            and breaches.role = gaps.role
            and breaches.slice_key = gaps.slice_key
            and breaches.window_size = gaps.window_size
            and breaches.window_end = gaps.window_end
            and breaches.metric = gaps.metric
            and gaps.label_view = 'as_known'
),

causes as (
    select * from slice_causes
    union all
    select * from inference_causes
    union all
    select * from deployment_causes
    union all
    select * from arrival_causes
    union all
    select * from reject_causes
    union all
    select * from label_causes
    union all
    select * from drift_causes
    union all
    select * from input_causes
    union all
    select * from calibration_causes
    union all
    select * from group_causes
)

select
    alert_id,
    string_agg(cause, '; ' order by place, cause) as likely_cause
from causes
group by all
