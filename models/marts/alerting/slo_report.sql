-- Grain: one open breach, in words: what, where, since when, value against target, runbook.
-- A leaf: the SLO tests read it and nothing is built from it, so that a breach skips nothing.
{{ config(materialized='table') }}

select
    breaches.model_name,
    breaches.model_version,
    breaches.role,
    breaches.slice_key,
    breaches.slice_value,
    breaches.window_size,
    breaches.window_start,
    breaches.window_end,
    breaches.slo_name,
    breaches.severity,
    breaches.metric,
    nullif(breaches.feature, '') as feature,
    breaches.sli_value,
    breaches.comparator,
    breaches.objective,
    breaches.breached_since,
    breaches.model_name
    || case when breaches.model_version <> 'all' then ' ' || breaches.model_version else '' end
    || case when breaches.role = 'shadow' then ' (shadow)' else '' end
    || case
        when breaches.slice_key <> 'all' and breaches.slice_value = 'all'
            then ', by ' || breaches.slice_key
        when breaches.slice_key <> 'all'
            then ', ' || breaches.slice_key || ' = ' || breaches.slice_value
        else ''
    end
    || ': ' || case
        when breaches.data_status = 'ok'
            then
                breaches.metric
                || case when breaches.feature <> '' then ' of ' || breaches.feature else '' end
                || ' over ' || breaches.window_size || ' is '
                || {{ short_number('breaches.sli_value') }} || ', should be '
                || breaches.comparator || ' ' || {{ short_number('breaches.objective') }}
                || ', since ' || strftime(breaches.breached_since, '%Y-%m-%d %H:%M') || ' UTC'
        else
            breaches.metric
            || case
                when breaches.feature not in ('', '*') then ' of ' || breaches.feature else ''
            end
            || ' over ' || breaches.window_size || ' could not be judged'
            || coalesce(
                ' since ' || strftime(breaches.breached_since, '%Y-%m-%d %H:%M') || ' UTC', ''
            )
    end as summary,
    coalesce(causes.likely_cause, 'nothing stands out in the summaries') as likely_cause,
    breaches.runbook,
    breaches.data_status
from {{ ref('int_open_breaches') }} as breaches
left join {{ ref('int_breach_causes') }} as causes
    using (slo_name, model_version, slice_value, feature)
