-- Grain: one condition of an alert rule for one model and slice_key, as the seed or the user's
-- relation has it, typed, wildcards filled in, with what is wrong with it in words. An alert with
-- a problem in one of its conditions is not judged; a test fails until it is mended.
{{ config(schema='internal', materialized='table') }}
-- What all conditions of an alert have in common: enough where one of its rows says it.
{% set common = {
    'severity': "'ticket'", 'owner': 'null', 'breach_windows': "'1'",
    'evaluation_windows': 'null', 'resolve_windows': 'null', 'max_age_hours': 'null',
    'on_missing': "'ignore'", 'runbook': 'null', 'is_enabled': "'true'",
    'triggers_retraining': "'false'",
} %}

{% set columns = [
    'alert_name', 'model_name', 'role', 'condition_number', 'metric', 'slice_key', 'feature',
    'comparison', 'window_size', 'comparator', 'threshold', 'compare_to', 'min_requests', 'comment',
] + common.keys() | list %}

with

given as (
    select
        nullif(alert_name::varchar, '') as alert_name,
        nullif(model_name::varchar, '') as model_name,
        nullif(role::varchar, '') as role,
        {{ optional_column('alert_rules', 'condition_number') }} as condition_number,
        nullif(metric::varchar, '') as metric,
        coalesce(nullif(slice_key::varchar, ''), 'all') as slice_key,
        nullif(feature::varchar, '') as feature,
        coalesce({{ optional_column('alert_rules', 'comparison') }}, 'baseline') as comparison,
        nullif(window_size::varchar, '') as window_size,
        nullif(comparator::varchar, '') as comparator,
        nullif(threshold::varchar, '') as threshold_text,
        coalesce(nullif(compare_to::varchar, ''), 'value') as compare_to,
        nullif(min_requests::varchar, '') as min_requests_text,
        {% for name in common %}
        {% if name in ['resolve_windows', 'max_age_hours', 'triggers_retraining'] %}
        {{ optional_column('alert_rules', name) }} as {{ name }},
        {% else %}
        nullif({{ name }}::varchar, '') as {{ name }},
        {% endif %}
        {% endfor %}
        nullif(comment::varchar, '') as comment
    from {{ seed_or_relation('alert_rules', columns=columns) }}
),

alerts as (
    select
        coalesce(alert_name, '') as alert_name,
        count(*) as row_count,
        coalesce(max(role), 'live') as role,
        count(distinct model_name) as model_count,
        count(distinct role) as role_count,
        {% for name, default in common.items() %}
        coalesce(max({{ name }}), {{ default }})::varchar as {{ name }},
        count(distinct {{ name }}) as {{ name }}_count,
        {% endfor %}
        count(distinct slice_key) filter (where slice_key <> 'all') as slice_key_count
    from given
    group by coalesce(alert_name, '')
),

{{ watchable_ctes() }},

-- `*` stands for each of the models, and for each of the slices of a model.
expanded as (
    select
        given.* exclude (
            alert_name, role, model_name, slice_key, condition_number, -- noqa: RF02
            {{ common | join(', ') }}
        ),
        alerts.*,
        given.model_name as given_model_name,
        given.slice_key as given_slice_key,
        coalesce(case when given.model_name = '*' then models.model_name end, given.model_name)
            as model_name,
        coalesce(
            case when given.slice_key = '*' then slices.slice_key end, given.slice_key
        ) as slice_key,
        given.condition_number as condition_text,
        models.label_grace_hours
    from given
    inner join alerts on coalesce(given.alert_name, '') = alerts.alert_name
    left join {{ ref('int_monitored_models') }} as models
        on given.model_name in ('*', models.model_name)
    left join slices
        on
            given.slice_key = '*'
            and models.model_name = slices.model_name
            and slices.slice_key <> 'all'
            and (
                not slices.is_intersection
                or given.metric in ({{ text_literals(labelled_metrics()) }})
            )
            {% for custom in custom_metrics() %}
            and (
                given.metric is distinct from '{{ custom.name }}'
                or list_contains([{{ text_literals(custom.slices) }}]::varchar [], slices.slice_key)
            )
            {% endfor %}
            and (
                given.metric not in ({{ text_literals(fairness_metrics()) }})
                or exists (
                    select 1 from protected_attributes
                    where
                        protected_attributes.model_name = slices.model_name
                        and protected_attributes.slice_key = slices.slice_key
                )
            )
),

typed as (
    select
        *,
        try_cast(threshold_text as double) as threshold,
        coalesce(try_cast(min_requests_text as bigint), 0) as min_requests,
        coalesce(
            try_cast(condition_text as integer),
            dense_rank() over (
                partition by alert_name, model_name
                order by
                    condition_text, metric, given_slice_key, feature, window_size, comparison,
                    compare_to, comparator, threshold_text, min_requests_text
            )
        )::integer as condition_number
    from expanded
),

