-- Grain: one model_name, model_version, role and closed hour in which the version was expected to
-- serve all of the hour. What is expected comes from all versions of the role together, so that
-- a release is no drop in traffic.
with

spans as (
    select * from {{ ref('int_service_spans') }}
),

version_hours as (
    select
        model_name,
        model_version,
        role,
        unnest(generate_series(
            date_trunc('hour', span_start + interval '59 minutes'),
            span_end - interval '1 hour',
            interval '1 hour'
        )) as window_start
    from spans
),

requests as (
    select
        model_name,
        model_version,
        role,
        window_start,
        request_count
    from {{ ref('int_service_hours') }}
    where slice_key = 'all'
),

role_requests as (
    select
        model_name,
        role,
        window_start,
        sum(request_count)::bigint as request_count
    from requests
    group by all
),

first_hours as (
    select
        model_name,
        role,
        min(window_start) as first_hour
    from role_requests
    group by all
),

-- A baseline of so many days begins with the first day of traffic.
dated_baselines as (
    select
        models.model_name,
        first_hours.role,
        coalesce(models.baseline_start, date_trunc('day', first_hours.first_hour))
            as baseline_start,
        coalesce(
            models.baseline_end,
            date_trunc('day', first_hours.first_hour) + to_days(models.baseline_days)
        ) as baseline_end
    from {{ ref('int_monitored_models') }} as models
    inner join first_hours on models.model_name = first_hours.model_name
),

baselines as (
    select
        dated_baselines.*,
        date_diff(
            'day', dated_baselines.baseline_start, dated_baselines.baseline_end
        ) as baseline_days
    from dated_baselines
    cross join {{ ref('int_as_of') }} as clock
    where dated_baselines.baseline_end <= clock.as_of
),

-- How often an hour of the day (UTC) had requests in the baseline.
active_hours as (
    select
        role_requests.model_name,
        role_requests.role,
        hour(role_requests.window_start) as hour_of_day,
        count(*) / any_value(baselines.baseline_days) as baseline_active_share
    from role_requests
    inner join baselines
        on
            role_requests.model_name = baselines.model_name
            and role_requests.role = baselines.role
            and role_requests.window_start >= baselines.baseline_start
            and role_requests.window_start < baselines.baseline_end
    group by all
),

joined as (
    select
        version_hours.*,
        coalesce(role_now.request_count, 0) as role_request_count,
        coalesce(requests.request_count, 0) as request_count,
        case
            when version_hours.window_start - interval '7 days' >= first_hours.first_hour
                then coalesce(week_before.request_count, 0)
        end as expected_request_count,
        case
            when baselines.model_name is not null
                then coalesce(active_hours.baseline_active_share, 0)
        end as baseline_active_share
    from version_hours
    left join requests using (model_name, model_version, role, window_start)
    left join role_requests as role_now using (model_name, role, window_start)
    left join role_requests as week_before
        on
            version_hours.model_name = week_before.model_name
            and version_hours.role = week_before.role
            and version_hours.window_start = week_before.window_start + interval '7 days'
    left join first_hours using (model_name, role)
    left join baselines using (model_name, role)
    left join active_hours
        on
            version_hours.model_name = active_hours.model_name
            and version_hours.role = active_hours.role
            and hour(version_hours.window_start) = active_hours.hour_of_day
)

select
    model_name,
    model_version,
    role,
    'all' as slice_key,
    'all' as slice_value,
    '1h' as window_size,
    window_start,
    window_start + interval '1 hour' as window_end,
    request_count,
    coalesce(expected_request_count, 0) as expected_request_count,
    role_request_count / nullif(expected_request_count, 0) as requests_vs_week_before,
    baseline_active_share,
    case
        when baseline_active_share is not null
            then baseline_active_share >= 0.95 and role_request_count = 0
    end as is_unexpectedly_silent,
    case
        when baseline_active_share is null then 'no_baseline'
        else 'ok'
    end as data_status
from joined
