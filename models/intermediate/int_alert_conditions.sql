-- Grain: one condition of an alert for one model and slice_key, from the rules, the targets (an
-- alert of one condition each) and the error budgets of the targets.
{% set negated = {'<': '>=', '<=': '>', '>': '<=', '>=': '<'} %}

with

rules as (
    select
        *,
        'rule' as kind
    from {{ ref('stg_alert_rules') }}
    where problem is null and is_enabled
),

targets as (
    select * from {{ ref('stg_slo_targets') }} where problem is null
),

models as (
    select * from {{ ref('int_monitored_models') }}
),

objectives as (
    select
        slo_name as alert_name,
        model_name,
        role,
        1 as condition_number,
        metric,
        slice_key,
        feature,
        comparison,
        window_size,
        case comparator
            {% for objective, breach in negated.items() %}
            when '{{ objective }}' then '{{ breach }}'
            {% endfor %}
        end as comparator,
        objective as threshold,
        'value' as compare_to,
        min_requests,
        1 as breach_windows,
        1 as evaluation_windows,
        1 as resolve_windows,
        max_age_hours,
        on_missing,
        severity,
        runbook,
        null::varchar as owner, -- noqa: RF04
        false as triggers_retraining,
        comment,
        'objective' as kind
    from targets
),

burn_windows as (
    {% for labelled, rates in [(false, burn_rates()), (true, labelled_burn_rates())] %}
    {% for rate in rates %}
    select
        {{ labelled }} as is_labelled,
        '{{ rate.long }}' as long_window,
        '{{ rate.short }}' as short_window,
        {{ rate.factor }}::double as factor,
        '{{ rate.severity }}' as severity,
        {{ rate.resolve_windows }} as resolve_windows
    {{ 'union all' if not (loop.last and labelled) }}
    {% endfor %}
    {% endfor %}
),

budgets as (
    select
        targets.*,
        burn_windows.* exclude (severity), -- noqa: RF02
        case when targets.severity = 'page' then burn_windows.severity else 'ticket' end
            as burn_severity,
        -- The share of bad requests at which the budget burns that fast.
        burn_windows.factor * ({{ bad_share('targets.objective', 'targets.comparator') }})
            as bad_share,
        unnest([1, 2]) as condition_number
    from targets
    inner join burn_windows
        on
            (targets.metric not in ({{ text_literals(service_metrics()) }}))
            = burn_windows.is_labelled
    where {{ has_request_budget('targets') }} and targets.slice_key = 'all'
),

burns as (
    select
        slo_name || '_burn_' || long_window as alert_name,
        model_name,
        role,
        condition_number,
        metric,
        slice_key,
        feature,
        comparison,
        case condition_number when 1 then long_window else short_window end as window_size,
        case when comparator in ('<', '<=') then '>' else '<' end as comparator,
        case when comparator in ('<', '<=') then bad_share else 1 - bad_share end as threshold,
        'value' as compare_to,
        -- Of few requests one bad one is a large share: at the threshold there must be some.
        greatest(1, ceil(round(
            {{ settings().burn_min_bad_requests }} / bad_share
            * case
                when condition_number = 1 then 1
                else {{ window_minutes('short_window') }} / {{ window_minutes('long_window') }}
            end,
            6
        )))::bigint as min_requests,
        1 as breach_windows,
        1 as evaluation_windows,
        resolve_windows,
        -- So that the long window still counts when the next one is judged.
        2 * {{ window_minutes('long_window') }} / 60 as max_age_hours,
        'ignore' as on_missing,
        burn_severity as severity,
        runbook,
        null::varchar as owner, -- noqa: RF04
        false as triggers_retraining,
        comment,
        'burn_rate' as kind
    from budgets
    -- Where all requests are bad it burns no faster.
    where bad_share < 1
),

conditions as (
    select * exclude (is_enabled, problem) from rules
    union all by name
    select * from objectives
    union all by name
    select * from burns
)

select
    conditions.* exclude (max_age_hours),
    -- A window of labels is known only after the grace, and the next one a day later.
    case
        when conditions.metric in ({{ text_literals(labelled_metrics()) }})
            then models.label_grace_hours
        else 0
    end as grace_hours,
    coalesce(
        conditions.max_age_hours
        + case when conditions.kind = 'burn_rate' then grace_hours else 0 end,
        24 + grace_hours
    )::double as max_age_hours,
    case
        when {{ window_minutes('conditions.window_size') }} < 60 then 1
        when {{ window_minutes('conditions.window_size') }} < 1440 then 60
        else 1440
    end as step_minutes
from conditions
inner join models on conditions.model_name = models.model_name
