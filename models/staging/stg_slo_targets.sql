-- Grain: one SLO target, as the seed or the user's relation has it, typed, with what is wrong
-- with it in words. A target with a problem judges nothing; a test fails until it is mended.
{{ config(schema='internal', materialized='table') }}
{% set columns = [
    'slo_name', 'model_name', 'role', 'metric', 'slice_key', 'feature', 'comparison', 'window_size',
    'comparator', 'objective', 'budget_objective', 'min_requests', 'max_age_hours', 'on_missing',
    'severity', 'runbook', 'comment',
] %}

with

given as (
    select * from {{ seed_or_relation('slo_targets', columns) }}
),

typed as (
    select
        slo_name::varchar as slo_name,
        model_name::varchar as model_name,
        coalesce(nullif(role::varchar, ''), 'live') as role,
        metric::varchar as metric,
        coalesce(nullif(slice_key::varchar, ''), 'all') as slice_key,
        nullif(feature::varchar, '') as feature,
        coalesce({{ optional_column('slo_targets', 'comparison') }}, 'baseline') as comparison,
        window_size::varchar as window_size,
        comparator::varchar as comparator,
        try_cast(objective as double) as objective,
        try_cast(nullif(budget_objective::varchar, '') as double) as budget_objective,
        coalesce(try_cast(nullif(min_requests::varchar, '') as bigint), 0) as min_requests,
        coalesce(try_cast(nullif(max_age_hours::varchar, '') as double), 24) as max_age_hours,
        coalesce(nullif(on_missing::varchar, ''), 'breach') as on_missing,
        coalesce(nullif(severity::varchar, ''), 'ticket') as severity,
        runbook::varchar as runbook,
        comment::varchar as comment,
        budget_objective::varchar as budget_objective_text,
        min_requests::varchar as min_requests_text,
        max_age_hours::varchar as max_age_hours_text,
        count(*) over (partition by slo_name::varchar) as name_count
    from given
),

{{ watchable_ctes() }},

judged as (
    select
        typed.*,
        case
            when coalesce(slo_name, '') = '' then 'slo_name is empty'
            when name_count > 1 then 'slo_name is not unique'
            {{- condition_problems() }}
            when objective is null or not isfinite(objective) then 'objective must be a number'
            when
                coalesce(budget_objective_text, '') <> ''
                and not coalesce(budget_objective > 0 and budget_objective < 1, false)
                then 'budget_objective must be empty or between 0 and 1, such as 0.99'
            when
                coalesce(min_requests_text, '') <> ''
                and coalesce(try_cast(min_requests_text as bigint), -1) < 0
                then 'min_requests must be empty or a whole number from 0'
            when
                coalesce(max_age_hours_text, '') <> ''
                and not coalesce(try_cast(max_age_hours_text as double) > 0, false)
                then 'max_age_hours must be empty or a number above 0'
            when on_missing not in ('breach', 'ignore') then 'on_missing must be breach or ignore'
            when severity not in ('page', 'ticket') then 'severity must be page or ticket'
            when coalesce(runbook, '') = '' then 'runbook is empty: name the page that helps'
        end as problem
    from typed
)

select * exclude (budget_objective_text, min_requests_text, max_age_hours_text, name_count)
from judged
