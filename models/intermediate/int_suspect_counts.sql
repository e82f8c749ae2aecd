-- Grain: one alert, suspect, measure of it and period: what was counted of it in the breach (by
-- bin, an hour or a day), and in periods before. Ratios of these counts are compared in Python.
{% set unit = latency_unit() %}
{% set hour_periods = 7 %}
{% set day_periods = 14 %}

with

alerts as (
    select * from {{ ref('int_suspect_alerts') }}
),

-- Of hours: the whole of the breached windows, and what came last in them. Of labels: until they
-- were known.
spans as (
    select
        alert_id,
        model_name,
        model_version,
        role,
        unnest([ -- noqa: AL03
            struct_pack(span := 'whole', span_from := event_from, span_to := event_to),
            struct_pack(
                span := 'last', span_from := greatest(event_from, started_at), span_to := event_to
            ),
            struct_pack(span := 'labels', span_from := event_from, span_to := known_to)
        ], recursive := true)
    from alerts
),

whole_hours as (
    select
        * exclude (span_from, span_to),
        date_trunc('hour', span_from) as hours_from,
        greatest(
            date_trunc('hour', span_to - interval '1 microsecond'), date_trunc('hour', span_from)
        ) as last_hour
    from spans
),

hour_bins as (
    select
        *,
        ceil((date_diff('hour', hours_from, last_hour) + 1) / 24) as day_count,
        unnest(generate_series(hours_from, last_hour, interval '1 hour')) as bin
    from whole_hours
),

hour_periods as (
    select
        *,
        unnest(range(0, {{ hour_periods + 1 }})) as period_number
    from hour_bins
),

-- The same hours of days before: as many days as the breach has, so that they do not overlap it.
hours as (
    select
        alert_id,
        model_name,
        model_version,
        role,
        span,
        period_number,
        bin,
        bin - to_days((period_number * day_count)::integer) as event_hour
    from hour_periods
),

days_before as (
    select
        *,
        unnest(range(1, {{ day_periods + 1 }})) as period_number
    from alerts
),

days as (
    select
        alert_id,
        model_name,
        model_version,
        role,
        0 as period_number,
        unnest(generate_series(
            event_from::date, (event_to - interval '1 microsecond')::date, interval '1 day'
        ))::date as event_date
    from alerts
    union all
    select
        alert_id,
        model_name,
        model_version,
        role,
        period_number,
        event_from::date - period_number::integer as event_date
    from days_before
),

{% set of_series %}
    and (hours.model_version in ('all', counted.model_version))
    and (hours.role in ('all', counted.role))
{% endset %}

service as (
    select
        hours.*,
        counted.request_count,
        counted.inference_time_histogram
    from hours
    inner join {{ ref('int_service_hours') }} as counted
        on
            hours.model_name = counted.model_name and hours.event_hour = counted.event_hour
            {{ of_series }}
    where counted.slice_key = 'all' and hours.span <> 'labels'
),

lines as (
    select
        model_name,
        event_hour,
        sum(line_count)::bigint as line_count
    from {{ ref('int_file_hours') }}
    group by all
),

-- Where most of the lines of a file belong: a rejected line may not say.
main_hours as (
    select
        file_path,
        arg_max(model_name, (line_count, event_hour, model_name)) as model_name,
        arg_max(event_hour, (line_count, event_hour, model_name)) as event_hour
    from {{ ref('int_file_hours') }}
    group by file_path
),

