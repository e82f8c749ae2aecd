-- Grain: one target and the model_version, slice value and feature that it judges now: the newest
-- closed window that is mature, has enough requests and is not too old; else the absence of one.
with

targets as (
    select * from {{ ref('stg_slo_targets') }} where problem is null
),

evaluations as (
    select
        evaluations.* exclude (alert_name), -- noqa: RF02
        evaluations.alert_name as slo_name,
        evaluations.value as sli_value,
        targets.budget_objective,
        evaluations.expires_at > clock.as_of as is_recent,
        evaluations.window_end > clock.as_of
        - greatest(interval '24 hours', evaluations.window_end - evaluations.window_start)
            as is_last_day
    from {{ ref('int_alert_evaluations') }} as evaluations
    inner join targets on evaluations.alert_name = targets.slo_name
    cross join {{ ref('int_as_of') }} as clock
    where
        evaluations.kind = 'objective'
        and evaluations.is_breached is not null
        and evaluations.window_end > clock.as_of - interval '28 days'
),

newest as (
    select *
    from evaluations
    where is_recent
    qualify row_number() over (
        partition by slo_name, model_version, slice_value, feature
        order by window_end desc
    ) = 1
),

budgets as (
    select
        slo_name,
        model_version,
        slice_value,
        feature,
        1 - avg(is_breached::int) / (1 - any_value(budget_objective)) as error_budget_remaining,
        avg(is_breached::int) filter (where is_last_day) / (1 - any_value(budget_objective))
            as burn_rate
    from evaluations
    group by all
),

-- A budget of requests is used up by the bad ones, one of windows by those that miss the objective.
last_days as (
    select
        targets.slo_name,
        evaluations.model_version,
        arg_max(evaluations.value, evaluations.window_end) as sli_value
    from {{ ref('int_alert_evaluations') }} as evaluations
    inner join targets
        on
            evaluations.model_name = targets.model_name
            and starts_with(evaluations.alert_name, targets.slo_name || '_burn_')
            and evaluations.metric = targets.metric
    cross join {{ ref('int_as_of') }} as clock
    where
        evaluations.kind = 'burn_rate'
        and evaluations.window_size = '1d'
        and evaluations.value is not null
        and evaluations.expires_at > clock.as_of
    group by all
),

-- Absence is judged where a version is expected to serve now.
serving as (
    select
        model_name,
        model_version,
        role,
        span_start
    from {{ ref('int_service_spans') }}
    where is_serving
    union all
    select
        model_name,
        'all' as model_version,
        'all' as role,
        min(span_start) as span_start
    from {{ ref('int_service_spans') }}
    where is_serving
    group by model_name
),

absent as (
    select
        targets.slo_name,
        serving.model_version,
        'all' as slice_value,
        coalesce(targets.feature, '') as feature
    from targets
    cross join {{ ref('int_as_of') }} as clock
    inner join serving
        on targets.model_name = serving.model_name and targets.role = serving.role
    where
        -- A new version has no whole window yet.
        serving.span_start + to_minutes({{ window_minutes('targets.window_size') }})
        + to_microseconds((targets.max_age_hours * 3.6e9)::bigint) <= clock.as_of
        and not exists (
            select 1 from newest
            where
                newest.slo_name = targets.slo_name
                and newest.model_version = serving.model_version
        )
),

judged as (
    select
        slo_name,
        model_version,
        slice_value,
        feature,
        window_start,
        window_end,
        sli_value,
        is_breached,
        'ok' as data_status
    from newest
    union all
    select
        slo_name,
        model_version,
        slice_value,
        feature,
        null as window_start,
        null as window_end,
        null as sli_value,
        null as is_breached,
        'no_data' as data_status
    from absent
)

select
    targets.model_name,
    judged.model_version,
    targets.role,
    targets.slice_key,
    judged.slice_value,
    targets.window_size,
    judged.window_start,
    judged.window_end,
    targets.slo_name,
    targets.severity,
    targets.metric,
    nullif(judged.feature, '') as feature,
    targets.comparator,
    targets.objective,
    judged.sli_value,
    coalesce(judged.is_breached, targets.on_missing = 'breach') as is_breached,
    case
        when {{ has_request_budget('targets') }}
            then
                1 - ({{ bad_share('judged.sli_value', 'targets.comparator') }})
                / ({{ bad_share('targets.objective', 'targets.comparator') }})
        else budgets.error_budget_remaining
    end as error_budget_remaining,
    case
        when {{ has_request_budget('targets') }}
            then
                ({{ bad_share('last_days.sli_value', 'targets.comparator') }})
                / ({{ bad_share('targets.objective', 'targets.comparator') }})
        else budgets.burn_rate
    end as burn_rate,
    targets.runbook,
    judged.data_status
from judged
inner join targets on judged.slo_name = targets.slo_name
left join budgets
    on
        judged.slo_name = budgets.slo_name
        and judged.model_version = budgets.model_version
        and judged.slice_value = budgets.slice_value
        and judged.feature = budgets.feature
left join last_days
    on
        judged.slo_name = last_days.slo_name
        and judged.model_version = last_days.model_version
        and judged.slice_value = 'all'
