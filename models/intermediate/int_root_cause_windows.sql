-- Grain: one alert that has fired, of a metric of services or of labels: the window in which it was
-- worst, and the two windows whose difference is to be explained.
{{ config(meta={'settings': ['min_samples', 'min_samples_per_class', 'calibration_bins']}) }}
{% set service = service_metrics() %}
{% set corrections = metrics_of(['label_corrections']) %}
{% set labelled = labelled_metrics() %}

with

firing as (
    select *
    from {{ ref('alerts') }}
    where
        state <> 'pending'
        and feature is null
        and metric in ({{ text_literals(service + corrections + labelled) }})
),

breaches as (
    select
        firing.*,
        evaluations.window_start as worst_start,
        evaluations.window_end as worst_end,
        max(evaluations.window_end) over (partition by firing.alert_id) as last_end
    from firing
    inner join {{ ref('int_alert_evaluations') }} as evaluations
        on
            firing.alert_name = evaluations.alert_name
            and firing.model_name = evaluations.model_name
            and firing.model_version = evaluations.model_version
            and firing.role = evaluations.role
            and firing.metric = evaluations.metric
            and firing.window_size = evaluations.window_size
            and firing.threshold = evaluations.threshold
            and firing.compare_to is not distinct from evaluations.compare_to
            and firing.started_at < evaluations.window_end
            and coalesce(firing.resolved_at, timestamp '9999-01-01') >= evaluations.window_end
    where evaluations.is_breached
    qualify row_number() over (
        partition by firing.alert_id
        order by
            case when firing.comparator in ('<', '<=') then -1 else 1 end
            * evaluations.compared_value desc nulls last,
            evaluations.window_end asc, evaluations.slice_key asc, evaluations.slice_value asc
    ) = 1
),

-- Labels are counted by the day: the worst window as it stands. Services are counted by the hour:
-- since the breach or the worst window began, to the end of the last window that breached.
current_windows as (
    select
        *,
        metric in ({{ text_literals(labelled) }}) as is_labelled,
        case
            when is_labelled then worst_start
            else date_trunc('hour', least(started_at, worst_start))
        end as current_start,
        case
            when is_labelled then worst_end
            else date_trunc('hour', last_end + interval '1 hour' - interval '1 microsecond')
        end as current_end
    from breaches
),

periods as (
    select periods.*
    from {{ ref('int_baseline_periods') }} as periods
    inner join {{ ref('int_monitored_models') }} as models
        on
            periods.model_name = models.model_name
            and periods.baseline_version = models.baseline_version
    where periods.kind = 'score'
),

compared as (
    select
        windows.model_name,
        windows.model_version,
        windows.role,
        windows.window_size,
        windows.worst_start as window_start,
        windows.worst_end as window_end,
        windows.alert_id,
        windows.alert_name,
        windows.metric,
        case
            when windows.is_labelled then 'labels'
            when windows.metric in ({{ text_literals(service) }}) then 'services'
            else 'corrections'
        end as home,
        windows.current_start,
        windows.current_end,
        -- The days of its baseline, where that is over; else as many days as those of the window
        -- before it. Of services the same hours of the seven days before: nights are not like days.
        case
            when not windows.is_labelled then windows.current_start - interval '7 days'
            when windows.current_start >= periods.baseline_end
                then periods.baseline_start::timestamp
            else windows.current_start - (windows.current_end - windows.current_start)
        end as reference_start,
        case
            when windows.is_labelled and windows.current_start >= periods.baseline_end
                then periods.baseline_end::timestamp
            else windows.current_start
        end as reference_end
    from current_windows as windows
    left join periods
        on
            windows.model_name = periods.model_name
            and windows.model_version = periods.model_version
),

all_dates as (
    select {{ fingerprint(hash64(['event_date', 'revision'])) }} as revision
    from {{ ref('int_label_dates') }}
),

-- What the two times hold: events by the hour, labels by the day. Labels that came in an hour are
-- of events of any day.
moments as (
    select
        event_hour as moment,
        'services' as home,
        revision
    from {{ ref('int_event_hours') }}
    union all
    select
        event_date::timestamp as moment,
        'labels' as home,
        revision
    from {{ ref('int_label_dates') }}
    union all
    select
        hours.label_hour as moment,
        'corrections' as home,
        {{ hash64([
            'hours.model_name', 'hours.file_path', 'hours.label_count', 'hours.corrected_count',
            'all_dates.revision',
        ]) }} as revision
    from {{ ref('int_label_file_hours') }} as hours
    cross join all_dates
    where hours.label_hour is not null
),

contents as (
    select
        compared.alert_id,
        {{ fingerprint(hash64(['moments.moment', 'moments.revision'])) }} as revision
    from compared
    inner join moments
        on
            compared.home = moments.home
            and compared.reference_start <= moments.moment
            and compared.current_end > moments.moment
            and (
                compared.reference_end > moments.moment
                or compared.current_start <= moments.moment
            )
    group by compared.alert_id
)

select
    compared.* exclude (home), -- noqa: RF02
    {{ revision_of(hash64([
        'compared.metric', 'compared.window_size',
        'compared.window_start', 'compared.window_end', 'compared.current_start',
        'compared.current_end', 'compared.reference_start', 'compared.reference_end',
        'contents.revision',
    ])) }} as revision
from compared
left join contents on compared.alert_id = contents.alert_id