bad_lines as (
    select
        issues.model_name,
        date_trunc('hour', issues.ts) as event_hour,
        'field_issues' as measure,
        issues.field || ': ' || issues.issue as suspect,
        count(*) as numerator
    from {{ ref('int_field_issues') }} as issues
    group by all
    union all
    select
        model_name,
        date_trunc('hour', ts) as event_hour,
        'duplicate_lines' as measure,
        case
            when winner_file_path = file_path then 'lines twice in a file'
            else 'lines in two files'
        end as suspect,
        count(*) as numerator
    from {{ ref('int_duplicate_lines') }}
    group by all
    union all
    select
        main_hours.model_name,
        main_hours.event_hour,
        'rejected_lines' as measure,
        rejected.reject_reason as suspect,
        count(*) as numerator
    from {{ ref('int_rejected_lines') }} as rejected
    inner join main_hours on rejected.file_path = main_hours.file_path
    where rejected.input = 'inference_events'
    group by all
    union all
    select
        hours_of_files.model_name,
        hours_of_files.event_hour,
        'late_files' as measure,
        'late files' as suspect,
        sum(hours_of_files.line_count)::bigint as numerator
    from {{ ref('int_file_hours') }} as hours_of_files
    inner join {{ ref('int_ingested_files') }} as files
        on hours_of_files.file_path = files.file_path and files.input = 'inference_events'
    where files.modified_at > hours_of_files.event_hour + interval '25 hours'
    group by all
),

