-- Grain: one model_name, model_version, role, group (a value of a slice, protected or not) and
-- window_size of a classifier: its newest window that is not immature.
{% set rates = ['true_positive_rate', 'false_positive_rate', 'selection_rate'] %}

with

windows as (
    select *
    from {{ ref('int_performance_windows') }}
    where task = 'binary_classification' and label_view = 'as_known'
),

-- One for all groups, so that they can be compared.
newest as (
    select
        model_name,
        model_version,
        role,
        window_size,
        max(window_end) as window_end,
        -- Windows of a version that no longer serves are of long ago.
        max(window_end) = max(max(window_end)) over (partition by model_name, window_size)
            as is_current
    from windows
    where slice_key = 'all' and performance_status not in ('immature', 'no_data')
    group by model_name, model_version, role, window_size
),

targets as (
    select
        model_name,
        role,
        slice_key,
        window_size,
        metric,
        runbook
    from {{ ref('stg_slo_targets') }}
    where problem is null
    qualify row_number() over (
        partition by model_name, role, slice_key, window_size, metric order by slo_name
    ) = 1
),

-- Of several gaps of an attribute the one that is furthest beyond its guardrail.
gaps as (
    select
        gaps.*,
        targets.runbook,
        case
            when gaps.metric = 'demographic_parity_ratio' then gaps.value < gaps.guardrail
            else gaps.value > gaps.guardrail
        end as is_beyond_guardrail
    from {{ ref('fairness') }} as gaps
    left join targets using (model_name, role, slice_key, window_size, metric)
    where
        gaps.label_view = 'as_known'
        and (gaps.guardrail is not null or gaps.metric = 'equal_opportunity_difference')
    qualify row_number() over (
        partition by
            gaps.model_name, gaps.model_version, gaps.role, gaps.slice_key, gaps.window_size,
            gaps.window_end
        order by
            gaps.guardrail is null,
            coalesce(gaps.is_breached, false) desc,
            coalesce(is_beyond_guardrail, false) desc,
            gaps.metric
    ) = 1
),

changes as (
    select
        grouped.*,
        {% for name in ['ece', 'true_positive_rate'] %}
        grouped.{{ name }} - earlier.{{ name }} as {{ name }}_change,
        -- The interval of a difference from those of both (Newcombe, 1998).
        grouped.{{ name }} - earlier.{{ name }} - sqrt(
            power(grouped.{{ name }} - grouped.{{ name }}_lower, 2)
            + power(earlier.{{ name }}_upper - earlier.{{ name }}, 2)
        ) as {{ name }}_change_lower,
        grouped.{{ name }} - earlier.{{ name }} + sqrt(
            power(grouped.{{ name }}_upper - grouped.{{ name }}, 2)
            + power(earlier.{{ name }} - earlier.{{ name }}_lower, 2)
        ) as {{ name }}_change_upper,
        {% endfor %}
        newest.is_current
    from windows as grouped
    inner join newest using (model_name, model_version, role, window_size, window_end)
    left join windows as earlier
        on
            grouped.model_name = earlier.model_name
            and grouped.model_version = earlier.model_version
            and grouped.role = earlier.role
            and grouped.slice_key = earlier.slice_key
            and grouped.slice_value = earlier.slice_value
            and grouped.window_size = earlier.window_size
            and grouped.window_start = earlier.window_end
    where grouped.slice_key <> 'all'
),

judged as (
    select
        changes.*,
        gaps.metric as gap_metric,
        gaps.value as gap,
        gaps.value_lower as gap_lower,
        gaps.value_upper as gap_upper,
        gaps.lowest_group,
        gaps.highest_group,
        gaps.guardrail,
        gaps.is_breached,
        gaps.is_beyond_guardrail,
        case
            when changes.ece_change is null and changes.true_positive_rate_change is null
                then null
            when changes.ece_change_lower > 0 or changes.true_positive_rate_change_upper < 0
                then 'worse'
            when changes.ece_change_upper < 0 or changes.true_positive_rate_change_lower > 0
                then 'better'
            else 'steady'
        end as trend,
        coalesce(
            gaps.runbook,
            case
                when changes.is_protected then 'docs/runbooks/fairness.md'
                else 'docs/runbooks/calibration.md'
            end
        ) as runbook
    from changes
    left join gaps
        on
            changes.model_name = gaps.model_name
            and changes.model_version = gaps.model_version
            and changes.role = gaps.role
            and changes.slice_key = gaps.slice_key
            and changes.window_size = gaps.window_size
            and changes.window_end = gaps.window_end
),

stated as (
    select
        *,
        case
            when is_breached and slice_value = lowest_group
                then 'gap beyond the guardrail for certain; the lowest group'
            when is_breached and slice_value = highest_group
                then 'gap beyond the guardrail for certain; the highest group'
            when is_breached then 'gap beyond the guardrail for certain, between other groups'
            when is_beyond_guardrail then 'gap beyond the guardrail, but not for certain'
            when calibration_status in ('no_data', 'immature') then 'too few labels are known'
            when calibration_status = 'insufficient_data' then 'too few labels to judge'
            when calibration_status <> 'ok' then 'cannot be judged'
            when trend = 'worse' then 'worse than the window before'
            when ece_lower > 0 then 'scores are off by more than chance'
            else 'nothing to see'
        end as state,
        case
            when is_breached then 1
            when is_beyond_guardrail then 2
            when calibration_status <> 'ok' then 5
            when trend = 'worse' then 3
            when ece_lower > 0 then 4
            else 6
        end as urgency
    from judged
)

select
    {{ shared_keys() | join(',\n    ') }},
    label_view,
    is_current,
    is_protected,
    labeled_count,
    ece,
    ece_lower,
    ece_upper,
    ece_noise_floor,
    {{ with_intervals(rates) | join(',\n    ') }},
    gap_metric,
    gap,
    gap_lower,
    gap_upper,
    guardrail,
    is_breached,
    ece_change,
    true_positive_rate_change,
    trend,
    state,
    row_number() over (
        order by
            is_current desc, urgency, is_protected desc, model_name, model_version, role,
            {{ window_minutes('window_size') }} desc, slice_key, slice_value
    ) as board_rank,
    runbook,
    calibration_status as data_status
from stated
order by board_rank
