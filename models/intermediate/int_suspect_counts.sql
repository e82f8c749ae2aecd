-- Grain: one alert, suspect, measure of it and period: what was counted of it in the breach (by
-- bin, an hour or a day), and in periods before. Ratios of these counts are compared in Python.
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

bins as (
    select
        *,
        unnest(generate_series(hours_from, last_hour, interval '1 hour')) as bin
    from whole_hours
),

numbered_bins as (
    select
        *,
        unnest(range({{ hour_periods + 1 }})) as period_number
    from bins
),

-- The same hours of days before: as many days as the breach has, so that they do not overlap it.
hours as (
    select
        * exclude (hours_from, last_hour),
        bin - to_days(
            (period_number * ceil((date_diff('hour', hours_from, last_hour) + 1) / 24))::integer
        ) as event_hour
    from numbered_bins
),

numbered_days as (
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
    from numbered_days
),

service as (
    select
        model_name,
        model_version,
        role,
        event_hour,
        request_count,
        -- The middle of a bin of the histogram, in fixed point.
        list_sum(list_transform(
            map_entries(inference_time_histogram),
            lambda entry: entry.value::hugeint
            * round(power(1.04, entry.key - 0.5) * {{ latency_unit() }})::hugeint
        )) as inference_time_sum,
        list_sum(map_values(inference_time_histogram)) as inference_time_count
    from {{ ref('int_service_hours') }}
    where slice_key = 'all'
),

service_errors as (
    select
        *,
        'status ' || status || ', ' || error_stage as error
    from {{ ref('int_error_hours') }}
),

lines as (
    select
        model_name,
        event_hour,
        sum(line_count)::bigint as line_count
    from {{ ref('int_file_hours') }}
    group by all
),

field_issues as (
    select
        model_name,
        date_trunc('hour', ts) as event_hour,
        field || ': ' || issue as suspect,
        count(*) as line_count
    from {{ ref('int_field_issues') }}
    group by all
),

duplicate_lines as (
    select
        model_name,
        date_trunc('hour', ts) as event_hour,
        case
            when winner_file_path = file_path then 'lines twice in a file'
            else 'lines in two files'
        end as suspect,
        count(*) as line_count
    from {{ ref('int_duplicate_lines') }}
    group by all
),

-- A rejected line has no hour of its own: that of most lines of its file.
hours_of_files as (
    select
        file_path,
        arg_max(model_name, (line_count, event_hour, model_name)) as model_name,
        arg_max(event_hour, (line_count, event_hour, model_name)) as event_hour
    from {{ ref('int_file_hours') }}
    group by file_path
),

rejected_lines as (
    select
        hours_of_files.model_name,
        hours_of_files.event_hour,
        rejected.reject_reason as suspect,
        count(*) as line_count
    from {{ ref('int_rejected_lines') }} as rejected
    inner join hours_of_files on rejected.file_path = hours_of_files.file_path
    where rejected.input = 'inference_events'
    group by all
),

late_files as (
    select
        file_hours.model_name,
        file_hours.event_hour,
        'late files' as suspect,
        sum(file_hours.line_count)::bigint as line_count
    from {{ ref('int_file_hours') }} as file_hours
    inner join {{ ref('int_ingested_files') }} as files
        on file_hours.file_path = files.file_path and files.input = 'inference_events'
    where files.modified_at > file_hours.event_hour + interval '25 hours'
    group by all
),

counts as (
    -- How many requests there were, and of hours how many.
    {{ hours_counted('requests', "'requests'", 'service', 'request_count', '0') }}
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
    {{ hours_counted(
        'inference_time', "'inference time of the model'", 'service', 'inference_time_sum',
        'inference_time_count'
    ) }}
    union all
    {{ hours_counted(
        'upstream_latency', 'upstream', ref('int_upstream_hours'), 'latency_sum', 'latency_count'
    ) }}
    union all
    {{ hours_counted(
        'upstream_errors', 'upstream', ref('int_upstream_hours'), 'error_count', 'call_count'
    ) }}
    union all
    {{ hours_counted('preprocessing', 'flag', ref('int_preprocessing_hours'), 'request_count') }}
    union all
    {{ hours_counted('service_errors', 'error', 'service_errors', 'error_count') }}
    union all
    {{ hours_counted('lines', "'lines'", 'lines', 'line_count', of_series=false) }}
    union all
    {% for measure in ['field_issues', 'duplicate_lines', 'rejected_lines', 'late_files'] %}
    {{ hours_counted(measure, 'suspect', measure, 'line_count', of_series=false) }}
    union all
    {% endfor %}
    -- Labels that came, by when; those of hours in which none came are missing.
    select
        hours.alert_id,
        hours.span,
        hours.period_number,
        hours.bin,
        'labels' as measure,
        'labels that arrived' as suspect,
        coalesce(sum(counted.label_count), 0)::hugeint as numerator,
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
        days.alert_id,
        'whole' as span,
        days.period_number,
        days.event_date as bin,
        'null_rate' as measure,
        counted.feature as suspect,
        sum(counted.null_count)::hugeint as numerator,
        sum(counted.prediction_count)::hugeint as denominator,
        null as detail
    from days
    inner join {{ ref('int_feature_days') }} as counted
        on
            days.model_name = counted.model_name
            and days.event_date = counted.event_date
            and days.model_version in ('all', counted.model_version)
            and days.role in ('all', counted.role)
    where counted.slice_key = 'all' and counted.feature_type <> 'prediction'
    group by all
    union all
    select
        days.alert_id,
        'whole' as span,
        days.period_number,
        days.event_date as bin,
        'feature_integrity' as measure,
        counted.feature || ': ' || counted.integrity_check as suspect,
        max(counted.is_flagged::integer)::hugeint as numerator,
        1::hugeint as denominator,
        min(counted.detail) filter (where counted.is_flagged) as detail
    from days
    inner join {{ ref('feature_integrity') }} as counted
        on
            days.model_name = counted.model_name
            and days.event_date = counted.window_start::date
            and days.model_version in ('all', counted.model_version)
            and days.role in ('all', counted.role)
    where counted.slice_key = 'all' and counted.is_flagged is not null
    group by all
    union all
    -- In fixed point: a sum of doubles would depend on its order.
    select
        days.alert_id,
        'whole' as span,
        days.period_number,
        days.event_date as bin,
        'feature_drift' as measure,
        counted.feature as suspect,
        sum(round(least(counted.psi, 1000) * {{ latency_unit() }})::bigint)::hugeint as numerator,
        count(*)::hugeint as denominator,
        null as detail
    from days
    inner join {{ ref('int_feature_drift') }} as counted
        on
            days.model_name = counted.model_name
            and days.event_date = counted.window_start
            and days.model_version in ('all', counted.model_version)
            and days.role in ('all', counted.role)
    where
        counted.slice_key = 'all'
        and counted.window_size = '1d'
        and counted.comparison = 'baseline'
        and counted.feature_type <> 'prediction'
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