counts as (
    -- How many requests there were, and of hours how many.
    select
        alert_id,
        span,
        period_number,
        bin,
        'requests' as measure,
        'requests' as suspect,
        sum(request_count)::hugeint as numerator,
        0::hugeint as denominator,
        null as detail
    from service
    group by all

    union all

    select
        alert_id,
        span,
        period_number,
        bin,
        'requests' as measure,
        'requests' as suspect,
        0::hugeint as numerator,
        count(*)::hugeint as denominator,
        null as detail
    from hours
    where span <> 'labels'
    group by all

    union all

    -- The middle of a bin of the histogram, in fixed point.
    select
        alert_id,
        span,
        period_number,
        bin,
        'inference_time' as measure,
        'inference time of the model' as suspect,
        sum(list_sum(list_transform(
            map_entries(inference_time_histogram),
            lambda entry: entry.value::hugeint
            * round(power(1.04, entry.key - 0.5) * {{ unit }})::hugeint
        )))::hugeint as numerator,
        sum(list_sum(map_values(inference_time_histogram)))::hugeint as denominator,
        null as detail
    from service
    group by all

    union all

    select
        hours.alert_id,
        hours.span,
        hours.period_number,
        hours.bin,
        'upstream_latency' as measure,
        counted.upstream as suspect,
        sum(counted.latency_sum)::hugeint as numerator,
        sum(counted.latency_count)::hugeint as denominator,
        null as detail
    from hours
    inner join {{ ref('int_upstream_hours') }} as counted
        on
            hours.model_name = counted.model_name and hours.event_hour = counted.event_hour
            {{ of_series }}
    where hours.span <> 'labels'
    group by all

    union all

    select
        hours.alert_id,
        hours.span,
        hours.period_number,
        hours.bin,
        'upstream_errors' as measure,
        counted.upstream as suspect,
        sum(counted.error_count)::hugeint as numerator,
        sum(counted.call_count)::hugeint as denominator,
        null as detail
    from hours
    inner join {{ ref('int_upstream_hours') }} as counted
        on
            hours.model_name = counted.model_name and hours.event_hour = counted.event_hour
            {{ of_series }}
    where hours.span <> 'labels'
    group by all

    union all

    select
        hours.alert_id,
        hours.span,
        hours.period_number,
        hours.bin,
        'preprocessing' as measure,
        counted.flag as suspect,
        sum(counted.request_count)::hugeint as numerator,
        null as denominator,
        null as detail
    from hours
    inner join {{ ref('int_preprocessing_hours') }} as counted
        on
            hours.model_name = counted.model_name and hours.event_hour = counted.event_hour
            {{ of_series }}
    where hours.span <> 'labels'
    group by all

    union all

    select
        hours.alert_id,
        hours.span,
        hours.period_number,
        hours.bin,
        'service_errors' as measure,
        'status ' || counted.status || ', ' || counted.error_stage as suspect,
        sum(counted.error_count)::hugeint as numerator,
        null as denominator,
        null as detail
    from hours
    inner join {{ ref('int_error_hours') }} as counted
        on
            hours.model_name = counted.model_name and hours.event_hour = counted.event_hour
            {{ of_series }}
    where hours.span <> 'labels'
    group by all

    union all

    select
        hours.alert_id,
        hours.span,
        hours.period_number,
        hours.bin,
        'lines' as measure,
        'lines' as suspect,
        sum(lines.line_count)::hugeint as numerator,
        null as denominator,
        null as detail
    from hours
    inner join lines
        on hours.model_name = lines.model_name and hours.event_hour = lines.event_hour
    where hours.span <> 'labels'
    group by all

    union all

    select
        hours.alert_id,
        hours.span,
        hours.period_number,
        hours.bin,
        bad_lines.measure,
        bad_lines.suspect,
        sum(bad_lines.numerator)::hugeint as numerator,
        null as denominator,
        null as detail
    from hours
    inner join bad_lines
        on hours.model_name = bad_lines.model_name and hours.event_hour = bad_lines.event_hour
    where hours.span <> 'labels'
    group by all

    union all

    -- Labels that came, by when; those of hours in which none came are missing.
    select
        hours.alert_id,
        hours.span,
        hours.period_number,
        hours.bin,
        'labels' as measure,
        'labels that arrived' as suspect,
        coalesce(sum(counted.label_count), 0)::hugeint
            as numerator,
        count(distinct hours.event_hour)::hugeint as denominator,
        null as detail
    from hours
    left join {{ ref('int_label_file_hours') }} as counted
        on hours.model_name = counted.model_name and hours.event_hour = counted.label_hour
    where hours.span = 'labels'
    group by all

    union all

    select
        hours.alert_id,
        hours.span,
        hours.period_number,
        hours.bin,
        'label_corrections' as measure,
        'labels that turned over what was known' as suspect,
        sum(counted.corrected_count)::hugeint as numerator,
        sum(counted.label_count)::hugeint as denominator,
        null as detail
    from hours
    inner join {{ ref('int_label_file_hours') }} as counted
        on hours.model_name = counted.model_name and hours.event_hour = counted.label_hour
    where hours.span = 'labels'
    group by all

    union all

    select
        hours.alert_id,
        'whole' as span,
        hours.period_number,
        hours.event_date as bin,
        'null_rate' as measure,
        counted.feature as suspect,
        sum(counted.null_count)::hugeint as numerator,
        sum(counted.prediction_count)::hugeint as denominator,
        null as detail
    from days as hours
    inner join {{ ref('int_feature_days') }} as counted
        on
            hours.model_name = counted.model_name and hours.event_date = counted.event_date
            {{ of_series }}
    where counted.slice_key = 'all' and counted.feature_type <> 'prediction'
    group by all

    union all

    select
        hours.alert_id,
        'whole' as span,
        hours.period_number,
        hours.event_date as bin,
        'feature_integrity' as measure,
        counted.feature || ': ' || counted.integrity_check as suspect,
        max(counted.is_flagged::integer)::hugeint as numerator,
        1::hugeint as denominator,
        min(counted.detail) filter (where counted.is_flagged) as detail
    from days as hours
    inner join {{ ref('feature_integrity') }} as counted
        on
            hours.model_name = counted.model_name
            and hours.event_date = counted.window_start::date
            {{ of_series }}
    where counted.slice_key = 'all' and counted.is_flagged is not null
    group by all

    union all

    -- In fixed point: a sum of doubles would depend on its order.
    select
        hours.alert_id,
        'whole' as span,
        hours.period_number,
        hours.event_date as bin,
        'feature_drift' as measure,
        counted.feature as suspect,
        sum(round(least(counted.psi, 1000) * {{ unit }})::bigint)::hugeint as numerator,
        count(*)::hugeint as denominator,
        null as detail
    from days as hours
    inner join {{ ref('int_feature_drift') }} as counted
        on
            hours.model_name = counted.model_name and hours.event_date = counted.window_start
            {{ of_series }}
    where
        counted.slice_key = 'all' and counted.window_size = '1d'
        and counted.comparison = 'baseline' and counted.feature_type <> 'prediction'
        and counted.psi is not null
    group by all
)

select
    alert_id,
    measure,
    suspect,
    span,
    period_number,
    -- Of periods before only the sum counts.
    case when period_number = 0 then bin end as bin,
    sum(numerator)::hugeint as numerator,
    sum(denominator)::hugeint as denominator,
    min(detail) as detail
from counts
group by all
