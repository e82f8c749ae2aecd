-- Grain: one model_name, model_version that was a shadow, live_version and look (window_end, from
-- its first day in the shadow).
with

-- What is asked of the model first, then how much there must be.
criteria as (
    select
        *,
        row_number() over (
            partition by model_name, model_version, live_version, window_end
            order by
                criterion in ('labeled_pairs', 'shadow_days', 'partner_rate') asc,
                list_position({{ whole_launch_criteria() }}, criterion) asc nulls last,
                criterion asc,
                slice_key asc
        ) as place
    from {{ ref('launch_criteria') }}
),

counted as (
    select
        model_name,
        model_version,
        window_size,
        window_start,
        window_end,
        live_version,
        count(*) as criterion_count,
        count(*) filter (where verdict = 'pass') as passed_count,
        count(*) filter (where verdict = 'fail') as failed_count,
        {% for verdict in ['pass', 'fail', 'undecided'] %}
        string_agg(summary, '. ' order by place) filter (where verdict = '{{ verdict }}')
            as {{ verdict }}_summary,
        {% endfor %}
        max(shadow_value) filter (where criterion = 'labeled_pairs')::bigint as labeled_pairs,
        max(shadow_value) filter (where criterion = 'shadow_days')::bigint as shadow_days
    from criteria
    group by model_name, model_version, window_size, window_start, window_end, live_version
),

decided as (
    select
        *,
        -- python_udfs/launch.py says the same.
        case
            when failed_count > 0 then 'hold'
            when passed_count = criterion_count then 'ship'
            else 'not_enough_evidence'
        end as decision
    from counted
)

select
    model_name,
    model_version,
    'shadow' as role,
    'all' as slice_key,
    'all' as slice_value,
    window_size,
    window_start,
    window_end,
    live_version,
    decision,
    case decision
        when 'ship'
            then
                'Ship ' || model_version || ' in place of ' || live_version
                || ': every criterion is met. ' || pass_summary || '.'
        when 'hold'
            then
                'Hold ' || model_version || ': it is worse than ' || live_version
                || ' by more than is allowed. ' || fail_summary || '.'
        else
            'Not enough evidence on ' || model_version || ' yet: ' || passed_count || ' of '
            || criterion_count || ' criteria are met. Open: ' || undecided_summary || '.'
    end as summary,
    criterion_count,
    passed_count,
    failed_count,
    labeled_pairs,
    shadow_days,
    row_number() over (
        partition by model_name, model_version, live_version
        order by window_end desc
    ) = 1 as is_newest
from decided