targets as (
    select slo_name from {{ ref('stg_slo_targets') }}
),

judged as (
    select
        *,
        case
            when alert_name = '' then 'alert_name is empty'
            when contains(alert_name, '\n') then 'alert_name holds a line break'
            when
                exists (
                    select 1 from targets
                    where
                        typed.alert_name = targets.slo_name
                        or starts_with(typed.alert_name, targets.slo_name || '_burn_')
                )
                then 'alert_name is that of a target, or of the burn rates of one'
            when
                condition_text is not null
                and coalesce(try_cast(condition_text as integer), 0) < 1
                then 'condition_number must be empty or a whole number from 1'
            when model_count > 1
                then 'the rows of one alert_name must agree on model_name: * is for all models'
            when role_count > 1 then 'the rows of one alert_name must agree on role'
            when slice_key_count > 1
                then 'the rows of one alert_name may be of the whole model and one slice_key'
            {% for name in common %}
            when {{ name }}_count > 1
                then
                    'the rows of one alert_name must agree on {{ name }},'
                    || ' or leave it empty in all but one'
            {% endfor %}
            {{- condition_problems() }}
            when threshold is null or not isfinite(threshold) then 'threshold must be a number'
            when
                compare_to not in (
                    'value', 'change_vs_baseline', 'ratio_vs_baseline',
                    'change_vs_previous_version', 'ratio_vs_previous_version',
                    'change_vs_live', 'ratio_vs_live'
                )
                then
                    'compare_to must be value, or change or ratio with _vs_baseline,'
                    || ' _vs_previous_version or _vs_live'
            when compare_to like '%\_vs\_baseline' escape '\' and right(window_size, 1) <> 'd'
                then 'only windows of days have a baseline of 30 days: window_size like 1d'
            when compare_to like '%\_vs\_live' escape '\' and role <> 'shadow'
                then 'compare_to with _vs_live is for role shadow'
            when compare_to like '%version' and role = 'all'
                then 'this metric has no versions to compare'
            when
                min_requests_text is not null
                and coalesce(try_cast(min_requests_text as bigint), -1) < 0
                then 'min_requests must be empty or a whole number from 0'
            when coalesce(try_cast(breach_windows as integer), 0) < 1
                then 'breach_windows must be empty or a whole number from 1'
            when
                evaluation_windows is not null
                and coalesce(try_cast(evaluation_windows as integer), 0)
                < try_cast(breach_windows as integer)
                then 'evaluation_windows must be empty or at least breach_windows'
            when
                resolve_windows is not null
                and coalesce(try_cast(resolve_windows as integer), 0) < 1
                then 'resolve_windows must be empty or a whole number from 1'
            when
                max_age_hours is not null
                and not coalesce(try_cast(max_age_hours as double) > 0, false)
                then 'max_age_hours must be empty or a number above 0'
            when
                metric in ({{ text_literals(labelled_metrics()) }})
                and try_cast(max_age_hours as double) <= label_grace_hours
                then
                    'max_age_hours is over before the label_grace_hours of the model are:'
                    || ' no window could be judged. Leave it empty for a day more'
            when on_missing not in ('breach', 'ignore') then 'on_missing must be breach or ignore'
            when severity not in ('page', 'ticket', 'info')
                then 'severity must be page, ticket or info'
            when try_cast(is_enabled as boolean) is null then 'is_enabled must be true or false'
            when try_cast(triggers_retraining as boolean) is null
                then 'triggers_retraining must be true or false'
            when runbook is null then 'runbook is empty: name the page that helps'
        end as problem
    from typed
),

-- A rule for all models is one for those that it fits.
fitting as (
    select
        *,
        bool_or(problem is not null) over (partition by alert_name, model_name) as has_problem,
        bool_or(problem is null) over (partition by alert_name) as fits_some
    from judged
)

select distinct
    alert_name,
    model_name,
    role,
    condition_number,
    metric,
    slice_key,
    feature,
    comparison,
    window_size,
    comparator,
    threshold,
    compare_to,
    min_requests,
    try_cast(breach_windows as integer) as breach_windows,
    coalesce(
        try_cast(evaluation_windows as integer), try_cast(breach_windows as integer)
    ) as evaluation_windows,
    coalesce(
        try_cast(resolve_windows as integer), try_cast(breach_windows as integer)
    ) as resolve_windows,
    try_cast(max_age_hours as double) as max_age_hours,
    on_missing,
    severity,
    runbook,
    owner,
    try_cast(is_enabled as boolean) as is_enabled,
    try_cast(triggers_retraining as boolean) as triggers_retraining,
    comment,
    coalesce(
        problem,
        case when has_problem then 'another condition of this alert has a problem' end
    ) as problem
from fitting
where given_model_name is distinct from '*' or not (has_problem and fits_some)
