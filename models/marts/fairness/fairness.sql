-- Grain: one model_name, model_version, role, protected attribute (slice_key), closed window of
-- whole days with labels, label_view and metric.
with

guardrails as (
    select
        model_name,
        role,
        slice_key,
        window_size,
        metric,
        comparator,
        objective as guardrail
    from {{ ref('stg_slo_targets') }}
    where problem is null
    qualify row_number() over (
        partition by model_name, role, slice_key, window_size, metric order by slo_name
    ) = 1
),

gaps as (
    select
        gaps.model_name,
        gaps.model_version,
        gaps.role,
        gaps.slice_key,
        'all' as slice_value,
        gaps.window_size,
        gaps.window_start::timestamp as window_start,
        gaps.window_end::timestamp as window_end,
        gaps.label_view,
        gaps.metric,
        gaps.value,
        gaps.value_lower,
        gaps.value_upper,
        gaps.lowest_group,
        gaps.highest_group,
        gaps.group_count,
        gaps.small_group_count,
        gaps.labeled_count,
        case
            when whole_models.performance_status in ('not_applicable', 'no_data', 'immature')
                then whole_models.performance_status
            else gaps.fairness_status
        end as data_status
    from {{ ref('int_fairness') }} as gaps
    inner join {{ ref('int_performance_windows') }} as whole_models
        on
            gaps.model_name = whole_models.model_name
            and gaps.model_version = whole_models.model_version
            and gaps.role = whole_models.role
            and gaps.window_size = whole_models.window_size
            and gaps.window_end = whole_models.window_end
            and gaps.label_view = whole_models.label_view
            and whole_models.slice_key = 'all'
),

judged as (
    select
        gaps.*,
        guardrails.guardrail,
        guardrails.comparator
    from gaps
    left join guardrails using (model_name, role, slice_key, window_size, metric)
)

select
    {{ shared_keys() | join(',\n    ') }},
    label_view,
    metric,
    case when data_status = 'ok' then value end as value,
    case when data_status = 'ok' then value_lower end as value_lower,
    case when data_status = 'ok' then value_upper end as value_upper,
    case when data_status = 'ok' then lowest_group end as lowest_group,
    case when data_status = 'ok' then highest_group end as highest_group,
    group_count,
    small_group_count,
    labeled_count,
    guardrail,
    -- Only what is beyond the guardrail for certain: gaps grow with the number of groups.
    case
        when data_status <> 'ok' then null
        when comparator in ('<', '<=') then value_lower > guardrail
        when comparator in ('>', '>=') then value_upper < guardrail
    end as is_breached,
    data_status
from judged
