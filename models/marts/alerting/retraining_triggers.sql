-- Grain: one moment at which a model_version gave reason to be trained anew, with the days to train
-- on: the newest whose labels are mature, without those of incidents in data or labels.
{% set window_days = settings().retraining_window_days %}
{% set spoilt = text_literals(
    metrics_of(['data_quality', 'feature_drift', 'label_corrections']) + ['label_coverage']
) %}

with

triggers as (
    select * from {{ ref('int_retraining_alerts') }}
),

models as (
    select * from {{ ref('int_monitored_models') }}
),

-- A window that was spoilt may have been so from its beginning.
incidents as (
    select
        model_name,
        alert_name,
        (started_at - to_minutes({{ window_minutes('window_size') }}))::date as first_day,
        coalesce(resolved_at, timestamp '9999-01-01') as ended_at
    from {{ ref('alerts') }}
    where
        severity in ('page', 'ticket')
        and not triggers_retraining
        and kind <> 'burn_rate'
        and metric in ({{ spoilt }})
        and fired_at is not null
),

days as (
    select
        coverage.model_name,
        coverage.window_start::date as day,
        sum(coverage.labeled_count)::bigint as labeled_count,
        sum(coverage.labeled_count) / sum(coverage.prediction_count) as label_coverage
    from {{ ref('label_coverage') }} as coverage
    where
        coverage.window_size = '1d'
        and coverage.slice_key = 'all'
        and coverage.role = 'live'
        and coverage.label_view = 'as_known'
    group by all
),

candidates as (
    select
        triggers.alert_id,
        days.day,
        days.labeled_count,
        string_agg(distinct incidents.alert_name, ', ' order by incidents.alert_name) as incident,
        any_value(days.label_coverage >= models.min_label_coverage) as is_labelled
    from triggers
    inner join models on triggers.model_name = models.model_name
    inner join days on triggers.model_name = days.model_name
    left join incidents
        on
            triggers.model_name = incidents.model_name
            and days.day >= incidents.first_day
            and days.day < incidents.ended_at
    -- By then the labels of the day were known.
    where
        triggers.fired_at
        >= days.day + interval '1 day'
        + to_microseconds((models.label_grace_hours * 3.6e9)::bigint)
    group by all
),

numbered as (
    select
        *,
        incident is null and is_labelled as is_fit,
        count(*) filter (where incident is null and is_labelled) over (
            partition by alert_id
            order by day desc
            rows between unbounded preceding and current row
        ) as place
    from candidates
),

-- The newest days that are fit, and what lies between them.
chosen as (
    select *
    from numbered
    where place between 1 and {{ window_days }}
    qualify day >= min(day) filter (where is_fit) over (partition by alert_id)
),

windows as (
    select
        alert_id,
        min(day) filter (where is_fit) as first_day,
        max(day) filter (where is_fit) as last_day,
        count(*) filter (where is_fit) as training_day_count,
        coalesce(sum(labeled_count) filter (where is_fit), 0)::bigint as labeled_count
    from chosen
    group by alert_id
),

excluded as (
    select
        alert_id,
        incident,
        day,
        -- Days in a row have this in common.
        day - row_number() over (partition by alert_id, incident order by day)::integer as stretch
    from (
        select
            chosen.alert_id,
            chosen.day,
            coalesce(chosen.incident, 'too few labels') as incident
        from chosen
        where not chosen.is_fit
    )
),

excluded_periods as (
    select
        alert_id,
        string_agg(period, '; ' order by first_day, period) as excluded_periods
    from (
        select
            alert_id,
            min(day) as first_day,
            min(day) || ' to ' || max(day) || ' (' || incident || ')' as period
        from excluded
        group by alert_id, incident, stretch
    )
    group by alert_id
)

select
    triggers.model_name,
    triggers.model_version,
    triggers.role,
    {{ short_id(["'retraining'", 'triggers.alert_id']) }} as trigger_id,
    triggers.fired_at as triggered_at,
    triggers.alert_id,
    triggers.alert_name,
    triggers.metric
    || coalesce(' of ' || triggers.feature, '')
    || ' over ' || triggers.window_size || ' ' || triggers.comparator || ' '
    || {{ short_number('triggers.threshold') }}
    || case triggers.compare_to
        when 'value' then '' else ' (' || replace(triggers.compare_to, '_', ' ') || ')'
    end as reason,
    'worst value ' || coalesce({{ short_number('triggers.worst_value') }}, 'unknown')
    || case
        when triggers.slice_key <> 'all'
            then ' in ' || triggers.slice_key || ' = ' || triggers.slice_value
        else ''
    end
    || case
        when triggers.line_count > 1 then ', ' || triggers.line_count || ' slices or features'
        else ''
    end
    || ', since ' || strftime(triggers.started_at, '%Y-%m-%d %H:%M') || ' UTC' as evidence,
    windows.first_day::timestamp as training_window_start,
    windows.last_day::timestamp + interval '1 day' as training_window_end,
    excluded_periods.excluded_periods,
    coalesce(windows.training_day_count, 0) as training_day_count,
    coalesce(windows.labeled_count, 0) as labeled_count,
    case
        when coalesce(windows.training_day_count, 0) = 0 then 'no_data'
        when windows.training_day_count < {{ window_days }} then 'insufficient_data'
        else 'ok'
    end as data_status
from triggers
left join windows on triggers.alert_id = windows.alert_id
left join excluded_periods on triggers.alert_id = excluded_periods.alert_id
