-- Grain: one window_size and slice_key that a target or rule names, and bucket: the hour, for
-- windows of a day and more the day, that such windows end in; with the fingerprint of all hours
-- that they look back on. Windows under an hour end each minute and are for whole models only.
with

sizes as (
    select distinct
        window_size,
        slice_key,
        {{ window_minutes('window_size') }} as minutes
    from {{ ref('int_alert_conditions') }}
    where
        metric in ({{ text_literals(service_metrics()) }})
        -- These have exact tables of their own.
        and window_size not in ('1m', '1h', '1d')
),

steps as (
    select
        *,
        case when minutes < 1440 then interval '1 hour' else interval '1 day' end as step
    from sizes
),

-- Each hour is looked back on from its own bucket and from those that follow.
hours as (
    select
        steps.window_size,
        steps.slice_key,
        steps.minutes,
        steps.step,
        calendar.event_hour,
        calendar.revision,
        clock.as_of,
        unnest(generate_series(
            time_bucket(steps.step, calendar.event_hour),
            calendar.event_hour + to_minutes(steps.minutes) + interval '1 hour'
            - interval '1 microsecond',
            steps.step
        )) as bucket
    from {{ ref('int_service_calendar') }} as calendar
    cross join steps
    cross join {{ ref('int_as_of') }} as clock
)

select
    window_size,
    slice_key,
    minutes,
    bucket,
    {{ revision_of(fingerprint(hash64([
        'event_hour', 'revision', 'least(as_of, bucket + step)',
    ]))) }} as revision
from hours
where
    bucket <= as_of
    and {{ is_kept('bucket', 'windows') }}
    and (minutes >= 60 or {{ is_kept("(bucket - interval '1 hour')", 'minutes') }})
group by all
