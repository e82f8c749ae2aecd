-- Grain: one firing alert, in words: what, where, since when, value against target, runbook.
-- A leaf: the SLO tests read it and nothing is built from it, so that a breach skips nothing.
{{ config(materialized='table') }}

with

firing as (
    select
        *,
        -- What should hold, where the rule says what should not.
        case comparator
            when '>' then '<='
            when '>=' then '<'
            when '<' then '>='
            when '<=' then '>'
        end as objective_comparator,
        case
            when compare_to like '%baseline' then ' its baseline of 30 days'
            when compare_to like '%version' then ' the version before'
            when compare_to like '%live' then ' the live model'
        end as reference
    from {{ ref('int_firing_alerts') }}
)

select
    firing.model_name,
    firing.model_version,
    firing.role,
    firing.slice_key,
    firing.slice_value,
    firing.window_size,
    firing.window_start,
    firing.window_end,
    firing.alert_name as slo_name,
    firing.severity,
    firing.metric,
    nullif(firing.feature, '') as feature,
    firing.sli_value,
    firing.objective_comparator as comparator,
    firing.threshold as objective,
    firing.breached_since,
    firing.model_name
    || case when firing.model_version <> 'all' then ' ' || firing.model_version else '' end
    || case when firing.role = 'shadow' then ' (shadow)' else '' end
    || case
        when firing.slice_key <> 'all' and firing.slice_value = 'all'
            then ', by ' || firing.slice_key
        when firing.slice_key <> 'all'
            then ', ' || firing.slice_key || ' = ' || firing.slice_value
        else ''
    end
    || ': ' || firing.metric
    || case when firing.feature <> '' then ' of ' || firing.feature else '' end
    || ' over ' || firing.window_size
    || case
        when firing.data_status <> 'ok'
            then
                ' could not be judged since '
                || strftime(firing.breached_since, '%Y-%m-%d %H:%M') || ' UTC'
        else
            case
                when firing.sli_value is null then ' is unknown'
                when firing.compare_to like 'change%'
                    then
                        ' differs by ' || {{ short_number('firing.sli_value') }} || ' from'
                        || firing.reference
                when firing.compare_to like 'ratio%'
                    then
                        ' is ' || {{ short_number('firing.sli_value') }} || ' times'
                        || firing.reference
                else ' is ' || {{ short_number('firing.sli_value') }}
            end
            || ', should be ' || firing.objective_comparator || ' '
            || {{ short_number('firing.threshold') }}
            || ', since ' || strftime(firing.breached_since, '%Y-%m-%d %H:%M') || ' UTC'
    end
    || case
        when firing.condition_count = 2 then ' (with another condition)'
        when firing.condition_count > 2
            then ' (with ' || firing.condition_count - 1 || ' other conditions)'
        else ''
    end
    || case
        when firing.firing_line_count = 2 then '; another line fires, too'
        when firing.firing_line_count > 2
            then '; ' || firing.firing_line_count - 1 || ' other lines fire, too'
        else ''
    end as summary,
    coalesce(causes.likely_cause, 'nothing stands out in the summaries') as likely_cause,
    firing.runbook,
    firing.data_status,
    firing.alert_id
from firing
left join {{ ref('int_alert_causes') }} as causes on firing.alert_id = causes.alert_id
