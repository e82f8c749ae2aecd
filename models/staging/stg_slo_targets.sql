-- Grain: one SLO target, as the seed or the user's relation has it, typed, with what is wrong
-- with it in words. A target with a problem judges nothing; a test fails until it is mended.
{{ config(schema='internal', materialized='table') }}
{% set service = text_literals(service_metrics()) %}
{% set quality = text_literals(metrics_of(['data_quality', 'label_corrections'])) %}
{% set drift = text_literals(metrics_of(['feature_drift'])) %}
{% set gaps = text_literals(fairness_metrics()) %}
{% set sliced = text_literals(metrics_of(
    ['service_levels', 'label_coverage', 'feature_drift', 'model_performance', 'calibration',
     'fairness']
)) %}

with

given as (
    select * from {{ seed_or_relation('slo_targets') }}
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

slices as (
    {% for model in monitored_models() %}
    select {{ text_literal(model.name) }} as model_name, 'all' as slice_key
    {% for slice in model.slices %}
    union all
    select {{ text_literal(model.name) }} as model_name, {{ text_literal(slice.name) }} as slice_key
    {% endfor %}
    {{ 'union all' if not loop.last }}
    {% endfor %}
),

features as (
    {% for model in monitored_models() %}
    {% for feature in drift_features(model) + [{'name': '*'}] %}
    select
        {{ text_literal(model.name) }} as model_name,
        {{ text_literal(feature.name) }} as feature
    {{ 'union all' if not loop.last }}
    {% endfor %}
    {{ 'union all' if not loop.last }}
    {% endfor %}
),

protected_attributes as (
    select
        model_name,
        unnest(protected_attributes) as slice_key
    from {{ ref('int_monitored_models') }}
),

judged as (
    select
        typed.*,
        case
            when coalesce(slo_name, '') = '' then 'slo_name is empty'
            when name_count > 1 then 'slo_name is not unique'
            when coalesce(model_name, '') not in (select model_name from slices)
                then 'model_name is none of the monitored models'
            when role not in ('live', 'shadow', 'all') then 'role must be live, shadow or all'
            when coalesce(metric, '') not in ({{ text_literals(metric_names()) }})
                then 'metric must be one of {{ metric_names() | join(', ') }}'
            when not exists (
                select 1 from slices
                where slices.model_name = typed.model_name and slices.slice_key = typed.slice_key
            ) then 'slice_key is none of the slices of the model'
            when {{ window_minutes('window_size') }} is null
                then 'window_size must be like 10m, 6h or 7d'
            when
                {{ window_minutes('window_size') }} > 60
                and {{ window_minutes('window_size') }} % 60 <> 0
                then 'windows over an hour must be whole hours: window_size like 2h'
            when
                metric in ({{ quality }}) and role <> 'all'
                then 'this metric is of all versions and roles together: role must be all'
            when
                metric not in ({{ quality }}) and role = 'all'
                then 'role must be live or shadow for this metric'
            when
                slice_key <> 'all' and metric not in ({{ sliced }})
                then 'this metric is of whole models: slice_key must be all'
            when
                metric in ('slow_count', 'slow_rate') and {{ latency_threshold_ms() }} is null
                then 'this metric needs latency_threshold_ms: set it for the model'
            when
                metric in ({{ gaps }})
                and not exists (
                    select 1 from protected_attributes
                    where
                        protected_attributes.model_name = typed.model_name
                        and protected_attributes.slice_key = typed.slice_key
                )
                then 'slice_key is none of the protected attributes of the model'
            when
                feature is not null and metric not in ({{ drift }})
                then 'this metric is of no feature: leave feature empty'
            when
                metric in ({{ drift }})
                and not exists (
                    select 1 from features
                    where
                        features.model_name = typed.model_name
                        and features.feature = typed.feature
                )
                then 'feature must be a feature of the model, score, or * for each of them'
            when comparison not in ('baseline', 'previous')
                then 'comparison must be baseline or previous'
            when
                {{ window_minutes('window_size') }} < 60 and slice_key <> 'all'
                then 'windows under an hour are for whole models: slice_key must be all'
            when
                metric not in ({{ service }})
                and not list_contains(
                    case
                        when metric in ('requests_vs_week_before', 'is_unexpectedly_silent')
                            then ['1h']
                        when metric in ({{ quality }}) then ['1h', '1d']
                        when metric in ({{ drift }})
                            then list_transform(
                                {{ settings().drift_windows_days }}, lambda days: days || 'd'
                            )
                        else list_transform(
                            {{ performance_windows_days() }}, lambda days: days || 'd'
                        )
                    end,
                    window_size
                )
                then 'window_size is none that the metric is computed for'
            when coalesce(comparator, '') not in ('<', '<=', '>', '>=')
                then 'comparator must be one of < <= > >='
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
