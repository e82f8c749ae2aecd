-- Grain: one event_date, model_name, model_version that was a shadow, live_version ('(none)' for
-- requests that no live version had) and slice: how the two answered the same requests.
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    meta={'retention': {
        'kind': 'days', 'key': 'rows.event_date', 'raw_key': '(rows.event_date - 1)'
    }},
    pre_hook="{{ forget_stale(ref('int_shadow_dates'), ['event_date']) }}",
) }}

with

stale_dates as (
    {{ stale_keys(ref('int_shadow_dates'), ['event_date']) }}
),

pairs as (
    select
        pairs.* exclude (revision), -- noqa: RF02
        stale_dates.revision,
        pairs.pairing = 'paired' as is_paired,
        pairs.pairing = 'paired' and pairs.live_status < 400 and pairs.shadow_status < 400
            as is_answered
    from {{ ref('int_shadow_pairs') }} as pairs
    inner join stale_dates on pairs.event_date = stale_dates.event_date
),

sliced as (
    select
        pairs.*,
        unnest(slices, recursive := true) -- noqa: AL03
    from pairs
)

select
    model_name,
    model_version,
    coalesce(live_version, '(none)') as live_version,
    slice_key,
    slice_value,
    count(*) filter (where pairing <> 'shadow_only') as live_count,
    count(*) filter (where is_paired) as paired_count,
    count(*) filter (where pairing = 'shadow_only') as shadow_only_count,
    count(*) filter (where is_answered) as answered_count,
    count(*) filter (where is_paired and live_status >= 400 and shadow_status < 400)
        as live_only_error_count,
    count(*) filter (where is_paired and live_status < 400 and shadow_status >= 400)
        as shadow_only_error_count,
    count(*) filter (where is_paired and live_status >= 400 and shadow_status >= 400)
        as both_error_count,
    quantile_cont(live_latency_ms, [0.5, 0.95, 0.99]) filter (where is_paired)
        as live_latency_quantiles,
    quantile_cont(shadow_latency_ms, [0.5, 0.95, 0.99]) filter (where is_paired)
        as shadow_latency_quantiles,
    histogram({{ latency_bin('live_latency_ms') }}) filter (where is_paired)
        as live_latency_histogram,
    histogram({{ latency_bin('shadow_latency_ms') }}) filter (where is_paired)
        as shadow_latency_histogram,
    count(live_decision || shadow_decision) filter (where is_answered) as decided_count,
    count(*) filter (where is_answered and live_decision <> shadow_decision)
        as disagreement_count,
    event_date,
    revision
from sliced
group by all
