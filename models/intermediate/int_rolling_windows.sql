-- Grain: one window_size and slice_key that a target names, and bucket: the hour, for windows of
-- a day and more the day, that such windows end in; with the fingerprint of all hours that they
-- look back on. Windows under an hour end each minute and are for whole models only.
with

sizes as (
    select distinct
        window_size,
        slice_key,
        {{ window_minutes('window_size') }} as minutes
    from {{ ref('stg_slo_targets') }}
    where
        problem is null
        and metric in ({{ text_literals(service_metrics()) }})
        -- These have exact tables of their own.
        and window_size not in ('1m', '1h', '1d')
),

hours as (
    select
        calendar.event_hour,
        calendar.revision,
        clock.as_of
    from {{ ref('int_service_calendar') }} as calendar
    cross join {{ ref('int_as_of') }} as clock
),

bounds as (
    select
        min(event_hour) as first_hour,
        max(event_hour) as last_hour,
        any_value(as_of) as as_of
    from hours
),

buckets as (
    select
        sizes.*,
        case when sizes.minutes < 1440 then interval '1 hour' else interval '1 day' end as step,
        unnest(generate_series(
            case
                when sizes.minutes < 1440 then bounds.first_hour
                else date_trunc('day', bounds.first_hour)
            end,
            bounds.as_of,
            case when sizes.minutes < 1440 then interval '1 hour' else interval '1 day' end
        )) as bucket,
        bounds.as_of
    from sizes
    cross join bounds
    where bounds.first_hour is not null
)

select
    buckets.window_size,
    buckets.slice_key,
    buckets.minutes,
    buckets.bucket,
    {{ revision_of(fingerprint(hash64([
        'hours.event_hour', 'hours.revision', 'least(buckets.as_of, buckets.bucket + buckets.step)',
    ]))) }} as revision
from buckets
inner join hours
    on
        hours.event_hour < buckets.bucket + buckets.step
        and hours.event_hour > buckets.bucket - to_minutes(buckets.minutes) - interval '1 hour'
group by all
